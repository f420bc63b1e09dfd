"""The protocol on a dataset of Ads Data Manager: consent of removals, ten identities, refused members, erasure."""

from typing import Any

import pytest

from audience_sync.amazon_ads import apis
from audience_sync.amazon_ads.destination import of_connection
from audience_sync.amazon_ads.job import JobReport
from audience_sync.amazon_ads.upload import Request, UploadSize
from audience_sync.delivery.batch import Message
from audience_sync.erasure import StepKind
from audience_sync.errors import AccessDenied, ServiceUnavailable, Throttled
from audience_sync.ingest.record_rules import erasing_exit
from audience_sync.messages import DeadLetter, JobMessage, pack
from tests.builders import AUDIENCE
from tests.contract.worker_stack import GRANTED, NOW, WorkerStack, change, dataset_stack, digest, named_in
from tests.doubles.queues import Queued

NOTICE = change(at=2, exits=True, erase=True)


@pytest.fixture
def stack() -> WorkerStack:
    return dataset_stack()


def consents(stack: WorkerStack, action: str = "DELETE") -> list[dict[str, Any]]:
    records = (record for upload in stack.amazon.uploads for record in upload)
    return [record["userConsent"] for record in records if record["action"] == action]


def deleted(stack: WorkerStack) -> set[str]:
    """The digests in the requests to delete identities."""
    sets = [each["identity"]["hashedPiis"] for one in stack.amazon.deleted for each in one if "identity" in each]
    return {digests["em"] for some in sets for digests in some}


def redrive(stack: WorkerStack) -> None:
    for body in stack.dead_letters.drain():
        for redriven in DeadLetter.from_body(body).redrive_bodies():
            stack.deliver_body(redriven)


def test_a_removal_carries_the_consent_under_which_its_member_was_added(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1, record={"userConsent": GRANTED | {"geo": {"ipAddress": "203.0.113.9"}}}))
    stack.deliver(change(at=2, exits=True))
    stack.rest()
    assert consents(stack) == [GRANTED] * 2, "the repetition also; without the address"


def test_a_removal_of_an_earlier_life_carries_the_consent_of_the_enter_after_it(stack: WorkerStack) -> None:
    later = {"consent": GRANTED["consent"] | {"gpp": "DBAA"}}
    stack.deliver(change("old@b.co", at=1))
    stack.now += 2 * stack.effective
    stack.deliver(change("new@b.co", at=5, record={"userConsent": later}))
    stack.now += 2 * stack.effective
    stack.deliver(change(at=3, exits=True))
    stack.rest()
    assert consents(stack) == [later]
    assert stack.amazon.members["m1"] == {digest("new@b.co")}


def test_an_exit_of_somebody_without_a_row_is_sent_without_consent_and_amazon_ignores_it(stack: WorkerStack) -> None:
    assert stack.deliver(change("a@b.co", at=2, exits=True)).delivered == 1
    assert consents(stack) == [{}]


def test_an_enter_carries_the_ten_identities_named_last_and_a_removal_all(stack: WorkerStack) -> None:
    for at in range(1, 26):
        stack.deliver(change(f"{at}@b.co", at=at))
    assert named_in(stack.amazon.uploads[-1][0]) == {digest(f"{at}@b.co") for at in range(16, 26)}
    stack.deliver(change(at=30, exits=True))
    assert stack.amazon.active() == set()
    assert [len(upload[0]["hashedPII"]) for upload in stack.amazon.uploads[-3:]] == [10, 10, 5]


def test_the_changes_of_one_event_for_two_audiences_have_rows_jobs_and_ends_of_their_own(stack: WorkerStack) -> None:
    main = change("a@b.co", at=1, audience_id="5", destination=of_connection("c-1"))
    assert stack.deliver(main, change("a@b.co", at=1)).delivered == 2
    assert sorted(target.audience_id for target in stack.amazon.targets) == [AUDIENCE, "5"]
    (job,) = stack.jobs.drain()
    assert JobMessage.from_body(job).audience_id == "5", "an upload to a dataset has no job"
    stack.check_jobs(JobReport("FAILED"), job)
    (letter,) = map(DeadLetter.from_body, stack.dead_letters.drain())
    assert [each.audience_id for each in letter.changes] == ["5"]
    states = stack.members().read([("5", "m1"), (AUDIENCE, "m1")])
    assert [bool(states[audience_id, "m1"].entered) for audience_id in ("5", AUDIENCE)] == [True, True]


@pytest.mark.parametrize("exits", [False, True], ids=["enter", "exit"])
def test_a_refused_member_is_parked_and_redriven(stack: WorkerStack, exits: bool) -> None:
    if exits:
        stack.deliver(change("a@b.co", at=1))
        stack.now += 2 * stack.effective
    stack.amazon.refuses = {"m1"}
    report = stack.deliver(change("a@b.co", at=2, exits=exits), change("c@d.co", at=2, member="m2"))
    assert (report.delivered, report.parked) == (1, 1)
    assert stack.amazon.active() == ({"m1", "m2"} if exits else {"m2"})
    stack.amazon.refuses = set()
    redrive(stack)
    assert stack.amazon.active() == ({"m2"} if exits else {"m1", "m2"})


def test_identities_are_deleted_although_amazon_refuses_the_removal_before_it(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.amazon.refuses = {"m1"}
    assert stack.deliver(NOTICE, change("c@d.co", at=2, member="m2")).parked == 1
    assert deleted(stack) == {digest("a@b.co")}
    assert stack.amazon.active() == {"m2"}


def test_after_a_notice_the_digests_leave_the_row_when_the_last_removal_has_taken_effect(stack: WorkerStack) -> None:
    stack.deliver(*(change(f"{number}@b.co", at=1, message_id=f"{number}") for number in range(12)))
    stack.deliver(NOTICE)
    emails = [f"{number}@b.co" for number in range(12)]
    assert deleted(stack) == set(map(digest, emails))
    stack.rest()
    assert not any(stack.holds(email) for email in emails)
    assert stack.now >= NOW + stack.effective + stack.limits.longest_job + stack.effective
    assert stack.amazon.active() == set()


def test_a_notice_older_than_the_exit_also_deletes_the_identities(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.deliver(change(at=3, exits=True))
    stack.deliver(NOTICE)
    assert deleted(stack) == {digest("a@b.co")}


def test_where_the_person_is_back_elsewhere_identities_are_deleted_once(stack: WorkerStack) -> None:
    """They are deleted in all datasets, the one also that the person has entered since."""
    stack.deliver(change("a@b.co", at=1))
    stack.deliver(NOTICE)
    stack.rest()
    removals = [upload for upload in stack.amazon.uploads if upload[0]["action"] == "DELETE"]
    assert (len(removals), len(stack.amazon.deleted)) == (3, 1)


def test_identities_are_deleted_again_if_denied_consent_leaves_no_other_way_to_remove_a_late_enter(
    stack: WorkerStack,
) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.deliver(erasing_exit("m1", 2, "denial", denies_consent=True))
    assert stack.rest() == {"delivered": 1}
    assert (len(stack.amazon.uploads), len(stack.amazon.deleted)) == (2, 2), "when the enter has taken effect"
    assert not stack.holds("a@b.co")


@pytest.mark.parametrize("left", [False, True], ids=["first life", "second life"])
def test_a_member_who_entered_before_a_late_notice_arrives_is_entered_again(stack: WorkerStack, left: bool) -> None:
    """The notice may delete the member's identities from this dataset too, on account of another one."""
    if left:
        stack.deliver(change("a@b.co", at=3))
        stack.deliver(change("a@b.co", at=4, exits=True))
        stack.rest()
        stack.now += 2 * stack.limits.longest_job
    stack.deliver(change("b@b.co", at=5))
    stack.deliver(erasing_exit("m1", 2, "notice"))
    entered = len(consents(stack, "CREATE"))
    again = stack.now + 2 * stack.effective
    stack.rest()
    assert (len(consents(stack, "CREATE")), stack.now >= again) == (entered + 1, True)
    stack.deliver(erasing_exit("m1", 2, "notice"))
    stack.rest()
    assert len(consents(stack, "CREATE")) == entered + 1, "once"


def test_an_enter_soon_after_a_notice_waits_although_nothing_of_the_member_is_removed_here(stack: WorkerStack) -> None:
    """The person's identities may still be deleted on account of another dataset."""
    notice = erasing_exit("m1", 2, "notice")
    stack.deliver(notice)
    stack.queue.drain()
    report = stack.deliver(change("a@b.co", at=3))
    assert (report.waiting, stack.amazon.uploads) == ({AUDIENCE: 1}, [])
    assert stack.rest() == {"delivered": 1}
    assert stack.now >= NOW + stack.effective


def test_while_identities_cannot_be_deleted_the_row_keeps_them_for_another_attempt(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.now += 2 * (stack.effective + stack.limits.longest_job)
    stack.amazon.deletion_fails = AccessDenied("manager accounts only", status=403)
    assert stack.deliver(NOTICE).parked == 1
    stack.rest()
    assert stack.holds("a@b.co")
    stack.amazon.deletion_fails = None
    redrive(stack)
    assert deleted(stack) == {digest("a@b.co")}
    stack.rest()
    assert not stack.holds("a@b.co")


def test_a_repeated_removal_keeps_the_identities_whose_deletion_is_parked(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.amazon.deletion_fails = AccessDenied("manager accounts only", status=403)
    assert stack.deliver(NOTICE).parked == 1
    stack.amazon.deletion_fails = None
    stack.rest()  # the removal is repeated
    assert (deleted(stack), stack.holds("a@b.co")) == (set(), True)
    redrive(stack)
    assert deleted(stack) == {digest("a@b.co")}
    stack.rest()
    assert not stack.holds("a@b.co")


def set_aside(stack: WorkerStack) -> str:
    """Take the message out of the queue whose member is removed, and whose identities are still to be deleted."""
    (again,) = (each for each in stack.queue.messages if '"removed":true' in each.body)
    stack.queue.messages.remove(again)
    return again.body


def test_while_a_deletion_fails_the_removal_before_it_is_not_sent_again_until_it_is_due(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.amazon.deletion_fails = ServiceUnavailable("503")
    stack.deliver(NOTICE)
    for receives in (1, 2):
        stack.now += 300
        (deferred,) = stack.deliver_body(set_aside(stack), receives=receives).deferred
        assert removals(stack) == 1
        stack.queue.messages.append(Queued(deferred.message.body, 0, stack.now))
    stack.now += stack.effective
    stack.deliver_body(set_aside(stack), receives=3)
    assert removals(stack) == 2, "the enter may have taken effect after the first one"


def test_a_removal_in_parts_is_sent_again_with_the_deletion_that_stopped_it(stack: WorkerStack) -> None:
    stack.deliver(*(change(f"{n}@b.co", at=1, message_id=str(n)) for n in range(11)))
    stack.now += 2 * (stack.effective + stack.limits.longest_job)
    stack.amazon.deletion_fails = ServiceUnavailable("503")
    (deferred,) = stack.deliver(NOTICE).deferred
    stack.amazon.deletion_fails = None
    stack.deliver_messages(deferred.message)
    sent = [record for upload in stack.amazon.uploads for record in upload if record["action"] == "DELETE"]
    assert set.union(*map(named_in, sent)) == {digest(f"{n}@b.co") for n in range(11)}


def test_what_comes_with_a_member_who_is_removed_already_is_sent(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.now += 2 * (stack.effective + stack.limits.longest_job)
    stack.amazon.deletion_fails = ServiceUnavailable("503")
    stack.deliver(NOTICE)
    again = set_aside(stack)
    (plain,) = pack([stack.stated(change("b@b.co", at=3, exits=True))])
    messages = [Message(str(n), "h", body, 1, 0) for n, body in enumerate((again, plain))]
    stack.amazon.deletion_fails = None
    stack.deliver_messages(*messages)
    assert removals(stack) == 2
    assert deleted(stack) == {digest("a@b.co"), digest("b@b.co")}


def removals(stack: WorkerStack) -> int:
    """How many records to remove somebody were sent."""
    return sum(record["action"] == "DELETE" for upload in stack.amazon.uploads for record in upload)


def test_a_deletion_that_fails_longer_than_the_removal_is_repeated_is_asked_for_again(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.amazon.deletion_fails = ServiceUnavailable("503")
    stack.deliver(NOTICE)
    again = set_aside(stack)
    stack.rest()
    assert (deleted(stack), stack.holds("a@b.co")) == (set(), True)
    stack.amazon.deletion_fails = None
    stack.deliver_body(again)
    assert deleted(stack) == {digest("a@b.co")}
    stack.rest()
    assert not stack.holds("a@b.co")


def test_while_amazon_throttles_deletions_of_identities_the_other_members_of_the_batch_are_delivered(
    stack: WorkerStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(apis._SIZES, Request.MEMBERS, UploadSize(1, 2_000_000))
    stack.deliver(change("a@b.co", at=1))
    stack.amazon.deletion_fails = Throttled("429", retry_after=900.0)
    report = stack.deliver(NOTICE, change("c@d.co", at=2, member="m2"))
    assert (report.delivered, stack.amazon.active()) == (1, {"m2"})


def test_a_row_keeps_the_uploads_that_erased_it_and_when_they_counted_as_ended(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.now += 2 * (stack.effective + stack.limits.longest_job)
    at = stack.now
    stack.deliver(NOTICE)
    stack.rest()
    removal, deletion = stack.state().erasure
    assert (removal.kind, deletion.kind) == (StepKind.REMOVAL, StepKind.DELETION)
    assert (removal.at, deletion.at) == (at * 1000, at * 1000)
    assert deletion.ended >= (at + stack.effective) * 1000


def test_an_outage_between_the_removal_and_the_deletion_of_identities_loses_neither(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.now += 2 * (stack.effective + stack.limits.longest_job)
    stack.amazon.deletion_fails = ServiceUnavailable("503")
    stack.deliver(NOTICE)
    again = set_aside(stack)
    stack.now += 2 * stack.effective
    stack.check_jobs()
    stack.amazon.deletion_fails = None
    stack.deliver_body(again)
    assert deleted(stack) == {digest("a@b.co")}
    stack.rest()
    assert not stack.holds("a@b.co")


def test_a_removal_whose_time_cannot_be_stored_is_made_again_and_its_row_is_erased(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.now += 2 * (stack.effective + stack.limits.longest_job)
    stack.jobs.down = True
    assert stack.deliver(NOTICE).delivered == 0
    stack.jobs.down = False
    (untracked,) = stack.queue.bodies
    assert "untracked" in untracked
    assert stack.rest() == {"delivered": 1}
    assert (len(stack.amazon.deleted), stack.holds("a@b.co")) == (1, False)
