"""`audience-sync audiences share` and `unshare`: the targets of a dataset of Ads Data Manager."""

from typing import Annotated

import typer

from audience_sync.amazon_ads.data_manager.answers import Share
from audience_sync.amazon_ads.data_manager.dataset_settings import dsp_audience
from audience_sync.amazon_ads.data_manager.share_settings import DSP
from audience_sync.members.membership import Audience
from audience_sync_cli.frame.command_lines import to_paste
from audience_sync_cli.frame.errors import NotThere, OperatorError, WrongUsage
from audience_sync_cli.frame.session import Session, command
from audience_sync_cli.stack import share_text
from audience_sync_cli.stack.dataset_facts import is_dataset, read_shared
from audience_sync_cli.stack.denial import explaining_denial
from audience_sync_cli.stack.listed import AUDIENCE, find

app = typer.Typer()


@command(app, "share", "audiences share big_spenders \\\n      advertiser=ENTITY7ABC3LMNOP,marketplace=US")
def share(
    session: Session,
    audience: AUDIENCE,
    account: Annotated[str, typer.Argument(help=share_text.HELP)],
) -> None:
    """Share a dataset of Ads Data Manager with an advertiser or an AMC instance. Safe to repeat.

    All its members reach the account, and so do later changes. Amazon takes a day or more for the first ones.
    """
    known = _dataset(session, audience)
    in_dsp = dsp_audience(
        known.name or known.audience_id, known.external_audience_id, known.settings.get("description")
    )
    body = share_text.new_share(account).as_body(known.audience_id, in_dsp)
    with session.log.line("audiences share", audienceId=known.audience_id), explaining_denial(session):
        made = session.data_manager.create_share(body)
    session.screen.say(f"Shared with {share_text.account(made)}: {share_text.state(made)}.", style="green")
    if made.audience_ids:
        session.screen.say(f"Its audience ids in the DSP console: {', '.join(made.audience_ids)}.")
        session.screen.say(share_text.NEW_IN_DSP)
    session.screen.result(share_text.share_json(made))


@command(app, "unshare", "audiences unshare big_spenders sr-4fw56i934myw", asks=True)
def unshare(
    session: Session,
    audience: AUDIENCE,
    share_id: Annotated[str, typer.Argument(help="Share id, as in `audiences show`.")],
) -> None:
    """End a share of a dataset of Ads Data Manager. Members stay in the DSP audience; AMC loses sight of the dataset.

    Needs a manager account.
    """
    known = _dataset(session, audience)
    if not session.data_manager.can_erase:
        raise OperatorError(
            "With a DSP account, Amazon ends no share.",
            "End it in the Amazon Ads console, or deploy with DataManagerAccountId instead.",
        )
    with explaining_denial(session):
        _, shares = read_shared(session, known)
    found = next((each for each in shares if each.share_id == share_id), None)
    if found is None:
        raise NotThere(
            "The dataset has no such share.", f"`{to_paste('audiences show', known.audience_id)}` lists them."
        )
    if found.is_revoked:
        session.screen.say(f"The share with {share_text.account(found)} has ended: {share_text.state(found)}.")
    else:
        session.screen.confirm(f"{_effect(found)} End the share with {share_text.account(found)}?")
        with session.log.line("audiences unshare", audienceId=known.audience_id), explaining_denial(session):
            session.data_manager.revoke_share(share_id)
        session.screen.say(f"The share with {share_text.account(found)} is revoked.", style="green")
    session.screen.result({"shareId": share_id, "revoked": True})


def _effect(found: Share) -> str:
    if found.application == DSP:
        return (
            "Members stay in the DSP audience; no later change reaches it, not even of people who leave or are erased."
        )
    return "The AMC instance will no longer see the dataset."


def _dataset(session: Session, name: str) -> Audience:
    known = find(session, name)
    if not is_dataset(known):
        raise WrongUsage(
            "Only datasets of Ads Data Manager have shares; this audience has one target, which stays.",
            f"`{to_paste('audiences show', known.audience_id)}` prints it.",
        )
    return known
