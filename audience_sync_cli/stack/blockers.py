"""Reasons why changes wait, or are lost: a changed event source, no token, an open circuit breaker, failing uploads."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from audience_sync.amazon_ads.destination import Api
from audience_sync.aws.audience_table import AudienceTable
from audience_sync.delivery.backoff import LONG_DELAY, MARK, latest_retry
from audience_sync.errors import AudienceSyncError, OutOfTime, Unavailable
from audience_sync.reasons import Reason
from audience_sync_cli.frame import reasons
from audience_sync_cli.frame.errors import NotThere, sentence
from audience_sync_cli.frame.explanation import explained
from audience_sync_cli.frame.screen import counted, iso_time, moment
from audience_sync_cli.frame.session import Session
from audience_sync_cli.frame.stacks import Stack
from audience_sync_cli.frame.times import MINUTE
from audience_sync_cli.stack.counts import depth
from audience_sync_cli.stack.event_source import (
    DEPLOY_TO_RESUME,
    Paused,
    filtered,
    is_paused,
    is_paused_by_deployment,
    paused_by,
)
from audience_sync_cli.stack.function_logs import FunctionLogs, LogLine
from audience_sync_cli.stack.in_flight import ACCEPTED, VISIBILITY, standstill
from audience_sync_cli.stack.repetitions import Repetitions, repetitions

RECENT = 15 * 60  # seconds for which a failed upload is relevant
ROUND = MARK + 60  # seconds, besides the batching window, in which every message that waits was tried
TOKEN_LIFE = 3_900  # seconds; a token's hour, and some minutes for the run that replaces it
INCOMPLETE = "delivery incomplete"
REFRESHED, REFRESH_FAILED, NOT_CONNECTED = "token refreshed", "token refresh failed", "Amazon is not connected yet"
UNAUTHORIZED = frozenset({Reason.AUTHORIZATION_REFUSED, Reason.NOT_CONNECTED})  # reasons fixed by `connect`
_WITHOUT_TOKEN = frozenset({*UNAUTHORIZED, Reason.TOKEN_UNAVAILABLE})
_OPENING = frozenset({Reason.THROTTLED, Reason.SERVICE_UNAVAILABLE, Reason.OUTCOME_UNKNOWN})  # of a circuit breaker
AUTHORIZED = "authorized_again"  # reason of changes that wait for their next try after that


@dataclass(frozen=True, slots=True)
class Blocker:
    """One reason why changes wait."""

    reason: str  # code
    sentence: str
    remedy: str = ""  # a sentence
    next_try: float | None = None  # epoch seconds, if known
    needs_person: bool = False  # it stays until the operator acts
    audience_ids: tuple[str, ...] = ()  # affected ones; all if empty
    since: float | None = None  # epoch seconds; the oldest change waits since then, if known

    @property
    def advice(self) -> str:
        """The next try and the remedy; empty if neither is known."""
        again = "" if self.needs_person else "The next try is within three minutes."  # the longest wait of a message
        if self.next_try:
            again = f"Next try by {moment(self.next_try * 1000)}."
        return " ".join(each for each in (again, self.remedy) if each)

    @property
    def command(self) -> str:
        """The command in the remedy, otherwise one that shows more."""
        named = re.search(r"`([^`]+)`", self.remedy)
        return named[1] if named else "audience-sync status"

    @property
    def text(self) -> str:
        """Since when changes wait, why, and the next try, in one line: the same in all commands."""
        since = f" since {moment(self.since * 1000)}" if self.since else ""
        return f"Waits{since}: {self.sentence} {self.advice}".strip()

    def as_json(self) -> dict[str, Any]:
        """The blocker for scripts."""
        return {
            "reason": self.reason,
            "sentence": self.sentence,
            "remedy": self.remedy,
            "nextTry": None if self.next_try is None else iso_time(self.next_try * 1000),
            "since": None if self.since is None else iso_time(self.since * 1000),
            "audienceIds": list(self.audience_ids),
        }


@dataclass
class FailedUploads:
    """Uploads of the last minutes that Amazon did not accept."""

    by_reason: dict[str, int] = field(default_factory=dict)
    last_reason: str = ""
    last_at: int | None = None  # epoch milliseconds
    recovered: bool = False  # uploads to all audiences of the newest failure were accepted since

    @property
    def text(self) -> str:
        """The failures in one line."""
        counts = reasons.listed(self.by_reason)
        last = "the last one" if len(self.by_reason) == 1 else f"the last one {self.last_reason}"
        return f"{counts} in the last {RECENT // 60} minutes; {last} at {moment(self.last_at)}"

    def as_json(self) -> dict[str, Any]:
        """The failures for scripts."""
        return {"byReason": self.by_reason, "lastReason": self.last_reason or None, "lastAt": iso_time(self.last_at)}


@dataclass
class Waiting:
    """Reasons why changes wait, and failures so far."""

    blockers: list[Blocker]
    failed: FailedUploads
    unknown: list[str]  # failed checks, in sentences
    repetitions: Repetitions = field(default_factory=Repetitions)
    incomplete: list[LogLine] = field(default_factory=list)  # deliveries of the last minutes, the newest last

    def as_json(self) -> dict[str, Any]:
        """Everything for scripts."""
        return {
            "blockers": [each.as_json() for each in self.blockers],
            "failedUploads": self.failed.as_json(),
            "repetitions": self.repetitions.as_json(),
            "unknown": self.unknown,
        }


def waiting(session: Session, *, only_event_sources: bool = False) -> Waiting:
    """Collect reasons why changes wait. Failed checks, without a permission for instance, are listed in `unknown`.

    With `only_event_sources`, only what also concerns the next change.
    """
    stack, now = session.stack, session.now()
    found = Waiting([], FailedUploads(), [])
    checks: list[tuple[str, Callable[[], Iterator[Blocker]]]] = [
        ("event sources", lambda: event_sources(stack, now)),
        ("access token", lambda: token_failure(stack, now)),
        ("circuit breakers", lambda: open_circuit(stack, now)),
        ("failed uploads", lambda: _failures(stack, now, found)),
        ("changes that wait for jobs", lambda: _repetitions(stack, now, found)),
        ("messages in flight", lambda: _stalled(stack, now, found)),
    ]
    for label, check in checks[:1] if only_event_sources else checks:
        try:
            for blocker in check():
                if blocker.reason not in {each.reason for each in found.blockers}:
                    found.blockers.append(blocker)
        except Exception as error:  # noqa: BLE001 - one failed check must not hide the others
            found.unknown.append(f"Not known: {label}. {explained(error)}")
    found.blockers = dated(_with_cause(found.blockers), found.incomplete, stack.batch_window, now)
    return found


def _with_cause(blockers: Sequence[Blocker]) -> list[Blocker]:
    """Tell an open circuit breaker and what has opened it as one: the cause, then what the stack does about it."""
    circuit = next((each for each in blockers if each.reason == Reason.CIRCUIT_OPEN), None)
    cause = next((each for each in blockers if each.reason in _OPENING), None)
    if not (circuit and cause) or (circuit.audience_ids and not {*cause.audience_ids} <= {*circuit.audience_ids}):
        return list(blockers)
    told = replace(circuit, sentence=f"{cause.sentence} {circuit.sentence}")
    return [told if each is circuit else each for each in blockers if each is not cause]


def dated(blockers: Sequence[Blocker], incomplete: Sequence[LogLine], window: float, now: float) -> list[Blocker]:
    """Return the blockers on one clock: all with the times of the newest deliveries that left changes waiting.

    The next try is when the first of their messages come back, and their circuit breaker lets them pass. It stays the
    same until then: single uploads that test Amazon in between are no try of what waits. `window` is the batching
    window.
    """
    if not incomplete:
        return list(blockers)
    at = incomplete[-1].at / 1000
    newest = [each for each in incomplete if each.at / 1000 > at - ROUND - window]
    since = min(filter(None, map(waits_since, newest)), default=None)
    opens = max((each.next_try or 0.0 for each in blockers), default=0.0)
    returns = [latest_retry(each.at / 1000) + window for each in newest]
    again = min(
        (each for each in returns if each > max(now, opens)), default=latest_retry(max(at, opens - LONG_DELAY)) + window
    )
    next_try = again if again > now else None
    return [
        each
        if each.since
        else replace(each, since=since, next_try=None if each.needs_person else next_try or each.next_try)
        for each in blockers
    ]


def waits_since(line: LogLine) -> float | None:
    """Return since when the oldest change of a delivery waits, in epoch seconds; None if it is not known."""
    since = line.number("waits_since")
    return since if 0 < since <= line.at / 1000 else None


def event_sources(stack: Stack, now: float) -> Iterator[Blocker]:
    """Yield blockers for a pause, and for filters."""
    yield from _paused(stack, now)
    if found := filtered(stack):
        text = f"The event source of {' and '.join(found)} has a filter: Lambda deletes what it excludes, unread."
        remove = "aws lambda update-event-source-mapping --filter-criteria '{}' --uuid"
        remedy = f"Remove it: {', '.join(f'`{remove} {uuid}`' for uuid in found.values())}."
        yield Blocker("filtered", text, remedy, needs_person=True)


def _paused(stack: Stack, now: float) -> Iterator[Blocker]:
    """Yield a blocker if the worker does not receive from the change queue, with who has paused it."""
    if not is_paused(stack):
        return
    if is_paused_by_deployment(stack):
        text, remedy = "is paused by the stack's parameter Enabled=no", f"Deploy: `{DEPLOY_TO_RESUME}`."
    else:
        by = Paused()
        with suppress(Unavailable, NotThere):
            by = paused_by(stack, now)
        text = f"was paused{by}" if by.at else "is paused: the worker's event source is disabled"
        remedy = "Resume it: `audience-sync resume`."
    yield Blocker("paused", f"Delivery {text}.", remedy, needs_person=True)


def token_failure(stack: Stack, now: float) -> Iterator[Blocker]:
    """Yield a blocker if the newest run of the refresh function wrote no token, unless workers have one since."""
    newest: LogLine | None = None
    for line in FunctionLogs(stack).read(["Refresh"], now - TOKEN_LIFE):
        if line.message in (REFRESH_FAILED, NOT_CONNECTED):
            newest = line
        elif line.message == REFRESHED:
            newest = None
    if newest is not None and not _is_disproved(stack, newest, now):
        yield _blocker(str(newest.fields.get("reason") or Reason.NOT_CONNECTED))


def open_circuit(stack: Stack, now: float) -> Iterator[Blocker]:
    """Yield a blocker for open circuit breakers, of audiences or of a connection."""
    from audience_sync_cli.stack.circuits import open_circuits  # noqa: PLC0415 - Powertools is slow to load

    found = open_circuits(stack, now)
    if found is None:
        return
    names = {Api.DATA_MANAGER: "Ads Data Manager", "dsp": "Amazon DSP"}
    connections = [names.get(each, f"connection {each}") for each in found.connection_ids]
    stored = (
        AudienceTable(stack.service("dynamodb"), stack["AudienceTable"]).with_unlinked() if found.audience_ids else []
    )
    named = {each.audience_id: f"{each.name} ({each.audience_id})" for each in stored if each.name}
    of = ", ".join([*connections, *(named.get(each, f"audience {each}") for each in found.audience_ids)])
    yield Blocker(
        Reason.CIRCUIT_OPEN,
        f"The circuit breaker is open for {of}: Amazon has failed several times in a row, and single uploads test it.",
        next_try=found.next_try if found.next_try and found.next_try > now else None,
        audience_ids=() if found.connection_ids else found.audience_ids,
    )


def _failures(stack: Stack, now: float, found: Waiting) -> Iterator[Blocker]:
    """Count the failed uploads of the last minutes, and yield a blocker if the newest changes still wait."""
    logs = FunctionLogs(stack)
    lines, failed = logs.read(["Worker"], now - RECENT, messages=[INCOMPLETE]), found.failed
    for line in lines:
        for reason, times in line.counts("uploads_failed").items():
            failed.by_reason[reason] = failed.by_reason.get(reason, 0) + times
            failed.last_reason, failed.last_at = reason, line.at
    if lines:
        failed.recovered = _accepted_since(logs, lines[-1])
    if lines and not failed.recovered:
        found.incomplete = lines
        yield from _deferrals(stack, lines[-1], now)


def _repetitions(stack: Stack, now: float, found: Waiting) -> Iterator[Blocker]:
    """Record repetitions, and enters that wait for jobs. Neither is a blocker: they end with the jobs."""
    found.repetitions = repetitions(stack, now)
    yield from ()


def _stalled(stack: Stack, now: float, found: Waiting) -> Iterator[Blocker]:
    """Yield a blocker if delivery stands still and no other blocker explains it."""
    held = 0 if found.blockers else depth(stack, "ChangeQueue").in_work
    if held and (times := standstill(stack, now)):
        minutes = counted(int((now - times[1]) // MINUTE), "minute")
        sentence = f"Nothing was delivered for {minutes}, and the worker holds {counted(held, 'message')}."
        yield Blocker("stalled", sentence, next_try=times[0] + VISIBILITY, since=times[0])


def _accepted_since(logs: FunctionLogs, incomplete: LogLine) -> bool:
    """Return whether Amazon has since accepted an upload to each audience of an incomplete delivery."""
    waiting_for = set(incomplete.texts("audience_ids"))
    since = logs.read(["Worker"], incomplete.at / 1000, messages=[ACCEPTED, INCOMPLETE])
    # The same invocation logs its accepted uploads first, perhaps in the same millisecond.
    place = max((n for n, line in enumerate(since) if line.event_id == incomplete.event_id), default=-1)
    later = {str(line.fields.get("audience_id")) for line in since[place + 1 :] if line.message == ACCEPTED}
    return bool(waiting_for) and waiting_for <= later


def _refreshed_since(stack: Stack, incomplete: LogLine) -> bool:
    """Return whether the refresh function has got a token since an incomplete delivery."""
    runs = FunctionLogs(stack).read(["Refresh"], incomplete.at / 1000)
    return any(line.at > incomplete.at and line.message == REFRESHED for line in runs)


def _is_disproved(stack: Stack, refusal: LogLine, now: float) -> bool:
    """Return whether Amazon has accepted an upload since a refusal, from workers that had no valid token either.

    Without the second condition, it may have been one with a token from before: each is valid for an hour.
    """
    lines = FunctionLogs(stack).read(["Worker"], now - TOKEN_LIFE, messages=[ACCEPTED, INCOMPLETE])
    accepted = max((line.at for line in lines if line.message == ACCEPTED), default=0)
    without = [line.at for line in lines if not _WITHOUT_TOKEN.isdisjoint(line.texts("deferred"))]
    return bool(without) and accepted > max(refusal.at, *without)


def _deferrals(stack: Stack, incomplete: LogLine, now: float) -> Iterator[Blocker]:
    """Yield blockers for the changes that an invocation of the worker deferred."""
    audience_ids = incomplete.texts("audience_ids")
    for reason in incomplete.texts("deferred"):
        if reason == OutOfTime.reason:
            continue  # the next invocation goes on at once
        if reason in UNAUTHORIZED and (_refreshed_since(stack, incomplete) or _is_disproved(stack, incomplete, now)):
            yield Blocker(AUTHORIZED, "Amazon is authorized again.", audience_ids=audience_ids)
        else:
            yield _blocker(reason, audience_ids)


def after_login(stack: Stack, now: float) -> list[Blocker]:
    """Return what waits for its next try although Amazon has just been authorized; nothing if that is not known."""
    with suppress(AudienceSyncError):
        lines = FunctionLogs(stack).read(["Worker"], now - RECENT, messages=[INCOMPLETE])
        if lines and not UNAUTHORIZED.isdisjoint(lines[-1].texts("deferred")):
            return dated([Blocker(AUTHORIZED, "Amazon is authorized again.")], lines, stack.batch_window, now)
    return []


def _blocker(reason: str, audience_ids: tuple[str, ...] = ()) -> Blocker:
    needs_person = reason in (*UNAUTHORIZED, Reason.INVALID_SETTINGS)
    means, remedy = reasons.explained(reason)
    return Blocker(reason, sentence(means), remedy, needs_person=needs_person, audience_ids=audience_ids)
