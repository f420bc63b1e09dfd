"""The row of a member: small, complete, and read back as it was written."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync.amazon_ads.destination import amc_connection
from audience_sync.aws.membership_rows import KEEP_ACTIVE, KEEP_EXIT, Sharding, row_of, state_from_row, stored_member
from audience_sync.errors import MisplacedRow, RowUnreadable
from audience_sync.fields import IDENTIFIERS
from audience_sync.members.erasure_steps import ErasureStep, StepKind
from audience_sync.members.member_state import LateJob, MemberState, RemovalProgress
from audience_sync.members.membership import Destination, Identity, Version
from tests.support import builders

AUDIENCE = "418273650912345678"
WRITE_UNIT = 1024  # bytes
SHARDING = Sharding(8)


def state(**changes: Any) -> MemberState:
    newest = builders.change(
        "user_2nF7aQ",
        at=1_709_543_722_118,
        message_id="personas_2nF7aQkT9bCwXyZ0123456789",
        audience_id=AUDIENCE,
        destination=amc_connection("amzn1.amc.connection.0123456789", dsp=True),
        country="US",
    )
    return MemberState(newest, **changes)


def size_of(row: dict[str, Any]) -> int:
    """Bytes as DynamoDB counts them: names and values; a number takes about a byte for two digits, and one more."""
    sizes = {"S": lambda text: len(text.encode()), "N": lambda text: (len(text) + 1) // 2 + 1, "B": len}
    return sum(len(name) + sizes[kind](value) for name, held in row.items() for kind, value in held.items())


def test_a_row_with_all_identifiers_fits_one_write_unit() -> None:
    identity = Identity(1_709_543_722_118, {field.amazon_name: builders.sha256(field.name) for field in IDENTIFIERS})
    full = state(
        identities=(identity,),
        last_exit=Version(1_709_443_722_118, True, "personas_2nF7aQkT9bCwXyZ0123456789"),
        enter_sent=1_800_000_000,
        removal_sent=1_799_000_000,
        enters_effective_by=1_799_001_020,
        removals_effective_by=1_799_001_020,
        removal_grew=1_234,
        late_jobs=(LateJob("0f8fad5b-d9cb-469f-a165-70867728950e", 1_800_000_000, 1_709_543_722_118),),
    )
    size = size_of(row_of(full, SHARDING.key_of(full.member), 1234))
    assert size < WRITE_UNIT, size
    both = state(identities=(identity, Identity(1, {name: builders.sha256(name) for name in identity.digests})))
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
    last_exit=st.one_of(st.none(), VERSIONS.map(lambda version: version._replace(exits=True))),
    erase_until=st.integers(0, 10**15),
    enter_sent=st.integers(0, 10**10),
    removal_sent=st.integers(0, 10**10),
    removal_owed=st.booleans(),
    enter_owed=st.booleans(),
    enters_effective_by=st.integers(0, 10**10),
    removals_effective_by=st.integers(0, 10**10),
    removal_grew=st.integers(0, 10**9),
    removing=st.none() | st.builds(RemovalProgress, st.integers(0, 1_000), st.integers(0, 10**10)),
    late_jobs=st.lists(
        st.builds(LateJob, st.text(max_size=10), st.integers(0, 10**10), st.integers(0, 10**15), st.booleans()),
        max_size=3,
    ).map(tuple),
    erasure=st.lists(
        st.builds(ErasureStep, st.sampled_from(StepKind), st.text(), st.integers(0, 10**15), st.integers(0, 10**15)),
        max_size=3,
    ).map(tuple),
    revision=st.integers(0, 10**9),
)
def test_a_state_survives_a_round_trip_through_its_row(revision: int, **fields: Any) -> None:
    written = state(**fields)
    row = row_of(written, SHARDING.key_of(written.member), revision)
    assert state_from_row(row) == state(**fields, revision=revision)


DIGEST = bytes(range(32))


def test_the_stored_layout_of_a_row_does_not_change() -> None:
    full = state(
        identities=(Identity(3, {"email": DIGEST.hex(), "postal": DIGEST.hex()}), Identity(1, {"birthday": "other"})),
        last_exit=Version(2, True, "exit-1"),
        erase_until=2,
        enter_sent=20,
        removal_sent=10,
        removal_owed=True,
        enter_owed=True,
        enters_effective_by=30,
        removals_effective_by=40,
        removal_grew=3,
        removing=RemovalProgress(2, 10),
        late_jobs=(LateJob("job-1", 20, 3), LateJob("job-2", 10, 2, removes=True)),
        erasure=tuple(ErasureStep(kind, "id", 5, 6) for kind in StepKind),
        revision=4,
    )
    header = (
        b'{"r":{"countryCode":"US","action":"CREATE"},"c":"amzn1.amc.connection.0123456789","t":["DSP"],'
        b'"l":[2,"exit-1"],"e":2,"x":10,"f":true,"u":true,"n":30,"m":40,"h":3,'
        b'"p":[["n","id",5,6],["d","id",5,6],["r","id",5,6],["i","id",5,6],["c","id",5,6],["w","id",5,6]],'
        b'"b":[2,10],"j":[["job-1",20,3,0],["job-2",10,2,1]],'
        b'"i":[[3,"ez"],[1,{"birthday":"other"}]]}'
    )
    row = row_of(full, SHARDING.key_of(full.member), 5)
    assert row == {
        "audienceShard": {"S": f"{AUDIENCE}#04"},
        "externalUserId": {"S": "user_2nF7aQ"},
        "version": {"S": "0001709543722118#0#personas_2nF7aQkT9bCwXyZ0123456789"},
        "revision": {"N": "5"},
        "entered": {"N": "20"},
        "expiresAt": {"N": str(20 + KEEP_ACTIVE)},
        "member": {"B": header + b"\0" + DIGEST * 2},
    }
    assert stored_member(row) == (replace(full, revision=5), 20 + KEEP_ACTIVE)


def test_a_row_of_an_older_version_with_bare_job_ids_is_read() -> None:
    """Until November 2026 a mark was the id of an enter's job, and `u` said that an outcome was unknown."""
    row = row_of(state(enter_sent=20), SHARDING.key_of(state().member), 5)
    header = b'{"r":{"countryCode":"US","action":"CREATE"},"x":10,"u":true,"j":["job-1"]}'
    read = state_from_row(row | {"member": {"B": header + b"\0"}})
    assert read.late_jobs == (LateJob("job-1", sent_at=20, at=1_709_543_722_118),)
    assert (read.enters_effective_by, read.removals_effective_by) == (0, 0)


def test_the_row_of_a_plain_member_contains_only_its_record() -> None:
    plain = MemberState(builders.change("m1", consent={"consent": {"tcf": "C"}}))
    row = row_of(plain, SHARDING.key_of(plain.member), 1)
    assert row["member"] == {"B": b'{"r":{"action":"CREATE","userConsent":{"consent":{"tcf":"C"}}}}\0'}
    assert state_from_row(row) == replace(plain, revision=1)


@pytest.mark.parametrize(
    ("exits", "entered", "exited", "deleted", "expires"),
    [
        pytest.param(False, 20, 10, 0, 20 + KEEP_ACTIVE, id="an enter, by when it was sent"),
        pytest.param(False, 20, 30, 0, 30 + KEEP_ACTIVE, id="an enter, by the removal that was sent with it"),
        pytest.param(True, 20, 30, 0, 30 + KEEP_EXIT, id="an exit"),
        pytest.param(True, 20, 30, 40, 40 + KEEP_EXIT, id="a deletion: longer than Amazon's 30 days"),
    ],
)
def test_a_row_expires_a_fixed_time_after_the_last_upload(
    exits: bool, entered: int, exited: int, deleted: int, expires: int
) -> None:
    steps = (ErasureStep(StepKind.DELETION, "-", deleted * 1000, 0),) if deleted else ()
    sent = MemberState(builders.change(exits=exits), enter_sent=entered, removal_sent=exited, erasure=steps)
    row = row_of(sent, SHARDING.key_of(sent.member), 1)
    assert row["expiresAt"] == {"N": str(expires)}
    assert state_from_row(row).newest.exits is exits


UNREADABLE: dict[str, list[Any]] = {  # fields of the header, by letter
    "c": [5],
    "t": ["DSP", [5]],
    "l": [[1], ["1", "m"], [1, 5]],
    "e": ["1"],
    "x": ["1", True],
    "f": [1],
    "n": ["1"],
    "m": [True],
    "j": ["job-1", ["job-1", 5], [["job-1", 1, 1]], [[5, 1, 1, 0]], [["job-1", "1", 1, 0]], [["job-1", 1, None, 0]]],
    "i": [[[1, {"email": 1}]]],
    "r": [
        {"action": "UPDATE"},
        {"action": "CREATE", "countryCode": 1},
        {"action": "CREATE", "userConsent": []},
        {"action": "CREATE", "userConsent": {"consent": {"tcf": "\ud800"}}},
    ],
}


def header(**fields: Any) -> bytes:
    return json.dumps({"r": {"action": "CREATE"}} | fields).encode() + b"\0"


@pytest.mark.parametrize(
    "member",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{}\0", id="no record"),
        pytest.param(b"[]\0", id="an array"),
        pytest.param(b"[" * 100_000, id="nested too deeply"),
        *(
            pytest.param(header(**{letter: value}), id=f"{letter}: {json.dumps(value)}")
            for letter, values in UNREADABLE.items()
            for value in values
        ),
        pytest.param(header(i=[["1", "e"]]) + DIGEST, id="the time of an identity is a string"),
        pytest.param(header(i=[[1, "q"]]) + DIGEST, id="an identifier of another version"),
        pytest.param(header(i=[[1, "ep"]]) + DIGEST, id="a digest is missing"),
        pytest.param(header(i=[[1, "e"]]) + DIGEST[:-1], id="a digest is cut off"),
        pytest.param(header(i=[[1, "e"]]) + DIGEST * 2, id="a digest too many"),
    ],
)
def test_an_unreadable_row_makes_its_member_wait(member: bytes) -> None:
    row = row_of(state(), SHARDING.key_of(("2", "m1")), 1) | {"member": {"B": member}}
    with pytest.raises(RowUnreadable, match=r"row of m1 in audience 2 \(partition 2#07\)") as unreadable:
        state_from_row(row)
    assert unreadable.value.reason == "row_unreadable"


@pytest.mark.parametrize("attribute", ["version", "revision", "entered", "member"])
def test_a_row_without_one_of_its_attributes_is_unreadable(attribute: str) -> None:
    row = row_of(state(), SHARDING.key_of(("2", "m1")), 1)
    del row[attribute]
    with pytest.raises(RowUnreadable):
        state_from_row(row)


@pytest.mark.parametrize("consent", [{}, {"geo": {"countryCode": "DE"}, "consent": {"tcf": "CPx"}}])
@pytest.mark.parametrize(
    "destination",
    [Destination(), amc_connection("c"), amc_connection("c", dsp=True), Destination.of({"datasetId": "d"})],
)
def test_consent_and_destination_survive_a_round_trip_through_the_row(
    consent: dict[str, Any], destination: Destination
) -> None:
    written = MemberState(replace(state().newest, destination=destination, consent=consent), revision=1)
    assert state_from_row(row_of(written, SHARDING.key_of(written.member), 1)) == written


def test_members_are_spread_evenly_over_the_shards() -> None:
    keys = [SHARDING.key_of((AUDIENCE, f"user-{number}"))["audienceShard"]["S"] for number in range(8000)]
    counts = [keys.count(partition) for partition in SHARDING.partitions(AUDIENCE)]
    assert sum(counts) == 8000
    assert max(counts) < 1.1 * 1000


def test_rows_stay_where_earlier_versions_wrote_them() -> None:
    assert Sharding().key_of((AUDIENCE, "cust_1001"))["audienceShard"] == {"S": f"{AUDIENCE}#05"}


def test_a_row_in_the_wrong_shard_is_refused() -> None:
    row = row_of(state(), SHARDING.key_of(state().member), 1)
    SHARDING.check(row)
    with pytest.raises(MisplacedRow, match="8 shards"):
        SHARDING.check(row | {"audienceShard": {"S": f"{AUDIENCE}#05"}})


def test_the_partitions_of_an_audience_are_numbered_with_two_digits() -> None:
    assert Sharding(11).partitions("7")[::10] == ["7#00", "7#10"]
