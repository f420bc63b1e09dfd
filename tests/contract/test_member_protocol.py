"""The newest change of a member wins, in whatever order changes arrive: the protocol against a real table."""

import itertools
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from audience_sync.amazon_ads.job import JobReport
from audience_sync.amazon_ads.record import Upload
from audience_sync.aws.membership_rows import KEEP_ACTIVE, KEEP_EXIT
from audience_sync.aws.membership_table import PAUSES, THREADS, MembershipTable
from audience_sync.delivery.batch import Message
from audience_sync.errors import CircuitOpen, OutcomeUnknown, ServiceUnavailable, Unavailable
from audience_sync.messages import ChangeMessage, JobMessage, pack
from local import resources
from local.sqs.queues import SqsQueues
from tests.aws_fixtures import create_membership_table
from tests.contract.worker_stack import (
    JOB,
    LIMITS,
    NOW,
    READ,
    WRITE,
    Amazon,
    WorkerStack,
    change,
    digest,
    enters,
    named_in,
)
from tests.faults.proxy import fail_statements, fault_proxy, refuse
from tests.servers import serve_aws
from tests.steps import counted_steps


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serve_aws(SqsQueues(time.time)) as served:
        yield served


@pytest.fixture
def stack(url: str) -> Iterator[WorkerStack]:
    dynamodb = resources.client("dynamodb", url)
    create_membership_table(dynamodb, "members")
    yield WorkerStack(url, "members")
    dynamodb.delete_table(TableName="members")


def test_a_change_without_others_takes_one_upload_and_is_recorded(stack: WorkerStack) -> None:
    report = stack.deliver(change("a@b.co", at=5))
    assert (report.delivered, report.superseded, len(stack.amazon.uploads), stack.queue.bodies) == (1, 0, 1, [])
    assert int(stack.row()["expiresAt"]["N"]) == NOW + KEEP_ACTIVE
    assert stack.state().version.at == 5


def test_an_older_change_that_arrives_later_is_superseded_and_not_sent(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=5, exits=True))
    report = stack.deliver(change("a@b.co", at=4))
    assert (report.delivered, report.superseded, len(stack.amazon.uploads)) == (0, 1, 1)
    assert stack.amazon.active() == set()


def test_an_exit_of_the_same_moment_wins_in_either_order(stack: WorkerStack) -> None:
    for member, order in (("m1", (True, False)), ("m2", (False, True))):
        for exits in order:
            stack.deliver(change("a@b.co", at=5, exits=exits, member=member, message_id="a" if exits else "z"))
    stack.repeat()
    assert stack.amazon.active() == set()


def test_an_exit_carries_every_identifier_that_was_sent_since_the_enter(stack: WorkerStack) -> None:
    stack.deliver(change("old@b.co", at=1))
    stack.deliver(change("new@b.co", at=2))
    stack.deliver(change(at=3, exits=True))
    assert named_in(stack.amazon.uploads[-1][0]) == {digest("old@b.co"), digest("new@b.co")}
    assert stack.amazon.active() == set()
    assert int(stack.row()["expiresAt"]["N"]) == NOW + KEEP_EXIT


def test_all_of_130_identities_are_removed(stack: WorkerStack) -> None:
    for start in range(0, 130, 10):
        stack.deliver(*(change(f"{n}@b.co", at=n + 1, message_id=f"{n}") for n in range(start, start + 10)))
    assert len(stack.amazon.members["m1"]) == 130
    report = stack.deliver(change(at=1000, exits=True))
    assert (report.delivered, report.deferred) == (1, [])
    assert stack.amazon.active() == set()


def test_of_130_identities_the_newest_are_sent_and_all_are_removed(stack: WorkerStack) -> None:
    everything = [change(f"{n}@b.co", at=n + 1, message_id=f"{n}") for n in range(130)]
    assert stack.deliver(*everything[:70]).delivered == 1
    assert stack.deliver(*everything[70:]).delivered == 1
    sent = {name for record in stack.amazon.uploads[-1] for name in named_in(record)}
    assert sent == {digest(f"{n}@b.co") for n in range(30, 130)}
    stack.deliver(change(at=1000, exits=True))
    removed = {name for upload in stack.amazon.uploads[2:] for record in upload for name in named_in(record)}
    assert removed == {digest(f"{n}@b.co") for n in range(130)}


def test_a_member_who_changes_during_an_upload_is_sent_once_more(stack: WorkerStack) -> None:
    def other_worker() -> None:
        assert stack.deliver(change("a@b.co", at=2, exits=True)).delivered == 1

    stack.amazon.meanwhile = other_worker  # the exit overtakes the enter, which Amazon then accepts last
    report = stack.deliver(change("a@b.co", at=1))
    assert [upload[0]["action"] for upload in stack.amazon.uploads] == ["DELETE", "CREATE", "DELETE"]
    assert stack.amazon.active() == set()
    assert report.deferred == []


def test_a_member_who_keeps_changing_is_deferred(stack: WorkerStack) -> None:
    moments = iter(range(2, 20))

    class ChangingAmazon(Amazon):
        def send_records(self, upload: Upload, *, timeout: float) -> str:
            stack.write(change("a@b.co", at=next(moments)))
            return super().send_records(upload, timeout=timeout)

    stack.amazon = ChangingAmazon()
    report = stack.deliver(change("a@b.co", at=1))
    assert [deferred.reason for deferred in report.deferred] == ["moved_on"]
    assert len(stack.amazon.uploads) == 3
    assert report.delivered == 0


def test_after_an_enter_that_amazon_applies_late_the_exit_is_sent_again(stack: WorkerStack) -> None:
    stack.amazon.fails = OutcomeUnknown("timeout")
    entered = change("a@b.co", at=1)
    (deferred,) = stack.deliver(entered).deferred
    assert deferred.delay >= 60
    stack.deliver(change("a@b.co", at=2, exits=True))
    stack.amazon.apply([entered.record])  # after the exit: the member is in again
    assert stack.amazon.active() == {"m1"}
    report = stack.deliver(entered, receives=2)
    assert stack.amazon.active() == set()
    assert (report.superseded, report.delivered) == (1, 0)


def test_an_exit_is_sent_again_where_a_repeated_attempt_at_the_enter_had_no_answer(stack: WorkerStack) -> None:
    entered = change("a@b.co", at=1)
    stack.amazon.fails = OutcomeUnknown("timeout")
    stack.deliver(entered)
    stack.now += 2 * LIMITS.effective_after
    for receives in (2, 3):
        stack.amazon.fails = OutcomeUnknown("timeout")
        stack.deliver(entered, receives=receives)
    stack.deliver(change(at=2, exits=True, erase=True))
    stack.amazon.apply([entered.record])  # after the exit: the member is in again
    assert stack.repeat() == 1
    assert stack.amazon.active() == set()


def test_a_replay_goes_to_the_same_targets(stack: WorkerStack) -> None:
    entered, exited = change("a@b.co", at=1), change(at=2, exits=True)
    for each in (entered, exited):
        stack.deliver(replace(each, connection_id="c", target_types=("DSP",)))
    ((replayed, _),) = stack.queue.bodies
    envelope = json.loads(replayed)
    assert (envelope["connectionId"], envelope["targetTypes"]) == ("c", ["DSP"])


def test_a_redelivered_change_is_sent_again_and_is_harmless(stack: WorkerStack) -> None:
    for receives in (1, 2):
        stack.deliver(change("a@b.co", at=1), receives=receives)
    assert len(stack.amazon.uploads) == 2
    assert stack.amazon.active() == {"m1"}


@pytest.mark.parametrize("exits", [pytest.param(False, id="in"), pytest.param(True, id="out")])
def test_the_row_of_a_member_who_is_sent_again_outlives_the_member(stack: WorkerStack, exits: bool) -> None:
    stack.deliver(change("a@b.co", at=1, exits=exits))
    stack.now += 20 * 86_400
    stack.deliver(change("a@b.co", at=1, exits=exits))
    assert int(stack.row()["expiresAt"]["N"]) == stack.now + (KEEP_EXIT if exits else KEEP_ACTIVE)


def test_the_opposite_of_a_recent_change_is_sent_again_when_both_jobs_have_ended(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.now += 30
    stack.deliver(change("a@b.co", at=2, exits=True))
    ((_, delay),) = stack.queue.bodies
    assert delay == JOB
    uploads = stack.amazon.uploads
    stack.amazon.apply([uploads[1][0], uploads[0][0]])  # the jobs end in reverse
    assert stack.amazon.active() == {"m1"}
    # The first repetition is prepared before the enter can certainly have taken effect; another one follows it.
    assert stack.repeat() == 2
    assert stack.amazon.active() == set()


def test_the_opposite_of_a_change_long_ago_is_sent_once(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.now += LIMITS.effective_after + 1
    stack.deliver(change("a@b.co", at=2, exits=True))
    assert stack.queue.bodies == []


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_two_identities_with_the_same_time_are_both_sent(stack: WorkerStack, order: tuple[str, str]) -> None:
    emails = {"a": "work@b.co", "b": "home@b.co"}
    for message_id in order:
        stack.deliver(change(emails[message_id], at=1, message_id=message_id))
    sent = named_in(stack.amazon.uploads[-1][0])
    assert sent == {digest("work@b.co"), digest("home@b.co")}
    assert named_in(stack.state().change().record) == sent


def test_a_deletion_notice_removes_the_member_and_erases_the_identifiers_when_its_job_has_ended(
    stack: WorkerStack,
) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.check_jobs()
    stack.now += LIMITS.effective_after + 1
    report = stack.deliver(change(at=2, exits=True, erase=True))
    assert stack.amazon.active() == set()
    assert report.delivered == 1
    assert stack.holds("a@b.co"), "the job may still reject the removal, which then needs them"
    assert [check.erased for check in stack.check_jobs()] == [1]
    assert not stack.holds("a@b.co")
    assert stack.deliver(change("a@b.co", at=1)).superseded == 1, "an older enter does not bring the member back"
    assert not stack.holds("a@b.co")


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "apart"])
@pytest.mark.parametrize("first", ["notice", "exit"])
@pytest.mark.parametrize("email", ["a@b.co", "other@b.co"])
def test_a_deletion_notice_erases_the_identifiers_of_every_later_exit(
    stack: WorkerStack, email: str, first: str, together: bool
) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.now += LIMITS.effective_after + 1
    notice = change(at=2, exits=True, erase=True)
    later = change(email, at=3, exits=True)
    order = [notice, later] if first == "notice" else [later, notice]
    for changes in [order] if together else [[each] for each in order]:
        stack.deliver(*changes)
    stack.repeat()
    stack.check_jobs()
    assert stack.amazon.active() == set()
    assert not stack.holds("a@b.co")
    assert not stack.holds(email)


END = {"exit": change(at=2, exits=True), "notice": change(at=2, exits=True, erase=True)}


@pytest.mark.parametrize("end", ["exit", "notice"])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_old_identities_never_travel_with_an_enter_that_is_newer_than_the_exit(
    stack: WorkerStack, order: tuple[int, ...], end: str
) -> None:
    changes = [change("old@b.co", at=1), END[end], change("new@b.co", at=3)]
    before = 0  # uploads of before the exit is known
    for index in order:
        before = len(stack.amazon.uploads) if changes[index].exits else before
        assert stack.deliver(changes[index]).deferred == []
    stack.repeat()
    entered = [named_in(each) for upload in stack.amazon.uploads[before:] for each in upload if enters(each)]
    assert all(digest("old@b.co") not in names for names in entered)
    assert stack.amazon.members["m1"] == {digest("new@b.co")}
    assert [each.digests for each in stack.state().active] == [{"email": digest("new@b.co")}]


@pytest.mark.parametrize("end", ["exit", "notice"])
@pytest.mark.parametrize("known", [False, True], ids=["in one batch", "the first one before"])
def test_old_identities_of_a_batch_are_removed_before_the_new_ones_are_added(
    stack: WorkerStack, end: str, known: bool
) -> None:
    old, new = change("old@b.co", at=1), change("new@b.co", at=3)
    if known:
        stack.deliver(old)
    del stack.amazon.uploads[:]
    report = stack.deliver(*([] if known else [old]), new, END[end])
    sent = [(record["action"], named_in(record)) for upload in stack.amazon.uploads for record in upload]
    assert sent == [("DELETE", {digest("old@b.co")}), ("CREATE", {digest("new@b.co")})]
    assert (report.delivered, report.superseded, report.deferred) == (1, 1 if known else 2, [])
    stack.repeat()
    assert stack.amazon.members["m1"] == {digest("new@b.co")}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_a_deletion_notice_erases_the_old_identifiers_although_the_member_has_entered_anew(
    stack: WorkerStack, order: tuple[int, ...]
) -> None:
    changes = [change("old@b.co", at=1), END["notice"], change("new@b.co", at=3)]
    for index in order:
        stack.deliver(changes[index])
    stack.repeat()
    stack.now += LIMITS.effective_after + 1
    stack.check_jobs()
    assert not stack.holds("old@b.co")
    assert stack.holds("new@b.co")


@pytest.mark.parametrize("exits", [[4], [4, 5]], ids=["one exit", "two, as for two identifiers"])
def test_a_deletion_notice_does_not_apply_to_a_newer_enter_and_its_exit(stack: WorkerStack, exits: list[int]) -> None:
    stack.deliver(END["notice"], change("new@b.co", at=3))
    stack.now += LIMITS.effective_after + 1
    for at in exits:
        stack.deliver(change(at=at, exits=True, message_id=f"{at}"))
    checks = stack.check_jobs(JobReport("FAILED"))
    assert sum(check.erased for check in checks) == 0
    parked = [ChangeMessage.from_body(body).changes[0] for body in stack.dead_letters.drain()]
    assert {(each.exits, each.erase) for each in parked} == {(True, False)}
    assert named_in(parked[-1].record) == {digest("new@b.co")}


def test_identifiers_are_kept_until_every_part_of_a_removal_has_ended_well(stack: WorkerStack) -> None:
    for some in (range(70), range(70, 130)):
        stack.deliver(*(change(f"{n}@b.co", at=n + 1, message_id=f"{n}") for n in some))
    stack.check_jobs()
    stack.now += LIMITS.effective_after + 1
    stack.deliver(change(at=1000, exits=True, erase=True))
    first, second = stack.jobs.drain()
    stack.check_jobs(JobReport("SUCCEEDED"), first)
    (check,) = stack.check_jobs(JobReport("FAILED"), second)
    assert check.parked == 1
    (body,) = stack.dead_letters.drain()
    (parked,) = ChangeMessage.from_body(body).changes
    failed = named_in(stack.amazon.uploads[-1][0])
    assert named_in(parked.record) >= failed, "another attempt needs them"


def test_an_exit_that_arrives_while_a_newer_enter_is_being_sent_removes_the_old_identities(stack: WorkerStack) -> None:
    stack.deliver(change("old@b.co", at=1))

    def late_exit() -> None:
        stack.deliver(change(at=2, exits=True))

    stack.amazon.meanwhile = late_exit
    stack.deliver(change("new@b.co", at=3))
    stack.repeat()
    assert stack.amazon.members["m1"] == {digest("new@b.co")}


def test_an_exit_without_traits_before_its_enter_is_superseded_and_makes_no_dead_letter(stack: WorkerStack) -> None:
    reports = [stack.deliver(change(at=2, exits=True)), stack.deliver(change("a@b.co", at=1))]
    assert [(report.superseded, report.parked) for report in reports] == [(1, 0)] * 2
    assert (stack.amazon.uploads, stack.dead_letters.bodies) == ([], [])


def test_an_exit_without_traits_in_one_batch_with_its_older_enter_removes_what_that_names(stack: WorkerStack) -> None:
    report = stack.deliver(change(at=2, exits=True), change("a@b.co", at=1))
    assert (report.delivered, report.superseded, report.parked) == (1, 1, 0)
    assert stack.amazon.active() == set()


HALF_A_PAIR = "\\ud83d"  # as JSON escapes it: no UTF-8 text can hold it


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        pytest.param(digest("bad@b.co"), HALF_A_PAIR, id="identifier"),
        pytest.param('"id":"odd"', f'"id":"{HALF_A_PAIR.upper().replace("U", "u")}"', id="message id"),
        pytest.param('"userConsent":{}', f'"userConsent":{{"{HALF_A_PAIR}":1}}', id="name of a field"),
    ],
)
def test_half_a_surrogate_pair_is_a_dead_letter_and_its_neighbours_are_delivered(
    stack: WorkerStack, written: str, instead: str
) -> None:
    (body,) = pack([change("bad@b.co", at=1, member="bad", message_id="odd")])
    assert written in body
    bad = body.replace(written, instead)
    (good,) = pack([change("a@b.co", at=1)])
    report = stack.deliver_messages(Message("bad", "h", bad, 1, 0), Message("good", "h", good, 1, 0))
    assert (report.delivered, report.parked_reasons, report.deferred) == (1, {"message_not_json": 1}, [])
    assert stack.dead_letters.drain() == [bad]
    assert stack.amazon.active() == {"m1"}


def test_a_whole_surrogate_pair_is_delivered(stack: WorkerStack) -> None:
    assert stack.deliver(change("a@b.co", at=1, message_id="\U0001f600")).delivered == 1
    assert stack.state().version.message_id == "\U0001f600"


def test_where_the_job_queue_refuses_changes_stay_in_the_queue_and_are_delivered_and_followed_up_later(
    stack: WorkerStack,
) -> None:
    stack.jobs.down = True
    report = stack.deliver(change("a@b.co", at=1))
    assert [deferred.reason for deferred in report.deferred] == ["unavailable"]
    assert (report.delivered, report.completed, stack.jobs.bodies) == (0, {}, [])
    stack.jobs.down = False
    assert stack.deliver(change("a@b.co", at=1), receives=2).delivered == 1
    (followed,) = [JobMessage.from_body(body) for body, _ in stack.jobs.bodies]
    assert [(each.member, each.is_replay) for each in followed.members] == [("m1", False)]
    assert stack.jobs.bodies[0][1] == JOB, "not before the job can have ended"
    (check,) = stack.check_jobs(JobReport("FAILED"))
    assert (check.parked, check.counted) == (1, 1), "what the job rejects is noticed"


def test_a_good_change_is_not_parked_because_an_older_one_of_the_member_was_rejected(stack: WorkerStack) -> None:
    stack.limits = replace(LIMITS, max_records=1)  # two uploads in one invocation
    older, newer = change("a@b.co", at=1), change("b@b.co", at=2)

    class ChangingAmazon(Amazon):
        def send_records(self, upload: Upload, *, timeout: float) -> str:
            if json.loads(upload.body())["records"][0]["externalUserId"] == "m2":
                self.meanwhile = lambda: setattr(stack, "overtaken", stack.deliver(newer).delivered)
            return super().send_records(upload, timeout=timeout)

    stack.amazon = ChangingAmazon()
    stack.deliver(older, change("c@b.co", at=1, member="m2"))
    first = next(
        body for body, _ in stack.jobs.bodies if [each.member for each in JobMessage.from_body(body).members] == ["m1"]
    )
    (check,) = stack.check_jobs(JobReport("SUCCEEDED", rejected={"m1": "no"}), first)
    assert (check.parked, stack.dead_letters.bodies) == (0, [])


def test_a_change_that_a_job_rejects_is_parked_in_the_second_in_which_it_was_sent(stack: WorkerStack) -> None:
    stack.now += 0.9
    stack.deliver(change("a@b.co", at=1))
    assert [check.parked for check in stack.check_jobs(JobReport("SUCCEEDED", rejected={"m1": "no"}))] == [1]


@pytest.mark.parametrize("exits", [False, True], ids=["enter", "exit"])
def test_a_change_of_a_member_with_more_identities_than_a_row_can_hold_is_delivered(
    stack: WorkerStack, exits: bool
) -> None:
    many = change(*(f"{number}@b.co" for number in range(9_900)), at=1, exits=True)
    stack.write(many)  # nearly 400 KB, the limit of DynamoDB
    own = {digest(f"new-{number}@b.co") for number in range(90)}
    more = [change(*(f"{at}-{number}@b.co" for number in range(90)), at=at, exits=exits) for at in range(2, 9)]
    report = stack.deliver(*more, change(*(f"new-{number}@b.co" for number in range(90)), at=9, exits=exits))
    assert (report.delivered, report.deferred) == (1, [])
    assert {name for upload in stack.amazon.uploads for record in upload for name in named_in(record)} >= own


def test_a_table_that_throttles_single_statements_slows_a_piece_and_does_not_send_it_home(stack: WorkerStack) -> None:
    everyone = [change("a@b.co", at=1, member=f"m{number}") for number in range(60)]
    with fault_proxy(stack.url) as proxy:
        for code in ("ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded"):
            proxy.on(WRITE, fail_statements(code, 0, 3, 9), times=1)
        report = replace(stack, url=proxy.url).deliver(*everyone)
    assert (report.delivered, report.requeued, report.deferred) == (60, 0, [])
    assert len(stack.amazon.uploads) == 1, "in one piece"
    assert 0 < sum(stack.pauses) <= sum(PAUSES)


def test_members_that_stay_throttled_are_deferred_and_the_others_are_delivered(stack: WorkerStack) -> None:
    everyone = [change("a@b.co", at=1, member=f"m{number}") for number in range(3)]
    with fault_proxy(stack.url) as proxy:
        proxy.on(WRITE, fail_statements("ThrottlingError", 0))
        report = replace(stack, url=proxy.url).deliver(*everyone)
    assert (report.delivered, report.requeued, stack.amazon.active()) == (2, 1, {"m1", "m2"})
    assert stack.deliver(*ChangeMessage.from_body(stack.queue.drain()[0]).changes).delivered == 1
    assert stack.amazon.active() == {"m0", "m1", "m2"}


def test_a_table_that_refuses_one_member_is_not_asked_for_all_the_others(stack: WorkerStack) -> None:
    everyone = [change("a@b.co", at=1, member=f"m{number}") for number in range(1000)]
    with fault_proxy(stack.url) as proxy:
        proxy.on(WRITE, refuse("InternalServerError", 500))
        report = replace(stack, url=proxy.url).deliver(*everyone)
        assert (report.delivered, len(report.deferred), stack.amazon.uploads) == (0, 1, [])
        assert proxy.count(WRITE) <= 2 * THREADS, "those that were running already"


def test_changes_that_a_slow_table_has_recorded_are_sent_in_time(stack: WorkerStack) -> None:
    with fault_proxy(stack.url) as proxy:
        # Two seconds for each batch of rows: sixty seconds do not suffice for all of them.
        slow = replace(stack, url=proxy.url, monotonic=lambda: 2.0 * proxy.count(WRITE))
        everyone = [change("a@b.co", at=1, member=f"m{number}") for number in range(400)]
        report = slow.deliver(*everyone)
    assert report.delivered == len(stack.amazon.active()) >= 100, "17 seconds; an upload may need the rest"
    assert (report.requeued, report.deferred) == (1, [])
    left = [change for body in stack.queue.drain() for change in ChangeMessage.from_body(body).changes]
    assert report.delivered + len(left) == 400


def test_when_the_table_does_not_answer_all_messages_are_deferred() -> None:
    stack = WorkerStack("http://127.0.0.1:9", "members")
    report = stack.deliver(change("a@b.co", at=1))
    assert [deferred.reason for deferred in report.deferred] == ["unavailable"]
    assert (report.delivered, stack.amazon.uploads) == (0, [])


def test_changes_that_cannot_be_read_back_are_not_acknowledged(
    stack: WorkerStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def versions(*_: object) -> dict[tuple[str, str], str]:
        raise Unavailable("throttled")

    monkeypatch.setattr(MembershipTable, "versions", versions)
    report = stack.deliver(change("a@b.co", at=1))
    assert [deferred.reason for deferred in report.deferred] == ["unavailable"]
    assert report.delivered == 0


def test_changes_whose_date_cannot_be_written_after_the_upload_are_not_acknowledged(stack: WorkerStack) -> None:
    stack.amazon.fails = ServiceUnavailable("503")
    stack.deliver(change("a@b.co", at=1))
    with fault_proxy(stack.url) as proxy:
        proxy.on(WRITE, refuse("InternalServerError", 500))
        report = replace(stack, url=proxy.url).deliver(change("a@b.co", at=1), receives=2)
    assert ([deferred.reason for deferred in report.deferred], report.delivered) == (["unavailable"], 0)


def test_changes_whose_repetition_cannot_be_queued_are_not_acknowledged(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.queue.down = True
    report = stack.deliver(change("a@b.co", at=2, exits=True))
    assert ([deferred.reason for deferred in report.deferred], report.delivered) == (["unavailable"], 0)


def test_an_unknown_outcome_keeps_its_settle_time_where_the_table_fails_afterwards(
    stack: WorkerStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.limits = replace(LIMITS, max_bytes=300)  # one record in an upload

    def versions(*_: object) -> dict[tuple[str, str], str]:
        raise Unavailable("throttled")

    class LosingAmazon(Amazon):
        def send_records(self, upload: Upload, *, timeout: float) -> str:
            self.fails = OutcomeUnknown("timeout") if self.uploads else None
            return super().send_records(upload, timeout=timeout)

    stack.amazon = LosingAmazon()
    monkeypatch.setattr(MembershipTable, "versions", versions)
    report = stack.deliver(*(change("a@b.co", at=1, member=f"m{number}") for number in range(2)))
    assert report.delivered == 0
    assert [deferred.delay for deferred in report.deferred] == [LIMITS.settle]


def test_a_change_that_waits_costs_one_write_at_first_none_while_attempts_fail_and_one_in_the_end(
    stack: WorkerStack,
) -> None:
    def writes(receives: int) -> int:
        stack.calls.clear()
        report = stack.deliver(change("a@b.co", at=1), receives=receives)
        assert report.delivered == int(stack.amazon.down is None)
        return stack.calls.count(WRITE)

    stack.amazon.down = ServiceUnavailable("503")
    assert writes(1) == 1
    assert [writes(1 + attempt % 11) for attempt in range(1, 21)] == [0] * 20
    stack.amazon.down = None
    assert writes(9) == 1
    assert stack.amazon.active() == {"m1"}


def test_while_nothing_may_be_sent_a_change_costs_neither_a_write_nor_a_read(stack: WorkerStack) -> None:
    stack.gate.error = CircuitOpen("open", retry_after=30)
    report = stack.deliver(change("a@b.co", at=1))
    assert [(deferred.reason, deferred.delay >= 30) for deferred in report.deferred] == [("circuit_open", True)]
    assert (stack.calls, stack.amazon.uploads) == ([], [])


def test_a_row_that_cannot_be_read_holds_back_no_other_member(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1), change("c@d.co", at=1, member="m2"))
    stack.client().put_item(TableName=stack.table, Item=stack.row() | {"member": {"B": b"{}"}})
    report = stack.deliver(change(at=2, exits=True), change(at=2, exits=True, member="m2"))
    assert [each.reason for each in report.deferred] == []
    assert (report.delivered, report.requeued) == (1, 1)
    assert stack.amazon.active() == {"m1"}
    (left,) = (ChangeMessage.from_body(body) for body, delay in stack.queue.bodies if delay < JOB)
    assert [each.member[1] for each in left.changes] == ["m1"]


def test_a_superseded_change_costs_no_write(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=5, exits=True))
    stack.calls.clear()
    assert stack.deliver(change("a@b.co", at=4)).superseded == 1
    assert stack.calls == [READ]


def test_a_thousand_members_are_recorded_sent_and_read_back(stack: WorkerStack) -> None:
    everyone = [change("a@b.co", at=1, member=f"m{number}") for number in range(1000)]
    with counted_steps() as steps:
        assert stack.deliver(*everyone).delivered == 1000
    assert steps.lines < 1000 * 3_000, "lines of Python; some 700 for each member"
    assert Counter(stack.calls) == {WRITE: 40, READ: 10 + 10 + 10}  # rows, deletion notices of new members, versions
    assert len(stack.amazon.uploads) == 1
    assert len(stack.amazon.active()) == 1000


def test_a_thousand_changes_of_each_kind_cost_what_the_documentation_says(stack: WorkerStack) -> None:
    def cost(at: int, *, exits: bool = False) -> dict[str, int]:
        stack.calls.clear()
        stack.now += 2 * LIMITS.effective_after
        stack.deliver(*(change("a@b.co", at=at, member=f"m{number}", exits=exits) for number in range(1000)))
        return dict(Counter(stack.calls))

    in_batches = {WRITE: 1000 // 25, READ: 2 * 1000 // 100}
    assert cost(at=5) == in_batches | {READ: 3 * 1000 // 100}, "enters of new members"
    assert cost(at=6) == in_batches, "enters of members who are in"
    assert cost(at=7, exits=True) == in_batches, "exits"
    assert cost(at=8) == in_batches, "enters of members who left"
    assert cost(at=4) == {READ: 1000 // 100}, "superseded changes"
