"""The outcome of jobs, and what is done about rejected records."""

import json
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from audience_sync.amazon_ads.job import JobReport
from audience_sync.clock import Clock
from audience_sync.errors import (
    InvalidMessage,
    NotFound,
    OutcomeUnknown,
    RequestRejected,
    ServiceUnavailable,
    TransientError,
    Unavailable,
)
from audience_sync.membership import MembershipChange
from audience_sync.messages import MAX_MESSAGE_BYTES, ChangeMessage, JobMessage, job_messages
from audience_sync.operations.job_tracking import (
    MAX_AGE,
    MIN_TIME_PER_CHECK,
    PARKED_AT_ONCE,
    RESERVE,
    JobCheck,
    JobTracker,
)
from tests.clocks import ManualClock

SENT_AT = 1_000_000_000
JOB = JobMessage("job-1", "9007199254740993", SENT_AT, ("m1", "m2", "m3"))


def change(member: str) -> MembershipChange:
    record = {"externalUserId": member, "action": "CREATE", "hashedPII": [{"email": "e"}], "userConsent": {}}
    return MembershipChange(JOB.audience_id, None, 5, "id", record)


INFINITE_TIME = '{"jobId": "j", "audienceId": "1", "sentAt": Infinity, "members": []}'


@dataclass
class Amazon:
    """Knows one job."""

    answer: JobReport | Exception

    def job(self, job_id: str) -> JobReport:
        assert job_id == JOB.job_id
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@dataclass
class Table:
    """Holds members; some have changed since the upload."""

    changed: tuple[str, ...] = ()

    def unchanged_since(self, members: Iterable[tuple[str, str]], moment: float) -> list[MembershipChange]:
        assert moment == SENT_AT / 1000
        return [change(member) for _, member in members if member not in self.changed]


@dataclass
class Queue:
    """Keeps what it is sent, as long as it has room, or is down."""

    down: bool = False
    room: float = float("inf")
    kept: list[tuple[Any, float]] = field(default_factory=list)

    def send(
        self, bodies: Sequence[str], *, deadline: float, delay: float = 0, attributes: dict[str, str] | None = None
    ) -> None:
        assert deadline > 0
        assert attributes is None or set(attributes) == {"reason"}
        if self.down or len(self.kept) + len(bodies) > self.room:
            raise Unavailable("down")
        self.kept += [(json.loads(body), delay) for body in bodies]


def check(
    answer: JobReport | Exception,
    *,
    table: Table | None = None,
    guarded: bool = True,
    dead_letters: Queue | None = None,
    jobs: Queue | None = None,
    message: JobMessage = JOB,
    later: int = 900,
    left: float = 180.0,
) -> JobCheck:
    clock = Clock(lambda: SENT_AT / 1000 + later, lambda: 1000.0)
    tracker = JobTracker(
        Amazon(answer), (table or Table()) if guarded else None, jobs or Queue(), dead_letters or Queue(), clock
    )
    return tracker.check(message, deadline=1000.0 + left)


def test_a_job_that_took_everything_leaves_nothing_to_do() -> None:
    dead_letters = Queue()
    result = check(JobReport("SUCCEEDED"), dead_letters=dead_letters)
    assert (result.outcome, result.parked, dead_letters.kept) == ("ended", 0, [])


def test_a_record_that_the_job_rejected_is_parked_with_amazons_reason_and_can_be_redriven() -> None:
    dead_letters = Queue()
    result = check(JobReport("SUCCEEDED", rejected={"m2": "consent denied"}), dead_letters=dead_letters)
    ((dead_letter, _),) = dead_letters.kept
    assert result.parked == 1
    assert (dead_letter["failure"]["reason"], dead_letter["failure"]["detail"]) == ("job_rejected", "consent denied")
    assert dead_letter["failure"]["requestId"] == "job-1"
    (change,) = ChangeMessage.from_body(json.dumps(dead_letter)).changes
    assert change.record["externalUserId"] == "m2"


def test_a_member_who_has_changed_since_is_not_parked() -> None:
    dead_letters = Queue()
    report = JobReport("SUCCEEDED", rejected={"m1": "no", "m2": "no"})
    assert check(report, table=Table(changed=("m1",)), dead_letters=dead_letters).parked == 1


def test_a_job_that_failed_as_a_whole_parks_all_its_members() -> None:
    dead_letters = Queue()
    assert check(JobReport("FAILED"), dead_letters=dead_letters).parked == 3
    assert {each["failure"]["reason"] for each, _ in dead_letters.kept} == {"job_failed"}


@pytest.mark.parametrize(
    ("named", "reasons"),
    [
        pytest.param("m2", ["job_rejected", "job_failed", "job_failed"], id="a member of this message"),
        pytest.param("m9", ["job_failed"] * 3, id="a member of another message"),
    ],
)
def test_a_failed_job_that_names_some_records_has_applied_no_others_either(named: str, reasons: list[str]) -> None:
    dead_letters = Queue()
    assert check(JobReport("FAILED", rejected={named: "no"}), dead_letters=dead_letters).parked == 3
    assert sorted(each["failure"]["reason"] for each, _ in dead_letters.kept) == sorted(reasons)


@pytest.mark.parametrize(("checks", "pause"), [(0, 60), (1, 120), (3, 480), (4, 900), (50, 900), (10_000, 900)])
def test_a_pending_job_is_checked_again_after_growing_pauses(checks: int, pause: float) -> None:
    jobs = Queue()
    result = check(JobReport("PENDING"), jobs=jobs, message=replace(JOB, checks=checks))
    ((body, delay),) = jobs.kept
    assert (result.outcome, delay) == ("waiting", pause)
    assert JobMessage.from_body(json.dumps(body)) == replace(JOB, checks=checks + 1)


def test_a_job_in_an_unknown_state_is_checked_until_it_is_given_up() -> None:
    jobs = Queue()
    assert check(JobReport("THINKING"), jobs=jobs).outcome == "waiting"
    assert check(JobReport("THINKING"), later=MAX_AGE + 1).outcome == "given_up"


def test_a_job_that_amazon_refuses_to_show_is_given_up_too() -> None:
    for refusal in (ServiceUnavailable("503"), RequestRejected("403", status=403)):
        with pytest.raises(type(refusal)):
            check(refusal)
        assert check(refusal, later=MAX_AGE + 1).outcome == "given_up"


def test_a_job_that_amazon_does_not_know_is_not_checked_again() -> None:
    assert check(NotFound("404", status=404)).outcome == "unknown"


@pytest.mark.parametrize(
    ("answer", "jobs", "dead_letters"),
    [
        pytest.param(ServiceUnavailable("503"), Queue(), Queue(), id="Amazon is down"),
        pytest.param(JobReport("PENDING"), Queue(down=True), Queue(), id="the job queue is down"),
        pytest.param(JobReport("FAILED"), Queue(), Queue(down=True), id="the dead letters are down"),
    ],
)
def test_after_a_transient_error_the_message_stays_in_the_queue(
    answer: JobReport | Exception, jobs: Queue, dead_letters: Queue
) -> None:
    with pytest.raises((ServiceUnavailable, Unavailable)):
        check(answer, jobs=jobs, dead_letters=dead_letters)


def test_members_that_do_not_fit_into_one_message_fill_several() -> None:
    members = [f"{'m' * 120}{number:05d}" for number in range(6000)]
    bodies = job_messages("job-1", "1", members, SENT_AT)
    assert max(len(body) for body in bodies) <= MAX_MESSAGE_BYTES + 1000
    assert [member for body in bodies for member in JobMessage.from_body(body).members] == members


def test_members_whose_change_was_a_replay_get_messages_of_their_own() -> None:
    bodies = job_messages("job-1", "1", ["m1", "m2", "m3"], SENT_AT, replays={("1", "m2"), ("2", "m3")})
    messages = [JobMessage.from_body(body) for body in bodies]
    assert [(message.members, message.is_replay) for message in messages] == [(("m1", "m3"), False), (("m2",), True)]


def test_a_message_of_the_previous_version_is_read() -> None:
    old = {"v": 1, "jobId": "job-1", "audienceId": JOB.audience_id, "sentAt": SENT_AT, "members": ["m1", "m2", "m3"]}
    assert JobMessage.from_body(json.dumps(old)) == JOB


def test_the_message_of_a_replay_stays_one_when_its_job_is_checked_again() -> None:
    jobs = Queue()
    check(JobReport("PENDING"), jobs=jobs, message=replace(JOB, is_replay=True))
    assert JobMessage.from_body(json.dumps(jobs.kept[0][0])).is_replay is True


@pytest.mark.parametrize(
    ("report", "untracked"),
    [
        pytest.param(JobReport("SUCCEEDED"), 0, id="none rejected"),
        pytest.param(
            JobReport("SUCCEEDED", rejected={"m2": "no", "m9": "no"}), 1, id="a member of this message rejected"
        ),
        pytest.param(JobReport("FAILED", rejected={"m2": "no"}), 3, id="the job failed"),
    ],
)
def test_without_the_table_rejected_records_are_counted_and_not_parked(report: JobReport, untracked: int) -> None:
    dead_letters = Queue()
    result = check(report, guarded=False, dead_letters=dead_letters)
    assert (result.outcome, result.parked, result.untracked) == ("ended", 0, untracked)
    assert dead_letters.kept == []


def test_no_job_is_checked_without_time_to_act_on_the_answer() -> None:
    jobs = Queue()
    with pytest.raises(TransientError) as refused:
        check(JobReport("PENDING"), jobs=jobs, left=MIN_TIME_PER_CHECK - 1)
    assert (refused.value.reason, jobs.kept) == ("out_of_time", [])


MANY = replace(JOB, members=tuple(f"m{number}" for number in range(605)))


@dataclass
class SlowQueue(Queue):
    """Takes its time for every call."""

    clock: ManualClock = field(default_factory=ManualClock)
    seconds: float = 0.0

    def send(
        self, bodies: Sequence[str], *, deadline: float, delay: float = 0, attributes: dict[str, str] | None = None
    ) -> None:
        self.clock.now += self.seconds
        super().send(bodies, deadline=deadline, delay=delay, attributes=attributes)


def members_in(dead_letters: Queue) -> list[str]:
    return [each["changes"][0]["record"]["externalUserId"] for each, _ in dead_letters.kept]


def test_dead_letters_that_take_longer_than_one_invocation_are_sent_in_several_and_each_once() -> None:
    monotonic = ManualClock()
    dead_letters, jobs = SlowQueue(clock=monotonic, seconds=9.0), Queue()
    clock = Clock(lambda: SENT_AT / 1000, monotonic)
    tracker = JobTracker(Amazon(JobReport("FAILED")), Table(), jobs, dead_letters, clock)
    outcomes: list[str] = []
    message, parked = MANY, 0
    while outcomes[-1:] != ["ended"]:
        deadline = monotonic.now + 180
        result = tracker.check(message, deadline=deadline)
        assert monotonic.now <= deadline - RESERVE + dead_letters.seconds, "there is time left to requeue the others"
        outcomes.append(result.outcome)
        parked += result.parked
        if result.outcome == "unfinished":
            message = JobMessage.from_body(json.dumps(jobs.kept[-1][0]))
    assert len(outcomes) == 4
    assert set(outcomes[:-1]) == {"unfinished"}
    assert len(jobs.kept) == len(outcomes) - 1
    assert members_in(dead_letters) == list(MANY.members)
    assert parked == len(MANY.members)


def test_when_some_dead_letters_cannot_be_sent_they_are_sent_later_and_none_twice() -> None:
    dead_letters, jobs = Queue(room=3 * PARKED_AT_ONCE + 5), Queue()
    result = check(JobReport("FAILED"), message=MANY, dead_letters=dead_letters, jobs=jobs)
    ((body, delay),) = jobs.kept
    assert (result.outcome, result.parked, delay) == ("unfinished", 3 * PARKED_AT_ONCE, 60)
    dead_letters.room = float("inf")
    check(JobReport("FAILED"), message=JobMessage.from_body(json.dumps(body)), dead_letters=dead_letters, jobs=jobs)
    assert members_in(dead_letters) == list(MANY.members)


@dataclass
class HangingAmazon:
    """Does not answer some requests for half a minute."""

    clock: ManualClock
    chance: random.Random
    share: float

    def job(self, _job_id: str) -> JobReport:
        hangs = self.chance.random() < self.share
        self.clock.now += 30.0 if hangs else 0.3
        if hangs:
            raise OutcomeUnknown("no answer")
        return JobReport("PENDING")


@pytest.mark.parametrize("share", [0.3, 0.7, 1.0])
def test_job_messages_do_not_multiply_however_many_requests_hang(share: float) -> None:
    clock, chance, jobs = ManualClock(), random.Random(3), Queue()
    tracker = JobTracker(
        HangingAmazon(clock, chance, share), Table(), jobs, Queue(), Clock(lambda: SENT_AT / 1000, clock)
    )
    messages = [replace(JOB, job_id=f"job-{number}") for number in range(100)]
    for _ in range(12):  # rounds
        returned = []
        chance.shuffle(messages)
        for start in range(0, len(messages), 5):
            deadline = clock.now + 180
            for message in messages[start : start + 5]:
                try:
                    tracker.check(message, deadline=deadline)
                except TransientError:
                    returned.append(message)
            assert clock.now < deadline, "a function that is stopped returns checked messages, too"
        messages = returned + [JobMessage.from_body(json.dumps(body)) for body, _ in jobs.kept]
        jobs.kept.clear()
    assert Counter(message.job_id for message in messages) == Counter(f"job-{number}" for number in range(100))


@pytest.mark.parametrize("body", ["{", "[]", "{}", '{"jobId": 1}', "null", "[" * 100_000, INFINITE_TIME])
def test_a_message_that_names_no_job_is_refused(body: str) -> None:
    with pytest.raises(InvalidMessage):
        JobMessage.from_body(body)
