"""What became of uploads, and what is done about it."""

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

SENT_AT = 1_000_000_000
JOB = JobMessage("job-1", "9007199254740993", SENT_AT, ("m1", "m2", "m3"))


def change(member: str) -> MembershipChange:
    record = {"externalUserId": member, "action": "CREATE", "hashedPII": [{"email": "e"}], "userConsent": {}}
    return MembershipChange(JOB.audience_id, None, 5, "id", record)


STRANGE = '{"jobId": "j", "audienceId": "1", "sentAt": Infinity, "members": []}'


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


def look(
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
    finding = look(JobReport("SUCCEEDED"), dead_letters=dead_letters)
    assert (finding.outcome, finding.parked, dead_letters.kept) == ("ended", 0, [])


def test_a_record_that_the_job_rejected_is_parked_with_amazons_reason_and_can_be_redriven() -> None:
    dead_letters = Queue()
    finding = look(JobReport("SUCCEEDED", rejected={"m2": "consent denied"}), dead_letters=dead_letters)
    ((letter, _),) = dead_letters.kept
    assert finding.parked == 1
    assert (letter["failure"]["reason"], letter["failure"]["detail"]) == ("job_rejected", "consent denied")
    assert letter["failure"]["requestId"] == "job-1"
    (again,) = ChangeMessage.from_body(json.dumps(letter)).changes
    assert again.record["externalUserId"] == "m2"


def test_who_has_changed_since_is_not_parked_for_what_was_before() -> None:
    dead_letters = Queue()
    report = JobReport("SUCCEEDED", rejected={"m1": "no", "m2": "no"})
    assert look(report, table=Table(changed=("m1",)), dead_letters=dead_letters).parked == 1


def test_a_job_that_failed_as_a_whole_parks_all_its_members() -> None:
    dead_letters = Queue()
    assert look(JobReport("FAILED"), dead_letters=dead_letters).parked == 3
    assert {letter["failure"]["reason"] for letter, _ in dead_letters.kept} == {"job_failed"}


@pytest.mark.parametrize(
    ("named", "reasons"),
    [
        pytest.param("m2", ["job_rejected", "job_failed", "job_failed"], id="one of these"),
        pytest.param("m9", ["job_failed"] * 3, id="one whose message is another"),
    ],
)
def test_a_failed_job_that_names_some_has_taken_the_others_no_more(named: str, reasons: list[str]) -> None:
    dead_letters = Queue()
    assert look(JobReport("FAILED", rejected={named: "no"}), dead_letters=dead_letters).parked == 3
    assert sorted(letter["failure"]["reason"] for letter, _ in dead_letters.kept) == sorted(reasons)


@pytest.mark.parametrize(("asked", "pause"), [(0, 60), (1, 120), (3, 480), (4, 900), (50, 900), (10_000, 900)])
def test_a_pending_job_is_asked_about_again_ever_more_rarely(asked: int, pause: float) -> None:
    jobs = Queue()
    finding = look(JobReport("PENDING"), jobs=jobs, message=replace(JOB, checks=asked))
    ((body, delay),) = jobs.kept
    assert (finding.outcome, delay) == ("waiting", pause)
    assert JobMessage.from_body(json.dumps(body)) == replace(JOB, checks=asked + 1)


def test_an_unknown_state_is_no_end_but_there_is_one() -> None:
    jobs = Queue()
    assert look(JobReport("THINKING"), jobs=jobs).outcome == "waiting"
    assert look(JobReport("THINKING"), later=MAX_AGE + 1).outcome == "given_up"


def test_a_job_that_nobody_may_ask_about_comes_to_an_end_too() -> None:
    for refusal in (ServiceUnavailable("503"), RequestRejected("403", status=403)):
        with pytest.raises(type(refusal)):
            look(refusal)
        assert look(refusal, later=MAX_AGE + 1).outcome == "given_up"


def test_a_job_that_amazon_does_not_know_is_left_alone() -> None:
    assert look(NotFound("404", status=404)).outcome == "unknown"


@pytest.mark.parametrize(
    ("answer", "jobs", "dead_letters"),
    [
        pytest.param(ServiceUnavailable("503"), Queue(), Queue(), id="Amazon is down"),
        pytest.param(JobReport("PENDING"), Queue(down=True), Queue(), id="the job queue is down"),
        pytest.param(JobReport("FAILED"), Queue(), Queue(down=True), id="the dead letters are down"),
    ],
)
def test_trouble_brings_the_message_back(answer: JobReport | Exception, jobs: Queue, dead_letters: Queue) -> None:
    with pytest.raises((ServiceUnavailable, Unavailable)):
        look(answer, jobs=jobs, dead_letters=dead_letters)


def test_members_that_do_not_fit_into_one_message_fill_several() -> None:
    members = [f"{'m' * 120}{number:05d}" for number in range(6000)]
    bodies = job_messages("job-1", "1", members, SENT_AT)
    assert max(len(body) for body in bodies) <= MAX_MESSAGE_BYTES + 1000
    assert [member for body in bodies for member in JobMessage.from_body(body).members] == members


def test_members_for_whom_it_was_a_repetition_get_messages_of_their_own() -> None:
    bodies = job_messages("job-1", "1", ["m1", "m2", "m3"], SENT_AT, replays={("1", "m2"), ("2", "m3")})
    messages = [JobMessage.from_body(body) for body in bodies]
    assert [(message.members, message.is_replay) for message in messages] == [(("m1", "m3"), False), (("m2",), True)]


def test_a_message_of_the_version_before_counts() -> None:
    old = {"v": 1, "jobId": "job-1", "audienceId": JOB.audience_id, "sentAt": SENT_AT, "members": ["m1", "m2", "m3"]}
    assert JobMessage.from_body(json.dumps(old)) == JOB


def test_a_repetition_stays_one_for_as_long_as_it_is_asked_about() -> None:
    jobs = Queue()
    look(JobReport("PENDING"), jobs=jobs, message=replace(JOB, is_replay=True))
    assert JobMessage.from_body(json.dumps(jobs.kept[0][0])).is_replay is True


@pytest.mark.parametrize(
    ("report", "unparkable"),
    [
        pytest.param(JobReport("SUCCEEDED"), 0, id="none rejected"),
        pytest.param(JobReport("SUCCEEDED", rejected={"m2": "no", "m9": "no"}), 1, id="one of these rejected"),
        pytest.param(JobReport("FAILED", rejected={"m2": "no"}), 3, id="the job failed"),
    ],
)
def test_without_the_table_what_was_rejected_is_counted_and_not_parked(report: JobReport, unparkable: int) -> None:
    dead_letters = Queue()
    finding = look(report, guarded=False, dead_letters=dead_letters)
    assert (finding.outcome, finding.parked, finding.untracked) == ("ended", 0, unparkable)
    assert dead_letters.kept == []


def test_no_question_is_asked_that_there_may_be_no_time_to_act_on() -> None:
    jobs = Queue()
    with pytest.raises(TransientError) as refused:
        look(JobReport("PENDING"), jobs=jobs, left=MIN_TIME_PER_CHECK - 1)
    assert (refused.value.reason, jobs.kept) == ("out_of_time", [])


class Day:
    """A clock that only what is done here moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


MANY = replace(JOB, members=tuple(f"m{number}" for number in range(605)))


@dataclass
class SlowQueue(Queue):
    """Takes its time for every call."""

    day: Day = field(default_factory=Day)
    seconds: float = 0.0

    def send(
        self, bodies: Sequence[str], *, deadline: float, delay: float = 0, attributes: dict[str, str] | None = None
    ) -> None:
        self.day.now += self.seconds
        super().send(bodies, deadline=deadline, delay=delay, attributes=attributes)


def named(letters: Queue) -> list[str]:
    return [letter["changes"][0]["record"]["externalUserId"] for letter, _ in letters.kept]


def test_letters_that_take_longer_than_one_run_go_out_in_several_and_each_once() -> None:
    day = Day()
    letters, jobs = SlowQueue(day=day, seconds=9.0), Queue()
    clock = Clock(lambda: SENT_AT / 1000, day)
    tracker = JobTracker(Amazon(JobReport("FAILED")), Table(), jobs, letters, clock)
    outcomes: list[str] = []
    message, parked = MANY, 0
    while outcomes[-1:] != ["ended"]:
        deadline = day.now + 180
        finding = tracker.check(message, deadline=deadline)
        assert day.now <= deadline - RESERVE + letters.seconds, "there is time left to put back who is left"
        outcomes.append(finding.outcome)
        parked += finding.parked
        if finding.outcome == "unfinished":
            message = JobMessage.from_body(json.dumps(jobs.kept[-1][0]))
    assert len(outcomes) == 4
    assert set(outcomes[:-1]) == {"unfinished"}
    assert len(jobs.kept) == len(outcomes) - 1
    assert named(letters) == list(MANY.members)
    assert parked == len(MANY.members)


def test_dead_letters_that_take_a_part_get_the_others_later_and_none_twice() -> None:
    letters, jobs = Queue(room=3 * PARKED_AT_ONCE + 5), Queue()
    finding = look(JobReport("FAILED"), message=MANY, dead_letters=letters, jobs=jobs)
    ((told, delay),) = jobs.kept
    assert (finding.outcome, finding.parked, delay) == ("unfinished", 3 * PARKED_AT_ONCE, 60)
    letters.room = float("inf")
    look(JobReport("FAILED"), message=JobMessage.from_body(json.dumps(told)), dead_letters=letters, jobs=jobs)
    assert named(letters) == list(MANY.members)


@dataclass
class Hanging:
    """Amazon, which leaves some questions without an answer for half a minute."""

    day: Day
    chance: random.Random
    share: float

    def job(self, _job_id: str) -> JobReport:
        hangs = self.chance.random() < self.share
        self.day.now += 30.0 if hangs else 0.3
        if hangs:
            raise OutcomeUnknown("no answer")
        return JobReport("PENDING")


@pytest.mark.parametrize("share", [0.3, 0.7, 1.0])
def test_messages_do_not_multiply_however_many_questions_hang(share: float) -> None:
    day, chance, jobs = Day(), random.Random(3), Queue()
    tracker = JobTracker(Hanging(day, chance, share), Table(), jobs, Queue(), Clock(lambda: SENT_AT / 1000, day))
    messages = [replace(JOB, job_id=f"job-{number}") for number in range(100)]
    for _ in range(12):  # rounds
        back = []
        chance.shuffle(messages)
        for start in range(0, len(messages), 5):
            deadline = day.now + 180
            for message in messages[start : start + 5]:
                try:
                    tracker.check(message, deadline=deadline)
                except TransientError:
                    back.append(message)
            assert day.now < deadline, "a function that is stopped gives back what it is done with, too"
        messages = back + [JobMessage.from_body(json.dumps(body)) for body, _ in jobs.kept]
        jobs.kept.clear()
    assert Counter(message.job_id for message in messages) == Counter(f"job-{number}" for number in range(100))


@pytest.mark.parametrize("body", ["{", "[]", "{}", '{"jobId": 1}', "null", "[" * 100_000, STRANGE])
def test_a_message_that_names_no_job_is_told_apart(body: str) -> None:
    with pytest.raises(InvalidMessage):
        JobMessage.from_body(body)
