"""`audience-sync audiences`: which audiences events may reach, and how Amazon sees them."""

import time
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Annotated, Any
from uuid import uuid4

import typer

from audience_sync.amazon_ads.audience import AudienceReport, audience_update
from audience_sync.amazon_ads.countries import accepted_country
from audience_sync.amazon_ads.record import amazon_id
from audience_sync.audiences import with_ttl
from audience_sync.aws.intents import Intents
from audience_sync.membership import Audience
from audience_sync.renewal import is_renewed, renewal_age
from cli.errors import NotThere, OperatorError, WrongUsage
from cli.session import Session, command

AUDIENCE = Annotated[str, typer.Argument(help="Amazon's audience id, the computation key, or the external id.")]
DSP = Annotated[bool | None, typer.Option("--dsp/--no-dsp", help="With a connection: into Amazon DSP, too.")]
RENEW = Annotated[
    bool | None, typer.Option("--renew/--no-renew", help="Tell Amazon again who is in, before it drops them.")
]
DAY = 86_400  # seconds
_ID = Annotated[str, typer.Argument(help="Amazon's audience id (not the number that the DSP console shows).")]


@dataclass(frozen=True, slots=True)
class Target:
    """Where an audience goes: one of the two."""

    advertiser: Annotated[str, typer.Option(help="DSP advertiser id, for Amazon DSP.", metavar="ID")] = ""
    connection: Annotated[str, typer.Option(help="Connection id, for Amazon Marketing Cloud.", metavar="ID")] = ""


@dataclass(frozen=True, slots=True)
class Choices:
    """What Amazon is not told of an audience."""

    dsp: DSP = None
    renew: RENEW = None


ANY = Target()
AS_BEFORE = Choices()


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "list")(list_)
    command(app, "show")(show)
    command(app, "link")(link)
    command(app, "unlink", asks=True)(unlink)


def list_(session: Session) -> None:
    """List the audiences that events may reach."""
    found = sorted(session.audiences.all(), key=lambda each: (each.name, each.audience_id))
    if not found:
        session.screen.say("No audience yet. Link one with `audiences link`, or make one with `audiences create`.")
    else:
        session.screen.table(
            ("audience id", "name", "country", "computation key", "target"),
            [(each.audience_id, each.name, each.country, each.computation_key, place(each)) for each in found],
        )
    session.screen.result([described(each) for each in found])


def show(session: Session, audience: AUDIENCE) -> None:
    """Show one audience: what is known here, and its size and match rate at Amazon."""
    known = find(session, audience)
    report = session.amazon.read_audience(known.audience_id)
    received, matched, in_dsp = report.sizes.received, report.sizes.matched, report.sizes.dsp
    rate = f"{report.sizes.match_rate:.1f}%" if report.sizes.match_rate is not None else "not known yet"
    session.screen.facts(
        {
            "audience id": known.audience_id,
            "name": report.name or known.name,
            "description": report.description,
            "country": known.country,
            "target": place(known),
            "computation key": known.computation_key,
            "external audience id": known.external_audience_id,
            "time to live": f"{report.ttl / DAY:g} days" if report.ttl is not None else "397 days (Amazon's default)",
            "renewal": _renewal(known),
            "records at Amazon": _size(received),
            "matched": _size(matched),
            "match rate": rate,
            "in Amazon DSP": _size(in_dsp),
        }
    )
    if is_renewed(known) and renewal_age(known) != renewal_age(with_ttl(known, report)):
        remedy = "Set it with `audiences update --ttl-days`, then both sides count alike."
        session.screen.note(f"Renewal counts by another time to live than Amazon does. {remedy}", style="yellow")
    at_amazon = {"received": received, "matched": matched, "inDsp": in_dsp, "ttl": report.ttl}
    session.screen.result({"audience": described(known), "amazon": at_amazon})


def link(
    session: Session,
    audience_id: _ID,
    target: Target = ANY,
    key: Annotated[
        str, typer.Option(help="Segment's computation key: in the audience's settings, snake_case.", metavar="KEY")
    ] = "",
    country: Annotated[str, typer.Option(help="Where an event names none: two letters.", metavar="CODE")] = "",
    name: Annotated[str, typer.Option(help="For people; Amazon's where left out.", metavar="TEXT")] = "",
    choices: Choices = AS_BEFORE,
) -> None:
    """Let events reach an audience that exists at Amazon, and tie it to a Segment audience.

    Events that carry Amazon's audience id find it without a key. What is left out stays as it was.
    """
    digits = amazon_id(audience_id)
    if digits is None:
        raise WrongUsage("An audience id is a number of up to 20 digits.", "`POST /v1/audiences` answered with it.")
    code = accepted_country(country) if country else None
    if country and code is None:
        raise WrongUsage("That is not a country code that Amazon takes.", "Give two letters, such as US or DE.")
    if key:
        _check_free(session, key, digits)
    report = session.amazon.read_audience(digits)
    known = session.audiences.by_id(digits) or Audience(digits)
    linked = replace(
        _chosen(known, choices, report),
        name=name or known.name or report.name or "",
        country=code or known.country or report.country,
        advertiser_id=target.advertiser or known.advertiser_id,
        connection_id=target.connection or known.connection_id,
        computation_key=key or known.computation_key,
        external_audience_id=known.external_audience_id or report.external_audience_id,
    )
    session.audiences.put(linked, created=_created(session, digits))
    if linked.country is None:
        session.screen.note("No country: phone numbers and postal codes cannot be normalized well.", style="yellow")
    session.screen.say(f"Events reach {linked.name or digits} from now on (within ten seconds).", style="green")
    session.screen.result(described(linked))


def unlink(session: Session, audience: AUDIENCE) -> None:
    """Take an audience off the list: events no longer reach it, and `create` makes a new one.

    Nothing is deleted at Amazon: its members stay until their time to live ends, and changes that are queued are still
    delivered. To empty it, first `audiences update --ttl-days 0`. `link` puts it back on the list.
    """
    known = find(session, audience)
    session.screen.confirm(
        f"Events for {known.name or known.audience_id} are rejected from now on; its members stay at Amazon. Go on?"
    )
    intents = Intents(session.stack.service("dynamodb"), session.stack["AudienceTable"], lambda: uuid4().hex)
    intents.forget(known.audience_id)  # first: an audience that is still listed can be found and unlinked again
    session.audiences.remove(known.audience_id)
    session.screen.say("Unlinked; functions notice within a minute. Amazon keeps the audience.", style="green")
    session.screen.result({"audienceId": known.audience_id, "unlinked": True})


def find(session: Session, told: str) -> Audience:
    """Return the audience with Amazon's id, the computation key or the external id. Raises NotThere, WrongUsage."""
    listed = session.audiences.all()
    for held in ("audience_id", "computation_key", "external_audience_id"):
        found = [each for each in listed if getattr(each, held) == told]
        if len(found) == 1:
            return found[0]
        if found:
            raise WrongUsage("Several audiences go by that name.", "Give Amazon's audience id.")
    raise NotThere("That audience is not listed here.", "`audience-sync audiences list` shows those that are.")


def described(audience: Audience) -> dict[str, Any]:
    """The audience as JSON shows it."""
    return {
        "audienceId": audience.audience_id,
        "name": audience.name,
        "country": audience.country,
        "advertiserId": audience.advertiser_id,
        "connectionId": audience.connection_id,
        "computationKey": audience.computation_key,
        "externalAudienceId": audience.external_audience_id,
        "settings": {name: _plain(value) for name, value in audience.settings.items()},
    }


def _plain(value: Any) -> Any:
    """Return a number of DynamoDB as JSON can write it."""
    return int(value) if isinstance(value, Decimal) else value


def place(audience: Audience) -> str:
    """Say where an audience goes."""
    if audience.connection_id:
        return f"connection {audience.connection_id}"
    return f"DSP {audience.advertiser_id}" if audience.advertiser_id else "DSP"


def _renewal(audience: Audience) -> str:
    if not is_renewed(audience):
        return "off: members drop out when their time to live ends"
    return f"on: members are told again after {renewal_age(audience) / DAY:g} days"


def _chosen(known: Audience, choices: Choices, report: AudienceReport) -> Audience:
    """Return an audience with other choices. Raises InvalidAudience where it could not be renewed."""
    if choices.dsp is not None:
        known = replace(known, settings=known.settings | {"dsp": choices.dsp})
    if choices.renew is None:
        return known
    timed = with_ttl(known, report)
    return replace(timed, settings=audience_update(timed, {"renew": choices.renew}, max_cpm_cents=0).settings)


def _check_free(session: Session, key: str, audience_id: str) -> None:
    """Refuse a key that another audience has: an event with two audiences to choose from reaches neither."""
    others = [each for each in session.audiences.all() if each.computation_key == key]
    if any(each.audience_id != audience_id for each in others):
        raise OperatorError("Another audience has that computation key.", "`audiences unlink` it first.")


def _created(session: Session, audience_id: str) -> int:
    """Return when the audience was listed first, epoch milliseconds."""
    row: dict[str, Any] = session.stack.service("dynamodb").get_item(
        TableName=session.stack["AudienceTable"], Key={"audienceId": {"S": audience_id}}
    )
    return int(row.get("Item", {}).get("created", {}).get("N", time.time_ns() // 1_000_000))


def _size(count: int | None) -> str:
    return "not known yet" if count is None else f"{count:,}"
