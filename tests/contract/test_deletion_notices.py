"""A deletion notice: one change of every audience, spread by the worker over the audiences that know the person.

Denied consent takes the same way, and its record says so.
"""

from dataclasses import replace
from typing import Any

import pytest

from audience_sync.amazon_ads.destination import amc_connection, destination_of_changes
from audience_sync.amazon_ads.upload import Target
from audience_sync.aws.membership_rows import KEEP_EXIT, state_from_row
from audience_sync.delivery import deletion_notices
from audience_sync.delivery.deletion_notices import ROWS_AT_ONCE, DeletionNotices, due_exits, with_notices
from audience_sync.delivery.report import BatchReport
from audience_sync.errors import CircuitOpen, ServiceUnavailable
from audience_sync.ingest.record_rules import erasing_exit
from audience_sync.members.erasure_steps import ErasureStep, StepKind
from audience_sync.members.membership import EVERY_AUDIENCE, Audience, Destination, MembershipChange
from audience_sync.members.messages import ChangeMessage, pack
from tests.support.builders import AUDIENCE
from tests.support.worker_stack import DATASET, LIMITS, NOW, WITH_JOBS, MemoryStack, WorkerStack, change

OTHER = "418273650912340002"
IN_AMC = Audience(OTHER, destination=amc_connection("connection-1"), settings={"dsp": True})
AUDIENCES = [Audience(AUDIENCE), IN_AMC, Audience("3")]


@pytest.fixture
def stack(stack: WorkerStack) -> WorkerStack:
    stack.audiences = [*stack.audiences, *AUDIENCES[1:]]
    return stack


def notice(member: str = "m1", *, at: int = 10) -> MembershipChange:
    return erasing_exit(member, at, f"notice-{at}")


def denial(member: str = "m1", *, at: int = 10) -> MembershipChange:
    return erasing_exit(member, at, f"denial-{at}", denies_consent=True)


def entered(*emails: str, at: int, audience: str = AUDIENCE, member: str = "m1") -> MembershipChange:
    listed = next(each for each in AUDIENCES if each.audience_id == audience)
    return change(*emails, at=at, member=member, audience_id=audience, destination=destination_of_changes(listed))


def queued(stack: WorkerStack) -> list[tuple[str, str, float]]:
    """Audience, member and delay of each change that the worker has queued."""
    return [
        (each.audience_id, each.member[1], message.delay)
        for message in stack.queue.messages
        for each in ChangeMessage.from_body(message.body).changes
    ]


def rows(stack: WorkerStack) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stack.client().scan(TableName=stack.table)["Items"]
    return found


def test_a_notice_is_spread_only_to_audiences_with_a_row_of_the_person(stack: WorkerStack) -> None:
    stack.deliver(
        entered("a@b.co", at=5), entered("a@b.co", at=5, audience=OTHER), entered("c@d.co", at=5, member="m2")
    )
    report = stack.deliver(notice())
    assert (report.delivered, report.superseded, report.deferred) == (0, 1, [])
    assert report.accepted == {NOW * 1000: 2}
    messages = [ChangeMessage.from_body(each.body) for each in stack.queue.messages]
    assert {each.audience_id: each.history.was_counted for each in messages} == {
        **dict.fromkeys((AUDIENCE, OTHER), False),  # they are counted, so that the audit finds one that is lost
        EVERY_AUDIENCE: True,
    }
    assert sorted(queued(stack)) == [
        (EVERY_AUDIENCE, "m1", LIMITS.timings.late),
        (OTHER, "m1", 0),
        (AUDIENCE, "m1", 0),
    ]


def test_a_notice_removes_the_person_at_amazon_and_erases_every_row(stack: WorkerStack) -> None:
    stack.deliver(entered("a@b.co", at=5), entered("a@b.co", at=5, audience=OTHER))
    stack.deliver(notice())
    stack.rest()
    sent = zip(stack.amazon.targets, stack.amazon.uploads, strict=True)
    removals = {target for target, records in sent if records[0]["action"] == "DELETE"}
    assert removals == {Target(AUDIENCE, stack.destination), Target(OTHER, amc_connection("connection-1", dsp=True))}
    assert not stack.holds("a@b.co")
    assert not any(bytes(row["member"]["B"]).partition(b"\0")[2] for row in rows(stack))


def test_the_row_of_all_audiences_keeps_every_notice_and_denial_of_the_person(stack: WorkerStack) -> None:
    notices = [
        erasing_exit("m1", 7, "denial", denies_consent=True),
        erasing_exit("m1", 5, "older"),
        erasing_exit("m1", 9, "newer"),
    ]
    for each in notices:
        stack.deliver(each)
    stack.rest()
    (row,) = rows(stack)
    recorded = round(NOW * 1000)
    assert state_from_row(row).erasure == (
        ErasureStep(StepKind.DENIAL, "denial", 7, recorded),
        ErasureStep(StepKind.NOTICE, "older", 5, recorded),
        ErasureStep(StepKind.NOTICE, "newer", 9, recorded),
    )


@WITH_JOBS
def test_an_erased_row_lists_the_jobs_that_removed_the_person(stack: WorkerStack) -> None:
    stack.deliver(entered("a@b.co", at=5))
    stack.now += 2 * stack.effective
    stack.deliver(notice())
    stack.rest()
    first, last = stack.state().erasure  # the last removal is sent when no enter can be under way any more
    assert [(each.kind, each.id) for each in (first, last)] == [(StepKind.REMOVAL, f"job-{n}") for n in (2, 3)]
    assert first.ended >= first.at + stack.limits.timings.job * 1000
    assert last.at - first.at >= stack.limits.timings.longest_job * 1000 - stack.effective * 1000


def test_a_notice_about_a_stranger_writes_one_row_and_sends_nothing_to_amazon(stack: WorkerStack) -> None:
    report = stack.deliver(notice("nobody"))
    stack.rest()
    assert (report.delivered, report.superseded, stack.amazon.uploads) == (0, 1, [])
    (row,) = rows(stack)
    assert (row["externalUserId"], row["expiresAt"]) == ({"S": "nobody"}, {"N": str(int(NOW) + KEEP_EXIT)})
    assert sum(call == "BatchExecuteStatement" for call in stack.calls) == 1


def test_a_notice_about_a_stranger_supersedes_older_enters_that_arrive_later(stack: WorkerStack) -> None:
    stack.deliver(notice(at=10))
    report = stack.deliver(entered("a@b.co", at=9), entered("b@b.co", at=10, audience=OTHER))
    assert (report.delivered, report.superseded, stack.amazon.uploads) == (0, 2, [])
    assert [row["audienceShard"]["S"].partition("#")[0] for row in rows(stack)] == [EVERY_AUDIENCE]


def test_an_older_exit_that_arrives_after_a_notice_stores_no_identifiers(stack: WorkerStack) -> None:
    stack.deliver(notice(at=10))
    report = stack.deliver(change("a@b.co", at=9, exits=True))
    assert (report.superseded, len(rows(stack)), stack.amazon.uploads) == (1, 1, [])


@WITH_JOBS
def test_a_later_exit_with_identifiers_is_sent_and_erased(stack: WorkerStack) -> None:
    """The person may be in the audience although nothing is known here."""
    stack.deliver(notice(at=10))
    report = stack.deliver(change("a@b.co", at=12, exits=True))
    assert (report.delivered, len(stack.amazon.uploads)) == (1, 1)
    assert stack.holds("a@b.co")
    stack.rest()
    assert not stack.holds("a@b.co")


@WITH_JOBS  # into a dataset, the enter waits
def test_an_enter_after_a_notice_carries_no_identity_named_before_it(stack: WorkerStack) -> None:
    stack.deliver(notice(at=10))
    report = stack.deliver(entered("old@b.co", at=9), entered("new@b.co", at=11))
    assert (report.delivered, report.superseded) == (1, 1)
    assert stack.holds("new@b.co")
    assert not stack.holds("old@b.co")
    assert len(stack.amazon.uploads) == 1


def test_an_enter_from_before_a_notice_loses_even_if_the_member_had_left(stack: WorkerStack) -> None:
    """The row of a member who has left knows of no notice until it is spread there."""
    stack.deliver(entered("a@b.co", at=5), change(at=6, exits=True))
    stack.rest()
    stack.deliver(notice(at=10))
    stack.rest()
    taken = len(stack.amazon.uploads)
    report = stack.deliver(entered("a@b.co", at=8))
    assert (report.superseded, len(stack.amazon.uploads)) == (1, taken)
    assert not stack.holds("a@b.co")


def test_a_row_inserted_while_a_notice_is_spread_is_found_by_the_second_pass(stack: WorkerStack) -> None:
    late = entered("a@b.co", at=9)
    stack.deliver(notice(at=10))
    stack.write(late)  # by a worker that has read no notice
    assert stack.holds("a@b.co")
    stack.rest()
    assert not stack.holds("a@b.co")
    assert stack.state().newest.exits


def test_the_second_pass_of_a_notice_is_not_counted_and_is_the_last(stack: WorkerStack) -> None:
    stack.deliver(notice())
    (body,) = stack.queue.drain()
    report = stack.deliver_body(body)
    assert (sum(report.outcomes.values()), sum(report.completed.values()), stack.queue.bodies) == (0, 0, [])


def test_a_notice_recorded_by_a_worker_that_was_stopped_still_gets_a_second_pass(
    stack: WorkerStack,
) -> None:
    stack.deliver(notice())
    stack.queue.drain()
    (body,) = pack([notice()])
    stack.deliver_body(body, receives=2)
    assert queued(stack) == [(EVERY_AUDIENCE, "m1", LIMITS.timings.late)]


def test_a_repeated_notice_writes_nothing(stack: WorkerStack) -> None:
    stack.deliver(entered("a@b.co", at=5))
    stack.deliver(notice())
    stack.rest()
    before = [row["revision"] for row in rows(stack)]
    report = stack.deliver(notice())
    assert (report.superseded, stack.queue.bodies) == (1, [])
    assert [row["revision"] for row in rows(stack)] == before


def test_a_notice_about_a_stranger_writes_one_row_however_many_audiences(
    stack: WorkerStack,
) -> None:
    notices = [notice(f"stranger-{number}") for number in range(300)]
    report = stack.deliver(*notices)
    assert report.superseded == 300
    assert len(rows(stack)) == 300
    assert stack.calls.count("BatchExecuteStatement") == 300 / 25
    assert stack.calls.count("BatchGetItem") == 300 / 100 * (1 + len(AUDIENCES))


def test_a_notice_is_deferred_whole_while_the_queue_is_down(stack: WorkerStack) -> None:
    stack.deliver(entered("a@b.co", at=5))
    stack.queue.down = True
    report = stack.deliver(notice())
    assert [each.reason for each in report.deferred] == ["unavailable"]
    assert sum(report.outcomes.values()) == 0
    stack.queue.down = False
    stack.deliver(notice())
    stack.rest()
    assert not stack.holds("a@b.co")


def test_a_notice_is_spread_while_the_circuit_is_open(stack: WorkerStack) -> None:
    stack.gate.error = CircuitOpen("open")
    report = stack.deliver(notice())
    assert (report.superseded, report.deferred) == (1, [])


def test_notices_are_deferred_if_time_runs_out(stack: WorkerStack) -> None:
    stack.monotonic = lambda: 30.0
    report = stack.deliver(notice())
    assert [each.reason for each in report.deferred] == ["out_of_time"]
    assert rows(stack) == []


def test_a_failed_removal_after_a_notice_erases_nothing_until_the_enter_took_effect(stack: WorkerStack) -> None:
    """The enter's job may still be running: its removal has to be repeated before the hashes may go."""
    stack.deliver(entered("a@b.co", at=5))
    stack.deliver(entered("new@b.co", at=12))
    stack.deliver(notice(at=10))
    exit_ = next(body for body in stack.queue.bodies if EVERY_AUDIENCE not in body)
    stack.amazon.fails = ServiceUnavailable("503")
    stack.deliver_body(exit_)
    stack.now += 60
    stack.deliver_body(exit_, receives=2)
    stack.check_jobs()
    assert stack.holds("a@b.co")
    stack.rest()
    assert (stack.holds("a@b.co"), stack.holds("new@b.co")) == (False, True)


def test_denied_consent_is_recorded_in_the_rows(stack: WorkerStack) -> None:
    """So an API that removes members only with consent never gets a removal that states the consent of before."""
    agreed = {"consent": {"amzn": {"amznUserData": "GRANTED"}}}
    stack.deliver(replace(entered("a@b.co", at=5), consent=agreed))
    stack.deliver(denial())
    stack.rest()
    denied = {"consent": {"amzn": {"amznUserData": "DENIED"}}}
    assert stack.state().newest.consent == denied
    notice_of = stack.members().read([(EVERY_AUDIENCE, "m1")])[EVERY_AUDIENCE, "m1"]
    assert notice_of.newest.consent == denied


# Single steps, on a table in memory


@pytest.fixture
def memory() -> MemoryStack:
    return MemoryStack(audiences=AUDIENCES)


def test_an_enter_newer_than_a_notice_is_preceded_by_an_erasing_exit(memory: MemoryStack) -> None:
    memory.deliver(notice(at=10))
    later = entered("a@b.co", at=12, audience=OTHER)
    found = with_notices(memory.members(), {later.member: [later]})[later.member]
    assert isinstance(found, list)
    exit_, enter = found
    assert (exit_.member, exit_.at, exit_.exits, exit_.erase) == ((OTHER, "m1"), 10, True, True)
    assert exit_.destination == amc_connection("connection-1", dsp=True)
    assert enter == later


def test_a_change_older_than_a_notice_is_dropped(memory: MemoryStack) -> None:
    memory.deliver(notice(at=10))
    known, stranger = entered("a@b.co", at=9), entered("a@b.co", at=9, member="m2")
    found = with_notices(memory.members(), {each.member: [each] for each in (known, stranger)})
    assert found == {known.member: [], stranger.member: [stranger]}


@pytest.mark.parametrize(
    ("audiences", "at_once"),
    [
        pytest.param(0, ROWS_AT_ONCE, id="no audience: the notice's own row"),
        pytest.param(3, ROWS_AT_ONCE // 4, id="its own row, and one in each audience"),
        pytest.param(ROWS_AT_ONCE, 1, id="more audiences than rows are read at once"),
    ],
)
def test_a_batch_of_notices_is_limited_by_the_rows_it_reads(audiences: int, at_once: int) -> None:
    memory = MemoryStack(audiences=[Audience(str(number)) for number in range(audiences)])
    spreading = DeletionNotices(memory.context(), 60.0, BatchReport())
    first, *_ = spreading.batches([notice(f"m{number}") for number in range(ROWS_AT_ONCE)])
    assert len(first) == at_once


def test_an_exit_is_due_even_from_an_audience_of_an_unknown_api(memory: MemoryStack) -> None:
    memory.deliver(entered("a@b.co", at=5, audience=OTHER))
    new = Audience(OTHER, destination=Destination.of({"api": "new"}))
    for at in (4, 6):  # before and after the enter
        (exit_,) = due_exits(memory.members().read([(OTHER, "m1")]), [notice(at=at)], [new])
        assert (exit_.member, exit_.destination) == ((OTHER, "m1"), new.destination), "for the worker to park"


def test_exits_of_notices_count_as_accepted_when_they_are_queued(
    memory: MemoryStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion_notices, "ROWS_AT_ONCE", 1)  # each notice by itself
    memory.deliver(entered("a@b.co", at=5), entered("a@b.co", at=5, member="m2"))
    report = memory.deliver(notice("m1"), notice("m2"))
    assert report.accepted == {NOW * 1000: 2}
    queued = [ChangeMessage.from_body(each.body) for each in memory.queue.messages if not each.delay]
    assert [each.history.first_at for each in queued] == [NOW * 1000] * 2


def test_a_notice_that_could_not_be_recorded_is_requeued_alone(memory: MemoryStack) -> None:
    memory.model.refused = [{0: "InternalServerError"}]
    report = memory.deliver(notice("m1"), notice("m2"))
    assert (report.superseded, report.requeued, report.deferred) == (1, 1, [])
    (left,) = (message for body in memory.queue.bodies if (message := ChangeMessage.from_body(body)).history.attempts)
    assert [each.member[1] for each in left.changes] == ["m1"]


@pytest.mark.parametrize("damaged", [EVERY_AUDIENCE, OTHER])
def test_a_damaged_row_holds_back_only_that_persons_deletion_notice(memory: MemoryStack, damaged: str) -> None:
    people = [f"m{number}" for number in range(20)]
    memory.deliver(*(entered("a@b.co", at=1, audience=OTHER, member=each) for each in people))
    memory.deliver(notice(at=2, member="m7"))
    memory.rest()
    memory.model.damage(damaged, "m7")
    report = memory.deliver(*(notice(at=5, member=each) for each in people))
    ((partition, member),) = report.unread
    assert (report.requeued, partition.partition("#")[0], member) == (1, damaged, "m7")
    assert report.erasures == (19 if damaged == EVERY_AUDIENCE else 20), "beside a damaged audience it is recorded"
    memory.now += memory.effective
    for message in memory.queue.receive():
        memory.deliver_messages(message)
    assert memory.amazon.active() == set(), "of m7 since the first notice"


@pytest.mark.parametrize("other", [Audience(OTHER), Audience(OTHER, destination=DATASET)], ids=["audience", "dataset"])
@pytest.mark.parametrize("mended", [True, False], ids=["restored", "deleted"])
def test_a_damaged_row_keeps_the_erasure_open_and_the_other_audiences_get_their_exits(
    memory: MemoryStack, other: Audience, mended: bool
) -> None:
    memory.audiences = [Audience(AUDIENCE), other]
    memory.deliver(entered("a@b.co", at=1))
    memory.deliver(change("a@b.co", at=1, audience_id=OTHER, destination=destination_of_changes(other)))
    memory.rest()
    intact = memory.model.damage(OTHER, "m1")
    memory.queue.send(pack([notice(at=2)]), deadline=1.0)
    pass_days(memory, 5)
    assert not memory.holds("a@b.co"), "the exit of the sound row"
    assert [each.audience_id for each in stated(memory)] == [EVERY_AUDIENCE], "one message, however often it was tried"
    checked = memory.check_erasures()
    assert (checked.open, checked.closed, [key.external_user_id for key in checked.unread]) == (1, 0, ["m1"])
    for key in intact:
        del memory.model.rows[key]
    if mended:
        memory.model.rows.update(intact)
    pass_days(memory, 1)
    assert stated(memory) == []
    erasure = memory.erasure()
    asks = other.destination == DATASET
    assert memory.amazon.deleted == ([["m1"]] if asks else []), "by id, where Amazon has that"
    if mended:
        assert (erasure.progress, memory.holds("a@b.co")) == ("amazon_deletes" if asks else "closed", False)
    else:
        assert (erasure.progress, erasure.audiences[OTHER].missing) == ("open", "row_missing")


def pass_days(memory: MemoryStack, days: float) -> None:
    """Let the queue, the jobs and the checks of erasures run, an event at a time."""
    until = memory.now + days * 86_400
    while memory.now < until:
        due = [each.due for each in [*memory.queue.messages, *memory.jobs.messages] if each.due > memory.now]
        memory.now = min([until, (memory.now // 21_600 + 1) * 21_600, *due])
        if messages := memory.queue.receive():
            for each in memory.deliver_messages(*messages).deferred:
                memory.queue.put_back(each.message, each.delay)
        for body in [each.body for each in memory.jobs.receive()]:
            memory.check_jobs(None, body)
        if memory.now % 21_600 == 0:
            memory.check_erasures()


def stated(memory: MemoryStack) -> list[MembershipChange]:
    return [each for message in memory.queue.messages for each in ChangeMessage.from_body(message.body).changes]


def test_a_damaged_notice_holds_back_the_enters_of_its_own_person_only(memory: MemoryStack) -> None:
    memory.deliver(notice(at=2, member="m7"))
    memory.model.damage(EVERY_AUDIENCE, "m7")
    report = memory.deliver(*(entered("a@b.co", at=9, member=f"m{number}") for number in range(20)))
    assert (report.delivered, len(report.unread), memory.amazon.active() & {"m7"}) == (19, 1, set())
