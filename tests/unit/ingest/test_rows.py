"""Rows of a warehouse: the mapping's `membership` decides who enters or leaves, or the row is rejected."""

import json
from typing import Any

import pytest

from audience_sync.errors import InvalidMapping
from audience_sync.ingest.intake import IntakeResult
from audience_sync.members.membership import Audience
from tests.support.doubles.audiences import Listed
from tests.support.intake import (
    EXAMPLES,
    GERMAN,
    LAPSED,
    MEMBER,
    NOW,
    PRESETS,
    entered,
    example,
    outcomes,
    preset,
    read,
)

COLUMN = {"value": {"@path": "$.properties.state"}, "enter": [True, 1, "in"], "exit": [False, 0, "out"]}


def deciding(membership: Any = COLUMN, **changes: Any) -> dict[str, Any]:
    fields = {**MEMBER, "email": {"@path": "$.properties.email"}, "audience_id": LAPSED.audience_id}
    return {"name": "Rows", "trigger": 'type = "track"', "membership": membership, "fields": fields} | changes


def row(state: Any = "in", **changes: Any) -> dict[str, Any]:
    properties = {"state": state, "email": "a@b.co"}
    return {"type": "track", "event": "Row", "messageId": "m1", "userId": "u1", "properties": properties} | changes


def read_rows(*rows: Any, mappings: list[Any] | None = None, audiences: Listed | None = None) -> IntakeResult:
    return read([*rows], mappings=json.dumps(mappings or [deciding()]), audiences=audiences)


@pytest.mark.parametrize(
    ("number", "name", "expected"),
    [
        pytest.param("28", "reverse-etl", "CREATE cust_73105", id="Reverse ETL: new"),
        pytest.param("29", "reverse-etl", "CREATE cust_73105", id="Reverse ETL: updated"),
        pytest.param("30", "reverse-etl", "DELETE cust_73105", id="Reverse ETL: deleted, with null columns"),
        pytest.param("31", "rudderstack-record", "CREATE cust_73106", id="RudderStack: insert"),
        pytest.param("32", "rudderstack-record", "DELETE cust_73106", id="RudderStack: delete"),
        pytest.param("33", "other-rows", "CREATE cust_73107", id="a column"),
    ],
)
def test_each_sample_row_changes_the_audience_that_its_preset_names(number: str, name: str, expected: str) -> None:
    result = read(example(number), mappings=preset(name))
    assert outcomes(result) == [expected]
    (change,) = result.changes
    assert change.message_id == example(number)["messageId"]
    assert change.at < NOW
    assert outcomes(read(example(number))) == [], "the default mapping finds no audience in it"


def test_a_preset_for_a_dataset_takes_its_id_and_without_an_audience_it_is_refused() -> None:
    dataset = Audience("adm-ds-zd2vfqgkb8", country="US")
    named = read(example("30"), mappings=preset("reverse-etl", dataset.audience_id), audiences=Listed(dataset))
    assert [each.audience_id for each in named.changes] == [dataset.audience_id]
    with pytest.raises(InvalidMapping, match="not an audience id"):
        read(example("30"), mappings=PRESETS["reverse-etl"])


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        *((value, "CREATE u1") for value in (True, "true", 1, 1.0, "1", "in", ["in"])),
        *((value, "DELETE u1") for value in (False, "false", 0, "0", "out")),
        *(
            (value, "membership_undecided")
            for value in ("IN", "", None, 2, "paused", {"in": 1}, ["in", "in"], "x" * 40_000)
        ),
    ],
)
def test_membership_values_are_compared_as_text_and_never_shown_in_a_rejection(state: Any, expected: str) -> None:
    result = read_rows(row(state))
    assert outcomes(result) == [expected]
    assert [each.detail for each in result.rejections if not each.detail.startswith("membership has none")] == []


def test_a_row_may_name_its_audience_by_key_and_is_dated_and_checked_as_other_events_are() -> None:
    fields = {name: each for name, each in deciding()["fields"].items() if name != "audience_id"}
    mappings = [deciding(fields=fields)]
    keyed = row() | {"properties": row()["properties"] | {"audience_key": LAPSED.computation_key}}
    (change,) = read_rows(keyed | {"timestamp": "2026-03-04T00:00:00Z"}, mappings=mappings).changes
    assert (change.audience_id, change.at) == (LAPSED.audience_id, 1772582400000)
    assert outcomes(read_rows(row(), mappings=mappings)) == ["audience_missing"]
    assert outcomes(read_rows(keyed | {"timestamp": "2027-01-01T00:00:00Z"}, mappings=mappings)) == ["time_ahead"]
    assert outcomes(read_rows(keyed | {"userId": "a@b.co"}, mappings=mappings)) == ["member_id_invalid"]


def test_each_mapping_decides_for_its_own_audience() -> None:
    german = deciding(COLUMN | {"enter": ["out"], "exit": ["in"]}, name="German")
    german["fields"] = german["fields"] | {"audience_id": GERMAN.audience_id}
    undecided = deciding({"value": {"@path": "$.properties.other"}, "enter": ["x"]}, name="Other")
    result = read_rows(row("in"), mappings=[undecided, deciding(), german])
    changes = [(each.audience_id, each.exits) for each in result.changes]
    assert changes == [(LAPSED.audience_id, False), (GERMAN.audience_id, True)]


def test_a_mapping_never_overrules_engage_and_a_contradiction_is_rejected() -> None:
    def sent(value: Any, event: dict[str, Any]) -> list[str]:
        stating = event | {"channel": value}
        return outcomes(read_rows(stating, mappings=[deciding(COLUMN | {"value": {"@path": "$.channel"}})]))

    assert sent("in", entered()) == ["CREATE cust_48121"]
    assert sent("neither", entered()) == ["CREATE cust_48121"]
    assert sent("out", entered()) == ["membership_contradictory"]
    entity = example("20")  # has an audience, but no boolean
    assert sent("in", entity) == ["CREATE cust_48121"]
    assert sent("neither", entity) == ["membership_undecided"]
    assert sent("in", example("23")) == ["membership_contradictory"]
    computed = example("24")
    assert sent("in", computed) == []


def test_a_row_that_denies_consent_ends_every_membership_at_its_own_time() -> None:
    mapping = deciding()
    mapping["fields"] = mapping["fields"] | {"amzn_user_data": {"@path": "$.properties.consent"}}
    denying = row() | {"timestamp": "2026-03-04T00:00:00Z", "properties": row()["properties"] | {"consent": "DENIED"}}
    (change,) = read_rows(denying, mappings=[mapping]).changes
    assert (change.erase, change.at, change.message_id) == (True, 1772582400000, "m1")


def test_without_membership_a_row_is_rejected_as_before_and_a_trigger_that_does_not_hold_leaves_it_alone() -> None:
    plain = {name: each for name, each in deciding().items() if name != "membership"}
    (rejection,) = read_rows(row(), mappings=[plain]).rejections
    assert (rejection.reason, "add membership to the mapping" in rejection.detail) == ("membership_undecided", True)
    for idle in (deciding(trigger='type = "record"'), deciding(enabled=False)):
        assert read_rows(row(), mappings=[idle]).ignored == 1


def test_a_row_over_the_budget_is_rejected() -> None:
    encoded = {"@json": {"mode": "encode", "value": {"@path": "$.properties"}}}
    value = {"@json": {"mode": "encode", "value": [encoded] * 40}}
    long = row(properties={str(number): number for number in range(3_000)})
    assert outcomes(read_rows(long, mappings=[deciding(COLUMN | {"value": value})])) == ["mapping_too_costly"]


def test_each_sample_row_is_read_by_one_preset() -> None:
    listed = json.loads((EXAMPLES / "index.json").read_text())["files"]
    rows = [example(each["file"][:2]) for each in listed if each["kind"] == "row"]
    assert rows
    for each in rows:
        assert sum(read(each, mappings=preset(name)).accepted for name in PRESETS) == 1
