"""`audience-sync audiences`: list, show, link and unlink the audiences that events may reach."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated
from uuid import uuid4

import typer

from audience_sync.amazon_ads.audience import AudienceReport, audience_update
from audience_sync.amazon_ads.audience_settings import SettingsReader
from audience_sync.amazon_ads.countries import NO_COUNTRY
from audience_sync.amazon_ads.record import amazon_id
from audience_sync.audiences import with_ttl
from audience_sync.aws.creation_locks import CreationLocks
from audience_sync.membership import Audience
from audience_sync.operations.renewal import is_renewed, renewal_age
from audience_sync_cli.audiences.history import MAX_DAYS, read_history, report_history
from audience_sync_cli.audiences.options import check_key, country_code, note_country
from audience_sync_cli.audiences.presentation import (
    audience_json,
    goes_to_dsp,
    listed_fee,
    price,
    product_label,
    renewal,
    size,
    target_label,
)
from audience_sync_cli.command_line.usage import is_similar
from audience_sync_cli.errors import NotThere, OperatorError, WrongUsage
from audience_sync_cli.session import Session, command
from audience_sync_cli.times import DAY

AUDIENCE = Annotated[str, typer.Argument(help="Amazon's audience id, the computation key, or the external id.")]
DSP = Annotated[bool | None, typer.Option("--dsp/--no-dsp", help="With a connection: send members to Amazon DSP, too.")]
RENEW = Annotated[
    bool | None, typer.Option("--renew/--no-renew", help="Re-send active members before their TTL expires.")
]
_ID = Annotated[str, typer.Argument(help="Amazon's audience id (not the number that the DSP console shows).")]


@dataclass(frozen=True, slots=True)
class Target:
    """The target of an audience: an advertiser or a connection."""

    advertiser: Annotated[str, typer.Option(help="DSP advertiser id, for Amazon DSP.", metavar="ID")] = ""
    connection: Annotated[str, typer.Option(help="Connection id, for Amazon Marketing Cloud.", metavar="ID")] = ""


@dataclass(frozen=True, slots=True)
class Choices:
    """Settings of an audience that are stored here, not at Amazon."""

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
        session.screen.say(
            "No audience is listed. Link one with `audience-sync audiences link`, or create one with "
            "`audience-sync audiences create`."
        )
    else:
        session.screen.table(
            ("audience id", "name", "country", "computation key", "target"),
            [(each.audience_id, each.name, each.country, each.computation_key, target_label(each)) for each in found],
        )
    session.screen.result([audience_json(each) for each in found])


def show(
    session: Session,
    audience: AUDIENCE,
    *,
    with_history: Annotated[
        bool, typer.Option("--history", help="Also show size and match rate over time, as the jobs have reported them.")
    ] = False,
    days: Annotated[int, typer.Option(help="With --history: days to look back.", min=1, max=MAX_DAYS)] = 30,
) -> None:
    """Show one audience: its settings, and its size and match rate at Amazon."""
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
        remedy = "Set it with `audience-sync audiences update --ttl-days`, so that both are the same."
        session.screen.note(f"Renewal uses another time to live than Amazon has. {remedy}", style="yellow")
    past = read_history(session.stack, known.audience_id, session.now(), days) if with_history else None
    if past:
        report_history(session.screen, past)
    at_amazon = {"received": received, "matched": matched, "inDsp": in_dsp, "ttl": report.ttl}
    delivery = {
        "dsp": goes_to_dsp(known),
        "fees": [{"cpmCents": each.cpm_cents, "currency": each.currency} for each in fees],
    }
    history = {"history": past.as_json()} if past else {}
    session.screen.result({"audience": audience_json(known), "amazon": at_amazon} | delivery | history)


def link(
    session: Session,
    audience_id: _ID,
    target: Target = ANY,
    key: Annotated[
        str,
        typer.Option(
            help="Segment's computation key: snake_case, in the settings of the Segment audience.", metavar="KEY"
        ),
    ] = "",
    country: Annotated[str, typer.Option(help="Country for events without one: two letters.", metavar="CODE")] = "",
    name: Annotated[str, typer.Option(help="Name to show here; by default the name at Amazon.", metavar="TEXT")] = "",
    choices: Choices = AS_BEFORE,
) -> None:
    """Let events reach an audience that exists at Amazon, and link it to a Segment audience.

    Events that carry Amazon's audience id need no key. Options that are left out keep their value. The advertiser is
    read from Amazon; for an audience of a connection give --connection, since Amazon does not report it.
    """
    digits = amazon_id(audience_id)
    if digits is None:
        raise WrongUsage("AUDIENCE_ID is a number of up to 20 digits.", "`audience-sync audiences create` prints it.")
    note_country(session, country)
    check_key(session, key)
    code, new_target = country_code(country), _target(target)
    if key:
        _check_key_free(session, key, digits)
    report = session.amazon.read_audience(digits)
    known = session.audiences.by_id(digits) or Audience(digits)
    linked = replace(
        _with_choices(_with_target(known, new_target, report), choices, report),
        name=name or known.name or report.name or "",
        country=code or _real(known.country) or _real(report.country),
        computation_key=key or known.computation_key,
        external_audience_id=known.external_audience_id or report.external_audience_id,
    )
    created = session.audiences.created(digits)
    session.audiences.put(linked, created=time.time_ns() // 1_000_000 if created is None else created)
    _warn_about_gaps(session, linked)
    session.screen.say(f"Linked. Events reach {linked.name or digits} within ten seconds.", style="green")
    session.screen.result(audience_json(linked))


def unlink(session: Session, audience: AUDIENCE) -> None:
    """Take an audience off the list: events no longer reach it, and `create` makes a new one.

    Nothing is deleted at Amazon: members stay until their time to live ends, and queued changes are still delivered. To
    empty the audience, first run `audiences update --ttl-days 0`. `link` puts it back on the list.
    """
    known = find(session, audience)
    session.screen.confirm(
        f"Events for {known.name or known.audience_id} will be rejected; its members stay at Amazon. Go on?"
    )
    locks = CreationLocks(session.stack.service("dynamodb"), session.stack["AudienceTable"], lambda: uuid4().hex)
    locks.remove(known.audience_id)  # first: an audience that is still listed can be found and unlinked again
    session.audiences.remove(known.audience_id)
    session.screen.say("Unlinked; in force within a minute. Amazon keeps the audience.", style="green")
    session.screen.result({"audienceId": known.audience_id, "unlinked": True})


def find(session: Session, name: str) -> Audience:
    """Return the audience with Amazon's id, the computation key or the external id. Raises NotThere, WrongUsage."""
    listed = session.audiences.all()
    for field in ("audience_id", "computation_key", "external_audience_id"):
        found = [each for each in listed if getattr(each, field) == name]
        if len(found) == 1:
            return found[0]
        if found:
            raise WrongUsage("Several audiences have that key or external id.", "Give Amazon's audience id.")
    raise NotThere(
        "That audience is not listed here.",
        f"{_suggestion(name, listed)}`audience-sync audiences list` shows the listed ones.",
    )


def _suggestion(typed: str, listed: Sequence[Audience]) -> str:
    """Return the question whether a similar audience was meant; empty where there is none, or several are."""
    found = set()
    for each in listed:
        known = {each.audience_id, each.computation_key, each.external_audience_id, each.name} - {None, ""}
        if is_similar(typed, [str(text) for text in known]):
            found.add(f"{each.computation_key or each.audience_id} ({each.name or each.audience_id})")
    return f"Did you mean {found.pop()}? " if len(found) == 1 else ""


def _target(options: Target) -> tuple[str | None, str | None] | None:
    """Check the options as `create` does: advertiser and connection, one of them None; None without either."""
    if options == ANY:
        return None
    reader = SettingsReader({"advertiserId": options.advertiser, "connectionId": options.connection}, "in the options")
    target = reader.target()
    reader.raise_if_invalid()
    return target


def _with_target(known: Audience, target: tuple[str | None, str | None] | None, report: AudienceReport) -> Audience:
    """Return an audience with another target; without one, with the advertiser that Amazon reports."""
    advertiser_id, connection_id = target or (known.advertiser_id, known.connection_id)
    if connection_id:
        return replace(known, advertiser_id=None, connection_id=connection_id)
    settings = {name: value for name, value in known.settings.items() if name != "dsp"}  # it goes there anyway
    if target and report.advertiser_id and report.advertiser_id != advertiser_id:
        raise WrongUsage("At Amazon this audience belongs to another advertiser.", "Leave --advertiser out.")
    advertiser_id = advertiser_id or report.advertiser_id
    return replace(known, advertiser_id=advertiser_id, connection_id=None, settings=settings)


def _real(code: str | None) -> str | None:
    """Return a country code, None for Amazon's codes that say that there is no country."""
    return None if code in NO_COUNTRY else code


def _warn_about_gaps(session: Session, linked: Audience) -> None:
    if linked.country is None:
        session.screen.note(
            "No country: some phone numbers and postal codes will be normalized wrongly.", style="yellow"
        )
    if not linked.advertiser_id and not linked.connection_id:
        remedy = "Link it again with the --advertiser or --connection that it was created with."
        session.screen.note(
            f"No target: `audience-sync audiences create` would not find this audience. {remedy}", style="yellow"
        )


def _with_choices(known: Audience, choices: Choices, report: AudienceReport) -> Audience:
    """Return an audience with other choices. Raises InvalidAudience where it cannot have them."""
    options = {"dsp": choices.dsp, "renew": choices.renew}
    changes = {name: value for name, value in options.items() if value is not None}
    if not changes:
        return known
    current = known if choices.renew is None else with_ttl(known, report)
    return replace(current, settings=audience_update(current, changes, max_cpm_cents=0).settings)


def _check_key_free(session: Session, key: str, audience_id: str) -> None:
    """Refuse a key that another audience has: an event whose key fits two audiences is rejected."""
    others = [each for each in session.audiences.all() if each.computation_key == key]
    if any(each.audience_id != audience_id for each in others):
        raise OperatorError(
            "Another audience has that computation key.", "Run `audience-sync audiences unlink` for it first."
        )
