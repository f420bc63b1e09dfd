"""The states of members in DynamoDB: read and written in batches, each write conditional on its revision."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from audience_sync.aws.membership_rows import Sharding
from audience_sync.aws.membership_table import MAX_KEYS, MAX_STATEMENTS, PAUSES, MembershipTable
from audience_sync.clock import Clock
from audience_sync.errors import MovedOn, OutOfTime, TransientError, Unavailable
from audience_sync.members.member_state import LateJob, MemberState
from audience_sync.members.membership import Identity, Version
from local import resources
from tests.support import builders
from tests.support.aws_fixtures import recreate_tables
from tests.support.doubles.dynamodb import MembershipRows
from tests.support.proxy import FaultProxy, hang_up, lose_answer, refuse

AUDIENCE, OTHER = "418273650912345678", "418273650912345679"
FIRST, SECOND = Identity(2_000, {"email": "a" * 64}), Identity(1_000, {"email": "b" * 64, "phone": "c" * 64})


def state(member: str = "m1", *, at: int = 2_000, audience: str = AUDIENCE, **fields: Any) -> MemberState:
    return MemberState(builders.change(member, at=at, audience_id=audience), **({"enter_sent": 20} | fields))


def written(result: MemberState | TransientError) -> MemberState:
    assert isinstance(result, MemberState), result
    return result


class TableFixture:
    """The template's membership table behind the proxy, and the longest form of each pause: half of it is made."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.name = recreate_tables(resources.client("dynamodb", proxy.upstream), "MembershipTable")
        self.pauses: list[float] = []
        self.table = self.of(resources.client("dynamodb", proxy.url))

    def of(self, client: Any) -> MembershipTable:
        clock = Clock(lambda: 0.0, lambda: 0.0, lambda seconds: self.pauses.append(2 * seconds))
        return MembershipTable(client, self.name, Sharding(8), clock, jitter=lambda: 0.5)

    def write(self, *states: MemberState) -> list[MemberState]:
        return [written(result) for result in self.table.write(states)]


@pytest.fixture
def fixture(proxy: FaultProxy) -> TableFixture:
    return TableFixture(proxy)


def test_a_written_state_is_read_back_consistently(fixture: TableFixture, proxy: FaultProxy) -> None:
    full = state(
        identities=(FIRST, SECOND),
        last_exit=Version(1_500, exits=True, message_id="id-1500"),
        erase_until=1_500,
        removal_sent=10,
        enters_effective_by=30,
        late_jobs=(LateJob("job-1", 20, 2_000),),
    )
    (stored,) = fixture.write(full)
    assert stored == replace(full, revision=1)
    assert fixture.table.read([full.member]) == {full.member: stored}
    (request,) = proxy.parameters("BatchGetItem")
    assert request["RequestItems"][fixture.name]["ConsistentRead"] is True


def test_a_write_replaces_the_state_that_was_read(fixture: TableFixture) -> None:
    (first,) = fixture.write(state(identities=(FIRST, SECOND)))
    (second,) = fixture.write(replace(first, identities=(FIRST,), enter_sent=30))
    assert second.revision == 2
    assert fixture.table.read([first.member]) == {first.member: second}


def test_duplicate_members_are_read_once(fixture: TableFixture) -> None:
    """DynamoDB refuses a request that names a key twice."""
    (stored,) = fixture.write(state())
    assert fixture.table.read([stored.member, stored.member]) == {stored.member: stored}


def test_the_same_id_in_two_audiences_is_two_members(fixture: TableFixture) -> None:
    one, other = fixture.write(state(at=1), state(at=2, audience=OTHER))
    assert fixture.table.read([one.member, other.member]) == {one.member: one, other.member: other}


def test_a_row_changed_since_it_was_read_is_not_overwritten(fixture: TableFixture) -> None:
    (first,) = fixture.write(state())
    (second,) = fixture.write(replace(first, enter_sent=30))
    (late,) = fixture.table.write([replace(first, enter_sent=40)])
    assert isinstance(late, MovedOn)
    assert fixture.table.read([first.member]) == {first.member: second}


def test_a_row_deleted_since_it_was_read_is_not_written(fixture: TableFixture) -> None:
    (result,) = fixture.table.write([state(revision=3)])
    assert isinstance(result, MovedOn)
    assert fixture.table.read([(AUDIENCE, "m1")]) == {}


def test_each_write_has_a_result_of_its_own(fixture: TableFixture) -> None:
    (known,) = fixture.write(state("m2"))
    results = fixture.table.write([state("m1"), state("m2"), state("m3")])
    assert [type(result) for result in results] == [MemberState, MovedOn, MemberState]
    assert fixture.table.read([(AUDIENCE, "m2")]) == {known.member: known}


def test_many_members_are_written_and_read_in_full_batches(fixture: TableFixture, proxy: FaultProxy) -> None:
    everyone = [state(f"m{number}", at=number) for number in range(210)]
    stored = fixture.write(*everyone)
    assert [each.version for each in stored] == [each.version for each in everyone], "in the order of what was given"
    sizes = sorted(len(request["Statements"]) for request in proxy.parameters("BatchExecuteStatement"))
    assert sizes == [10, *[MAX_STATEMENTS] * 8]
    assert fixture.table.read(each.member for each in everyone) == {each.member: each for each in stored}
    keys = sorted(len(request["RequestItems"][fixture.name]["Keys"]) for request in proxy.parameters("BatchGetItem"))
    assert keys == [10, MAX_KEYS, MAX_KEYS]


def test_no_request_is_made_for_no_members(fixture: TableFixture, proxy: FaultProxy) -> None:
    assert fixture.table.write([]) == []
    assert fixture.table.read([]) == {}
    assert proxy.calls == []


def test_statements_pass_all_values_as_parameters(fixture: TableFixture, proxy: FaultProxy) -> None:
    (first,) = fixture.write(state())
    fixture.write(replace(first, enter_sent=30), state("m2"))
    statements = {
        each["Statement"] for request in proxy.parameters("BatchExecuteStatement") for each in request["Statements"]
    }
    assert len(statements) == 2
    assert not any("m1" in statement or AUDIENCE in statement for statement in statements), "values are parameters"


def test_no_write_is_begun_after_the_deadline(fixture: TableFixture, proxy: FaultProxy) -> None:
    (result,) = fixture.table.write([state()], lambda: False)
    assert isinstance(result, OutOfTime)
    assert proxy.calls == []


@pytest.mark.parametrize(
    ("use", "requests"),
    [
        pytest.param(MembershipTable.write, 1, id="writes: after as many failures no other is made"),
        pytest.param(
            lambda table, states, time: table.read_each([each.member for each in states], time), 2, id="reads"
        ),
    ],
)
def test_requests_use_at_most_the_given_number_of_threads(
    fixture: TableFixture, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, use: Any, requests: int
) -> None:
    monkeypatch.setattr("audience_sync.aws.membership_table.THREADS", 1)
    proxy.on("BatchExecuteStatement", refuse("InternalServerError", 500))
    threads: list[int] = []  # of each request

    def has_time() -> bool:
        threads.append(threading.get_ident())
        return True

    results = use(fixture.table, [state(f"m{number}") for number in range(2 * MAX_KEYS)], has_time)
    assert all(isinstance(result, Unavailable) for result in results)
    assert (len(threads), len(set(threads))) == (requests, 1)


THROTTLED = ["ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded"]


@pytest.mark.parametrize(
    ("codes", "error", "pauses"),
    [
        *(pytest.param([each] * 3, None, PAUSES[:3], id=f"three times {each}") for each in THROTTLED),
        pytest.param(THROTTLED[:1] * 1_000, "the membership table is throttled", PAUSES, id="throttled for ever"),
        pytest.param(["InternalServerError"], "InternalServerError", (), id="another error, which is not repeated"),
    ],
)
def test_a_throttled_statement_is_repeated_alone_after_growing_pauses(
    fixture: TableFixture, codes: list[str], error: str | None, pauses: Sequence[float]
) -> None:
    rows = MembershipRows()
    rows.refused = [{0: each} for each in codes]
    first, second = fixture.of(rows).write([state("m1"), state("m2")])
    assert written(second).revision == 1
    if error is None:
        assert written(first).revision == 1
    else:
        assert isinstance(first, Unavailable)
        assert error in str(first)
    assert (fixture.pauses, rows.writes) == ([*pauses], 1 if error else 2)


def test_unprocessed_keys_are_read_again_after_growing_pauses(fixture: TableFixture) -> None:
    rows = MembershipRows()
    table = fixture.of(rows)
    stored = [written(result) for result in table.write([state("m1"), state("m2")])]
    rows.unread = [{0: "left out"}] * 2
    assert table.read(each.member for each in stored) == {each.member: each for each in stored}
    assert fixture.pauses == list(PAUSES[:2])


def test_keys_that_stay_unprocessed_raise_unavailable(fixture: TableFixture) -> None:
    rows = MembershipRows()
    rows.unread = [{0: "left out"}] * 1_000
    with pytest.raises(Unavailable, match="throttled"):
        fixture.of(rows).read([(AUDIENCE, "m1")])
    assert fixture.pauses == list(PAUSES)


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda table: table.read([(AUDIENCE, "m1")]), id="one"),
        pytest.param(lambda table: table.read((AUDIENCE, f"m{number}") for number in range(250)), id="many"),
    ],
)
def test_a_failed_read_names_the_table(
    fixture: TableFixture, proxy: FaultProxy, read: Callable[[MembershipTable], object]
) -> None:
    proxy.on("BatchGetItem", refuse("ThrottlingException"))
    with pytest.raises(Unavailable, match="the membership table does not answer: ThrottlingException"):
        read(fixture.table)


def test_a_failed_write_is_unavailable_for_every_member(fixture: TableFixture, proxy: FaultProxy) -> None:
    proxy.on("BatchExecuteStatement", refuse("InternalServerError", 500))
    results = fixture.table.write([state("m1"), state("m2")])
    assert all(isinstance(result, Unavailable) and not isinstance(result, MovedOn) for result in results)
    assert "the membership table does not answer" in str(results[0])


def test_one_batch_may_fail_without_the_others(fixture: TableFixture, proxy: FaultProxy) -> None:
    proxy.on("BatchExecuteStatement", refuse("InternalServerError", 500), times=1)
    results = fixture.table.write([state(f"m{number}") for number in range(2 * MAX_STATEMENTS)])
    assert sum(isinstance(result, MemberState) for result in results) in (MAX_STATEMENTS, 2 * MAX_STATEMENTS)


@pytest.mark.parametrize("effect", [lose_answer, hang_up], ids=["answer lost", "request lost"])
def test_after_an_unanswered_write_the_result_matches_the_row(
    fixture: TableFixture, proxy: FaultProxy, effect: Callable[[], Any]
) -> None:
    (first,) = fixture.write(state())
    proxy.on("BatchExecuteStatement", effect(), times=1)
    (result,) = fixture.table.write([replace(first, enter_sent=30)])
    assert isinstance(result, MemberState | Unavailable | MovedOn)
    read = fixture.table.read([first.member])[first.member]
    assert read.enter_sent in (20, 30)
    if isinstance(result, MemberState):
        assert read == result
