"""`audience-sync audiences create` and `update`: the same as Segment's own requests, with the same settings."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated, Any

import typer

from audience_sync.amazon_ads.data_manager.dataset_settings import UNKNOWN_HERE, new_dataset
from audience_sync.amazon_ads.destination import Api, advertiser_of, connection_of
from audience_sync.audiences.dataset_creation import NO_ERASURE, UNCHANGEABLE
from audience_sync.errors import InvalidAudience
from audience_sync.members.membership import Audience
from audience_sync_cli.frame.command_lines import to_paste
from audience_sync_cli.frame.errors import WrongUsage, sentence
from audience_sync_cli.frame.screen import counted
from audience_sync_cli.frame.session import Session, command
from audience_sync_cli.frame.settings_faults import NO_TARGET, OPTIONS, options, wrong_usage
from audience_sync_cli.frame.times import DAY
from audience_sync_cli.stack import share_text
from audience_sync_cli.stack.creating import audiences_of, datasets_of, name_prefix
from audience_sync_cli.stack.dataset_facts import is_dataset, link_command, report_shares
from audience_sync_cli.stack.denial import explaining_denial
from audience_sync_cli.stack.listed import AUDIENCE, find
from audience_sync_cli.stack.options import DSP, RENEW, NewTarget, check_key, note_country, note_ttl
from audience_sync_cli.stack.presentation import audience_json

app = typer.Typer()
CREATE_WAIT = 60.0  # seconds for one creation, including the wait for a concurrent one of the same audience
_USE_SHARE = "Use --share, such as --share advertiser=ID,marketplace=US."
_LEAVE_OUT = "Leave it out, or create the audience without --api data-manager."
_SENTENCES = {
    field: (
        f"{OPTIONS[field]} is not possible with --api data-manager: {rule.replace('ttl', 'time to live')}.",
        _USE_SHARE if field in ("advertiserId", "connectionId", "dsp") else _LEAVE_OUT,
    )
    for field, rule in UNKNOWN_HERE.items()
}


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings that can be changed later."""

    description: Annotated[
        str | None, typer.Option(help="Description to show at Amazon.", metavar="TEXT", show_default=False)
    ] = None
    ttl_days: Annotated[
        int | None,
        typer.Option(help="Time to live: days a member stays, 397 at most; 0 empties the audience.", min=0, max=397),
    ] = None
    cpm_cents: Annotated[
        int | None, typer.Option(help="Fee for a thousand impressions, in hundredths of the currency.", min=0)
    ] = None
    currency: Annotated[str | None, typer.Option(help="Currency of the fee, such as USD.", metavar="CODE")] = None
    dsp: DSP = None
    renew: RENEW = None

    def extras(self) -> dict[str, Any]:
        """Return the given options under the names of Segment's extras."""
        ttl = None if self.ttl_days is None else self.ttl_days * DAY
        extras = {"description": self.description, "ttl": ttl, "cpmCents": self.cpm_cents}
        extras |= {"currency": self.currency, "dsp": self.dsp, "renew": self.renew}
        return {name: value for name, value in extras.items() if value is not None}


@command(
    app,
    "create",
    'audiences create "Big spenders" \\\n      --advertiser 590071284455661234 --country US',
    'audiences create "Big spenders" --connection amc-1a2b \\\n      --country DE --ttl-days 30 --renew',
    'audiences create "Big spenders" --api data-manager \\\n'
    "      --country DE --share advertiser=ENTITY7ABC3LMNOP,marketplace=DE",
    asks=True,
)
def create(
    session: Session,
    name: Annotated[str, typer.Argument(help="Name, as in Segment. The stack's AudienceNamePrefix is put before it.")],
    target: NewTarget,
    settings: Settings,
    country: Annotated[str, typer.Option(help="Country where most members are, such as US.", metavar="CODE")] = "",
    key: Annotated[str, typer.Option(help="Segment's computation key, if already known.", metavar="KEY")] = "",
    external_id: Annotated[
        str, typer.Option(help="External audience id of your choice; by default derived from the name.", metavar="ID")
    ] = "",
) -> None:
    """Create an audience at Amazon and let events reach it. Safe to repeat: it finds the existing audience.

    An existing audience keeps its settings; the command lists differences, and how to change them. With
    --api data-manager it is a dataset of Ads Data Manager, shared with each account of --share. It asks only if the
    stack names a DSP account, with which people cannot be erased.
    """
    note_country(session, country)
    check_key(session, key)
    extras = {
        "audienceName": name,
        "countryCode": country,
        "computationKey": key,
        "externalAudienceId": external_id,
        **settings.extras(),
        **target.extras(),
    }
    if target.api is Api.DATA_MANAGER:
        create_dataset(session, extras)
        return
    with session.log.line("audiences create") as line, session.screen.progress("creating"):
        try:
            made = audiences_of(session, name_prefix(session)).create(extras, deadline=time.monotonic() + CREATE_WAIT)
        except InvalidAudience as error:
            raise wrong_usage(error, known_targets(session.audiences.all())) from None
        line["audienceId"] = made.audience_id
    listed = made.listed
    existed = "" if made.attempts else " (it existed already)"
    session.screen.say(f"Audience {made.audience_id}: {listed.name}{existed}.", style="green")
    for remedy, fields in groupby(made.mismatches, lambda each: each.remedy):
        names = options([each.field for each in fields])
        session.screen.note(f"Differs from the request: {names}. {remedy}.", style="yellow")
    note_ttl(session, made.audience_id, listed.settings.get("ttl"))
    if not listed.computation_key:
        session.screen.say(
            f"Next, link it to the Segment audience: `{to_paste('audiences link', made.audience_id, key='KEY')}`."
        )
    differs = [each.as_json() for each in made.mismatches]
    session.screen.result(audience_json(listed) | {"created": bool(made.attempts), "differs": differs})


@command(
    app, "update", "audiences update big_spenders --ttl-days 90", "audiences update big_spenders --renew", asks=True
)
def update(session: Session, audience: AUDIENCE, settings: Settings) -> None:
    """Change description, time to live, fee, DSP or renewal. Amazon never changes name, country or target."""
    known = find(session, audience)
    if is_dataset(known):
        refuse_update(known)
    changes = settings.extras()
    if not changes:
        raise WrongUsage("No setting was given.", "`audience-sync audiences update --help` lists the settings.")
    if settings.ttl_days is not None:
        who, days = f"Members of {known.name or known.audience_id}", settings.ttl_days
        after = f"{counted(days, 'day')} after they entered" if days else "at once, all of them"
        session.screen.confirm(f"{who} will drop out {after}. Continue?")
    with session.log.line("audiences update", audienceId=known.audience_id):
        changed = audiences_of(session).update(known.audience_id, changes)
    session.screen.say(f"{changed.name or changed.audience_id} was changed.", style="green")
    session.screen.result(audience_json(changed))


def known_targets(listed: Iterable[Audience]) -> dict[str, tuple[str, str]]:
    """Return the error for a missing target, with those of other audiences; empty if there are none."""
    targets: dict[str, str] = {}
    for each in sorted(listed, key=lambda each: each.name):
        for option, target in (("advertiser", advertiser_of), ("connection", connection_of)):
            if found := target(each.destination):
                targets.setdefault(f"--{option} {found}", each.name or each.audience_id)
    known = ", ".join(f"{option} (as {name})" for option, name in targets.items())
    (field, (message, remedy)) = NO_TARGET
    return {field: (message, f"{remedy} Known here: {known}.")} if known else {}


def create_dataset(session: Session, extras: Mapping[str, Any]) -> None:
    """Create a dataset, share it, list it, and report it. Raises WrongUsage."""
    amazon = session.data_manager
    try:
        wanted = new_dataset(extras, name_prefix=name_prefix(session))
    except InvalidAudience as error:
        raise wrong_usage(error, _SENTENCES) from None
    if not amazon.can_erase:
        session.screen.confirm(f"{sentence(NO_ERASURE)} Create it?")
    with (
        session.log.line("audiences create") as line,
        session.screen.progress("creating"),
        explaining_denial(session),
    ):
        made = datasets_of(session, name_prefix(session)).create(extras, deadline=time.monotonic() + CREATE_WAIT)
        line["audienceId"] = made.audience_id
    listed, screen = made.listed, session.screen
    existed = "" if made.is_new else " (it was listed already)"
    screen.say(f"Dataset {made.audience_id}: {listed.name}{existed}.", style="green")
    if wanted.name != wanted.segment_name:
        screen.say(f"Amazon's names have no spaces and no dots; at Amazon it is {wanted.name}.")
    if made.differs:
        screen.note(f"Differs from the request: {options([*made.differs])}. {UNCHANGEABLE}.", style="yellow")
    screen.say("")
    report_shares(session, listed, made.shares)
    if not listed.computation_key:
        screen.say(f"Next, link it to the Segment audience: `{link_command(listed, key='KEY')}`.")
    more = {"created": made.is_new, "differs": [{"field": name, "remedy": each} for name, each in made.differs.items()]}
    shares = [share_text.share_json(each) for each in made.shares]
    screen.result(audience_json(listed) | more | {"datasetName": wanted.name, "shares": shares})


def refuse_update(audience: Audience) -> None:
    """Refuse to change a dataset at Amazon. Raises WrongUsage."""
    raise WrongUsage(
        "A dataset cannot be changed at Amazon, and has no time to live or fee.",
        f"Change its name, country and key in the stack with `{link_command(audience)}`, and its targets with"
        " `audience-sync audiences share` and `unshare`; for anything else, create another dataset.",
    )
