"""Follows changes from the change queue to the end of their Amazon jobs: each hop, and its time.

The upload of a single change is not logged: the worker logs its uploads by audience, after writing the members' rows.
So the upload of a change is the first one of its audience after its row was written.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from audience_sync.amazon_ads.data_manager.client import NO_UPLOAD_ID
from audience_sync.amazon_ads.destination import Api, api_of
from audience_sync.errors import NotFound, TransientError
from audience_sync.members.membership import EVERY_AUDIENCE, MembershipChange
from audience_sync_cli.frame.explanation import passes
from audience_sync_cli.frame.screen import counted
from audience_sync_cli.frame.session import Session
from audience_sync_cli.stack.blockers import INCOMPLETE, Blocker, waiting
from audience_sync_cli.stack.counts import depth
from audience_sync_cli.stack.dead_letters import DeadLetterMessage, DeadLetters
from audience_sync_cli.stack.function_logs import Follower, FunctionLogs, LogLine
from audience_sync_cli.stack.in_flight import ACCEPTED
from audience_sync_cli.stack.settling import End
from audience_sync_cli.watch.hops import END_WITHOUT_JOB, Hop, Place, job_ended, out_of_time, parked, recorded
from audience_sync_cli.watch.ways import Posted, Way

if TYPE_CHECKING:
    from audience_sync.members.member_state import MemberState

MARGIN = 2.0  # seconds: times of the gateway and of member rows are whole seconds
LOOK_FOR_BLOCKERS = 10.0  # seconds between two checks for blockers
PAUSE, PAUSE_AT_AMAZON = 2.0, 10.0  # seconds between two checks
_UNKNOWN = "The stack sends the change again. See Findings in docs/runbook.md."


class Following:
    """Follows the changes of one request side by side."""

    def __init__(
        self,
        session: Session,
        changes: Sequence[MembershipChange],
        *,
        posted: Posted,
        on_hop: Callable[[Hop], None],
        on_blocker: Callable[[Blocker], None],
        sleep: Callable[[float], None],
    ) -> None:
        self._earlier_jobs = posted.earlier_jobs
        self._session = session
        self._posted_at = posted.at
        self._ahead = posted.ahead
        self._posted_there = posted.at + posted.ahead - MARGIN  # by the stack's clock
        self._on_hop = on_hop
        self._on_blocker = on_blocker
        self._sleep = sleep
        newest = {change.member: change for change in changes}
        audiences = dict.fromkeys(audience_id for audience_id, _ in newest)
        by_audience = {
            audience_id: [each for each in newest.values() if each.audience_id == audience_id]
            for audience_id in audiences
        }
        self._ways = [Way(audience_id, some, some) for audience_id, some in by_audience.items()]
        self._logs = Follower(FunctionLogs(session.stack), ["Worker"], self._posted_there)
        self._lines: list[LogLine] = []
        self._blockers: dict[str, Blocker] = {}
        self._looked_at = posted.at
        self._queued = 0  # messages in the change queue

    @property
    def hint(self) -> str:
        """The hop that it is waiting for."""
        open_ways = [way for way in self._ways if way.end is None]
        if any(way.row_at is None for way in open_ways):
            return f"waiting for the worker, {counted(self._queued, 'message')} in the change queue"
        return "waiting for the upload" if any(way.job_id is None for way in open_ways) else "waiting for Amazon's job"

    def run(self, timeout: float, on_look: Callable[[], None] = lambda: None) -> list[End]:
        """Follow until every change has ended, or for `timeout` seconds. `on_look` is called before each pause.

        Temporary errors are retried. Raises AudienceSyncError.
        """
        while True:
            try:
                self._look()
            except TransientError as error:
                if not passes(error):
                    raise
            left = [way for way in self._ways if way.end is None]
            if not left:
                break
            if self._session.now() - self._posted_at >= timeout:
                for way in left:
                    way.end = self._stuck(way, timeout)
                break
            on_look()
            self._sleep(self._pause(left))
        return [way.end._replace(text=self._of_audience(way, way.end.text)) for way in self._ways if way.end]

    def _pause(self, left: Sequence[Way]) -> float:
        return self._session.stack.pause(PAUSE_AT_AMAZON if all(way.job_id for way in left) else PAUSE)

    def _look(self) -> None:
        open_ways = [way for way in self._ways if way.end is None]
        if any(way.job_id is None for way in open_ways):
            self._lines += self._logs.new([ACCEPTED, INCOMPLETE])
        for way in open_ways:
            if way.row_at is None:
                self._queued = depth(self._session.stack, "ChangeQueue").total
                self._look_at_rows(way)
            if way.end is None and way.row_at is not None and way.job_id is None:
                self._look_for_upload(way)
            if way.end is None and way.job_id is None:
                self._look_for_parked(way)
            if way.end is None and way.job_id is not None:
                self._look_at_job(way)
        if any(way.end is None and way.job_id is None for way in open_ways):
            self._look_for_blockers(open_ways)

    def _look_at_rows(self, way: Way) -> None:
        wanted = [change.member for change in way.pending]
        notices = [(EVERY_AUDIENCE, member) for _, member in wanted]
        states = self._session.members.read(dict.fromkeys([*wanted, *notices]))
        left: list[MembershipChange] = []
        for change in way.pending:
            state, notice = states.get(change.member), states.get((EVERY_AUDIENCE, change.member[1]))
            # Compare ids as well: an event without a timestamp is dated by the stack's clock.
            if state is not None and (state.newest.message_id == change.message_id or state.version == change.version):
                way.known.append(state)
            elif state is not None and state.version > change.version:
                way.newer.append(state)
            elif notice is not None and notice.newest.at >= change.at:
                way.newer.append(notice)
            else:
                left.append(change)
        way.pending = left
        if not left:
            self._note_rows(way, way.known, way.newer)

    def _note_rows(self, way: Way, known: Sequence["MemberState"], newer: Sequence["MemberState"]) -> None:
        sent = min((max(state.enter_sent, state.removal_sent) for state in known), default=0)
        way.row_at = round(max(sent, self._posted_there) * 1000)
        text, way.end = recorded(way.audience_id, known, newer)
        again = "; known before, and sent again" if known and sent < self._posted_there else ""
        self._hop(way, "table", text + again, {"recorded": len(known), "superseded": len(newer)})

    def _look_for_upload(self, way: Way) -> None:
        for line in self._lines_of(way, ACCEPTED):
            job_id = str(line.fields.get("job_id"))
            is_earlier = job_id in self._earlier_jobs and job_id != NO_UPLOAD_ID
            if way.row_at is not None and line.at >= way.row_at and not is_earlier:
                records = line.number("records")
                kind = "job" if _has_jobs(way) else "upload"
                text = f"accepted by Amazon: {counted(records, 'record')}, {kind} {job_id}"
                facts = {"jobId": job_id, "records": records}
                self._hop(way, "upload", text, facts, at=line.at / 1000 - self._ahead)
                if _has_jobs(way):
                    way.job_id = job_id
                else:
                    self._look_for_parked(way)
                    way.end = way.end or END_WITHOUT_JOB
                return

    def _look_for_parked(self, way: Way) -> None:
        """Look for the changes in the dead letter queue, but only if the worker has logged that it parked some."""
        parking = {line.event_id for line in self._lines_of(way, INCOMPLETE) if line.counts("parked")}
        if parking - way.seen:
            way.seen |= parking
            dead_letter = self._dead_letter(way)
            way.end = parked(dead_letter) if dead_letter else None

    def _dead_letter(self, way: Way) -> DeadLetterMessage | None:
        versions = {(change.member, change.version) for change in way.changes}
        found = (
            DeadLetters.of(self._session.stack)
            .peek(lambda message: any((change.member, change.version) in versions for change in message.changes))
            .found
        )
        return found[0] if found else None

    def _look_at_job(self, way: Way) -> None:
        try:
            report = self._session.amazon.job(way.job_id or "")
        except NotFound:
            way.end = End("rejected", "Amazon does not know the job.", _UNKNOWN)
            return
        if report.is_final:
            is_odd = not report.sizes.received and not all(change.exits for change in way.changes)
            ttl = self._session.amazon.read_audience(way.audience_id).ttl if is_odd else None
            text, facts, way.end = job_ended(report, way.changes, ttl)
            self._hop(way, "job", text, {"jobId": way.job_id} | facts)

    def _look_for_blockers(self, ways: Sequence[Way]) -> None:
        if self._session.now() - self._looked_at < LOOK_FOR_BLOCKERS:
            return
        self._looked_at = self._session.now()
        ours = {way.audience_id for way in ways}
        for blocker in waiting(self._session).blockers:
            if blocker.audience_ids and ours.isdisjoint(blocker.audience_ids):
                continue
            if self._blockers.get(blocker.reason) != blocker:
                self._blockers[blocker.reason] = blocker
                self._on_blocker(blocker)
            if blocker.needs_person:
                for way in ways:
                    if way.end is None and way.job_id is None:
                        way.end = End("blocked", blocker.sentence, blocker.remedy)

    def _stuck(self, way: Way, timeout: float) -> End:
        if way.job_id is not None:
            return out_of_time(f"Amazon's job has not ended after {timeout:,.0f} seconds.", "")
        if dead_letter := self._dead_letter(way):
            return parked(dead_letter)
        place = "in the change queue" if way.row_at is None else "recorded but not uploaded"
        why = " ".join(blocker.text for blocker in self._blockers.values())
        return out_of_time(f"After {timeout:,.0f} seconds it is still {place}.", why)

    def _lines_of(self, way: Way, message: str) -> Iterator[LogLine]:
        for line in self._lines:
            audiences = line.texts("audience_ids") or (line.fields.get("audience_id"),)
            if line.message == message and way.audience_id in audiences:
                yield line

    def _hop(self, way: Way, place: Place, text: str, facts: dict[str, Any], at: float | None = None) -> None:
        """Report a hop, reached now or at a known time, in epoch seconds by the session's clock."""
        way.last_after = max(way.last_after, (self._session.now() if at is None else at) - self._posted_at)
        self._on_hop(Hop(place, way.last_after, self._of_audience(way, text), {"audienceId": way.audience_id} | facts))

    def _of_audience(self, way: Way, text: str) -> str:
        return f"audience {way.audience_id}: {text}" if len(self._ways) > 1 else text


def _has_jobs(way: Way) -> bool:
    """Return whether uploads of an audience become jobs, which Amazon's audience API reports."""
    return api_of(way.changes[0].destination) is Api.AUDIENCES
