"""The newest change of a member wins, in whatever order changes arrive: the protocol against a real table."""

import json
from collections import Counter
from dataclasses import replace

import pytest

from audience_sync.amazon_ads.advertiser_audiences.records import encode_record
from audience_sync.amazon_ads.apis import has_jobs
from audience_sync.amazon_ads.destination import amc_connection
from audience_sync.amazon_ads.job import JobReport
from audience_sync.amazon_ads.upload import Submission, Upload
from audience_sync.aws import membership_table
from audience_sync.aws.membership_rows import KEEP_ACTIVE
from audience_sync.delivery.sending import DATING, SHUTDOWN_RESERVE, TRACK_ATTEMPTS, TRACK_INTERVAL
from audience_sync.errors import AudienceSyncError, CircuitOpen, OutcomeUnknown, RequestRejected, ServiceUnavailable
from audience_sync.members.job_messages import JobMessage
from audience_sync.members.member_state import KEEP_IN_DATASET, Action, MemberState, removed
from audience_sync.members.messages import REPETITION, ChangeMessage, pack
from tests.support.builders import AUDIENCE, sha256
from tests.support.member_changes import recorded, reject_once
from tests.support.proxy import fault_proxy, refuse
from tests.support.steps import counted_steps
from tests.support.worker_stack import (
    DEADLINE,
    JOB,
    LIMITS,
    NOW,
    ON_LOCAL_AWS,
    READ,
    WITH_JOBS,
    WRITE,
    Amazon,
    WorkerStack,
    change,
    named_in,
    notice,
)


def test_a_single_change_takes_one_upload_and_is_recorded(stack: WorkerStack) -> None:
    report = stack.deliver(change("a@b.co", at=5))
    assert (report.delivered, report.superseded, len(stack.amazon.uploads), stack.queue.bodies) == (1, 0, 1, [])
    kept = KEEP_ACTIVE if has_jobs(stack.destination) else KEEP_IN_DATASET
    assert int(stack.row()["expiresAt"]["N"]) == NOW + kept
    assert stack.state().version.at == 5


def test_an_older_enter_adds_its_identities_to_a_newer_one_of_another_worker(stack: WorkerStack) -> None:
    stack.amazon.before_next = lambda: stack.write(change("phone", at=4, message_id="b"))
    stack.deliver(change("other", at=2, message_id="c"))
    report = stack.deliver(change("email", at=3))
    assert (report.delivered, named_in(stack.amazon.uploads[-1][0])) == (
        1,
        set(map(sha256, ["email", "phone", "other"])),
    )
    assert stack.state().newest.message_id == "b"


def test_the_second_record_of_a_removal_waits_for_the_first(stack: WorkerStack) -> None:
    for at in range(130):
        stack.deliver(change(f"{at}@b.co", at=at))
    stack.rest()
    stack.now += stack.effective
    before = len(stack.amazon.uploads)
    stack.amazon.fails = ServiceUnavailable("busy")
    report = stack.deliver(change(at=200, exits=True))
    assert (len(report.deferred), len(stack.amazon.uploads) - before) == (1, 0)


@pytest.mark.parametrize("named", [(), ("b@b.co",), ("new@b.co",)])
def test_an_exit_removes_every_identity_of_an_enter_even_if_it_names_few_or_others(
    stack: WorkerStack, named: tuple[str, ...]
) -> None:
    stack.deliver(change("a@b.co", "b@b.co", "c@b.co", at=1))
    assert stack.amazon.members["m1"] == {sha256(f"{letter}@b.co") for letter in "abc"}
    stack.deliver(change(*named, at=2, exits=True))
    stack.rest()
    assert stack.amazon.active() == set()


@WITH_JOBS
@pytest.mark.parametrize("arrival", [(1, 2), (2, 1)])
def test_exits_that_name_different_identities_remove_both_in_either_order(
    stack: WorkerStack, arrival: tuple[int, int]
) -> None:
    """Of a member without a row, whom another system has entered."""
    named = {1: "a@b.co", 2: "c@b.co"}
    stack.amazon.members["m1"] = {*map(sha256, named.values())}
    for at in arrival:
        stack.deliver(change(named[at], at=at, exits=True))
    assert stack.amazon.active() == set()


def test_an_enter_recorded_by_a_stopped_worker_is_sent_although_a_newer_one_exists(
    stack: WorkerStack,
) -> None:
    stack.deliver(change("phone", at=4, message_id="b"))
    stack.write(change("email", at=3))
    stack.deliver(change("email", at=3))
    assert named_in(stack.amazon.uploads[-1][0]) == {sha256("email"), sha256("phone")}


def test_a_notice_recorded_by_a_stopped_worker_is_sent_although_a_newer_exit_exists(
    stack: WorkerStack,
) -> None:
    stack.deliver(change("email", at=1))
    stack.now += 2 * stack.effective
    stack.deliver(change(at=4, exits=True))
    stack.write(change(at=3, exits=True, erase=True, message_id="notice"))
    stack.deliver(change(at=3, exits=True, erase=True, message_id="notice"))
    assert [each[0]["action"] for each in stack.amazon.uploads] == ["CREATE", "DELETE", "DELETE"]


def test_an_exit_that_overtakes_the_upload_of_its_enter_is_sent_again(stack: WorkerStack) -> None:
    def other_worker() -> None:
        assert stack.deliver(change("a@b.co", at=2, exits=True)).delivered == 1

    stack.amazon.before_next = other_worker  # Amazon accepts the enter last
    assert stack.deliver(change("a@b.co", at=1)).delivered == 1
    assert stack.rest() == {}, "both were counted"
    assert [upload[0]["action"] for upload in stack.amazon.uploads] == ["DELETE", "CREATE", "DELETE"]
    assert stack.amazon.active() == set()


@pytest.mark.parametrize(("exits", "owed"), [pytest.param(False, 0, id="enter"), pytest.param(True, 1, id="exit")])
def test_three_copies_of_a_change_in_two_workers_take_one_upload_each(
    stack: WorkerStack, exits: bool, owed: int
) -> None:
    if exits:
        stack.deliver(change("a@b.co", at=1))
    before = len(stack.amazon.uploads)
    copy = change("a@b.co", at=2, exits=exits)
    stack.amazon.before_next = lambda: stack.deliver(copy)  # the other worker, between row and upload
    for receives in (1, 2):
        stack.deliver(copy, receives=receives)
    assert len(stack.amazon.uploads) == before + 3
    stack.rest()
    assert len(stack.amazon.uploads) == before + 3 + owed, "the removal, since the enter may be applied after it"
    assert stack.state().due(LIMITS.timings.audiences) is None
    assert stack.amazon.active() == (set() if exits else {"m1"})


def test_after_an_enter_that_amazon_applies_late_the_exit_is_sent_again(stack: WorkerStack) -> None:
    stack.amazon.fails = OutcomeUnknown("timeout")
    entered = change("a@b.co", at=1)
    (deferred,) = stack.deliver(entered).deferred
    assert deferred.delay >= 60
    stack.deliver(change("a@b.co", at=2, exits=True))
    stack.amazon.apply([json.loads(encode_record(entered))])  # after the exit: the member is in again
    report = stack.deliver(entered, receives=2)
    assert (report.superseded, report.delivered) == (1, 0)
    stack.rest()
    assert stack.amazon.active() == set()


def test_an_exit_is_sent_again_if_a_retry_of_its_enter_had_no_answer(stack: WorkerStack) -> None:
    entered = change("a@b.co", at=1)
    stack.amazon.fails = OutcomeUnknown("timeout")
    stack.deliver(entered)
    stack.now += 2 * stack.effective
    for receives in (2, 3):
        stack.amazon.fails = OutcomeUnknown("timeout")
        stack.deliver(entered, receives=receives)
    stack.deliver(change(at=2, exits=True))
    stack.amazon.apply([json.loads(encode_record(entered))])  # after the exit: the member is in again
    assert stack.deliver(entered, receives=4).superseded == 1
    stack.rest()
    assert stack.amazon.active() == set()


def test_an_exit_is_sent_again_if_its_enter_was_sent_long_after_it_was_recorded(stack: WorkerStack) -> None:
    entered = change("a@b.co", at=1)
    stack.amazon.fails = ServiceUnavailable("503")
    stack.deliver(entered)
    stack.now += 2 * stack.effective
    stack.deliver(entered, receives=2)
    stack.deliver(change(at=2, exits=True))
    (first,), (second,) = stack.amazon.uploads
    stack.amazon.apply([second, first])  # the jobs end in reverse
    stack.rest()
    assert stack.amazon.active() == set()


def test_an_enter_waits_for_a_repeated_exit(stack: WorkerStack) -> None:
    entered = change("a@b.co", at=1)
    stack.amazon.fails = ServiceUnavailable("503")
    stack.deliver(entered)
    stack.now += 2 * stack.effective
    stack.deliver(change("a@b.co", at=2, exits=True))  # the failed attempt may take effect after it
    assert stack.deliver(entered, receives=2).superseded == 1
    assert stack.deliver(change("a@b.co", at=3)).waiting == {AUDIENCE: 1}
    stack.rest()
    assert [upload[0]["action"] for upload in stack.amazon.uploads] == ["DELETE", "DELETE", "CREATE"]
    assert (stack.amazon.active(), stack.now >= NOW + 4 * stack.effective) == ({"m1"}, True)


@pytest.mark.parametrize(
    ("error", "enters"),
    [
        pytest.param(ServiceUnavailable("503"), 3, id="fails for now: sent again"),
        pytest.param(RequestRejected("refused", status=403), 2, id="refused: parked"),
    ],
)
def test_a_repeated_enter_counts_as_sent_only_if_nothing_of_it_comes_back(
    stack: WorkerStack, error: AudienceSyncError, enters: int
) -> None:
    stack.deliver(change("old@b.co", at=1))
    stack.deliver(change("new@b.co", at=3))
    stack.now += 2 * stack.effective
    stack.deliver(change(at=2, exits=True))  # the removal may undo the newer enter, which is due again
    removed = stack.now
    stack.amazon.fails = error
    stack.rest()
    sent = [record["action"] for (record,) in stack.amazon.uploads]
    assert (sent.count("CREATE"), len(stack.dead_letters.bodies)) == (enters, 3 - enters)
    assert (stack.amazon.active(), stack.state().enter_sent >= removed + stack.effective) == ({"m1"}, True)


def test_a_due_removal_that_fails_beside_a_new_enter_stays_due(stack: WorkerStack) -> None:
    stack.deliver(change("old@b.co", at=1))
    stack.deliver(change("new@b.co", at=5))
    stack.now += 60
    stack.deliver(change(at=3, exits=True))  # due again, since the enters may be applied after it
    stack.now += stack.effective
    stack.queue.drain()
    stack.amazon.down = ServiceUnavailable("503")
    both = change(at=2, exits=True), change("newer@b.co", at=6)
    for receives in (1, 2):
        stack.deliver(*both, receives=receives)
    due = stack.state().due(stack.limits.timings.of(stack.destination))
    assert due is not None
    assert due.action is Action.REMOVAL


def test_a_repeated_removal_that_amazon_refuses_is_parked_once(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.deliver(change(at=2, exits=True))
    stack.amazon.down = RequestRejected("refused", status=403)
    stack.rest()
    assert (len(stack.dead_letters.bodies), stack.state().removal_owed) == (1, True)


def test_a_due_removal_is_not_queued_while_an_exit_sends_it(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.deliver(change(at=2, exits=True))
    stack.now += stack.effective + 120
    stack.queue.drain()
    queued: list[list[str]] = []
    stack.amazon.before_next = lambda: queued.append(stack.queue.bodies)
    stack.deliver(change(at=3, exits=True))
    assert (queued, len(stack.amazon.uploads), stack.queue.bodies) == ([[]], 3, [])


def test_a_due_removal_that_fails_beside_an_exit_comes_back_with_its_message_alone(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.deliver(change(at=2, exits=True))
    stack.now += stack.effective
    stack.queue.drain()
    stack.amazon.down = ServiceUnavailable("503")
    report = stack.deliver(change(at=3, exits=True))
    assert (len(report.deferred), stack.queue.bodies) == (1, [])


@WITH_JOBS
def test_a_repetition_that_was_sent_does_not_come_back_with_the_trouble_of_another(stack: WorkerStack) -> None:
    members = ("m1", "m2")
    for at, name in ((1, "old"), (3, "new")):
        stack.deliver(*(change(f"{name}@b.co", at=at, member=each) for each in members))
    stack.now += 2 * stack.effective
    stack.deliver(*(change(at=2, exits=True, member=each) for each in members))
    stack.limits = replace(LIMITS, max_bytes=300)  # one record in an upload
    stack.now += 2 * stack.effective

    def fail_next() -> None:
        stack.amazon.before_next = lambda: setattr(stack.amazon, "down", ServiceUnavailable("503"))

    stack.amazon.before_next = fail_next
    stack.deliver_messages(*stack.queue.receive())
    left = [ChangeMessage.from_body(each) for each in stack.queue.bodies]
    assert [[change.member[1] for change in each.changes] for each in left] == [["m2"]]


def test_a_repetition_keeps_connection_and_target_types(stack: WorkerStack) -> None:
    entered, exited = change("a@b.co", at=1), change(at=2, exits=True)
    for each in (entered, exited):
        stack.deliver(replace(each, destination=amc_connection("c", dsp=True)))
    envelope = json.loads(*stack.queue.bodies)
    assert (envelope["connectionId"], envelope["targetTypes"]) == ("c", ["DSP"])


def test_a_deletion_notice_erases_identifiers_when_its_last_removal_has_ended(
    stack: WorkerStack,
) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.check_jobs()
    stack.now += stack.effective + 1
    report = stack.deliver(change(at=2, exits=True, erase=True))
    assert stack.amazon.active() == set()
    assert report.delivered == 1
    assert stack.holds("a@b.co"), "the job may still reject the removal, which then needs them"
    removed = len(stack.amazon.uploads)
    stack.rest()
    assert not stack.holds("a@b.co")
    assert len(stack.amazon.uploads) == removed + 1, "a last time, when any job of the enter counts as ended"
    assert stack.now >= NOW + LIMITS.timings.longest_job
    assert stack.deliver(change("a@b.co", at=1)).superseded == 1, "an older enter does not bring the member back"
    assert not stack.holds("a@b.co")


def test_an_exit_that_arrives_during_a_newer_enters_upload_removes_old_identities(stack: WorkerStack) -> None:
    stack.deliver(change("old@b.co", at=1))

    def late_exit() -> None:
        stack.deliver(change(at=2, exits=True))

    stack.amazon.before_next = late_exit
    stack.deliver(change("new@b.co", at=3))
    stack.rest()
    assert stack.amazon.members["m1"] == {sha256("new@b.co")}


@WITH_JOBS
def test_an_untracked_job_is_stored_before_its_changes_are_uploaded_again(
    stack: WorkerStack,
) -> None:
    stack.jobs.down = True
    report = stack.deliver(change("a@b.co", at=1))
    assert (report.delivered, report.completed, report.requeued, report.deferred) == (0, {}, 1, [])
    assert stack.pauses == [TRACK_INTERVAL] * (TRACK_ATTEMPTS - 1)
    (untracked,) = stack.queue.drain()
    assert json.loads(untracked)["untracked"] == ["job-1", NOW * 1000, False]
    report = stack.deliver_body(untracked)
    assert ([each.reason for each in report.deferred], report.delivered) == (["unavailable"], 0)
    assert len(stack.amazon.uploads) == 1, "no other upload before the first one is tracked"
    stack.jobs.down = False
    stored: list[str] = []
    stack.amazon.before_next = lambda: stored.extend(stack.jobs.bodies)
    assert stack.deliver_body(untracked, receives=2).delivered == 1
    assert [JobMessage.from_body(body).job_id for body in stored] == ["job-1"]
    assert stack.jobs.delays == [JOB, JOB], "not before a job can have ended"
    jobs = [JobMessage.from_body(body) for body in stack.jobs.bodies]
    assert [(job.job_id, [(each.member, each.was_counted) for each in job.members]) for job in jobs] == [
        ("job-1", [("m1", True)]),
        ("job-2", [("m1", False)]),
    ]
    reject_once(stack.members(), (AUDIENCE, "m1"))
    checks = stack.check_jobs(JobReport("SUCCEEDED", rejected={"m1": "no"}))
    assert sum(check.counted for check in checks) == 1, "what both jobs reject was counted once"


@WITH_JOBS
def test_a_job_queue_that_is_briefly_down_causes_no_second_upload(stack: WorkerStack) -> None:
    stack.jobs.down = True

    def recover(seconds: float) -> None:
        assert seconds == TRACK_INTERVAL
        stack.jobs.down = False

    stack.sleep = recover
    assert stack.deliver(change("a@b.co", at=1)).delivered == 1
    assert (len(stack.amazon.uploads), len(stack.jobs.bodies)) == (1, 1)


@WITH_JOBS
def test_a_change_rejected_within_the_second_it_was_sent_is_parked(stack: WorkerStack) -> None:
    stack.now += 0.9
    stack.deliver(change("a@b.co", at=1))
    reject_once(stack.members(), (AUDIENCE, "m1"))
    assert [check.parked for check in stack.check_jobs(JobReport("SUCCEEDED", rejected={"m1": "no"}))] == [1]


@WITH_JOBS
def test_an_exit_removes_all_sent_identities_of_a_member_with_more_than_a_row_can_hold(
    stack: WorkerStack,
) -> None:
    for at in range(1, 13):
        named = [f"{at}-{number}@b.co" for number in range(90)]
        report = stack.deliver(*(change(*named, at=at, member=member) for member in ("m1", "m2")))
        assert (report.delivered, report.left_out) == (2, {AUDIENCE: 160} if at == 12 else {})
    assert len(stack.amazon.members["m1"]) == 1_000
    left = change(*(f"{number}@b.co" for number in range(9_900)), at=20, exits=True)
    stack.deliver(left, change(at=20, exits=True, member="m2"))
    stack.rest()
    assert stack.amazon.active() == set()


def test_changes_whose_repetition_cannot_be_queued_are_not_acknowledged(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.queue.down = True
    report = stack.deliver(change("a@b.co", at=2, exits=True))
    assert ([deferred.reason for deferred in report.deferred], report.delivered) == (["unavailable"], 0)


@ON_LOCAL_AWS
def test_a_table_failure_after_a_parked_removal_loses_no_repetition(stack: WorkerStack) -> None:
    stack.deliver(change("old@b.co", at=1))
    stack.deliver(change("new@b.co", at=3))
    stack.now += 2 * stack.effective
    stack.amazon.fails = RequestRejected("refused", status=403)
    with fault_proxy(stack.url) as proxy:
        stack.amazon.before_next = lambda: proxy.on(WRITE, refuse("InternalServerError", 500))
        with stack.through(proxy.url):
            report = stack.deliver(change(at=2, exits=True))
    assert (report.parked, report.deferred) == (1, [])
    assert [ChangeMessage.from_body(each).history.is_repetition for each in stack.queue.bodies] == [True]
    stack.rest()
    assert stack.state().due(stack.limits.timings.audiences) is None


def test_a_change_that_is_no_longer_needed_queues_the_repetition_that_is_due(stack: WorkerStack) -> None:
    """The end of the removal's job, or another worker, has dropped what it was to remove; the enter is due again."""
    stack.deliver(change("old@b.co", at=1))
    stack.deliver(change("new@b.co", at=3))
    stack.now += 2 * stack.effective
    stack.amazon.fails = OutcomeUnknown("timeout")
    stack.deliver(change(at=2, exits=True))
    stack.amazon.fails = None
    (result,) = stack.members().write([removed(stack.state(), until=2)])
    assert isinstance(result, MemberState)
    stack.queue.bodies.clear()
    stack.deliver(change(at=2, exits=True))  # redriven by SQS, so that its attempts are not known
    stack.rest()
    assert stack.state().due(stack.limits.timings.of(stack.destination)) is None


def test_a_parked_removal_is_not_acknowledged_if_its_repetition_cannot_be_queued(stack: WorkerStack) -> None:
    stack.deliver(change("old@b.co", at=1))
    stack.deliver(change("new@b.co", at=3))
    stack.now += 2 * stack.effective
    stack.amazon.fails = RequestRejected("refused", status=403)
    stack.queue.down = True
    report = stack.deliver(change(at=2, exits=True))
    assert ([deferred.reason for deferred in report.deferred], report.parked) == (["unavailable"], 0)


@ON_LOCAL_AWS
def test_an_unknown_outcome_waits_its_settle_time_even_if_the_table_fails_then(stack: WorkerStack) -> None:
    stack.limits = replace(LIMITS, max_bytes=300)  # one record in an upload
    both = [change("a@b.co", at=1, member=f"m{number}") for number in range(2)]

    class LosingAmazon(Amazon):
        def send_records(self, upload: Upload, *, timeout: float) -> Submission:
            self.fails = OutcomeUnknown("timeout") if self.uploads else None
            return super().send_records(upload, timeout=timeout)

    stack.amazon.fails = ServiceUnavailable("503")
    stack.deliver(*both)
    stack.now += 60
    stack.amazon = LosingAmazon()
    with fault_proxy(stack.url) as proxy:
        proxy.on(WRITE, refuse("InternalServerError", 500))
        with stack.through(proxy.url):
            report = stack.deliver(*both, receives=2)
    assert report.delivered == 0
    assert [deferred.delay for deferred in report.deferred] == [LIMITS.settle]


def test_failed_attempts_after_the_first_cost_no_write(
    stack: WorkerStack,
) -> None:
    def writes(receives: int) -> int:
        stack.calls.clear()
        report = stack.deliver(change("a@b.co", at=1), receives=receives)
        assert report.delivered == int(stack.amazon.down is None)
        return stack.calls.count(WRITE)

    stack.amazon.down = ServiceUnavailable("503")
    assert writes(1) == 2, "the change, and that its upload has failed"
    assert [writes(1 + attempt % 11) for attempt in range(1, 21)] == [0] * 20
    stack.amazon.down = None
    stack.now += 60
    assert writes(9) == 1
    assert stack.amazon.active() == {"m1"}


def test_accepted_uploads_that_there_is_no_time_to_date_are_sent_again(
    stack: WorkerStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership_table, "THREADS", 1)  # several may all find time before the first has written
    everyone = [change("a@b.co", at=1, member=f"m{number}") for number in range(30)]
    stack.amazon.fails = ServiceUnavailable("503")
    stack.deliver(*everyone)
    stack.calls.clear()
    too_late = DEADLINE - SHUTDOWN_RESERVE + DATING
    stack.monotonic = lambda: too_late if WRITE in stack.calls else 0.0  # of 25 rows
    assert (stack.deliver(*everyone, receives=2).delivered, len(stack.amazon.uploads)) == (25, 1)
    stack.monotonic = lambda: 0.0
    assert (stack.rest(), [len(each) for each in stack.amazon.uploads]) == ({"delivered": 5}, [30, 5])


def test_a_late_repetition_of_an_enter_leaves_the_last_removal_of_a_notice_queued(stack: WorkerStack) -> None:
    back = recorded(change("a@b.co", at=1), notice(2), change("b@b.co", at=3))
    newest = stack.stated(back.newest)
    at = round(NOW)
    state = replace(back, newest=newest, enter_owed=True, removal_sent=at, enters_effective_by=at)
    stack.members().write([state])
    stack.now += LIMITS.timings.longest_job + 60
    stack.deliver_body(*pack([state.bare()], REPETITION))
    stack.rest()
    assert [upload[0]["action"] for upload in stack.amazon.uploads][:2] == ["CREATE", "DELETE"]


def test_a_member_with_nothing_to_do_hides_no_other(stack: WorkerStack) -> None:
    stack.deliver(notice(5))
    stack.queue.drain()
    report = stack.deliver(
        *(change("a@b.co", at=at, member=member) for member, at in (("m1", 4), ("m2", 4), ("m3", 6)))
    )
    assert (report.outcomes, stack.amazon.active()) == ({"superseded": 1, "delivered": 2}, {"m2", "m3"})
    stack.deliver(*(change(at=7, exits=True, member=member) for member in ("m2", "m3")))
    (repetition,) = stack.queue.drain()
    stack.now += stack.effective
    stack.deliver(change(at=8, exits=True, member="m2"))
    assert stack.deliver_body(repetition).repeated == {AUDIENCE: 1}


@WITH_JOBS
def test_the_job_of_a_late_exits_removal_takes_no_delivered_change_back(stack: WorkerStack) -> None:
    stack.deliver(change("old@b.co", at=1))
    stack.deliver(change("new@b.co", at=5))
    stack.jobs.drain()
    assert stack.deliver(change(at=3, exits=True)).superseded == 1
    (job,) = map(JobMessage.from_body, stack.jobs.drain())
    assert [(each.removes, each.was_counted) for each in job.members] == [(True, True)]


def test_while_the_circuit_is_open_a_change_costs_no_read_and_no_write(stack: WorkerStack) -> None:
    stack.gate.error = CircuitOpen("open", retry_after=30)
    report = stack.deliver(change("a@b.co", at=1))
    assert [(deferred.reason, deferred.delay >= 30) for deferred in report.deferred] == [("circuit_open", True)]
    assert (stack.calls, stack.amazon.uploads) == ([], [])


def test_an_unreadable_row_does_not_block_other_members(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1), change("c@d.co", at=1, member="m2"))
    stack.client().put_item(TableName=stack.table, Item=stack.row() | {"member": {"B": b"{}"}})
    report = stack.deliver(change(at=2, exits=True), change(at=2, exits=True, member="m2"))
    assert [each.reason for each in report.deferred] == []
    assert (report.delivered, report.requeued) == (1, 1)
    assert stack.amazon.active() == {"m1"}
    (left,) = (
        message for each in stack.queue.bodies if not (message := ChangeMessage.from_body(each)).history.was_counted
    )
    assert [each.member[1] for each in left.changes] == ["m1"]


def test_a_superseded_change_costs_no_write(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=5, exits=True))
    stack.calls.clear()
    assert stack.deliver(change("a@b.co", at=4)).superseded == 1
    assert stack.calls == [READ]


@ON_LOCAL_AWS
def test_three_hundred_members_are_recorded_and_sent(stack: WorkerStack) -> None:
    everyone = [change("a@b.co", at=1, member=f"m{number}") for number in range(300)]
    with counted_steps() as steps:
        assert stack.deliver(*everyone).delivered == 300
    assert steps.lines < 300 * 3_000, "lines of Python; some 700 for each member"
    assert Counter(stack.calls) == {WRITE: 12, READ: 3 + 3}  # rows, deletion notices of new members
    assert len(stack.amazon.uploads) == 1
    assert len(stack.amazon.active()) == 300


def test_the_calls_for_each_kind_of_change_match_the_documentation(stack: WorkerStack) -> None:
    def cost(at: int, *, exits: bool = False) -> dict[str, int]:
        stack.calls.clear()
        stack.now += 2 * stack.effective
        stack.deliver(*(change("a@b.co", at=at, member=f"m{number}", exits=exits) for number in range(300)))
        return dict(Counter(stack.calls))

    in_batches = {WRITE: 300 // 25, READ: 300 // 100}
    assert cost(at=5) == in_batches | {READ: 2 * 300 // 100}, "enters of new members"
    assert cost(at=6) == in_batches, "enters of members who are in"
    assert cost(at=7, exits=True) == in_batches, "exits"
    assert cost(at=8) == in_batches, "enters of members who left"
    assert cost(at=4) == {READ: 300 // 100}, "superseded changes"
