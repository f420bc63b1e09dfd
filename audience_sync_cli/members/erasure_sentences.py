"""The report of one person's erasure in plain words, in parts that the text and the HTML page share. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Any, NamedTuple

from audience_sync.amazon_ads.destination import Api
from audience_sync.members.erasure.status import Missing, Outcome, Progress
from audience_sync.members.erasure_steps import StepKind
from audience_sync.members.membership import FilledBy
from audience_sync_cli.members.erasure_report import ENTERED_AGAIN, NOT_RECORDED

WIDTH = 80  # columns
_STATE_NAMES = {
    Progress.OPEN: "open",
    Progress.AMAZON_DELETES: "waiting for Amazon",
    Progress.CLOSED: "closed",
    Progress.UNKNOWN: "unknown id",
    NOT_RECORDED: "not on record",
}
_STATES = {
    Progress.OPEN: "open since {since}: not finished",
    Progress.AMAZON_DELETES: "waiting for Amazon since {since}; Amazon has until {amazonUntil}",
    Progress.CLOSED: "closed since {since}; may come back by an event, or by a file after {rememberedUntil}",
    Progress.UNKNOWN: "unknown id: no audience knew it when the request was recorded",
}
_REQUESTS = {StepKind.NOTICE: "Deletion notice of", StepKind.DENIAL: "Consent denied on"}
_APIS = {Api.AUDIENCES: "audience API", Api.DATA_MANAGER: "Ads Data Manager"}
_OUTCOMES = {
    Outcome.REMOVED: "Removed.",
    Outcome.NOTHING_HELD: "Nothing to remove: no identifiers of the person are stored for this audience.",
    Outcome.ENTERED_AGAIN: "Nothing to remove from before the request.",
    Outcome.AMAZON_DELETES: "Amazon has accepted the deletion, and has until {until} to carry it out.",
    Outcome.AMAZON_TIME_OVER: "Amazon has accepted the deletion; its 30 days ended on {until}.",
}
_MISSING = {
    Missing.EXIT: "the removal has not been recorded yet.",
    Missing.REMOVAL: "a removal due on {until} has not been sent.",
    Missing.LAST_REMOVAL: "the last removal is due on {until}.",
    Missing.JOB: "Amazon has not finished the removal; expected by {until}.",
    Missing.LATE_JOBS: "Amazon's jobs are late; they count as finished on {until}.",
    Missing.REJECTED: "the last attempt at the removal failed.",
    Missing.TOO_MANY: "the person has more than 100 identities; no single job proves their removal.",
    Missing.DELETION: "Amazon has not accepted the deletion.",
    Missing.NO_DELETION: "Amazon was not asked to delete the person.",
    Missing.ROW: "the stored record of the person is missing, and no removal is recorded.",
    Missing.END: "the end of the removal is not recorded.",
}
_EXPIRING = (
    "Unless the person enters again, the request overrides what these copies hold, and nothing has to be done about "
    "them. AWS usually deletes an expired record within a few days of its date."
)
_EXPIRING_OPEN = "While the erasure is open, stored records are kept longer than these dates."


class Part(NamedTuple):
    """A part of a report: a heading, sentences, facts by name, and a table whose first row names the columns."""

    heading: str
    sentences: Sequence[str] = ()
    facts: Sequence[tuple[str, str]] = ()
    table: Sequence[Sequence[str]] = ()


def parts(report: Mapping[str, Any]) -> Iterator[Part]:
    """Yield the parts of a report, the conclusion last."""
    yield Part(
        "Report on the erasure of personal data",
        facts=(
            ("Person", f"{report['member']} (external user id)"),
            *head_facts(report),
            ("State", _STATES[report["state"]].format_map(_Times(report))),
            *([("", ENTERED_AGAIN.format_map(_Times(report)))] if report["enteredAgainAt"] else []),
            *_digest(report),
        ),
    )
    yield Part("Requests", list(_requests(report)))
    for each in report["audiences"]:
        named = f"{each['name'] or 'Audience'} ({each['audienceId']}), {_APIS.get(each['api'], each['api'])}"
        yield Part(named, list(_audience(each)))
    copies: defaultdict[tuple[str, str], list[str]] = defaultdict(list)  # places by day and content
    for each in report["remains"]:
        if each["until"]:
            copies[each["until"][:10], each["holds"]].append(each["where"])
    yield Part(
        "Copies that expire by themselves",
        [_EXPIRING_OPEN if report["state"] == Progress.OPEN else _EXPIRING],
        [(f"by {day}", f"{', '.join(places)}: {holds}") for (day, holds), places in sorted(copies.items())],
    )
    yield Part("What this report does not prove", report["notProven"])
    yield Part("Conclusion", [report["conclusion"]])


def list_parts(report: Mapping[str, Any]) -> Iterator[Part]:
    """Yield the parts of a report of many people, the conclusion last."""
    totals = ", ".join(f"{number:,} {_STATE_NAMES[state]}" for state, number in report["totals"].items())
    yield Part(
        "Report on the erasure of personal data: a list of people",
        facts=(*head_facts(report), ("Erasures", totals), *_digest(report)),
    )
    yield Part(
        "People",
        table=[
            ("external user id", "state", "since", "Amazon until", "last copy until", "SHA-256"),
            *(_row(each) for each in report["people"]),
            *((member, _STATE_NAMES[NOT_RECORDED], "-", "-", "-", "-") for member in report["notRecorded"]),
        ],
    )
    yield Part("Conclusion", [report["conclusion"]])


def _row(report: Mapping[str, Any]) -> tuple[str, ...]:
    last_copy = max(each["until"] for each in report["remains"] if each["until"])
    days = (report["since"], report["amazonUntil"] or "-", last_copy)
    state = _STATE_NAMES[report["state"]] + (", entered again" if report["enteredAgainAt"] else "")
    return (report["member"], state, *(each[:10] for each in days), report["digest"])


def head_facts(report: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the facts that every report begins with: which stack, when, and by which version."""
    version = f"version {report['version']}" if report["version"] else "version not known"
    return (
        ("Stack", f"{report['stack']}, {version}"),
        ("Date", f"{_time(report['reportedAt'])}, by audience-sync {report['commandVersion']}"),
    )


def _digest(report: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return (
        ("SHA-256", report["digest"]),
        ("", "of the JSON document of this report (--json). docs/privacy.md says how to check it."),
    )


def text(part: Part, *, is_first: bool) -> Iterator[str]:
    """Yield lines of at most 80 columns, unless a name or an id is longer; without the table."""
    if not is_first:
        yield ""
    yield part.heading
    for sentence in part.sentences:
        yield from wrap(sentence, WIDTH, initial_indent="  ", subsequent_indent="    ", **_WHOLE)
    width = max((len(name) for name, _ in part.facts), default=0)
    for name, value in part.facts:
        first = f"  {name:<{width}}  "
        yield from wrap(value, WIDTH, initial_indent=first, subsequent_indent=" " * len(first), **_WHOLE)


_WHOLE: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}  # ids stay in one piece


def _requests(report: Mapping[str, Any]) -> Iterator[str]:
    for each in report["notices"]:
        yield (
            f"{_REQUESTS[each['kind']]} {_time(each['at'])}, recorded on {_time(each['recordedAt'])}. "
            f"Message id: {each['messageId']}"
        )
    deletion = report["deletion"]
    for at in deletion["acceptedAt"]:
        yield f"Amazon accepted the deletion from all datasets on {_time(at)}. It gives no id for it."
    if deletion["dueAt"]:
        yield f"Deletion from all datasets: due on {_time(deletion['dueAt'])}, not accepted by Amazon."
    if by_hand := report["closedByHand"]:
        yield f"Closed by hand on {_time(by_hand['at'])}, with the note: {by_hand['note']}"


def _audience(audience: Mapping[str, Any]) -> Iterator[str]:
    times, missing = _Times(audience), audience["missing"]
    yield (f"Open: {_MISSING[missing]}" if missing else _OUTCOMES[audience["outcome"]]).format_map(times)
    if audience["filledBy"] != FilledBy.STACK:
        yield "Another system may have sent more, which is not part of this."
    if audience["unlinkedAt"]:
        yield f"The audience was unlinked on {times['unlinkedAt']}."
    if audience["enteredAgainAt"]:
        yield ENTERED_AGAIN.format_map(times)
    yield from (f"Late job: {each}" for each in audience["lateJobs"])
    for each in sorted(audience["uploads"], key=lambda upload: str(upload["sentAt"])):
        yield _upload(each, has_jobs=audience["api"] == Api.AUDIENCES)


def _upload(upload: Mapping[str, Any], *, has_jobs: bool) -> str:
    sent, ended = _time(upload["sentAt"]), _time(upload["endedAt"])
    if upload["kind"] == StepKind.DELETION:
        return f"Amazon accepted the deletion on {sent}. It gives no id for it."
    upload_id = f" {'Job' if has_jobs else 'Upload'}: {upload['id']}" if upload["id"] else ""
    if has_jobs:
        return f"Removal sent on {sent}; Amazon reported success, seen on {ended}.{upload_id}"
    return f"Removal accepted by Amazon on {sent}, taken to be in effect from {ended}.{upload_id}"


class _Times(dict[str, Any]):
    """The times of a document, as text."""

    def __getitem__(self, name: str) -> str:
        return _time(super().__getitem__(name))


def _time(iso: str) -> str:
    """Format a time of a document for people."""
    return f"{iso[:10]} {iso[11:19]} UTC"
