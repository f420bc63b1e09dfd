"""Audiences of Ads Data Manager for the commands of audiences: created, read and shown."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from audience_sync.amazon_ads.data_manager.answers import Dataset, Metrics, Share, dataset_id
from audience_sync.amazon_ads.destination import Api, api_of
from audience_sync.errors import AccessDenied
from audience_sync.members.membership import Audience
from audience_sync_cli.frame.command_lines import to_paste
from audience_sync_cli.frame.errors import WrongUsage
from audience_sync_cli.frame.screen import camel_case
from audience_sync_cli.frame.session import Session
from audience_sync_cli.stack import share_text
from audience_sync_cli.stack.denial import explaining_denial
from audience_sync_cli.stack.presentation import audience_json, key_label, size


def is_dataset(audience: Audience) -> bool:
    """Return whether an audience belongs to Ads Data Manager."""
    return api_of(audience.destination) is Api.DATA_MANAGER


def link_command(audience: Audience, *, key: str | None = None, also: bool = False) -> str:
    """Return the line that links an audience again."""
    api = Api.DATA_MANAGER if is_dataset(audience) else None
    return to_paste("audiences link", audience.audience_id, api=api, key=key, also=also)


def read_dataset(session: Session, text: str) -> Dataset:
    """Read a dataset at Amazon by its id as typed. Raises WrongUsage, NotFound."""
    known = dataset_id(text)
    if known is None:
        raise WrongUsage("That cannot be the id of a dataset.", "Copy it from the Amazon Ads console.")
    with explaining_denial(session):
        return session.data_manager.dataset(known)


def show_dataset(session: Session, known: Audience, others: Sequence[Audience]) -> dict[str, Any]:
    """Show a dataset, its shares and its counts over all uploads, and return them for scripts.

    `others` have the same computation key.
    """
    with explaining_denial(session):
        dataset, shares = read_shared(session, known)
    counts = read_metrics(session, known)
    rate = f"{counts.match_percent:.1f}%" if counts.accepted and counts.match_percent is not None else "not known yet"
    session.screen.facts(
        {
            "audience id": known.audience_id,
            "name": known.name,
            "name at Amazon": dataset.name,
            "description": dataset.description,
            "country": dataset.country,
            "target": "Ads Data Manager",
            "account": "manager account" if session.data_manager.can_erase else "DSP account",
            "computation key": key_label(known, others),
            "external audience id": known.external_audience_id,
            "hashes kept": "90 days" if dataset.id_retention else "no",
            "upload count": size(counts.uploads),
            "records accepted": size(counts.accepted),
            "records invalid": size(counts.invalid),
            "with identity": size(counts.with_identity),
            "resolved": size(counts.resolved),
            "match rate": rate,
        }
    )
    session.screen.say("")
    report_shares(session, known, shares)
    described: dict[str, Any] = {
        "name": dataset.name,
        "country": dataset.country,
        "description": dataset.description,
        "idRetention": dataset.id_retention,
        "ofManager": session.data_manager.can_erase,
    }
    numbers = {camel_case(name): value for name, value in asdict(counts).items()}
    return {
        "audience": audience_json(known, others),
        "dataset": described | numbers,
        "shares": [share_text.share_json(each) for each in shares],
    }


def read_shared(session: Session, known: Audience) -> tuple[Dataset, tuple[Share, ...]]:
    """Read a listed dataset and its shares at Amazon, the revoked ones last. Raises AccessDenied, NotFound."""
    amazon = session.data_manager
    dataset = amazon.dataset(known.audience_id)
    return dataset, tuple(sorted(amazon.shares(known.audience_id), key=lambda each: each.is_revoked))


def report_shares(session: Session, audience: Audience, shares: tuple[Share, ...]) -> None:
    """Print a table of shares; a warning if members reach nobody."""
    if shares:
        session.screen.table(share_text.COLUMNS, share_text.rows(shares))
    if all(each.is_revoked for each in shares):
        command = to_paste("audiences share", audience.audience_id, share_text.as_typed(shares))
        session.screen.note(f"It is shared with nobody, so its members reach nobody: `{command}`.", style="yellow")


def read_metrics(session: Session, known: Audience) -> Metrics:
    """Read the counts of a dataset over all its uploads; all unknown if Amazon does not show them to the account."""
    try:
        return session.data_manager.metrics(known.audience_id)
    except AccessDenied:  # Amazon documents no permission for DSP accounts
        session.screen.note("Amazon does not show the counts of this dataset to the account.", style="yellow")
        return Metrics()
