"""`audience-sync audiences create` and `update`: the same use case as Segment's own requests, with the same form."""

import time
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated, Any
from uuid import uuid4

import typer

from audience_sync.audiences import Audiences
from audience_sync.aws.creation_locks import CreationLocks
from audience_sync.clock import Clock
from cli.audiences import AUDIENCE, DSP, RENEW, Target, find
from cli.errors import WrongUsage
from cli.presentation import DAY, audience_json
from cli.screen import counted
from cli.session import Session, command

PATIENCE = 60.0  # seconds for one creation, waiting for somebody else's included


@dataclass(frozen=True, slots=True)
class Settings:
    """What Amazon lets be changed later."""

    description: Annotated[
        str | None, typer.Option(help="For people at Amazon.", metavar="TEXT", show_default=False)
    ] = None
    ttl_days: Annotated[
        int | None, typer.Option(help="Days a member stays; 0 empties it, 397 at most.", min=0, max=397)
    ] = None
    cpm_cents: Annotated[int | None, typer.Option(help="Fee per thousand impressions, in hundredths.", min=0)] = None
    currency: Annotated[str | None, typer.Option(help="Of the fee, such as USD.", metavar="CODE")] = None
    dsp: DSP = None
    renew: RENEW = None

    def told(self) -> dict[str, Any]:
        """Return what was given, under the names that Segment's extras have."""
        ttl = None if self.ttl_days is None else self.ttl_days * DAY
        told = {"description": self.description, "ttl": ttl, "cpmCents": self.cpm_cents}
        told |= {"currency": self.currency, "dsp": self.dsp, "renew": self.renew}
        return {name: value for name, value in told.items() if value is not None}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "create")(create)
    command(app, "update", asks=True)(update)


def create(
    session: Session,
    name: Annotated[str, typer.Argument(help="As in Segment. One of less than ten characters is lengthened.")],
    target: Target,
    settings: Settings,
    country: Annotated[str, typer.Option(help="Where most members are, two letters.", metavar="CODE")] = "",
    key: Annotated[str, typer.Option(help="Segment's computation key, if known already.", metavar="KEY")] = "",
    external_id: Annotated[str, typer.Option(help="Your own id; derived from the name otherwise.", metavar="ID")] = "",
) -> None:
    """Create an audience at Amazon and let events reach it. Repeating it gives the same audience.

    That one keeps its settings; where others are asked for, it says which, and how to change them.
    """
    told = {
        "audienceName": name,
        "advertiserId": target.advertiser,
        "connectionId": target.connection,
        "countryCode": country,
        "computationKey": key,
        "externalAudienceId": external_id,
        **settings.told(),
    }
    with session.screen.progress("creating"):
        made = use_case(session).create(told, deadline=time.monotonic() + PATIENCE)
    listed = made.listed
    known = "" if made.attempts else " (it was there already)"
    session.screen.say(f"Audience {made.audience_id}: {listed.name}{known}.", style="green")
    for remedy, fields in groupby(made.mismatches, lambda each: each.remedy):
        names = ", ".join(each.field for each in fields)
        session.screen.note(f"Not as asked for: {names}. {remedy}.", style="yellow")
    if not listed.computation_key:
        session.screen.say(f"Next, tie it to Segment's audience: `audiences link {made.audience_id} --key ...`.")
    differs = [each.as_json() for each in made.mismatches]
    session.screen.result(audience_json(listed) | {"created": bool(made.attempts), "differs": differs})


def update(session: Session, audience: AUDIENCE, settings: Settings) -> None:
    """Change description, time to live, fee, DSP or renewal. Amazon never changes name, country or target."""
    known = find(session, audience)
    changes = settings.told()
    if not changes:
        raise WrongUsage("Nothing to change was given.", "`audiences update --help` lists what Amazon changes.")
    if settings.ttl_days is not None:
        who, days = f"Members of {known.name or known.audience_id}", settings.ttl_days
        after = f"{counted(days, 'day')} after they entered" if days else "at once, all of them"
        session.screen.confirm(f"{who} drop out {after}. Go on?")
    changed = use_case(session).update(known.audience_id, changes)
    session.screen.say(f"{changed.name or changed.audience_id} is changed.", style="green")
    session.screen.result(audience_json(changed))


def use_case(session: Session) -> Audiences:
    """Build what the audiences function builds."""
    stack = session.stack
    intents = CreationLocks(stack.service("dynamodb"), stack["AudienceTable"], lambda: uuid4().hex)
    clock = Clock(session.now)
    ceiling = int(stack.parameters.get("MaxCpmCents", 0))
    return Audiences(session.audiences, intents, session.amazon, clock, max_cpm_cents=ceiling)
