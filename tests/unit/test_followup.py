"""What became of uploads, and what is done about it."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from audience_sync.amazon_ads.job import JobReport
from audience_sync.errors import InvalidMessage, NotFound, ServiceUnavailable, Unavailable
from audience_sync.followup import MAX_AGE, MAX_NAMED, Finding, FollowUp, JobMessage, job_messages
from audience_sync.membership import ChangeMessage, MembershipChange

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

    def settled_before(self, members: Iterable[tuple[str, str]], moment: float) -> list[MembershipChange]:
        assert moment == SENT_AT / 1000
        return [change(member) for _, member in members if member not in self.changed]


@dataclass
class Queue:
    """Keeps what it is sent, or is down."""

    down: bool = False
    kept: list[tuple[Any, float]] = field(default_factory=list)

    def send(
        self, bodies: Sequence[str], *, deadline: float, delay: float = 0, attributes: dict[str, str] | None = None
    ) -> None:
        assert deadline > 0
        assert attributes is None or set(attributes) == {"reason"}
        if self.down:
            raise Unavailable("down")
        self.kept += [(json.loads(body), delay) for body in bodies]


def look(
    answer: JobReport | Exception,
    *,
    table: Table | None = None,
    dead_letters: Queue | None = None,
    jobs: Queue | None = None,
    message: JobMessage = JOB,
    later: int = 900,
) -> Finding:
    now = SENT_AT + later * 1000
    follow_up = FollowUp(Amazon(answer), table or Table(), jobs or Queue(), dead_letters or Queue(), lambda: now)
    return follow_up.look(message, deadline=60.0)


def test_a_job_that_took_everything_leaves_nothing_to_do() -> None:
    dead_letters = Queue()
    finding = look(JobReport("SUCCEEDED"), dead_letters=dead_letters)
    assert (finding.outcome, finding.parked, dead_letters.kept) == ("ended", 0, [])


def test_a_record_that_the_job_rejected_is_parked_with_amazons_reason_and_can_be_redriven() -> None:
    dead_letters = Queue()
    finding = look(JobReport("SUCCEEDED", rejected={"m2": "consent denied"}), dead_letters=dead_letters)
    ((letter, _),) = dead_letters.kept
    assert finding.parked == 1
    assert (letter["parked"]["reason"], letter["parked"]["detail"]) == ("job_rejected", "consent denied")
    assert letter["parked"]["requestId"] == "job-1"
    (again,) = ChangeMessage.from_body(json.dumps(letter)).changes
    assert again.record["externalUserId"] == "m2"


def test_who_has_changed_since_is_not_parked_for_what_was_before() -> None:
    dead_letters = Queue()
    report = JobReport("SUCCEEDED", rejected={"m1": "no", "m2": "no"})
    assert look(report, table=Table(changed=("m1",)), dead_letters=dead_letters).parked == 1


def test_a_job_that_failed_as_a_whole_parks_all_its_members() -> None:
    dead_letters = Queue()
    assert look(JobReport("FAILED"), dead_letters=dead_letters).parked == 3
    assert {letter["parked"]["reason"] for letter, _ in dead_letters.kept} == {"job_failed"}


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
    assert [letter["parked"]["reason"] for letter, _ in dead_letters.kept] == reasons


@pytest.mark.parametrize(("asked", "pause"), [(0, 60), (1, 120), (3, 480), (4, 900), (50, 900), (10_000, 900)])
def test_a_pending_job_is_asked_about_again_ever_more_rarely(asked: int, pause: float) -> None:
    jobs = Queue()
    finding = look(JobReport("PENDING"), jobs=jobs, message=replace(JOB, asked=asked))
    ((body, delay),) = jobs.kept
    assert (finding.outcome, delay) == ("waiting", pause)
    assert JobMessage.from_body(json.dumps(body)) == replace(JOB, asked=asked + 1)


def test_an_unknown_state_is_no_end_but_there_is_one() -> None:
    jobs = Queue()
    assert look(JobReport("THINKING"), jobs=jobs).outcome == "waiting"
    assert look(JobReport("THINKING"), later=MAX_AGE + 1).outcome == "given_up"


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
    assert max(len(body) for body in bodies) <= MAX_NAMED + 1000
    assert [member for body in bodies for member in JobMessage.from_body(body).members] == members


@pytest.mark.parametrize("body", ["{", "[]", "{}", '{"jobId": 1}', "null", "[" * 100_000, STRANGE])
def test_a_message_that_names_no_job_is_told_apart(body: str) -> None:
    with pytest.raises(InvalidMessage):
        JobMessage.from_body(body)
