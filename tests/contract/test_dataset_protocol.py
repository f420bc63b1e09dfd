"""The protocol on a dataset of Ads Data Manager: consent of removals, ten identities, refused members, erasure."""

from dataclasses import replace
from typing import Any

import pytest

from audience_sync.amazon_ads.destination import amc_connection
from audience_sync.amazon_ads.job import JobReport
from audience_sync.errors import ServiceUnavailable
from audience_sync.ingest.record_rules import erasing_exit
from audience_sync.members.dead_letters import DeadLetter
from audience_sync.members.erasure_steps import StepKind
from audience_sync.members.job_messages import JobMessage
from audience_sync.members.member_step import KEEP_REMOVED
from audience_sync.members.membership import Identity
from audience_sync.members.messages import ChangeMessage
from tests.support.builders import AUDIENCE, sha256
from tests.support.worker_stack import DATASET, GRANTED, NOW, WorkerStack, change, dataset_stack, named_in

NOTICE = change(at=2, exits=True, erase=True)
DENIED = replace(erasing_exit("m1", 2, "denial", denies_consent=True), audience_id=AUDIENCE, destination=DATASET)


@pytest.fixture
def stack() -> WorkerStack:
    return dataset_stack()


def consents(stack: WorkerStack, action: str = "DELETE") -> list[dict[str, Any]]:
    records = (record for upload in stack.amazon.uploads for record in upload)
    return [record["userConsent"] for record in records if record["action"] == action]


def redrive(stack: WorkerStack) -> None:
    for body in stack.dead_letters.drain():
        for redriven in DeadLetter.from_body(body).redrive_bodies():
            stack.deliver_body(redriven)


def test_a_removal_carries_the_consent_under_which_its_member_was_added(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1, consent=GRANTED | {"geo": {"ipAddress": "203.0.113.9"}}))
    stack.deliver(change(at=2, exits=True))
    stack.rest()
    assert consents(stack) == [GRANTED] * 2, "the repetition also; without the address"


def test_a_removal_of_an_earlier_life_carries_the_consent_of_the_enter_after_it(stack: WorkerStack) -> None:
    later = {"consent": GRANTED["consent"] | {"gpp": "DBAA"}}
    stack.deliver(change("old@b.co", at=1))
    stack.now += 2 * stack.effective
    stack.deliver(change("new@b.co", at=5, consent=later))
    stack.now += 2 * stack.effective
    stack.deliver(change(at=3, exits=True))
    stack.rest()
    assert consents(stack) == [later]
    assert stack.amazon.members["m1"] == {sha256("new@b.co")}


def test_an_exit_without_a_row_is_sent_without_consent(stack: WorkerStack) -> None:
    assert stack.deliver(change("a@b.co", at=2, exits=True)).delivered == 1
    assert consents(stack) == [{}]


def test_an_enter_carries_the_ten_newest_identities_and_a_removal_all(stack: WorkerStack) -> None:
    for at in range(1, 26):
        stack.deliver(change(f"{at}@b.co", at=at))
    assert named_in(stack.amazon.uploads[-1][0]) == {sha256(f"{at}@b.co") for at in range(16, 26)}
    stack.deliver(change(at=30, exits=True))
    assert stack.amazon.active() == set()
    assert [len(upload[0]["hashedPII"]) for upload in stack.amazon.uploads[-3:]] == [10, 10, 5]


def test_one_event_for_two_audiences_has_a_row_and_a_job_for_each(stack: WorkerStack) -> None:
    main = change("a@b.co", at=1, audience_id="5", destination=amc_connection("c-1"))
    assert stack.deliver(main, change("a@b.co", at=1)).delivered == 2
    assert sorted(target.audience_id for target in stack.amazon.targets) == [AUDIENCE, "5"]
    (job,) = stack.jobs.drain()
    assert JobMessage.from_body(job).audience_id == "5", "an upload to a dataset has no job"
    stack.check_jobs(JobReport("FAILED"), job)
    (repetition,) = map(ChangeMessage.from_body, stack.queue.drain())
    assert repetition.audience_id == "5"
    states = stack.members().read([("5", "m1"), (AUDIENCE, "m1")])
    assert [bool(states[audience_id, "m1"].enter_sent) for audience_id in ("5", AUDIENCE)] == [True, True]


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


@pytest.mark.parametrize("left", [False, True], ids=["first life", "second life"])
def test_a_late_deletion_notice_makes_a_present_member_enter_again(stack: WorkerStack, left: bool) -> None:
    """The notice may delete the member's identities from this dataset too, because of a different one."""
    if left:
        stack.deliver(change("a@b.co", at=3))
        stack.deliver(change("a@b.co", at=4, exits=True))
        stack.rest()
        stack.now += 2 * stack.limits.timings.longest_job
    stack.deliver(change("b@b.co", at=5))
    stack.deliver(erasing_exit("m1", 2, "notice"))
    entered = len(consents(stack, "CREATE"))
    again = stack.now + 2 * stack.effective
    stack.rest()
    assert (len(consents(stack, "CREATE")), stack.now >= again) == (entered + 1, True)
    stack.deliver(erasing_exit("m1", 2, "notice"))
    stack.rest()
    assert len(consents(stack, "CREATE")) == entered + 1, "once"


def test_an_enter_soon_after_a_deletion_notice_waits_even_if_this_audience_removed_nothing(stack: WorkerStack) -> None:
    """The person's identities may still be deleted on account of another dataset."""
    notice = erasing_exit("m1", 2, "notice")
    stack.deliver(notice)
    stack.queue.drain()
    report = stack.deliver(change("a@b.co", at=3))
    assert (report.waiting, stack.amazon.uploads) == ({AUDIENCE: 1}, [])
    assert stack.rest() == {"delivered": 1}
    assert stack.now >= NOW + stack.effective


def test_a_notice_erases_hashes_from_the_row_once_the_last_removal_took_effect(stack: WorkerStack) -> None:
    stack.deliver(*(change(f"{number}@b.co", at=1, message_id=f"{number}") for number in range(12)))
    stack.deliver(NOTICE)
    stack.rest()
    assert not any(stack.holds(f"{number}@b.co") for number in range(12))
    assert stack.now >= NOW + stack.effective + stack.limits.timings.longest_job + stack.effective
    assert stack.amazon.active() == set()
    assert {step.kind for step in stack.state().erasure} == {StepKind.REMOVAL}


def test_a_removal_without_consent_does_not_count_as_proof_of_erasure(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1, consent={"consent": {"tcf": "C1"}}))
    stack.deliver(NOTICE)
    stack.rest()
    assert (stack.holds("a@b.co"), stack.state().erasure) == (False, ())


@pytest.mark.parametrize("is_in_row", [True, False], ids=["of the row", "of an exit with traits"])
def test_denied_consent_sends_no_removal_and_erases_the_hashes(stack: WorkerStack, is_in_row: bool) -> None:
    if is_in_row:
        stack.deliver(change("a@b.co", at=1))
    stack.deliver(DENIED if is_in_row else replace(DENIED, identities=(Identity(2, {"email": "a" * 64}),)))
    uploads = len(stack.amazon.uploads)
    assert (uploads, stack.state().identities, stack.state().newest.exits) == (int(is_in_row), (), True)
    stack.deliver(change("b@b.co", at=9, exits=True))
    stack.rest()
    assert (len(stack.amazon.uploads), stack.state().identities) == (uploads, ())


def test_a_member_who_consents_again_after_a_denial_enters_after_the_wait(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.deliver(DENIED, change("b@b.co", at=9))
    stack.rest()
    assert stack.amazon.members["m1"] >= {sha256("b@b.co")}
    assert stack.now >= NOW + 2 * stack.effective
    assert [upload[0]["action"] for upload in stack.amazon.uploads] == ["CREATE", "CREATE"]


@pytest.mark.parametrize("consent", [{}, None], ids=["an empty one", "none"])
def test_an_exit_that_states_no_consent_carries_the_consent_of_the_row(
    stack: WorkerStack, consent: dict[str, Any] | None
) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.now += 2 * stack.effective
    stack.deliver(change(at=2, exits=True, destination=stack.destination, consent=consent))
    assert (consents(stack), stack.amazon.active()) == ([GRANTED], set())


def test_a_removal_that_could_not_be_tracked_is_repeated_and_erases_the_row(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.now += 2 * (stack.effective + stack.limits.timings.longest_job)
    stack.jobs.down = True
    assert stack.deliver(NOTICE).delivered == 0
    stack.jobs.down = False
    (untracked,) = stack.queue.bodies
    assert "untracked" in untracked
    assert stack.rest() == {"delivered": 1}
    assert not stack.holds("a@b.co")


@pytest.mark.parametrize("how", ["refused", "not answered"])
def test_a_removal_that_failed_keeps_its_identities_until_one_is_accepted(stack: WorkerStack, how: str) -> None:
    """Otherwise an enter a month later would drop them although they are at Amazon."""
    stack.deliver(change("a@b.co", at=1))
    stack.now += 2 * stack.effective
    stack.amazon.refuses = {"m1"} if how == "refused" else set()
    stack.amazon.down = ServiceUnavailable("503") if how == "not answered" else None
    exit_ = change(at=2, exits=True)
    stack.deliver(exit_)
    assert stack.state().removal_owed
    stack.amazon.refuses, stack.amazon.down = set(), None
    stack.now += KEEP_REMOVED + 1
    stack.deliver(change("b@b.co", at=9))
    assert len(stack.state().to_remove) == 1
    stack.deliver(exit_, receives=2)
    stack.rest()
    assert (stack.state().removal_owed, stack.amazon.members["m1"]) == (False, {sha256("b@b.co")})
