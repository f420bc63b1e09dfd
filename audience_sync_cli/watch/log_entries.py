"""Log entries for `tail`: accepted, rejected, uploaded and parked changes, and failures. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from audience_sync.reasons import Reason
from audience_sync.runtime.metric_names import (
    CHANGES_DELIVERED,
    CHANGES_SUPERSEDED,
    COUNTED_TWICE,
    EVENTS_ACCEPTED,
    EVENTS_IGNORED,
    REQUESTS_UNAUTHORIZED,
    REQUESTS_WITHOUT_CREDENTIAL,
)
from audience_sync_cli.frame import reasons
from audience_sync_cli.frame.screen import counted, iso_time, moment
from audience_sync_cli.stack.blockers import INCOMPLETE, UNAUTHORIZED, Blocker, dated
from audience_sync_cli.stack.function_logs import LogLine
from audience_sync_cli.stack.repetitions import REPEATED, WAITS

LOGGED = 100  # rejections and denials of one request that get a line each; ingest only counts the others
_OF_EVERY_LINE = frozenset(
    {"level", "location", "message", "timestamp", "service", "request_id", "xray_trace_id", "function_request_id"}
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: something that happened."""

    at: int  # epoch milliseconds
    function: str  # such as worker
    kind: str  # such as accepted or denied, or a level; docs/cli.schema.json lists them
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)  # for scripts
    reasons: tuple[str, ...] = ()  # codes
    audience_ids: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The entry for scripts."""
        return {"at": iso_time(self.at), "function": self.function, "kind": self.kind, **self.facts}


def entries(line: LogLine, batch_window: float = 0.0) -> Iterator[Entry]:
    """Return the entries of a log line; none if operators do not need it."""
    if line.message == INCOMPLETE:
        return _incomplete(line, batch_window)
    return _READERS.get(line.message, _other)(line)


def _entry(line: LogLine, kind: str, text: str, **more: Any) -> Entry:
    return Entry(line.at, line.function.lower(), kind, text, **more)


def _counted(line: LogLine) -> Iterator[Entry]:
    """Yield the entries of a metrics line; there is one for each request or invocation."""
    accepted, ignored = line.count(EVENTS_ACCEPTED), line.count(EVENTS_IGNORED)
    if accepted or ignored:
        text = f"{counted(accepted, 'event')} accepted, {ignored:,} ignored"
        yield _entry(line, "accepted", text, facts={"accepted": accepted, "ignored": ignored})
    missing = line.count(REQUESTS_WITHOUT_CREDENTIAL)
    if missing or line.count(REQUESTS_UNAUTHORIZED):  # Segment's without a credential count in both
        reason = Reason.CREDENTIAL_MISSING if missing else Reason.UNAUTHORIZED
        facts = {"status": 401, "reason": reason}
        yield _entry(line, "refused", f"401: request with {reason.means}", facts=facts, reasons=(reason,))
    if twice := line.count(COUNTED_TWICE):
        yield _entry(line, "audited", f"{counted(twice, 'change')} counted twice", facts={"countedTwice": twice})
    delivered, superseded = line.count(CHANGES_DELIVERED), line.count(CHANGES_SUPERSEDED)
    if line.function == "Worker" and (delivered > 0 or superseded):
        text = f"{counted(delivered, 'change')} delivered, {superseded:,} superseded"
        yield _entry(line, "delivered", text, facts={"delivered": delivered, "superseded": superseded})


def _rejected(line: LogLine) -> Iterator[Entry]:
    reason, message_id = str(line.fields.get("reason")), str(line.fields.get("message_id"))
    facts = {"reason": reason, "messageId": message_id}
    text = f"{reason}: {reasons.explained(reason).means}. {message_id}"
    audience_ids: tuple[str, ...] = ()
    if "audience_id" in line.fields:  # the event's other audiences accept it
        facts["audienceId"] = str(line.fields["audience_id"])
        audience_ids = (facts["audienceId"],)
        text += f", only by audience {facts['audienceId']}"
    kind = "rejected" if line.message == "event rejected" else "denied"
    yield _entry(line, kind, text, facts=facts, reasons=(reason,), audience_ids=audience_ids)


def _rejected_more(line: LogLine) -> Iterator[Entry]:
    """Yield the rejections of a request that have no line of their own, those beyond LOGGED."""
    by_reason = line.counts("by_reason")
    more = sum(by_reason.values()) - LOGGED
    if more > 0:
        text = f"{counted(more, 'more event')} of the same request; all its rejections: {reasons.listed(by_reason)}"
        yield _entry(line, "rejected", text, facts={"more": more, "byReason": by_reason}, reasons=tuple(by_reason))


def _refused(line: LogLine) -> Iterator[Entry]:
    reason, detail = str(line.fields.get("reason")), str(line.fields.get("detail") or "")
    status = line.fields.get("status", 503)
    facts = {"status": status, "reason": reason, "detail": detail}
    text = f"{status}: {reason}{f', {detail}' if detail else ''}"
    yield _entry(line, "refused", text, facts=facts, reasons=(reason,))


def _upload(line: LogLine) -> Iterator[Entry]:
    audience_id, records = str(line.fields.get("audience_id")), line.number("records")
    facts = {"audienceId": audience_id, "records": records, "jobId": line.fields.get("job_id")}
    text = f"{counted(records, 'record')} to audience {audience_id}, job {facts['jobId']}"
    yield _entry(line, "upload", text, facts=facts, audience_ids=(audience_id,))


def _by_audience(line: LogLine) -> Iterator[Entry]:
    """Yield an entry for the audiences with repeated records, or with enters that wait for a job."""
    counts = line.counts("by_audience")
    kind = "repeated" if line.message == REPEATED else "waits"
    noun, why = ("record", "sent again") if kind == "repeated" else ("enter", "until a job has ended")
    text = ", ".join(f"{counted(times, noun)} to audience {audience_id}" for audience_id, times in counts.items())
    facts = {"byAudience": counts}
    yield _entry(line, kind, f"{text}: {why}", facts=facts, audience_ids=tuple(counts))


def _incomplete(line: LogLine, batch_window: float) -> Iterator[Entry]:
    audience_ids = line.texts("audience_ids")
    of = f", audience {', '.join(audience_ids)}" if audience_ids else ""
    ids = {"audienceIds": list(audience_ids)}
    for kind, by_reason in (("failed", line.counts("uploads_failed")), ("parked", line.counts("parked"))):
        if by_reason:
            what = "upload" if kind == "failed" else "change"
            text = f"{counted(sum(by_reason.values()), what)}: {reasons.listed(by_reason)}{of}"
            facts = {"byReason": by_reason} | ids
            yield _entry(line, kind, text, facts=facts, reasons=tuple(by_reason), audience_ids=audience_ids)
    why = line.texts("deferred")
    why = tuple(each for each in why if each != Reason.OUT_OF_TIME) or why
    if why:
        (waits,) = dated([Blocker("", "", needs_person=not UNAUTHORIZED.isdisjoint(why))], [line], batch_window, 0.0)
        times = {"since": waits.since, "nextTry": waits.next_try}
        text = f"{'; '.join(f'{each}: {reasons.explained(each).means}' for each in why)}{of}"
        text += f"; since {moment(waits.since * 1000)}" if waits.since else ""
        text += f"; next try by {moment(waits.next_try * 1000)}" if waits.next_try else ""
        known = {name: iso_time(at and at * 1000) for name, at in times.items()}
        yield _entry(
            line, "waits", text, facts={"reasons": list(why)} | ids | known, reasons=why, audience_ids=audience_ids
        )


def _job(line: LogLine) -> Iterator[Entry]:
    audience_id, parked = str(line.fields.get("audience_id")), line.number("parked")
    state, outcome = str(line.fields.get("state") or "unknown"), str(line.fields.get("outcome"))
    extra = [
        f"{counted(line.number(name), noun)} {name}"
        for name, noun in (("parked", "record"), ("repeated", "change"))
        if line.number(name)
    ]
    if erased := line.number("erased"):
        extra.append(f"hashes of {counted(erased, 'member')} erased")
    text = ", ".join([f"{state} ({outcome}), audience {audience_id}", *extra, f"job {line.fields.get('job_id')}"])
    facts = {"audienceId": audience_id, "jobId": line.fields.get("job_id"), "state": state, "outcome": outcome}
    yield _entry(line, "job", text, facts=facts | {"parked": parked}, audience_ids=(audience_id,))


def _new_token(line: LogLine) -> Iterator[Entry]:
    yield _entry(line, "token", "new access token stored")


def _token(line: LogLine) -> Iterator[Entry]:
    reason = str(line.fields.get("reason") or Reason.NOT_CONNECTED)
    text = f"{reason}: {reasons.explained(reason).means}. {reasons.explained(reason).remedy}".strip()
    yield _entry(line, "token", text, facts={"reason": reason}, reasons=(reason,))


def _other(line: LogLine) -> Iterator[Entry]:
    """Yield a warning or error without a form of its own unchanged."""
    level = str(line.fields.get("level", "")).lower()
    if level not in ("warning", "error", "critical"):
        return
    facts = {name: value for name, value in line.fields.items() if name not in _OF_EVERY_LINE}
    text = " ".join([line.message, *(f"{name}={value}" for name, value in facts.items())])
    reason = line.fields.get("reason")
    yield _entry(line, level, text, facts={"message": line.message} | facts, reasons=(str(reason),) if reason else ())


_READERS: dict[str, Callable[[LogLine], Iterator[Entry]]] = {
    "": _counted,
    "event rejected": _rejected,
    "consent denied": _rejected,
    "events rejected": _rejected_more,
    "request refused": _refused,
    "request unavailable": _refused,
    "upload accepted": _upload,
    "job checked": _job,
    REPEATED: _by_audience,
    WAITS: _by_audience,
    "token refreshed": _new_token,
    "token refresh failed": _token,
    "Amazon is not connected yet": _token,
}


def selected(
    lines: Sequence[LogLine], batch_window: float = 0.0, /, *, audience_id: str = "", reason: str = ""
) -> Iterator[Entry]:
    """Yield the entries of some lines that match every given option; one without an audience matches no audience."""
    for entry in (entry for line in lines for entry in entries(line, batch_window)):
        if (not audience_id or audience_id in entry.audience_ids) and (not reason or reason in entry.reasons):
            yield entry
