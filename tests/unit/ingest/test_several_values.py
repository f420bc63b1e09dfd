"""A list of e-mail addresses or phone numbers gives a member several identities, and one value exactly one."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from audience_sync.amazon_ads import normalize
from audience_sync.amazon_ads.destination import ads_data_manager
from audience_sync.amazon_ads.normalize import MAX_VALUES, identifiers, identifiers_of_all
from audience_sync.fields import IDENTIFIERS, LISTED
from audience_sync.ingest.intake import IntakeResult, changes_from, compiled
from audience_sync.ingest.mapped_values import MAX_WORK, STEPS_A_LISTED_EMAIL, STEPS_A_LISTED_PHONE
from audience_sync.members.membership import Audience
from audience_sync.segment.budget import MAX_STEPS
from functions.ingest.handler import BUDGET
from tests.support.builders import sha256
from tests.support.doubles.audiences import Listed

AUDIENCE = Audience("418273650912345678", country="US", computation_key="vip")
DATASET = Audience("dataset-1", country="US", computation_key="vip", also=True, destination=ads_data_manager())
FIELDS = {
    "external_user_id": {"@path": "$.userId"},
    **{name: {"@path": f"$.traits.{name}"} for name in ("email", "phone", "first_name", "amzn_user_data")},
}
EMAILS = [f"{number}@example.com" for number in range(MAX_VALUES + 20)]
TEXTS = st.text(max_size=12) | st.sampled_from(["Ada@Example.com", "a+b@example.com", "206-555-0142", "+1 2065550143"])
VALUES = st.none() | TEXTS | st.integers(0, 10**12) | st.booleans()
PEOPLE = st.dictionaries(st.sampled_from([field.name for field in IDENTIFIERS]), VALUES)


def read(
    *audiences: Audience, enters: bool = True, mappings: int = 1, separators: Any = None, **traits: Any
) -> IntakeResult:
    named = {"type": "identify", "userId": "u1", "messageId": "m1", "traits": {"vip": enters, **traits}}
    event = named | {"context": {"personas": {"computation_class": "audience", "computation_key": "vip"}}}
    written = {"trigger": 'type = "identify"', "fields": FIELDS} | ({"separators": separators} if separators else {})
    document = json.dumps([written | {"name": str(number)} for number in range(mappings)])
    listed = Listed(*(audiences or (AUDIENCE,)))
    return changes_from(
        json.dumps(event).encode(), mappings=compiled(document), audiences=listed, now=1_800_000_000_000
    )


def sent(result: IntakeResult) -> list[list[dict[str, str]]]:
    return [[each.digests for each in change.identities] for change in result.changes]


def email(*addresses: str) -> list[dict[str, str]]:
    return [{"email": sha256(address)} for address in addresses]


@given(PEOPLE, st.sampled_from([None, "US", "DE"]), st.sampled_from([[], [None], ["x"], [True, {}, []]]))
@example({"email": "a+b@example.com", "phone": "206-555-0142", "city": "Bonn"}, "US", [])
def test_a_list_with_one_usable_value_gives_exactly_the_record_of_that_value(
    traits: dict[str, Any], country: str | None, unusable: list[Any]
) -> None:
    listed = traits | {field.name: [*unusable, traits.get(field.name)] for field in LISTED}
    one = identifiers(traits, country)
    assert json.dumps(identifiers(listed, country)) == json.dumps(one)


@given(st.lists(TEXTS, max_size=5), st.lists(TEXTS, max_size=5), st.booleans())
def test_each_value_of_a_list_becomes_one_identity_as_if_it_were_alone(
    emails: list[str], phones: list[str], repeats: bool
) -> None:
    columns: list[list[Any]] = [[None, "Ada"] if field.name == "first_name" else [None, None] for field in IDENTIFIERS]
    columns[0], columns[1] = [emails, "x@example.com"], [phones, None]
    found, other = identifiers_of_all(columns, ["US", None], repeats=repeats)
    for name, given_values in (("email", emails), ("phone", phones)):
        alone = [identity[name] for text in given_values for identity in identifiers({name: text}, "US")]
        assert [identity[name] for identity in found if name in identity] == [*dict.fromkeys(alone)]
    assert all(len(identity) == 1 for identity in found[1:])
    assert other == identifiers({"email": "x@example.com", "first_name": "Ada"}, None)


def test_the_first_usable_values_share_an_identity_and_the_others_get_their_own() -> None:
    phones = ["206-555-0142", "+1 206 555 0143"]
    result = read(email=["bad", "Ada@x.co", "b@x.co", "ada@X.co", "c@x.co"], phone=phones, first_name="Ada")
    first = {"email": sha256("ada@x.co"), "phone": sha256("12065550142"), "firstname": sha256("ada")}
    b, c = email("b@x.co", "c@x.co")
    assert sent(result) == [[first, b, {"phone": sha256("12065550143")}, c]]


def test_a_list_in_another_field_is_left_out() -> None:
    assert sent(read(email="a@x.co", first_name=["Ada", "Bob"])) == [email("a@x.co")]


def test_an_event_is_rejected_only_if_no_value_is_usable() -> None:
    (rejected,) = read(email=["bad", {"a": 1}, None], phone=[]).rejections
    assert rejected.reason == "no_identifier"


@pytest.mark.parametrize("enters", [True, False])
def test_each_api_gets_the_first_identities_that_it_takes_and_the_rest_is_counted(enters: bool) -> None:
    result = read(AUDIENCE, DATASET, enters=enters, email=EMAILS, phone=["206-555-0142"] * 3, amzn_user_data="GRANTED")
    first = {"email": sha256(EMAILS[0]), "phone": sha256("12065550142")}
    expected = [first, *email(*EMAILS[1:MAX_VALUES])]
    assert sent(result) == [expected, expected[:10]]
    assert result.identities_left_out == len(EMAILS) - MAX_VALUES + MAX_VALUES - 10


def test_many_values_are_cut_before_they_are_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    cleaned: list[object] = []

    def clean(value: object, lines: Any) -> str:
        cleaned.append(value)
        return original(value, lines)

    original = normalize._clean
    monkeypatch.setattr(normalize, "_clean", clean)
    result = read(email=[f"{number}@example.com" for number in range(10_000)])
    assert (len(cleaned), result.accepted, result.identities_left_out) == (MAX_VALUES, 1, 10_000 - MAX_VALUES)


def test_every_value_costs_steps_for_each_mapping() -> None:
    costs: list[tuple[dict[str, Any], int]] = [
        ({"email": EMAILS}, STEPS_A_LISTED_EMAIL),
        ({"phone": ["206-555-0142"] * MAX_VALUES}, STEPS_A_LISTED_PHONE),
    ]
    for traits, steps in costs:
        at_most = MAX_STEPS // (MAX_VALUES * steps)
        assert read(mappings=at_most, **traits).accepted == 1
        (rejected,) = read(mappings=at_most + 1, **traits).rejections
        assert rejected.reason == "mapping_too_costly"
    assert read(phone=["1" * 100] * MAX_VALUES, mappings=2).rejections, "long numbers cost more"
    assert MAX_WORK / STEPS_A_LISTED_PHONE * 40e-6 < BUDGET, "so the 413 comes in time, instead of a 503 and retries"


def test_a_string_is_split_at_the_separators_of_its_field() -> None:
    separators = {"email": ";,"}
    assert sent(read(email=" a@x.co ;b@x.co,, ", separators=separators)) == [email("a@x.co", "b@x.co")]
    assert sent(read(email=["a@x.co;b@x.co", "c@x.co"], separators=separators)) == [email("a@x.co", "b@x.co", "c@x.co")]
    assert sent(read(email="a@x.co", separators=separators)) == sent(read(email="a@x.co"))
    assert read(email="a@x.co;b@x.co").rejections, "without separators as before"
    assert read(email=";" * 1_000, separators=separators).rejections
