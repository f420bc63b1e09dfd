"""DynamoDB: the state of every member, read and written in batches.

Each write is conditional on the revision that was read. So however many workers overlap, a row only ever grows and each
worker learns which change is the newest. Rows hold hashes, never plain text; membership_rows.py owns their format.

Writes are PartiQL statements, 25 in a request: otherwise, nine tenths of a worker's CPU time would go into single
requests. Each statement has its own condition and its own result (docs/development/decisions.md).
"""

import random
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import batched, chain
from typing import TYPE_CHECKING, Any

from audience_sync.aws.client_errors import unavailable
from audience_sync.aws.membership_rows import Sharding, member_of, row_of, state_from_row
from audience_sync.clock import Clock
from audience_sync.errors import MovedOn, OutOfTime, RowUnreadable, TransientError, Unavailable
from audience_sync.members.member_state import MemberState
from audience_sync.members.membership import Member
from audience_sync.members.stores import HasTime

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

THREADS = 4  # requests at once; more gain nothing, since the interpreter is the bottleneck
MAX_STATEMENTS = 25  # of one BatchExecuteStatement
MAX_KEYS = 100  # of one BatchGetItem
PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)  # maximum seconds between attempts at throttled items
_ATTRIBUTES = ("version", "revision", "entered", "expiresAt", "member")
_KEY = ("audienceShard", "externalUserId")
_THROTTLED = ("ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded")
_MOVED_ON = ("ConditionalCheckFailed", "DuplicateItem")
_UNAVAILABLE = "the membership table does not answer"


class MembershipTable:
    """The rows of all members."""

    def __init__(
        self,
        client: "DynamoDBClient",
        name: str,
        sharding: Sharding,
        clock: Clock,
        jitter: Callable[[], float] | None = None,
    ) -> None:
        """Set up the table; the client must allow THREADS connections, `jitter` is uniform in 0 .. 1."""
        self._client = client
        self._name = name
        self._sharding = sharding
        self._clock = clock
        self._jitter = jitter or random.random
        values = ", ".join(f"'{name}': ?" for name in (*_KEY, *_ATTRIBUTES))
        self._insert = f'INSERT INTO "{name}" VALUE {{{values}}}'
        # In quotes, since MEMBER is a reserved word.
        changes = ", ".join(f'"{name}"=?' for name in _ATTRIBUTES)
        where = '"audienceShard"=? AND "externalUserId"=? AND "revision"=?'
        self._update = f'UPDATE "{name}" SET {changes} WHERE {where}'  # noqa: S608 - all names are our own

    def read(self, members: Iterable[Member]) -> dict[Member, MemberState]:
        """Read the states of members, consistently. Members without a row are left out.

        Raises:
            Unavailable: the table does not answer.
            RowUnreadable: one of the rows is damaged.
        """
        return {member_of(row): state_from_row(row) for row in self._rows(members, lambda: True, {})}

    def readable(self, members: Iterable[Member]) -> tuple[dict[Member, MemberState], dict[Member, RowUnreadable]]:
        """Read as `read` does, and return damaged rows with their errors. Raises Unavailable."""
        found = self.read_each(members)
        states = {member: each for member, each in found.items() if isinstance(each, MemberState)}
        return states, {member: each for member, each in found.items() if isinstance(each, RowUnreadable)}

    def read_each(
        self, members: Iterable[Member], has_time: HasTime = lambda: True
    ) -> dict[Member, MemberState | RowUnreadable | OutOfTime]:
        """Read as `read` does, with an error for each unreadable state. `has_time` is checked before each request.

        Raises:
            Unavailable: the table does not answer.
        """
        found: dict[Member, MemberState | RowUnreadable | OutOfTime] = {}
        for row in self._rows(members, has_time, found):
            try:
                found[member_of(row)] = state_from_row(row)
            except RowUnreadable as error:
                found[member_of(row)] = error
        return found

    def write(
        self, states: Sequence[MemberState], has_time: HasTime = lambda: True
    ) -> list[MemberState | TransientError]:
        """Write states of distinct members, each unless its row has changed since it was read.

        Throttled writes are retried, with pauses, for some seconds. `has_time` is checked before each request.

        Returns:
            For each state the stored state with its new revision; MovedOn if the row has changed since, OutOfTime if
            the write was not begun, Unavailable if its outcome is unknown.
        """
        results: dict[Member, MemberState | TransientError] = {}
        left = list(states)
        failed: list[Unavailable] = []  # by request
        for pause in (*PAUSES, None):
            batches = list(batched(left, MAX_STATEMENTS))
            with ThreadPoolExecutor(THREADS) as pool:
                for outcome in pool.map(lambda batch: self._write(batch, has_time, failed), batches):
                    results |= outcome
            left = [state for state in left if isinstance(results[state.member], _Throttled)]
            if not left or pause is None:
                break
            self._clock.sleep(pause * self._jitter())
        return [results[state.member] for state in states]

    def _write(
        self, states: Sequence[MemberState], has_time: HasTime, failed: list[Unavailable]
    ) -> dict[Member, MemberState | TransientError]:
        if len(failed) >= THREADS:  # the others would fail as well, each after all the client's attempts
            return {state.member: failed[0] for state in states}
        if not has_time():
            return {state.member: OutOfTime("no time left to record the change") for state in states}
        rows = [row_of(state, self._sharding.key_of(state.member), state.revision + 1) for state in states]
        statements: Any = [self._statement(state, row) for state, row in zip(states, rows, strict=True)]
        try:
            with unavailable(_UNAVAILABLE):
                answers = self._client.batch_execute_statement(Statements=statements)["Responses"]
        except Unavailable as error:
            failed.append(error)
            return {state.member: error for state in states}
        return {
            state.member: _result(state, answer.get("Error")) for state, answer in zip(states, answers, strict=True)
        }

    def _statement(self, state: MemberState, row: dict[str, Any]) -> dict[str, Any]:
        key, values = [row[name] for name in _KEY], [row[name] for name in _ATTRIBUTES]
        if not state.revision:
            return {"Statement": self._insert, "Parameters": [*key, *values]}
        return {"Statement": self._update, "Parameters": [*values, *key, {"N": str(state.revision)}]}

    def _rows(self, members: Iterable[Member], has_time: HasTime, unread: dict[Member, Any]) -> list[dict[str, Any]]:
        """Read rows. Members without time left are added to `unread`, with OutOfTime."""

        def read(batch: Sequence[Member]) -> list[dict[str, Any]]:
            if has_time():
                return self._batch(batch)
            unread.update(dict.fromkeys(batch, OutOfTime("no time left to read the row")))
            return []

        with ThreadPoolExecutor(THREADS) as pool:
            return [row for rows in pool.map(read, batched(dict.fromkeys(members), MAX_KEYS)) for row in rows]

    def _batch(self, members: Sequence[Member]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        keys = [self._sharding.key_of(member) for member in members]
        left: Any = {self._name: {"Keys": keys, "ConsistentRead": True}}
        pauses = iter(PAUSES)
        while left:
            with unavailable(_UNAVAILABLE):
                answer: Any = self._client.batch_get_item(RequestItems=left)
            found += chain.from_iterable(answer["Responses"].values())
            left = answer["UnprocessedKeys"]
            if left:
                pause = next(pauses, None)
                if pause is None:
                    raise Unavailable("the membership table is throttled")
                self._clock.sleep(pause * self._jitter())
        return found


def _result(state: MemberState, error: Any) -> MemberState | TransientError:
    if not error:
        return replace(state, revision=state.revision + 1)
    code = error["Code"]
    if code in _MOVED_ON:
        return MovedOn("the member has changed since it was read")
    if code in _THROTTLED:
        return _Throttled("the membership table is throttled")
    return Unavailable(f"{_UNAVAILABLE}: {code}")


class _Throttled(Unavailable):
    """DynamoDB asks to slow down."""
