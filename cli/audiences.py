"""`audience-sync audiences`: which audiences events may reach, and how Amazon sees them."""

import time
from dataclasses import dataclass, replace
from typing import Annotated, Any
from uuid import uuid4

import typer

from audience_sync.amazon_ads.audience import AudienceReport, audience_update
from audience_sync.amazon_ads.audience_settings import SettingsReader
from audience_sync.amazon_ads.countries import NO_COUNTRY, accepted_country
from audience_sync.amazon_ads.record import amazon_id
from audience_sync.audiences import with_ttl
from audience_sync.aws.creation_locks import CreationLocks
from audience_sync.membership import Audience
from audience_sync.operations.renewal import is_renewed, renewal_age
from cli.errors import NotThere, OperatorError, WrongUsage
from cli.presentation import (
    DAY,
    audience_json,
    goes_to_dsp,
    listed_fee,
    price,
    product_label,
    renewal,
    size,
    target_label,
)
from cli.session import Session, command

AUDIENCE = Annotated[str, typer.Argument(help="Amazon's audience id, the computation key, or the external id.")]
DSP = Annotated[bool | None, typer.Option("--dsp/--no-dsp", help="With a connection: into Amazon DSP, too.")]
RENEW = Annotated[
    bool | None, typer.Option("--renew/--no-renew", help="Tell Amazon again who is in, before it drops them.")
]
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
            [(each.audience_id, each.name, each.country, each.computation_key, target_label(each)) for each in found],
        )
    session.screen.result([audience_json(each) for each in found])


def show(session: Session, audience: AUDIENCE) -> None:
    """Show one audience: what is known here, and its size and match rate at Amazon."""
    known = find(session, audience)
    report = session.amazon.read_audience(known.audience_id)
    received, matched, in_dsp = report.sizes.received, report.sizes.matched, report.sizes.dsp
    rate = f"{report.sizes.match_rate:.1f}%" if report.sizes.match_rate is not None else "not known yet"
    fees = report.fees or listed_fee(known)
    session.screen.facts(
        {
            "audience id": known.audience_id,
            "name": report.name or known.name,
            "description": report.description,
            "country": known.country,
            "target": target_label(known),
            "members go to": product_label(known),
            "computation key": known.computation_key,
            "external audience id": known.external_audience_id,
            "time to live": f"{report.ttl / DAY:g} days" if report.ttl is not None else "397 days (Amazon's default)",
            "fee": price(fees),
            "renewal": renewal(known),
            "records at Amazon": size(received),
            "matched": size(matched),
            "match rate": rate,
            "in Amazon DSP": size(in_dsp),
        }
    )
    if is_renewed(known) and renewal_age(known) != renewal_age(with_ttl(known, report)):
        remedy = "Set it with `audiences update --ttl-days`, then both sides count alike."
        session.screen.note(f"Renewal counts by another time to live than Amazon does. {remedy}", style="yellow")
    at_amazon = {"received": received, "matched": matched, "inDsp": in_dsp, "ttl": report.ttl}
    told = {
        "dsp": goes_to_dsp(known),
        "fees": [{"cpmCents": each.cpm_cents, "currency": each.currency} for each in fees],
    }
    session.screen.result({"audience": audience_json(known), "amazon": at_amazon} | told)


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

    Events that carry Amazon's audience id find it without a key. What is left out stays as it was; the advertiser is
    Amazon's word. An audience of a connection needs --connection: Amazon does not tell that one.
    """
    digits = amazon_id(audience_id)
    if digits is None:
        raise WrongUsage("An audience id is a number of up to 20 digits.", "`POST /v1/audiences` answered with it.")
    code, aim = _country(country), _target(target)
    if key:
        _check_free(session, key, digits)
    report = session.amazon.read_audience(digits)
    known = session.audiences.by_id(digits) or Audience(digits)
    linked = replace(
        _chosen(_aimed(known, aim, report), choices, report),
        name=name or known.name or report.name or "",
        country=code or _named(known.country) or _named(report.country),
        computation_key=key or known.computation_key,
        external_audience_id=known.external_audience_id or report.external_audience_id,
    )
    session.audiences.put(linked, created=_created(session, digits))
    _note_what_lacks(session, linked)
    session.screen.say(f"Events reach {linked.name or digits} from now on (within ten seconds).", style="green")
    session.screen.result(audience_json(linked))


def unlink(session: Session, audience: AUDIENCE) -> None:
    """Take an audience off the list: events no longer reach it, and `create` makes a new one.

    Nothing is deleted at Amazon: its members stay until their time to live ends, and changes that are queued are still
    delivered. To empty it, first `audiences update --ttl-days 0`. `link` puts it back on the list.
    """
    known = find(session, audience)
    session.screen.confirm(
        f"Events for {known.name or known.audience_id} are rejected from now on; its members stay at Amazon. Go on?"
    )
    intents = CreationLocks(session.stack.service("dynamodb"), session.stack["AudienceTable"], lambda: uuid4().hex)
    intents.remove(known.audience_id)  # first: an audience that is still listed can be found and unlinked again
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


def _target(told: Target) -> tuple[str | None, str | None] | None:
    """Read the options by the rules of the form: advertiser and connection, one of them None; None without either."""
    if told == ANY:
        return None
    form = SettingsReader({"advertiserId": told.advertiser, "connectionId": told.connection}, "in the options")
    target = form.target()
    form.raise_if_invalid()
    return target


def _aimed(known: Audience, target: tuple[str | None, str | None] | None, report: AudienceReport) -> Audience:
    """Return an audience with another target, or with the one that Amazon names where none is known."""
    advertiser_id, connection_id = target or (known.advertiser_id, known.connection_id)
    if connection_id:
        return replace(known, advertiser_id=None, connection_id=connection_id)
    settings = {name: value for name, value in known.settings.items() if name != "dsp"}  # it goes there anyway
    if target and report.advertiser_id and report.advertiser_id != advertiser_id:
        raise WrongUsage("At Amazon this audience belongs to another advertiser.", "Leave --advertiser out.")
    advertiser_id = advertiser_id or report.advertiser_id
    return replace(known, advertiser_id=advertiser_id, connection_id=None, settings=settings)


def _country(told: str) -> str | None:
    """Read the option. Raises WrongUsage."""
    code = accepted_country(told) if told else None
    if told and code is None:
        raise WrongUsage("That is not a country code that Amazon takes.", "Give two letters, such as US or DE.")
    if code in NO_COUNTRY:
        raise WrongUsage("That code names no country.", "Give the country where most members are, such as US or DE.")
    return code


def _named(code: str | None) -> str | None:
    return None if code in NO_COUNTRY else code


def _note_what_lacks(session: Session, linked: Audience) -> None:
    if linked.country is None:
        session.screen.note("No country: phone numbers and postal codes cannot be normalized well.", style="yellow")
    if not linked.advertiser_id and not linked.connection_id:
        remedy = "Link it again with --advertiser or --connection, as it was created."
        session.screen.note(f"No target: `audiences create` would not find it. {remedy}", style="yellow")


def _chosen(known: Audience, choices: Choices, report: AudienceReport) -> Audience:
    """Return an audience with other choices. Raises InvalidAudience where it cannot have them."""
    told = {"dsp": choices.dsp, "renew": choices.renew}
    changes = {name: value for name, value in told.items() if value is not None}
    if not changes:
        return known
    timed = known if choices.renew is None else with_ttl(known, report)
    return replace(timed, settings=audience_update(timed, changes, max_cpm_cents=0).settings)


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
