"""The report of one person's erasure as text, in 80 columns unless a name is long. Pure."""

from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any

from audience_sync.amazon_ads.destination import Api
from audience_sync.members.erasure import StepKind
from audience_sync.members.erasure_state import Missing, Outcome, Progress

WIDTH = 80  # columns
_STATES = {
    Progress.OPEN: "open since {since}",
    Progress.AMAZON_DELETES: "done here; Amazon deletes by {amazonUntil}",
    Progress.CLOSED: "closed since {since}",
    Progress.UNKNOWN: "no audience knew this id",
}
_NOTICES = {StepKind.NOTICE: "Deletion notice of", StepKind.DENIAL: "Consent denied at"}
_APIS = {Api.AUDIENCES: "audience API", Api.DATA_MANAGER: "Ads Data Manager"}
_OUTCOMES = {
    Outcome.REMOVED: "removed",
    Outcome.NOTHING_HELD: "nothing to remove, no identifiers are kept",
    Outcome.ENTERED_AGAIN: "nothing to remove from before the notice",
    Outcome.AMAZON_DELETES: "Amazon deletes the person by {until}",
    Outcome.AMAZON_TIME_OVER: "Amazon's 30 days to delete the person ended {until}",
}
_MISSING = {
    Missing.EXIT: "the exit has not been recorded",
    Missing.REMOVAL: "a removal due at {until} has not been sent",
    Missing.LAST_REMOVAL: "the last removal is due at {until}",
    Missing.JOB: "the upload has not ended; expected by {until}",
    Missing.LATE_JOBS: "jobs are late; they count as ended at {until}",
    Missing.REJECTED: "the last attempt at the removal failed",
    Missing.TOO_MANY: "more than 100 identities; no single job proves them",
    Missing.DELETION: "Amazon has not accepted the deletion",
    Missing.NO_DELETION: "Amazon was not asked to delete the person",
    Missing.ROW: "the row is missing; no removal is recorded",
    Missing.END: "the end of the removal is not recorded",
}


def text(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a report."""
    yield f"Erasure of {report['member']}: {_STATES[report['state']].format_map(_Times(report))}"
    if by_hand := report["closedByHand"]:
        yield from wrap(f"Closed by hand {_time(by_hand['at'])}: {by_hand['note']}", WIDTH, subsequent_indent="  ")
    for each in report["notices"]:
        yield ""
        yield f"{_NOTICES[each['kind']]} {_time(each['at'])}, recorded {_time(each['recordedAt'])}"
        yield f"  message id {each['messageId']}"
    yield from _deletion_lines(report["deletion"])
    for each in report["audiences"]:
        yield ""
        yield from _audience_lines(each)
    yield ""
    yield "What may remain"
    for each in report["remains"]:
        until = f"until {each['until'][:10]}" if each["until"] else "unknown"
        yield f"  {until:<16}  {each['where']}: {each['holds']}"
    yield ""
    yield "Not proven"
    for each in report["notProven"]:
        yield from wrap(each, WIDTH, initial_indent="  ", subsequent_indent="    ")


def _deletion_lines(deletion: Mapping[str, Any]) -> Iterator[str]:
    for at in deletion["acceptedAt"]:
        yield ""
        yield f"Deletion from all datasets accepted {_time(at)}; Amazon gives no id"
    if deletion["dueAt"]:
        yield ""
        yield f"Deletion from all datasets due {_time(deletion['dueAt'])}, not accepted"


def _audience_lines(audience: Mapping[str, Any]) -> Iterator[str]:
    times = _Times(audience)
    unlinked = f", unlinked {times['unlinkedAt']}" if audience["unlinkedAt"] else ""
    api = _APIS.get(audience["api"], audience["api"])
    yield f"{audience['name'] or 'Audience'} ({audience['audienceId']}), {api}{unlinked}"
    missing = audience["missing"]
    yield f"  {('open: ' + _MISSING[missing] if missing else _OUTCOMES[audience['outcome']]).format_map(times)}"
    if audience["enteredAgainAt"]:
        yield f"  {times['enteredAgainAt']}  entered again"
    yield from (f"  late job {each}" for each in audience["lateJobs"])
    for each in sorted(audience["uploads"], key=lambda upload: str(upload["sentAt"])):
        yield from _upload_lines(each, has_jobs=audience["api"] == Api.AUDIENCES)


def _upload_lines(upload: Mapping[str, Any], *, has_jobs: bool) -> Iterator[str]:
    sent, ended = _time(upload["sentAt"]), _time(upload["endedAt"])
    if upload["kind"] == StepKind.DELETION:
        yield f"  deletion  of identities accepted {sent}; Amazon gives no id"
        return
    yield "  removal   " + (
        f"sent {sent}, ended well by {ended}" if has_jobs else f"accepted {sent}, in effect by {ended}"
    )
    if upload["id"]:
        yield f"            {'job' if has_jobs else 'upload'} {upload['id']}"


class _Times(dict[str, Any]):
    """The times of a document, as text."""

    def __getitem__(self, name: str) -> str:
        return _time(super().__getitem__(name))


def _time(iso: str) -> str:
    return f"{iso[:10]} {iso[11:19]}Z"
