"""One event for several audiences that share its computation key on purpose."""

import json
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest

from audience_sync.amazon_ads.countries import CONSENT_REQUIRED, NAMING_A_COUNTRY
from audience_sync.amazon_ads.destination import ads_data_manager
from audience_sync.errors import TooLarge
from audience_sync.ingest.intake import IntakeResult, changes_from, compiled
from audience_sync.ingest.mapped_values import LONG_PHONE
from audience_sync.ingest.record_rules import Policy
from audience_sync.members.membership import EVERY_AUDIENCE, Audience
from tests.support.doubles.audiences import Listed
from tests.unit.ingest.test_denied_consent import AT, event, mapping

MAIN = Audience("5", country="US", computation_key="big_spenders")
DATASET = Audience("d-1", country="US", computation_key="big_spenders", destination=ads_data_manager(), also=True)
GERMAN = replace(MAIN, audience_id="7", country="DE", also=True)
ALONE = Audience("9", country="US")
GRANTED: dict[str, Any] = {"amznUserData": "GRANTED"}
BY_ID = {"@path": "$.properties.audience"}


def read(
    *events: dict[str, Any], listed: tuple[Audience, ...] = (MAIN, DATASET), mappings: list[Any] | None = None
) -> IntakeResult:
    document = json.dumps(mappings or [mapping("named", audience_id=BY_ID, country={"@path": "$.properties.country"})])
    body = json.dumps(events).encode()
    return changes_from(body, mappings=compiled(document), audiences=Listed(*listed), now=AT, policy=Policy())


def reached(result: IntakeResult) -> list[tuple[str, bool]]:
    return [(change.audience_id, change.exits) for change in result.changes]


def partial(result: IntakeResult) -> list[tuple[int, str, str | None]]:
    return [(each.index, each.reason, each.audience_id) for each in result.partial_rejections]


@pytest.mark.parametrize("enters", [True, False])
@pytest.mark.parametrize("named", [None, MAIN.audience_id, DATASET.audience_id])
def test_an_event_makes_a_change_in_every_audience_of_the_key_it_names(named: str | None, *, enters: bool) -> None:
    result = read(event(enters=enters, audience=named, **GRANTED))
    assert reached(result) == [("5", not enters), ("d-1", not enters)]
    assert [change.destination for change in result.changes] == ["", ads_data_manager()]
    assert (result.accepted, result.superseded, partial(result)) == (1, 0, [])


def test_each_audience_normalizes_phones_by_its_own_country() -> None:
    result = read(event(phone="2065550142", **GRANTED), listed=(MAIN, GERMAN))
    own, german = (change.identities[0].digests for change in result.changes)
    assert own["phone"] != german["phone"]
    assert own["email"] == german["email"]


@pytest.mark.parametrize(
    ("body", "listed", "changes", "rejected", "partly"),
    [
        pytest.param({}, (MAIN, DATASET), ["5"], [], [(0, "consent_missing", "d-1")], id="one needs consent"),
        pytest.param({}, (replace(DATASET, also=False), GERMAN), [], ["consent_missing"], [], id="all of them"),
        pytest.param({"email": ""}, (MAIN, DATASET), [], ["no_identifier"], [], id="the event lacks something"),
        pytest.param({"country": "Atlantis"}, (MAIN, DATASET), [], ["country_invalid"], [], id="it is wrong"),
        pytest.param(GRANTED, (MAIN, replace(GERMAN, country="Atlantis")), ["5"], [], [(0, "country_invalid", "7")],
                     id="one has an invalid country"),
        pytest.param({"userId": ""}, (MAIN, DATASET), [], ["member_id_missing"], [], id="nobody is named"),
        pytest.param({"enters": False}, (MAIN, DATASET), ["5", "d-1"], [], [], id="an exit needs no consent"),
    ],
)  # fmt: skip
def test_a_rejection_by_one_audience_is_reported_and_does_not_stop_the_others(
    body: dict[str, Any], listed: tuple[Audience, ...], changes: list[str], rejected: list[str], partly: Any
) -> None:
    result = read(event(**body), listed=listed)
    assert [change.audience_id for change in result.changes] == changes
    assert [each.reason for each in result.rejections] == rejected
    assert partial(result) == partly
    assert result.accepted + result.ignored + len(result.rejections) == 1


@pytest.mark.parametrize("order", [1, -1])
def test_an_event_that_one_mapping_accepts_is_not_rejected_for_its_audience(order: int) -> None:
    mappings = [mapping("deaf", amzn_user_data=None), mapping("hears")]
    assert partial(read(event(**GRANTED), mappings=mappings[::order])) == []
    assert partial(read(event(), mappings=mappings[::order])) == [(0, "consent_missing", "d-1")], "once"


def test_a_rejection_for_the_audience_of_another_mapping_is_reported() -> None:
    """As by an audience of the same key: the operator linked both."""
    mappings = [mapping("first"), mapping("second", audience_id={"@path": "$.properties.second"})]
    listed = (MAIN, replace(DATASET, computation_key=None))
    assert partial(read(event(second="d-1"), mappings=mappings, listed=listed)) == [(0, "consent_missing", "d-1")]


@pytest.mark.parametrize(("phone", "is_accepted"), [("1" * LONG_PHONE, True), ("1" * 60, False)])
def test_long_phone_numbers_cost_steps_for_each_audience(phone: str, *, is_accepted: bool) -> None:
    codes = sorted(NAMING_A_COUNTRY - CONSENT_REQUIRED)[:50]
    listed = [replace(GERMAN, audience_id=str(number), country=code) for number, code in enumerate(codes)]
    body = json.dumps([event(phone=phone)] * 400).encode()
    with nullcontext() if is_accepted else pytest.raises(TooLarge, match="steps"):
        changes_from(body, mappings=compiled(None), audiences=Listed(*listed), now=AT)


def test_a_denial_of_consent_ends_every_membership_once() -> None:
    result = read(event(amznUserData="DENIED"))
    assert reached(result) == [(EVERY_AUDIENCE, True)]
    assert (result.accepted, len(result.denials), partial(result)) == (1, 1, [])


def test_events_of_one_body_keep_their_own_audiences_and_rejections() -> None:
    result = read(
        event(userId="u1"),
        event(userId="u2", audience="9"),
        event(userId="u3", **GRANTED),
        listed=(MAIN, DATASET, ALONE),
    )
    assert [change.member for change in result.changes] == [("5", "u1"), ("9", "u2"), ("5", "u3"), ("d-1", "u3")]
    assert partial(result) == [(0, "consent_missing", "d-1")]
    assert result.accepted == 3
