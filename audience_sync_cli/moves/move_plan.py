"""The plan of a move: which audience, into which one, and who has left it by time alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from audience_sync.amazon_ads.advertiser_audiences.audience import new_audience
from audience_sync.amazon_ads.data_manager.dataset_settings import new_dataset
from audience_sync.amazon_ads.destination import Api, ads_data_manager, api_of
from audience_sync.amazon_ads.settings_reader import derived_id
from audience_sync.aws.membership_rows import KEEP_ACTIVE
from audience_sync.members.membership import Audience
from audience_sync_cli.frame.command_lines import to_paste
from audience_sync_cli.frame.errors import OperatorError, WrongUsage
from audience_sync_cli.frame.session import Session
from audience_sync_cli.stack import share_text
from audience_sync_cli.stack.dataset_facts import is_dataset, link_command
from audience_sync_cli.stack.listed import completions, find
from audience_sync_cli.stack.options import NewTarget

NEW = "new"  # in place of the id of an audience that does not exist yet


@dataclass(frozen=True, slots=True)
class MoveOptions:
    """The audience to move into: a listed one, or the target of a new one."""

    into: Annotated[
        str,
        typer.Option(
            help="Move into this listed audience, instead of a new one.", metavar="AUDIENCE", autocompletion=completions
        ),
    ] = ""
    share: Annotated[
        list[str] | None,
        typer.Option(help=f"For a new dataset: {share_text.HELP} Repeat it for more.", metavar="SHARE"),
    ] = None
    advertiser: Annotated[str, typer.Option(help="DSP advertiser id for a new audience.", metavar="ID")] = ""
    connection: Annotated[str, typer.Option(help="Connection id for a new audience.", metavar="ID")] = ""
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the members; change nothing.")] = False

    @property
    def names_new(self) -> bool:
        """Whether a new audience is described."""
        return bool(self.share or self.advertiser or self.connection)


@dataclass(frozen=True, slots=True)
class MovePlan:
    """A move, checked."""

    source: Audience
    target: Audience  # with NEW as id if it is to be created
    extras: Mapping[str, Any]  # of a new audience; empty if the target is listed and complete
    lapsed_by: float  # epoch seconds; Amazon has dropped members who were last sent by then

    @property
    def is_new(self) -> bool:
        """Whether the target does not exist yet."""
        return self.target.audience_id == NEW


def planned(session: Session, name: str, to: Api, options: MoveOptions) -> MovePlan:
    """Plan a move, or the rest of one. Raises WrongUsage, NotThere, OperatorError."""
    source = find(session, name)
    _check_source(session, source, to)
    if to is Api.DATA_MANAGER:
        session.data_manager  # noqa: B018 - raises NotThere without an account
    begun = session.audiences.by_id(source.moved_to) if source.moved_to else None
    extras: dict[str, Any] = {}
    if options.into:
        target = _named(session, source, to, options)
    else:
        if old := _moved_into(session, source):  # a move into it is still open: no third audience
            raise WrongUsage(
                f"{old.audience_id} was moved into that audience, and is still current.",
                f"To take that back, run `{to_paste('audiences end', source.audience_id)}`.",
            )
        target, extras = _begun_or_new(session, source, to, options, begun)
    if begun and begun.audience_id != target.audience_id:
        raise WrongUsage(
            f"It was moved to {begun.name or begun.audience_id} ({begun.audience_id}) already.",
            f"To take that back, run `{to_paste('audiences end', begun.audience_id)}`.",
        )
    return MovePlan(source, target, extras, lapsed_by(session, source))


def _check_source(session: Session, source: Audience, to: Api) -> None:
    if api_of(source.destination) is to:
        if old := _moved_into(session, source):
            raise WrongUsage(
                f"{old.audience_id} was moved into that audience, and events with this key now reach the new audience.",
                f"To send the difference, name {old.audience_id} instead of the key; to end the old one, run "
                f"`{to_paste('audiences end', old.audience_id)}`.",
            )
        (other,) = set(Api) - {to}
        raise WrongUsage("That audience is in that API already.", f"Use --to {other}.")
    if not source.computation_key:
        raise OperatorError(
            "The audience has no computation key, through which events reach both audiences.",
            f"Set it with `{link_command(source, key='KEY')}`: the key in the settings of the "
            "audience in Segment, or any unused one if your events name the audience by its id.",
        )


def _moved_into(session: Session, audience: Audience) -> Audience | None:
    return next((each for each in session.audiences.all() if each.moved_to == audience.audience_id), None)


def _extras(session: Session, source: Audience, to: Api, options: MoveOptions) -> dict[str, Any]:
    if not source.country:
        raise WrongUsage(
            "The audience has no country, which a new one needs.",
            f"Set it with `{to_paste('audiences link', source.audience_id, country='CODE')}`.",
        )
    if to is Api.DATA_MANAGER and (options.advertiser or options.connection):
        raise WrongUsage("A dataset has neither --advertiser nor --connection.", "Use --share.")
    # A dataset that was ended keeps its name at Amazon, and its rows: a second move gets a new dataset.
    before = sum(each.moved_to == source.audience_id for each in session.audiences.contents().unlinked)
    own_id = derived_id(source.name or source.audience_id, f"{source.audience_id} {before}")
    target = NewTarget(options.advertiser, options.connection, to, options.share)
    extras = {
        "audienceName": source.name or source.audience_id,
        "countryCode": source.country,
        "externalAudienceId": own_id,
        **target.extras(),
    }
    if description := source.settings.get("description"):
        extras["description"] = description
    return extras


def _begun_or_new(
    session: Session, source: Audience, to: Api, options: MoveOptions, begun: Audience | None
) -> tuple[Audience, dict[str, Any]]:
    """Return the target of an earlier run, or the one to be created, and its settings if any are still to be made.

    Raises WrongUsage, InvalidAudience.
    """
    extras = _extras(session, source, to, options)
    same = session.audiences.by_external_audience_id(str(extras["externalAudienceId"]))
    known = next((each for each in same if api_of(each.destination) is to), None)
    if known is None:
        return (begun, {}) if begun else (_new_target(session, to, extras), extras)
    if to is Api.AUDIENCES and options.names_new:
        wanted = _new_target(session, to, extras)
        if wanted.destination != known.destination:
            raise WrongUsage(
                f"This move has begun, into {known.audience_id} with another target.",
                "Repeat it without --advertiser and --connection.",
            )
    return known, extras if options.names_new else {}  # shares of a dataset may be missing


def _named(session: Session, source: Audience, to: Api, options: MoveOptions) -> Audience:
    if options.names_new:
        raise WrongUsage("--into names an audience that exists.", "Leave out --share, --advertiser, --connection.")
    target = find(session, options.into)
    if api_of(target.destination) is not to:
        raise WrongUsage(f"--into names an audience that is not in {to}.", "Name one that is.")
    if target.computation_key not in (None, source.computation_key):
        raise WrongUsage(
            "--into names an audience with another computation key.",
            "An audience has one key: its members would be mixed. Name one with the same key or without a key.",
        )
    return target


def _new_target(session: Session, to: Api, extras: Mapping[str, Any]) -> Audience:
    if to is Api.DATA_MANAGER:
        dataset = new_dataset(extras)
        return Audience(NEW, name=dataset.segment_name, country=dataset.country, destination=ads_data_manager())
    return new_audience(extras, max_cpm_cents=int(session.stack.parameters.get("MaxCpmCents", 0))).listed_as(NEW)


def lapsed_by(session: Session, source: Audience) -> float:
    """Return the epoch second by which members last sent count as dropped by Amazon, which it asks for their ttl."""
    ttl = None if is_dataset(source) else session.amazon.read_audience(source.audience_id).ttl
    return session.now() - (KEEP_ACTIVE if ttl is None else min(ttl, KEEP_ACTIVE))
