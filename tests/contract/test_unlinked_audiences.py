"""A deletion reaches audiences that were unlinked, and a person it names is not back when one is listed again."""

from typing import Any

import pytest

from audience_sync.amazon_ads.destination import amc_connection
from audience_sync.amazon_ads.timings import Timings
from audience_sync.amazon_ads.upload import Target
from audience_sync.aws.audience_listing import AudienceListing
from audience_sync.aws.audience_table import AudienceTable
from audience_sync.delivery.deletion_notices import due_exits
from audience_sync.delivery.uploads import Limits
from audience_sync.ingest.record_rules import erasing_exit
from audience_sync.members.membership import EVERY_AUDIENCE, Audience
from local import resources
from tests.support.aws_fixtures import create_membership_table, recreate_tables
from tests.support.builders import AUDIENCE
from tests.support.worker_stack import NOW, WorkerStack, change

SHORT = Limits(timings=Timings(job=60, late=10, longest_job=600))  # seconds


class Unlinkable:
    """A worker whose audiences are those of a real audience table."""

    def __init__(self, url: str) -> None:
        client = resources.client("dynamodb", url)
        self.table = AudienceTable(client, recreate_tables(client, "AudienceTable"))
        self.table.put(Audience(AUDIENCE, name="Buyers"), created=0)
        create_membership_table(client, "members")
        self.worker = WorkerStack(url, "members", limits=SHORT)

    def deliver(self, *changes: Any) -> None:
        """Deliver changes, as a worker that has just read the audience table."""
        self._read()
        self.worker.deliver(*changes)

    def rest(self) -> None:
        """Let time pass until nothing waits; the jobs end well."""
        self._read()
        self.worker.rest()

    def _read(self) -> None:
        self.worker.audiences = list(AudienceListing(self.table, lambda: 0.0).with_unlinked())


@pytest.fixture
def stack(url: str) -> Unlinkable:
    return Unlinkable(url)


def test_a_notice_removes_a_person_from_an_unlinked_audience_and_leaves_no_hash(stack: Unlinkable) -> None:
    stack.deliver(change("a@b.co", at=5))
    assert stack.table.unlink(AUDIENCE, at=round(NOW * 1000))
    stack.deliver(erasing_exit("m1", 10, "notice"))
    stack.rest()
    assert stack.worker.amazon.active() == set()
    assert not stack.worker.holds("a@b.co")


def test_the_removal_from_an_unlinked_audience_goes_to_its_targets(stack: Unlinkable) -> None:
    stack.table.put(Audience(AUDIENCE, destination=amc_connection("c-1"), settings={"dsp": True}), created=0)
    stack.worker.write(change("a@b.co", at=5))
    assert stack.table.unlink(AUDIENCE, at=round(NOW * 1000))
    stack.deliver(erasing_exit("m1", 10, "notice"))
    stack.rest()
    assert set(stack.worker.amazon.targets) == {Target(AUDIENCE, amc_connection("c-1", dsp=True))}


def test_a_row_missed_by_a_notice_is_erased_when_its_audience_is_listed_again(stack: Unlinkable) -> None:
    """An earlier version deleted the rows of unlinked audiences, so that notices did not reach their members."""
    stack.deliver(change("a@b.co", at=5))
    stack.worker.write(erasing_exit("m1", 10, "notice"))
    assert stack.worker.state().active
    members = stack.worker.members()
    (row,) = members.read([(EVERY_AUDIENCE, "m1")]).values()
    stack.deliver(*due_exits(members.read([(AUDIENCE, "m1")]), [row.newest], [Audience(AUDIENCE)]))
    stack.rest()
    assert (stack.worker.state().active, stack.worker.amazon.active()) == ((), set())
    assert not stack.worker.holds("a@b.co")
    assert list(due_exits(members.read([(AUDIENCE, "m1")]), [row.newest], [Audience(AUDIENCE)])) == []
