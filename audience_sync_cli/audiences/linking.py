"""`audience-sync audiences link` and `unlink`: which audiences events may reach."""

import time
from dataclasses import replace
from typing import Annotated

import typer

from audience_sync.amazon_ads.advertiser_audiences.audience import AudienceReport, audience_update
from audience_sync.amazon_ads.advertiser_audiences.audience_settings import AudienceReader
from audience_sync.amazon_ads.countries import NO_COUNTRY
from audience_sync.amazon_ads.data_manager.answers import Dataset
from audience_sync.amazon_ads.destination import (
    Api,
    ads_data_manager,
    advertiser_of,
    amc_connection,
    connection_of,
    dsp_advertiser,
)
from audience_sync.amazon_ads.ids import amazon_id
from audience_sync.audiences.creation import with_ttl
from audience_sync.audiences.names import Kind, names_of, taken
from audience_sync.aws.audience_table import MAX_FOUND
from audience_sync.members.membership import Audience, Destination, FilledBy
from audience_sync_cli.audiences.adoption import filled_by, next_steps, require_writable
from audience_sync_cli.audiences.notices import queue_due_exits
from audience_sync_cli.frame.errors import OperatorError, WrongUsage
from audience_sync_cli.frame.session import Session, command
from audience_sync_cli.stack.dataset_facts import link_command, read_dataset
from audience_sync_cli.stack.listed import AUDIENCE, find, same_key
from audience_sync_cli.stack.options import Choices, Target, check_key, country_code, note_country, note_ttl
from audience_sync_cli.stack.presentation import audience_json, caveats_about, key_label
from audience_sync_cli.stack.unlinking import take_off_list

app = typer.Typer()
_ID = Annotated[str, typer.Argument(help="Amazon's audience id (not the number in the DSP console).")]
_OTHER = "Give the other audience another key with `audience-sync audiences link`, or unlink it."
_FIELDS = {
    Kind.ID: ("AUDIENCE_ID", _OTHER),
    Kind.KEY: ("--key", "Give another key with --key, as in the settings of the audience in Segment."),
    Kind.EXTERNAL_ID: ("Its external audience id at Amazon", _OTHER),
}
ANY = Target()
AS_BEFORE = Choices()


@command(
    app,
    "link",
    "audiences link 418273650912345678 --key lapsed_premium_buyers \\\n      --country US",
    "audiences link 418273650912345678 --connection amc-1a2b --dsp",
    "audiences link 418273650912345679 --key lapsed_premium_buyers \\\n      --also",
    asks=True,
)
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
    country: Annotated[str, typer.Option(help="Country for events without one, such as US.", metavar="CODE")] = "",
    name: Annotated[str, typer.Option(help="Name to show here; by default Amazon's.", metavar="TEXT")] = "",
    choices: Choices = AS_BEFORE,
) -> None:
    """Let events reach an existing audience at Amazon, and link it to a Segment audience.

    Events with Amazon's audience id need no key. Options that are left out keep their value. The advertiser is
    read from Amazon; for an audience of a connection pass --connection, since Amazon does not report it. A dataset of
    Ads Data Manager needs --api data-manager, and takes none of --advertiser, --connection, --dsp and --renew.

    Before an audience is linked for the first time, a made-up member enters and exits it; if Amazon refuses, it is not
    linked. Whether another system, such as Segment's own destination, has filled it decides what an erasure proves.

    A key that another audience has is refused without --also. With it, every event for one of the audiences reaches all
    of them. In commands, the key then means the audience that was linked without --also.
    """
    is_of_data_manager = target.api is Api.DATA_MANAGER
    audience_id = _checked_id(audience_id, is_dataset=is_of_data_manager)
    of_any = replace(choices, also=None, created_by_segment=None)  # those that a dataset has as well
    if is_of_data_manager and (replace(target, api=Api.AUDIENCES), of_any) != (ANY, AS_BEFORE):
        raise WrongUsage(
            "A dataset has neither --advertiser nor --connection, --dsp or --renew.",
            "Its shares decide where members go: `audience-sync audiences share`.",
        )
    if choices.also is not None and not key:
        raise WrongUsage("--also and --no-also are about a computation key.", "Name it with --key.")
    note_country(session, country)
    check_key(session, key)
    code, given = country_code(country), ads_data_manager() if is_of_data_manager else _destination(target)
    stored = session.audiences.stored(audience_id)
    known = _listed_again(stored or Audience(audience_id))
    known, others = _with_key(session, known, key, also=choices.also)
    report = read_dataset(session, audience_id) if is_of_data_manager else session.amazon.read_audience(audience_id)
    reported = _as_reported(known, given, choices, report)
    _require_own_names(session, reported)
    linked = replace(
        reported,
        name=name or known.name or report.name or "",
        country=code or _real(known.country) or _real(report.country),
        filled_by=filled_by(session, known, choices.created_by_segment),
    )
    if stored is None and not is_of_data_manager:  # a dataset belongs to the stack's own account
        require_writable(session, linked)
    created = session.audiences.created(audience_id)
    with session.log.line("audiences link", audienceId=audience_id):
        session.audiences.put(linked, created=time.time_ns() // 1_000_000 if created is None else created)
        queue_due_exits(session, linked)  # only once listed: later notices reach it anyway
    _warn_about_gaps(session, linked)
    ttl = report.ttl if isinstance(report, AudienceReport) else None
    note_ttl(session, audience_id, ttl)
    session.screen.say(f"Linked. Events reach {linked.name or audience_id} from now on.", style="green")
    if others:
        session.screen.say(f"Its key is {key_label(linked, others)}.")
    for line in next_steps(session.now(), ttl) if linked.filled_by is FilledBy.OTHERS else caveats_about([linked]):
        session.screen.say(line)
    session.screen.result(audience_json(linked, others))


@command(app, "unlink", "audiences unlink lapsed_premium_buyers", asks=True)
def unlink(session: Session, audience: AUDIENCE) -> None:
    """Remove an audience from the list: events no longer reach it, and `create` makes a new one.

    Deletes nothing at Amazon: members stay until their time to live ends, and queued changes are still delivered.
    Deletion notices and `member erase` still remove people from it. To empty the audience, first run
    `audiences update --ttl-days 0`. `link` lists it again, with --key and without renewal.
    Until then, only `create` and `link` can give its names to another audience, and Segment cannot.
    """
    known = find(session, audience)
    others = same_key(known, session.audiences.all())
    name = known.name or known.audience_id
    what = f"Events for {name} will be rejected"
    if known.moved_to:
        what = f"Events for {name} will reach {known.moved_to} only"
    elif others:  # Segment's Webhook Audiences put the id of one audience into every event
        reached = ", ".join(each.name or each.audience_id for each in others)
        what = f"Events with only the key of {name} will reach {reached}, and events with its id will be rejected"
    session.screen.confirm(f"{what}; its members stay at Amazon. Continue?")
    with session.log.line("audiences unlink", audienceId=known.audience_id):
        take_off_list(session, known)
    session.screen.say(
        "Unlinked, with effect within a minute. Amazon keeps the audience, and deletions still reach it.", style="green"
    )
    again = link_command(known, key=known.computation_key, also=bool(known.computation_key and others))
    session.screen.say(f"To list it again: `{again}`.")
    session.screen.result({"audienceId": known.audience_id, "unlinked": True})


def _checked_id(text: str, *, is_dataset: bool) -> str:
    """Return the id of an audience as typed. That of a dataset has no format to check it by. Raises WrongUsage."""
    digits = text.strip() if is_dataset else amazon_id(text)
    if digits is None:
        raise WrongUsage(
            "AUDIENCE_ID must be a number of up to 20 digits.",
            "`audience-sync audiences create` prints it. For a dataset of Ads Data Manager, add --api data-manager.",
        )
    return digits


def _require_own_names(session: Session, linked: Audience) -> None:
    """Refuse an audience with a name that means another one too, as another kind of name. Raises WrongUsage."""
    others = [each for each in session.audiences.with_unlinked() if each.audience_id != linked.audience_id]
    for kind, other in taken(names_of(linked), others):
        field, remedy = _FIELDS[kind]
        raise WrongUsage(f"{field} is already a name of audience {other.audience_id}, as another kind.", remedy)


def _listed_again(known: Audience) -> Audience:
    """Return an audience as listed. One that was unlinked has no key, which another may have by now.

    Nor is it renewed: who has left since is unknown. If it was moved, events with its id reach it again.
    """
    if known.unlinked_at is None:
        return known
    settings = {name: value for name, value in known.settings.items() if name != "renew"}
    listed = replace(known, settings=settings, unlinked_at=None, also=False, moved_to=None)
    return replace(listed, computation_key=None, external_audience_id=None)


def _destination(options: Target) -> Destination | None:
    """Check the options as `create` does; None without any."""
    if options == ANY:
        return None
    reader = AudienceReader({"advertiserId": options.advertiser, "connectionId": options.connection}, "in the options")
    destination = reader.destination()
    reader.raise_if_invalid()
    return destination


def _with_destination(known: Audience, given: Destination | None, report: AudienceReport) -> Audience:
    """Return an audience with another destination; without one, with the advertiser that Amazon reports."""
    destination = given or known.destination
    if connection_id := connection_of(destination):
        return replace(known, destination=amc_connection(connection_id))
    settings = {name: value for name, value in known.settings.items() if name != "dsp"}  # it goes there anyway
    if given and report.advertiser_id and report.advertiser_id != advertiser_of(given):
        raise WrongUsage("This audience belongs to another advertiser at Amazon.", "Leave --advertiser out.")
    if not advertiser_of(destination):
        destination = dsp_advertiser(report.advertiser_id)
    return replace(known, destination=destination, settings=settings)


def _real(code: str | None) -> str | None:
    """Return a country code; None for Amazon's codes for no country."""
    return None if code in NO_COUNTRY else code


def _warn_about_gaps(session: Session, linked: Audience) -> None:
    if linked.country is None:
        session.screen.note(
            "No country: some phone numbers and postal codes will be normalized wrongly.", style="yellow"
        )
    if not linked.destination:
        remedy = "Link it again with its original --advertiser or --connection."
        session.screen.note(
            f"No target: `audience-sync audiences create` cannot find this audience. {remedy}", style="yellow"
        )


def _as_reported(
    known: Audience, given: Destination | None, choices: Choices, report: AudienceReport | Dataset
) -> Audience:
    if isinstance(report, Dataset):
        return replace(known, destination=given or known.destination)
    external_id = known.external_audience_id or report.external_audience_id
    chosen = _with_choices(_with_destination(known, given, report), choices, report)
    return replace(chosen, external_audience_id=external_id)


def _with_choices(known: Audience, choices: Choices, report: AudienceReport) -> Audience:
    options = {"dsp": choices.dsp, "renew": choices.renew}
    changes = {name: value for name, value in options.items() if value is not None}
    current = with_ttl(known, report)
    if not changes:
        return current
    return replace(current, settings=audience_update(current, changes, max_cpm_cents=0).settings)


def _with_key(session: Session, known: Audience, key: str, *, also: bool | None) -> tuple[Audience, list[Audience]]:
    """Return an audience with the key as given, or as before, and the others that have it. Raises OperatorError.

    Two audiences of one key, both without `also`, get no events by it.
    """
    has_key = key in ("", known.computation_key)
    keyed = known if has_key else replace(known, computation_key=key, also=False)
    linked = keyed if also is None else replace(keyed, also=also)
    others = same_key(linked, session.audiences.all())
    if key and len(others) >= MAX_FOUND:  # their events would be refused as too large
        raise OperatorError(
            f"At most {MAX_FOUND} audiences can share a computation key.",
            "Unlink one of them, or give the Segment audience another key for the rest.",
        )
    is_meant = has_key or also is not None
    if key and not linked.also and others and not (is_meant and all(each.also for each in others)):
        ids = ", ".join(each.audience_id for each in others)
        raise OperatorError(
            f"Another audience has that computation key: {ids}.",
            "Add --also if events are to reach both; else run `audience-sync audiences unlink` for it first.",
        )
    return linked, others
