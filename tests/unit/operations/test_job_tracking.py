"""The end of jobs: what it parks, repeats and erases, and what it costs."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from audience_sync.amazon_ads.job import JobReport
from audience_sync.amazon_ads.timings import Timings
from audience_sync.aws.membership_rows import Sharding
from audience_sync.aws.membership_table import MembershipTable
from audience_sync.clock import Clock
from audience_sync.delivery.job_members import job_member
from audience_sync.errors import NotFound, RequestRejected, ServiceUnavailable, TransientError, Unavailable
from audience_sync.members.job_messages import JobMember, JobMessage
from audience_sync.members.member_state import LONGEST_JOB, LateJob, MemberState
from audience_sync.members.member_step import apply_changes
from audience_sync.members.membership import MembershipChange, coalesce
from audience_sync.members.messages import ChangeMessage
from audience_sync.operations.job_tracking import (
    MAX_MARKS,
    MEMBERS_AT_ONCE,
    MIN_TIME_PER_CHECK,
    PARKED_AT_ONCE,
    RESERVE,
    JobCheck,
    JobContext,
    JobTracker,
)
from tests.support import builders
from tests.support.doubles.amazon import FakeJobs
from tests.support.doubles.clocks import ManualClock
from tests.support.doubles.dynamodb import MembershipRows
from tests.support.doubles.queues import FakeQueue
from tests.support.member_changes import names

AUDIENCE = "9007199254740993"
SENT_AT = 1_000_000_000  # milliseconds
IN_TIME = 1020.0  # seconds; within which a job is expected to have ended
FIRST_CHECK = 900  # seconds after the upload
TIMING = Timings().audiences


def enter(at: int, *names: str, member: str = "m1", **options: Any) -> MembershipChange:
    return builders.change(member, *(names or ("a",)), at=at, audience_id=AUDIENCE, **options)


def leave(at: int, *, member: str = "m1", **options: Any) -> MembershipChange:
    return builders.change(member, at=at, exits=True, audience_id=AUDIENCE, **options)


def notice(at: int, *, member: str = "m1") -> MembershipChange:
    return leave(at, member=member, erase=True)


class JobHarness:
    """A membership table, three queues, Amazon, and a clock that tests move."""

    def __init__(self) -> None:
        self.rows = MembershipRows()
        self.amazon = FakeJobs(JobReport("SUCCEEDED"))
        self.changes, self.jobs, self.dead_letters = FakeQueue(), FakeQueue(), FakeQueue()
        self.monotonic = ManualClock(1000.0)
        self.now = SENT_AT / 1000  # epoch seconds
        client: Any = self.rows
        self.table = MembershipTable(
            client, "members", Sharding(4), Clock(lambda: self.now, self.monotonic, self._sleep)
        )

    def upload(
        self, *changes: MembershipChange, was_counted: bool = False, after: float = 0, failed_jobs: int = 0
    ) -> list[JobMember]:
        """Record changes of one member as the worker does, so many seconds later, and return its records.

        If jobs of the same have failed before, this is another attempt.
        """
        self.now += after
        kept = coalesce(changes)
        state = self.table.read([kept[0].member]).get(kept[0].member)
        each = apply_changes(state, kept, now=int(self.now), timing=TIMING)
        if each.state != state:
            self.write(replace(each.state, failed_jobs=failed_jobs))
        sent_from = self.table.read([kept[0].member])[kept[0].member]
        records = sent_from.records(each.upload) if each.upload else []
        return [job_member(record, sent_from, was_counted=was_counted) for record in records]

    def write(self, *states: MemberState) -> None:
        results = self.table.write(states)
        assert all(isinstance(result, MemberState) for result in results), results

    def state(self, member: str = "m1") -> MemberState:
        return self.table.read([(AUDIENCE, member)])[AUDIENCE, member]

    def names(self, member: str = "m1") -> set[str]:
        """The identities that the row keeps."""
        return {each.digests["email"] for each in self.state(member).identities}

    def tracker(self) -> JobTracker:
        clock = Clock(lambda: self.now, self.monotonic, self._sleep)
        return JobTracker(
            JobContext(self.amazon, self.table, self.changes, self.jobs, self.dead_letters, clock, Timings())
        )

    def check(
        self,
        answer: JobReport | Exception,
        *members: JobMember,
        message: JobMessage | None = None,
        after: int = FIRST_CHECK,
        left: float = 180.0,
        sent_at: int = SENT_AT,
        job_id: str = "job-1",
    ) -> JobCheck:
        """Check a job so many seconds after its upload, which was at `sent_at`, epoch milliseconds."""
        self.amazon.answer = answer
        message = message or JobMessage(job_id, AUDIENCE, sent_at, members)
        self.now = message.sent_at / 1000 + after
        return self.tracker().check(message, deadline=self.monotonic.now + left)

    def check_again(self, answer: JobReport | Exception, *, after: int) -> JobCheck:
        """Check the job that the job queue holds."""
        (body,) = self.jobs.drain()
        return self.check(answer, message=JobMessage.from_body(body), after=after)

    def parked(self) -> list[tuple[str, str, list[str]]]:
        """Reason, action and identities of each dead letter."""
        return [
            (
                json.loads(body)["failure"]["reason"],
                "DELETE" if change.exits else "CREATE",
                names(change),
            )
            for body in self.dead_letters.bodies
            for change in ChangeMessage.from_body(body).changes
        ]

    def repeated(self) -> list[tuple[str, str, float]]:
        """Member, newest action and delay of each repetition that was queued."""
        messages = [(ChangeMessage.from_body(each.body), each.delay) for each in self.changes.messages]
        assert all(message.history.is_repetition for message, _ in messages)
        return [
            (change.member_id, "DELETE" if change.exits else "CREATE", delay)
            for message, delay in messages
            for change in message.changes
        ]

    def cost(self, act: Callable[[], object]) -> tuple[int, int]:
        """Rows that are asked for, and written."""
        reads, writes = self.rows.reads, self.rows.writes
        act()
        return self.rows.reads - reads, self.rows.writes - writes

    def _sleep(self, seconds: float) -> None:
        self.monotonic.now += seconds


@pytest.fixture
def harness() -> JobHarness:
    return JobHarness()


WELL, FAILED, PENDING = JobReport("SUCCEEDED"), JobReport("FAILED"), JobReport("PENDING")
UNKNOWN = NotFound("404", status=404)


def rejecting(*members: str) -> JobReport:
    return JobReport("SUCCEEDED", rejected=dict.fromkeys(members, "consent denied"))


@pytest.mark.parametrize("after", [FIRST_CHECK, int(IN_TIME)])
def test_a_job_that_succeeds_in_time_costs_no_read_and_no_write(harness: JobHarness, after: int) -> None:
    members = [
        *harness.upload(enter(1)),
        *harness.upload(enter(1, member="m2")),
        *harness.upload(leave(2, member="m2")),
    ]
    assert len(members) == 3
    assert harness.cost(lambda: harness.check(WELL, *members, after=after)) == (0, 0)
    result = harness.check(WELL, *members, after=after)
    assert (result.outcome, result.parked, result.repeated, result.erased) == ("ended", 0, 0, 0)
    assert (harness.changes.messages, harness.jobs.messages, harness.dead_letters.messages) == ([], [], [])


def test_only_rows_of_rejected_records_are_read(harness: JobHarness) -> None:
    version = enter(1).version.text
    members = [JobMember(f"m{number}", version, removes=False) for number in range(6_000)]
    assert harness.cost(lambda: harness.check(rejecting("m7", "m9"), *members)) == (2, 0)


def test_a_rejected_record_is_parked_with_amazons_reason(harness: JobHarness) -> None:
    members = [
        each for name in ("m1", "m2", "m3") for each in harness.upload(enter(5, name, member=name), failed_jobs=1)
    ]
    result = harness.check(rejecting("m2"), *members)
    dead_letter = json.loads(*harness.dead_letters.bodies)
    assert (result.parked, result.counted) == (1, 1)
    failure = dead_letter["failure"]
    assert failure == {
        "reason": "job_rejected",
        "status": None,
        "detail": "consent denied",
        "requestId": "job-1",
        "attempts": 1,
        "firstAt": SENT_AT,
        "lastAt": SENT_AT + FIRST_CHECK * 1000,
    }
    assert [each.attributes for each in harness.dead_letters.messages] == [{"reason": "job_rejected"}]
    (change,) = ChangeMessage.from_body(json.dumps(dead_letter)).changes
    assert change == enter(5, "m2", member="m2")


def test_a_rejected_change_is_not_parked_if_a_newer_one_was_sent(harness: JobHarness) -> None:
    older = harness.upload(enter(5), failed_jobs=1)
    newer = harness.upload(enter(5, "b", message_id="z"), failed_jobs=1)
    assert harness.check(rejecting("m1"), *older).parked == 0
    assert harness.check(rejecting("m1"), *newer).parked == 1
    assert harness.parked() == [("job_rejected", "CREATE", ["a", "b"])]


@pytest.mark.parametrize("exit_", [leave(6), notice(6)], ids=["exit", "deletion notice"])
def test_a_removal_rejected_again_is_parked_with_all_its_identities(
    harness: JobHarness, exit_: MembershipChange
) -> None:
    harness.upload(enter(4, "a"))
    harness.upload(enter(5, "b"))
    result = harness.check(rejecting("m1"), *harness.upload(exit_, failed_jobs=1))
    assert (result.parked, result.erased) == (1, 0)
    assert harness.parked() == [("job_rejected", "DELETE", ["a", "b"])]
    assert harness.names() == {"a", "b"}, "the row keeps them, too"


FIRST, LATER = 300, [1_200, 4_800, 19_200, 76_800, 86_400, 86_400]  # seconds


@pytest.mark.parametrize(
    ("answer", "after", "outcome"),
    [
        pytest.param(FAILED, FIRST_CHECK, "ended", id="the job has failed"),
        pytest.param(rejecting("m1"), FIRST_CHECK, "ended", id="it has rejected the record"),
        pytest.param(UNKNOWN, FIRST_CHECK, "unknown", id="Amazon does not know the job"),
        pytest.param(ServiceUnavailable("503"), LONGEST_JOB + 1, "given_up", id="Amazon has never answered"),
        pytest.param(PENDING, LONGEST_JOB + 1, "given_up", id="it has never ended"),
    ],
)
@pytest.mark.parametrize("change", [enter(5), leave(5), notice(5)], ids=["enter", "exit", "deletion notice"])
def test_what_took_no_effect_or_may_have_taken_none_is_sent_again(
    harness: JobHarness, change: MembershipChange, answer: JobReport | Exception, after: int, outcome: str
) -> None:
    harness.upload(enter(4, "a"))
    members = harness.upload(change, after=LAST_REMOVAL)
    result = harness.check(answer, *members, sent_at=round(harness.now * 1000), after=after)
    assert (result.outcome, result.repeated, result.parked, result.erased) == (outcome, 1, 0, 0)
    due = harness.state().due(TIMING)
    assert due is not None
    assert (due.action.value, due.at) == ("removal" if change.exits else "enter", harness.now + FIRST)
    assert (harness.names(), harness.dead_letters.messages) == ({"a"}, [])


def test_another_failed_job_is_repeated_later_each_time_at_most_once_a_day(harness: JobHarness) -> None:
    (member,) = harness.upload(enter(5))
    waits: list[int] = []
    for _ in (FIRST, *LATER):
        harness.check(FAILED, member)
        waits.append(round(harness.state().enter_retry_at - harness.now))
        harness.write(replace(harness.state(), enter_owed=False, enter_retry_at=0))  # Amazon has accepted it again
    assert waits == [FIRST, *LATER]


def test_the_end_of_a_job_that_is_reported_twice_counts_once(harness: JobHarness) -> None:
    members = harness.upload(enter(5))
    harness.changes.down = True
    with pytest.raises(Unavailable):
        harness.check(FAILED, *members)
    harness.changes.down = False
    harness.check(FAILED, *members, after=FIRST_CHECK + 60)
    assert (harness.state().failed_jobs, [member for member, _, _ in harness.repeated()]) == (1, ["m1"])


def test_a_rejected_replay_is_parked_and_not_counted_again(harness: JobHarness) -> None:
    result = harness.check(rejecting("m1"), *harness.upload(enter(5), was_counted=True, failed_jobs=1))
    assert (result.parked, result.counted) == (1, 0)


def test_a_rejected_member_without_a_row_is_not_parked(harness: JobHarness) -> None:
    unknown = JobMember("m9", enter(5).version.text, removes=False)
    assert harness.check(rejecting("m9"), unknown).parked == 0


@pytest.mark.parametrize("answer", [PENDING, FAILED], ids=["pending", "ended"])
def test_the_result_of_a_check_contains_amazons_report(harness: JobHarness, answer: JobReport) -> None:
    members = harness.upload(enter(5))
    result = harness.check(answer, *members, job_id="job-7")
    assert (harness.amazon.asked, result.message.job_id, result.report) == (["job-7"], "job-7", answer)


@pytest.mark.parametrize(
    ("checks", "shortest", "longest", "mark"),
    [(0, 60, 60, 1), (1, 120, 180, 60), (3, 480, 540, 60), (4, 1, 900, 900), (50, 1, 900, 900), (10_000, 1, 900, 900)],
)
def test_a_pending_job_is_checked_after_growing_delays_up_to_15_minutes(
    harness: JobHarness, checks: int, shortest: int, longest: int, mark: int
) -> None:
    message = JobMessage("job-1", AUDIENCE, SENT_AT, tuple(harness.upload(enter(5), was_counted=True)), checks)
    result = harness.check(PENDING, message=message)
    (queued,) = harness.jobs.messages
    assert result.outcome == "waiting"
    assert shortest <= queued.delay <= longest
    assert round(harness.now + queued.delay) % mark == 0, "copies come back together"
    assert JobMessage.from_body(queued.body) == replace(message, checks=checks + 1, is_late=True)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(PENDING, id="pending"),
        pytest.param(JobReport("THINKING"), id="in an unknown state"),
        pytest.param(ServiceUnavailable("503"), id="no answer"),
        pytest.param(RequestRejected("403", status=403), id="refused"),
    ],
)
def test_a_job_is_given_up_when_it_is_older_than_36_hours_and_not_before(
    harness: JobHarness, answer: JobReport | Exception
) -> None:
    members, hours_36 = harness.upload(enter(5)), 36 * 3600
    if isinstance(answer, Exception):
        with pytest.raises(type(answer)):  # its message comes back
            harness.check(answer, *members, after=hours_36)
    else:
        assert harness.check(answer, *members, after=hours_36).outcome == "waiting"
    assert harness.check(answer, *members, after=hours_36 + 1).outcome == "given_up"


def test_a_job_unknown_to_amazon_is_not_checked_again(harness: JobHarness) -> None:
    assert harness.check(UNKNOWN, *harness.upload(enter(5))).outcome == "unknown"
    assert (harness.jobs.messages, [member for member, _, _ in harness.repeated()]) == ([], ["m1"])


def mark(at: int, *, removes: bool = False, job_id: str = "job-1") -> LateJob:
    return LateJob(job_id, SENT_AT // 1000, at, removes)


def test_a_late_job_marks_the_rows_of_its_members_until_it_ends(harness: JobHarness) -> None:
    harness.upload(enter(4, member="m2"))
    members = [*harness.upload(enter(5)), *harness.upload(leave(6, member="m2"))]
    assert harness.check(PENDING, *members).outcome == "waiting"
    assert [harness.state(member).late_jobs for member in ("m1", "m2")] == [(mark(5),), (mark(6, removes=True),)]
    assert harness.cost(lambda: harness.check_again(PENDING, after=2000)) == (0, 0), "they are marked once"
    assert harness.check_again(WELL, after=3000).outcome == "ended"
    assert [harness.state(member).late_jobs for member in ("m1", "m2")] == [()] * 2


@pytest.mark.parametrize(
    ("after", "marks"), [(int(IN_TIME), ()), (int(IN_TIME) + 1, (mark(5),))], ids=["in time", "by now it may be late"]
)
def test_a_job_whose_check_fails_is_marked_once_it_may_be_late(
    harness: JobHarness, after: int, marks: tuple[LateJob, ...]
) -> None:
    members = harness.upload(enter(5))
    with pytest.raises(ServiceUnavailable):
        harness.check(ServiceUnavailable("503"), *members, after=after)
    assert harness.state().late_jobs == marks


def test_a_row_keeps_the_marks_of_the_20_newest_jobs(harness: JobHarness) -> None:
    members = harness.upload(enter(5))
    for number in range(MAX_MARKS + 2):
        harness.check(PENDING, *members, job_id=f"job-{number}", sent_at=SENT_AT + number * 1000)
    kept = [each.job_id for each in harness.state().late_jobs]
    assert kept == [f"job-{number}" for number in range(MAX_MARKS + 1, 1, -1)]


@pytest.mark.parametrize("end", [WELL, UNKNOWN], ids=["ended", "unknown"])
def test_a_removal_sent_before_a_late_enter_ended_is_repeated(harness: JobHarness, end: JobReport | Exception) -> None:
    harness.check(PENDING, *harness.upload(enter(5, "a")))
    harness.upload(leave(6))
    result = harness.check_again(end, after=2400)
    assert (result.repeated, harness.repeated()) == (1, [("m1", "DELETE", 0)])


def test_a_job_first_checked_late_counts_as_late(harness: JobHarness) -> None:
    members = harness.upload(enter(5, "a"))
    harness.upload(leave(6))
    assert harness.check(WELL, *members, after=int(IN_TIME) + 1).repeated == 1


def test_a_repetition_that_could_not_be_queued_is_queued_by_the_next_check(harness: JobHarness) -> None:
    harness.check(PENDING, *harness.upload(enter(5, "a")))
    harness.upload(leave(6))
    waiting = JobMessage.from_body(harness.jobs.drain()[0])
    harness.changes.down = True
    with pytest.raises(Unavailable):
        harness.check(WELL, message=waiting, after=2400)
    harness.changes.down = False
    assert harness.check(WELL, message=waiting, after=2460).repeated == 1


LAST_REMOVAL = LONGEST_JOB + IN_TIME  # seconds after the enter: no job of one can be running


def test_a_successful_removal_erases_identities_under_a_deletion_notice(harness: JobHarness) -> None:
    harness.upload(enter(4, "a"))
    removal = harness.upload(notice(5), after=LAST_REMOVAL)
    result = harness.check(WELL, *removal, sent_at=round(harness.now * 1000))
    assert (result.erased, harness.names()) == (1, set())
    assert harness.state().version == notice(5).version, "the row goes on deciding what is newest"


@pytest.mark.parametrize(
    ("answer", "break_"),
    [
        pytest.param(ServiceUnavailable("503"), lambda _: None, id="Amazon is down"),
        pytest.param(PENDING, lambda harness: setattr(harness.jobs, "down", True), id="the job queue is down"),
        pytest.param(
            rejecting("m1"), lambda harness: setattr(harness.dead_letters, "down", True), id="dead letters are down"
        ),
        pytest.param(FAILED, lambda harness: setattr(harness.changes, "down", True), id="the change queue is down"),
        pytest.param(FAILED, lambda harness: setattr(harness.rows, "batch_get_item", _throttled), id="no reads"),
        pytest.param(
            PENDING, lambda harness: setattr(harness.rows, "batch_execute_statement", _throttled), id="no writes"
        ),
    ],
)
def test_a_transient_error_leaves_the_job_message_in_the_queue(
    harness: JobHarness, answer: JobReport | Exception, break_: Callable[[JobHarness], None]
) -> None:
    members = harness.upload(enter(5), failed_jobs=1)
    break_(harness)
    with pytest.raises((ServiceUnavailable, Unavailable)):
        harness.check(answer, *members)
    assert (harness.jobs.messages, harness.dead_letters.messages, harness.changes.messages) == ([], [], [])


def _throttled(**_: object) -> dict[str, Any]:
    raise Unavailable("throttled")


def overtake(harness: JobHarness, times: int) -> None:
    """Have a worker change the row of m1 just before each of the next writes."""
    write, left = harness.table.write, [times]

    def overtaken(states: Sequence[MemberState], *options: Any) -> list[MemberState | TransientError]:
        if left[0]:
            left[0] -= 1
            write([replace(harness.state(), enter_sent=left[0])])
        return write(states, *options)

    harness.table.write = overtaken  # type: ignore[assignment,method-assign]


@pytest.mark.parametrize("times", [1, 3])
def test_a_row_that_changed_since_it_was_read_is_read_again(harness: JobHarness, times: int) -> None:
    members = [*harness.upload(enter(5)), *harness.upload(enter(5, member="m2"))]
    overtake(harness, times)
    harness.check(PENDING, *members)
    assert [harness.state(member).late_jobs for member in ("m1", "m2")] == [(mark(5),)] * 2


def test_a_member_whose_row_was_read_twice_counts_once_as_erased(harness: JobHarness) -> None:
    for member in ("m1", "m2"):
        harness.upload(enter(5, member=member))
    harness.now += LAST_REMOVAL
    members = [each for member in ("m1", "m2") for each in harness.upload(notice(6, member=member))]
    overtake(harness, 1)
    assert harness.check(WELL, *members, sent_at=round(harness.now * 1000)).erased == 2
    assert (harness.names("m1"), harness.names("m2")) == (set(), set())


def test_a_slow_answer_within_the_reserved_time_is_acted_on(
    harness: JobHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(_job_id: str) -> JobReport:
        harness.monotonic.now += MIN_TIME_PER_CHECK - RESERVE
        return FAILED

    monkeypatch.setattr(harness.amazon, "job", slow)
    assert harness.check(FAILED, *harness.upload(enter(5)), left=MIN_TIME_PER_CHECK).repeated == 1


def test_no_job_is_checked_without_time_to_act_on_the_answer(harness: JobHarness) -> None:
    with pytest.raises(TransientError) as refused:
        harness.check(PENDING, *harness.upload(enter(5)), left=MIN_TIME_PER_CHECK - 1)
    assert (refused.value.reason, refused.value.retry_after, harness.jobs.messages) == ("out_of_time", None, [])
    assert harness.check(PENDING, *harness.upload(enter(5)), left=MIN_TIME_PER_CHECK).outcome == "waiting"


def test_the_reserved_time_covers_amazons_slowest_answer_and_a_token() -> None:
    amazon, token = 30.0, 15.0  # seconds
    assert amazon + token + RESERVE <= MIN_TIME_PER_CHECK


@dataclass
class SlowQueue(FakeQueue):
    """Takes its time for every call."""

    passes: ManualClock = field(default_factory=ManualClock)
    seconds: float = 0.0

    def send(
        self, bodies: Sequence[str], *, deadline: float, delay: float = 0, attributes: dict[str, str] | None = None
    ) -> None:
        self.passes.now += self.seconds if bodies else 0.0
        super().send(bodies, deadline=deadline, delay=delay, attributes=attributes)


MANY = [f"m{number}" for number in range(605)]


def members_in(queue: FakeQueue) -> list[str]:
    return [change["record"]["externalUserId"] for body in queue.bodies for change in json.loads(body)["changes"]]


def test_dead_letters_that_exceed_one_invocation_are_each_sent_once(
    harness: JobHarness,
) -> None:
    members = [each for member in MANY for each in harness.upload(enter(5, member=member), failed_jobs=1)]
    harness.dead_letters = dead_letters = SlowQueue(passes=harness.monotonic, seconds=9.0)
    message, parked, outcomes = JobMessage("job-1", AUDIENCE, SENT_AT, tuple(members)), 0, list[str]()
    while outcomes[-1:] != ["ended"]:
        assert len(outcomes) < 10, "there is no end"
        deadline = harness.monotonic.now + 180
        result = harness.check(rejecting(*MANY), message=message)
        assert harness.monotonic.now <= deadline - RESERVE + dead_letters.seconds, "there is time to requeue the others"
        outcomes.append(result.outcome)
        parked += result.parked
        if result.outcome == "unfinished":
            message = JobMessage.from_body(harness.jobs.drain()[0])
    assert len(outcomes) > 1
    assert set(outcomes[:-1]) == {"unfinished"}
    assert members_in(dead_letters) == MANY
    assert parked == len(MANY)


def test_dead_letters_that_could_not_be_sent_are_sent_later_once(harness: JobHarness) -> None:
    members = [each for member in MANY for each in harness.upload(enter(5, member=member), failed_jobs=1)]
    harness.dead_letters.room = 3 * PARKED_AT_ONCE + 5
    result = harness.check(rejecting(*MANY), *members)
    assert (result.outcome, result.parked, *harness.jobs.delays) == ("unfinished", 3 * PARKED_AT_ONCE, 60)
    harness.dead_letters.room = float("inf")
    harness.check_again(rejecting(*MANY), after=1000)
    assert members_in(harness.dead_letters) == MANY


def test_a_large_job_reads_its_rows_in_few_requests(harness: JobHarness) -> None:
    requests = []
    get = harness.rows.batch_get_item
    members = [each for member in MANY for each in harness.upload(enter(5, member=member))]

    def counted(**request: Any) -> Any:
        requests.append(request)
        return get(**request)

    harness.rows.batch_get_item = counted  # type: ignore[method-assign]
    harness.check(WELL, *members, after=2400)
    assert len(requests) <= 2 * -(-len(MANY) // MEMBERS_AT_ONCE)


def test_a_damaged_row_waits_for_another_check_and_holds_back_no_other_member(harness: JobHarness) -> None:
    members = [each for number in range(20) for each in harness.upload(enter(1, member=f"m{number}"))]
    harness.rows.damage(AUDIENCE, "m7")
    check = harness.check(FAILED, *members)
    assert (check.outcome, check.repeated, len(check.unread)) == ("unfinished", 19, 1)
    (body,) = harness.jobs.bodies
    assert [each.member for each in JobMessage.from_body(body).members] == ["m7"]
    last = harness.check_again(FAILED, after=int(TIMING.longest_job) + 1)
    assert (last.outcome, last.repeated, harness.jobs.bodies) == ("ended", 0, []), "not for ever"


def test_a_damaged_row_is_not_marked_as_late_and_the_others_are(harness: JobHarness) -> None:
    members = [each for number in range(3) for each in harness.upload(enter(1, member=f"m{number}"))]
    harness.rows.damage(AUDIENCE, "m1")
    harness.check(PENDING, *members)
    assert [len(harness.state(each).late_jobs) for each in ("m0", "m2")] == [1, 1]
