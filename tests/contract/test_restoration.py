"""Rows are lost and copied from an older table: whatever happened to a person in between, Amazon is told."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest

from audience_sync.aws.membership_rows import StoredMember, stored_member
from audience_sync.members.erasure.status import Progress
from audience_sync.members.member_state import MemberState
from audience_sync.members.membership import EVERY_AUDIENCE, Audience, Member, MembershipChange
from audience_sync_cli.members.restoration import Outcomes, Restoration, RowOutcome
from tests.support.builders import AUDIENCE, sha256
from tests.support.worker_stack import SHARDING, WorkerStack, change, notice

DAY = 86_400  # seconds


class Older:
    """The rows of a stack's table at one moment."""

    def __init__(self, stack: WorkerStack) -> None:
        found = map(stored_member, stack.client().scan(TableName=stack.table)["Items"])
        self.rows = {each.state.member: each for each in found}

    def read(self, members: Iterable[Member]) -> dict[Member, MemberState]:
        return {member: self.rows[member].state for member in members if member in self.rows}

    def pages(self) -> Iterator[list[StoredMember]]:
        for is_notice in (True, False):
            yield [each for member, each in self.rows.items() if (member[0] == EVERY_AUDIENCE) is is_notice]


@pytest.fixture
def older(stack: WorkerStack) -> Older:
    """Enter a member, and lose the row. The stack belongs to the API that its destination says."""
    stack.audiences = [Audience(AUDIENCE, destination=stack.destination)]
    stack.deliver(change("a@b.co", at=5))
    stack.rest()
    stack.now += 2 * DAY
    older = Older(stack)
    stack.client().delete_item(TableName=stack.table, Key=SHARDING.key_of((AUDIENCE, "m1")))
    return older


def restore(stack: WorkerStack, older: Older) -> Outcomes:
    """Copy the rows while delivery is paused, and resume it."""

    def send(bodies: Iterable[str]) -> None:
        stack.queue.send([*bodies], deadline=math.inf)

    restoration = Restoration(older.read, stack.members(), [AUDIENCE], stack.limits.timings, send)
    return restoration.run(older.pages(), stack.now, writes=True, on_rows=lambda _: None)


def removed(stack: WorkerStack) -> list[set[str]]:
    """The digests of each removal, as it was sent."""
    return [
        {identity["email"] for identity in record["hashedPII"]}
        for records in stack.amazon.uploads
        for record in records
        if record["action"] == "DELETE" and not record.get("ignored")
    ]


def test_a_person_whose_deletion_notice_found_no_row_is_removed_and_erased(stack: WorkerStack, older: Older) -> None:
    stack.deliver(notice(at=10))
    stack.rest()
    assert (stack.amazon.active(), removed(stack)) == ({"m1"}, [])
    assert restore(stack, older)[AUDIENCE] == {RowOutcome.TO_REMOVE: 1}
    assert stack.state().active == (), "nobody is active against a notice, also while the worker is paused"
    stack.rest()
    assert removed(stack) == [{sha256("a@b.co")}]
    assert stack.amazon.active() == set()
    assert not stack.holds("a@b.co")


def test_the_erasure_of_a_person_whose_notice_found_no_row_is_proven(stack: WorkerStack, older: Older) -> None:
    stack.deliver(notice(at=10))
    stack.rest()
    assert stack.erasure().progress is Progress.UNKNOWN
    restore(stack, older)
    stack.rest()
    assert stack.erasure().progress is Progress.CLOSED
    assert stack.amazon.deleted == ([["m1"]] if stack.destination else [])


def test_a_person_who_denied_consent_is_removed_or_deleted_from_a_dataset(stack: WorkerStack, older: Older) -> None:
    stack.deliver(notice(at=10, denies=True))
    stack.rest()
    restore(stack, older)
    stack.rest()
    assert stack.amazon.active() == set()
    assert not stack.holds("a@b.co")


def test_a_person_who_left_without_identifiers_is_removed(stack: WorkerStack, older: Older) -> None:
    stack.deliver(change(at=10, exits=True))
    stack.rest()
    assert stack.amazon.active() == {"m1"}
    assert restore(stack, older)[AUDIENCE] == {RowOutcome.TO_REMOVE: 1}
    stack.rest()
    assert removed(stack)[-1] == {sha256("a@b.co")}
    assert stack.amazon.active() == set()


def test_a_restored_earlier_address_is_removed_with_the_next_exit(stack: WorkerStack, older: Older) -> None:
    stack.deliver(change("new@b.co", at=10))
    stack.rest()
    uploads = len(stack.amazon.uploads)
    assert restore(stack, older)[AUDIENCE] == {RowOutcome.MERGED: 1}
    stack.rest()
    assert len(stack.amazon.uploads) == uploads, "both are in the audience already"
    stack.now += DAY
    stack.deliver(change(at=20, exits=True))
    stack.rest()
    assert removed(stack)[-1] == {sha256("a@b.co"), sha256("new@b.co")}
    assert stack.amazon.active() == set()


def test_the_address_of_an_earlier_life_is_removed_and_the_new_one_stays(stack: WorkerStack, older: Older) -> None:
    stack.deliver(change(at=10, exits=True))
    stack.deliver(change("new@b.co", at=11))
    stack.rest()
    assert restore(stack, older)[AUDIENCE] == {RowOutcome.TO_REMOVE: 1}
    stack.rest()
    assert stack.amazon.members["m1"] == {sha256("new@b.co")}


def test_a_person_who_returned_after_a_notice_keeps_only_the_new_address(stack: WorkerStack, older: Older) -> None:
    stack.deliver(notice(at=10))
    stack.rest()
    stack.deliver(change("new@b.co", at=11))
    stack.rest()
    assert restore(stack, older)[AUDIENCE] == {RowOutcome.TO_REMOVE: 1}
    stack.rest()
    assert stack.amazon.members["m1"] == {sha256("new@b.co")}
    assert (stack.holds("a@b.co"), stack.holds("new@b.co")) == (False, True)
    assert stack.amazon.deleted == ([["m1"]] if stack.destination else [])


def test_a_restored_row_is_reviewed_even_if_no_review_was_left(stack: WorkerStack, older: Older) -> None:
    stack.deliver(change(at=9, exits=True))  # of a row that is lost, without consent
    stack.deliver(notice(at=10, denies=True))
    stack.rest()
    assert stack.amazon.deleted == []
    restore(stack, older)
    stack.rest()
    assert (stack.amazon.active(), len(stack.amazon.deleted)) == (set(), int(bool(stack.destination)))


@pytest.mark.parametrize("change_", [notice(at=10), change(at=10, exits=True)], ids=["notice", "exit"])
def test_restoring_twice_changes_nothing(stack: WorkerStack, older: Older, change_: MembershipChange) -> None:
    stack.deliver(change_)
    stack.rest()
    restore(stack, older)
    row, queued = stack.row(), len(stack.queue.messages)
    assert restore(stack, older)[AUDIENCE] == {RowOutcome.NEWER_HERE: 1}
    assert (stack.row(), len(stack.queue.messages)) == (row, queued)
    stack.rest()
    row, uploads = stack.row(), len(stack.amazon.uploads)
    assert restore(stack, older)[AUDIENCE] == {RowOutcome.NEWER_HERE: 1}
    stack.rest()
    assert (stack.row(), len(stack.amazon.uploads)) == (row, uploads)


def test_hashes_erased_from_a_row_that_was_not_lost_stay_erased(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=5))
    stack.rest()
    older = Older(stack)
    stack.now += 2 * DAY
    stack.deliver(notice(at=10))
    stack.rest()
    assert restore(stack, older)[AUDIENCE] == {RowOutcome.NEWER_HERE: 1}
    assert not stack.holds("a@b.co")


def test_a_removal_still_due_when_the_row_was_lost_is_sent(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=5))
    stack.deliver(change(at=6, exits=True))
    older = Older(stack)
    stack.client().delete_item(TableName=stack.table, Key=SHARDING.key_of((AUDIENCE, "m1")))
    stack.rest()
    stack.now += DAY
    uploads = len(removed(stack))
    assert restore(stack, older)[AUDIENCE] == {RowOutcome.TO_REMOVE: 1}
    stack.rest()
    assert len(removed(stack)) == uploads + 1


def test_an_exit_from_before_the_loss_is_not_sent_again(stack: WorkerStack, older: Older) -> None:
    left = replace(older.rows[AUDIENCE, "m1"].state, revision=0)
    stack.members().write([left])
    stack.deliver(change(at=6, exits=True))
    stack.rest()
    older = Older(stack)
    stack.client().delete_item(TableName=stack.table, Key=SHARDING.key_of((AUDIENCE, "m1")))
    assert restore(stack, older)[AUDIENCE] == {RowOutcome.COPIED: 1}
    assert stack.queue.messages == []
