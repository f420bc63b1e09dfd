"""The row of a member: small, complete, and read back as it was written."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync.aws.membership_rows import Sharding, row_of, state_from_row
from audience_sync.errors import Unavailable
from audience_sync.fields import IDENTIFIERS
from audience_sync.member_state import Identity, MemberState
from audience_sync.membership import MembershipChange, Version

AUDIENCE = "418273650912345678"
WRITE_UNIT = 1024  # bytes
SHARDING = Sharding(8)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def state(**changes: Any) -> MemberState:
    record = {
        "externalUserId": "user_2nF7aQ",
        "countryCode": "US",
        "action": "CREATE",
        "hashedPII": [],
        "userConsent": {},
    }
    newest = MembershipChange(
        AUDIENCE,
        "amzn1.amc.connection.0123456789",
        1_709_543_722_118,
        "personas_2nF7aQkT9bCwXyZ0123456789",
        record,
        target_types=("DSP",),
    )
    return MemberState(newest, **changes)


def size_of(row: dict[str, Any]) -> int:
    """Bytes as DynamoDB counts them: names and values; a number takes about a byte for two digits, and one more."""
    sizes = {"S": lambda text: len(text.encode()), "N": lambda text: (len(text) + 1) // 2 + 1, "B": len}
    return sum(len(name) + sizes[kind](value) for name, held in row.items() for kind, value in held.items())


def test_a_row_with_all_eight_identifiers_fits_one_write_unit() -> None:
    identity = Identity(1_709_543_722_118, {field.amazon_name: digest(field.name) for field in IDENTIFIERS})
    assert len(identity.digests) == 8
    full = state(
        identities=(identity,),
        left=Version(1_709_443_722_118, True, "personas_2nF7aQkT9bCwXyZ0123456789"),
        entered=1_800_000_000,
        exited=1_799_000_000,
    )
    size = size_of(row_of(full, SHARDING.key_of(full.member), 1234))
    assert size < WRITE_UNIT, size
    both = state(identities=(identity, Identity(1, {name: digest(name) for name in identity.digests})))
    assert size_of(row_of(both, SHARDING.key_of(both.member), 1)) < WRITE_UNIT, "two lives"


VERSIONS = st.builds(Version, st.integers(0, 10**15), st.booleans(), st.text(max_size=20))
DIGESTS = st.dictionaries(
    st.sampled_from(["email", "phone", "firstname", "postal", "birthday"]),
    st.one_of(st.binary(min_size=32, max_size=32).map(bytes.hex), st.sampled_from(["short", "A" * 64, "\ud7ff", ""])),
    min_size=1,
)
IDENTITIES = st.lists(st.builds(Identity, st.integers(0, 10**15), DIGESTS), max_size=5).map(tuple)


@given(
    identities=IDENTITIES,
    left=st.one_of(st.none(), VERSIONS.map(lambda version: version._replace(exits=True))),
    erase_until=st.integers(0, 10**15),
    entered=st.integers(0, 10**10),
    exited=st.integers(0, 10**10),
    late_jobs=st.lists(st.text(max_size=10), max_size=3).map(tuple),
    revision=st.integers(0, 10**9),
)
def test_a_state_is_read_back_as_it_was_written(revision: int, **fields: Any) -> None:
    written = state(**fields)
    row = row_of(written, SHARDING.key_of(written.member), revision)
    assert state_from_row(row) == state(**fields, revision=revision)


DIGEST = bytes(range(32))


@pytest.mark.parametrize(
    "member",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{}\0", id="no record"),
        pytest.param(b"[]\0", id="no object"),
        pytest.param(b"[" * 100_000, id="nested too deep"),
        pytest.param(
            b'{"r":{"action":"CREATE","userConsent":{"consent":{"tcf":"\\uD800"}}}}\0', id="half a surrogate pair"
        ),
        pytest.param(b'{"r":{"action":"UPDATE"}}\0', id="an action that Amazon does not know"),
        pytest.param(b'{"r":{"action":"CREATE","countryCode":1}}\0', id="a country that is no text"),
        pytest.param(b'{"r":{"action":"CREATE"},"t":"DSP"}\0', id="target types that are no list"),
        pytest.param(b'{"r":{"action":"CREATE"},"l":[1]}\0', id="half a version"),
        pytest.param(b'{"r":{"action":"CREATE"},"l":["1","m"]}\0', id="a version whose time is a text"),
        pytest.param(b'{"r":{"action":"CREATE"},"e":"1"}\0', id="a time that is a text"),
        pytest.param(b'{"r":{"action":"CREATE"},"i":[[1,"q"]]}\0' + DIGEST, id="an identifier of another version"),
        pytest.param(b'{"r":{"action":"CREATE"},"i":[[1,"ep"]]}\0' + DIGEST, id="a digest is missing"),
        pytest.param(b'{"r":{"action":"CREATE"},"i":[[1,"e"]]}\0' + DIGEST[:-1], id="a digest is cut off"),
        pytest.param(b'{"r":{"action":"CREATE"},"i":[[1,"e"]]}\0' + DIGEST * 2, id="a digest too many"),
        pytest.param(b'{"r":{"action":"CREATE"},"i":[[1,{"email":1}]]}\0', id="a digest that is no text"),
    ],
)
def test_a_row_that_cannot_be_read_is_named_and_its_member_waits(member: bytes) -> None:
    row = row_of(state(), SHARDING.key_of(("2", "m1")), 1) | {"member": {"B": member}}
    with pytest.raises(Unavailable, match="a row of the membership table cannot be read") as unreadable:
        state_from_row(row)
    assert unreadable.value.reason == "row_unreadable", "logs have the reason only"


@pytest.mark.parametrize("attribute", ["version", "revision", "entered", "member"])
def test_a_row_without_one_of_its_attributes_cannot_be_read(attribute: str) -> None:
    row = row_of(state(), SHARDING.key_of(("2", "m1")), 1)
    del row[attribute]
    with pytest.raises(Unavailable, match="a row of the membership table cannot be read"):
        state_from_row(row)


@pytest.mark.parametrize("consent", [{}, {"geo": {"countryCode": "DE"}, "consent": {"tcf": "CPx"}}])
@pytest.mark.parametrize(("connection", "target_types"), [(None, ()), ("connection-1", ()), ("connection-1", ("DSP",))])
def test_consent_connection_and_targets_are_read_back(
    consent: dict[str, Any], connection: str | None, target_types: tuple[str, ...]
) -> None:
    plain = state().newest
    newest = replace(
        plain, connection_id=connection, target_types=target_types, record=plain.record | {"userConsent": consent}
    )
    written = MemberState(newest, revision=1)
    assert state_from_row(row_of(written, SHARDING.key_of(written.member), 1)) == written


@given(VERSIONS, VERSIONS)
def test_texts_of_versions_compare_as_versions_do(one: Version, other: Version) -> None:
    assert (one.text < other.text) is (one < other)
    assert Version.from_text(one.text) == one
    assert Version.from_text(one.text).exits is one.exits


def test_members_are_spread_evenly_over_the_shards() -> None:
    keys = [SHARDING.key_of((AUDIENCE, f"user-{number}"))["audienceShard"]["S"] for number in range(8000)]
    counts = [keys.count(partition) for partition in SHARDING.partitions(AUDIENCE)]
    assert sum(counts) == 8000
    assert max(counts) < 1.1 * 1000


@pytest.mark.parametrize("shards", [1, 64])
def test_a_member_is_always_in_the_same_shard(shards: int) -> None:
    sharding = Sharding(shards)
    assert sharding.key_of((AUDIENCE, "m1")) == sharding.key_of((AUDIENCE, "m1"))
    assert sharding.key_of((AUDIENCE, "m1"))["audienceShard"]["S"] in sharding.partitions(AUDIENCE)
