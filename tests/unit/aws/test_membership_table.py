"""What is stored about one member, as the command reads it."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync.aws.membership_rows import MemberRow, is_exit, version_text
from audience_sync.aws.membership_table import MembershipTable
from audience_sync.errors import Unavailable
from audience_sync.membership import MembershipChange, Version
from local import resources
from tests.aws_fixtures import recreate_tables
from tests.faults.proxy import FaultProxy, refuse

AUDIENCE = "418273650912345678"
FIRST, SECOND = {"email": "a" * 64}, {"email": "b" * 64}


def change(*identities: dict[str, str], at: int, exits: bool = False, erase: bool = False) -> MembershipChange:
    record: dict[str, Any] = {
        "externalUserId": "m1",
        "action": "DELETE" if exits else "CREATE",
        "hashedPII": list(identities),
        "userConsent": {},
    }
    return MembershipChange(AUDIENCE, None, at, f"id-{at}", record, erase)


class TableFixture:
    """The template's membership table behind the proxy, and the clock of its writer."""

    def __init__(self, proxy: FaultProxy) -> None:
        name = recreate_tables(resources.client("dynamodb", proxy.upstream), "MembershipTable")
        self.now = 0.0
        self.table = MembershipTable(resources.client("dynamodb", proxy.url), name, lambda: self.now, 900.0)

    def write(self, change: MembershipChange, *, now: float) -> None:
        self.now = now
        assert all(hasattr(result, "newest") for result in self.table.record([change]))


@pytest.fixture
def fixture(proxy: FaultProxy) -> TableFixture:
    return TableFixture(proxy)


def test_a_member_is_read_with_the_newest_change_and_every_identity_that_was_sent(
    fixture: TableFixture, proxy: FaultProxy
) -> None:
    fixture.write(change(SECOND, at=1_000), now=10)
    fixture.write(change(FIRST, at=2_000), now=20)
    entered = MemberRow("CREATE", 2_000, "id-2000", erase=False, last_sent=20, identities=(FIRST, SECOND))
    assert fixture.table.read((AUDIENCE, "m1")) == entered
    fixture.write(change(at=3_000, exits=True, erase=True), now=30)
    left = replace(entered, action="DELETE", at=3_000, message_id="id-3000", erase=True, last_sent=30)
    assert fixture.table.read((AUDIENCE, "m1")) == left
    assert [parameters["ConsistentRead"] for name, parameters in proxy.calls if name == "GetItem"] == [True, True]


@pytest.mark.parametrize("member", [(AUDIENCE, "m2"), ("5", "m1")])
def test_an_unknown_member_has_no_row(fixture: TableFixture, member: tuple[str, str]) -> None:
    fixture.write(change(FIRST, at=1_000), now=10)
    assert fixture.table.read(member) is None


def test_a_table_that_does_not_answer_is_named(fixture: TableFixture, proxy: FaultProxy) -> None:
    proxy.on("GetItem", refuse("ThrottlingException"))
    with pytest.raises(Unavailable, match="the membership table does not answer: ThrottlingException"):
        fixture.table.read((AUDIENCE, "m1"))


@given(at=st.integers(0, 10**15), exits=st.booleans(), message_id=st.text())
def test_the_text_of_a_version_says_whether_it_is_an_exit(at: int, exits: bool, message_id: str) -> None:
    assert is_exit(version_text(Version(at, exits, message_id))) is exits
