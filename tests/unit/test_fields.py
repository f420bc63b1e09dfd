"""Every field that a mapping can fill reaches Amazon, and the code uses no field that is not listed."""

import json
from typing import Any

import pytest

from audience_sync.amazon_ads import consent, normalize
from audience_sync.amazon_ads.advertiser_audiences.records import encode_record
from audience_sync.amazon_ads.normalization.quick import RULES
from audience_sync.amazon_ads.upload import Target
from audience_sync.fields import FIELDS, IDENTIFIERS, MappedField
from audience_sync.ingest import translation
from audience_sync.ingest.intake import changes_from, compiled
from audience_sync.members.membership import Audience
from local.amazon.records import read_upload
from tests.support.builders import upload_of
from tests.support.doubles.audiences import Listed

NOW = 1_772_615_722_118  # epoch milliseconds
AUDIENCE = Audience("418273650912345678", computation_key="lapsed")
VALUES: dict[str, Any] = {  # one for each field, as an event may carry it
    "external_user_id": "cust_48121",
    "audience_id": "418273650912345678",
    "country": "US",
    "email": "maya.okafor@example.com",
    "phone": "+1 (206) 555-0142",
    "first_name": "Maya",
    "last_name": "O'Kafor-Lind",
    "address": "1200 Westlake Avenue North, Suite #400",
    "city": "Seattle",
    "state": "Washington",
    "postal": "98109-4417",
    "amzn_ad_storage": "GRANTED",
    "amzn_user_data": "GRANTED",
    "tcf": "CPexampleTcfStringAAABDEAABAAAAAAAAAAA",
    "gpp": "DBABMA~CPexampleGppSection",
    "ip": "203.0.113.7",
}
ENTERED = {"type": "track", "event": "Audience Entered", "messageId": "m-1", "properties": VALUES}
OPTIONAL = [field for field in FIELDS if field.name not in ("external_user_id", "audience_id")]


def upload(*fields: str) -> dict[str, Any]:
    """The body that Amazon gets for a member who enters, where a mapping fills these fields and no other."""
    mapping = {
        "name": "These fields",
        "trigger": 'type = "track"',
        "fields": {name: {"@path": f"$.properties.{name}"} for name in fields},
    }
    mappings = compiled(json.dumps([mapping]))
    read = changes_from(json.dumps(ENTERED).encode(), mappings=mappings, audiences=Listed(AUDIENCE), now=NOW)
    assert read.rejections == []
    [change] = read.changes
    body: dict[str, Any] = json.loads(upload_of(Target(change.audience_id), encode_record(change)).body())
    return body


def leaves(body: Any) -> dict[str, Any]:
    """Every value of a body, by its own key."""
    found: dict[str, Any] = {}
    for key, value in body.items() if isinstance(body, dict) else enumerate(body):
        found |= leaves(value) if isinstance(value, dict | list) else {str(key): value}
    return found


def test_every_field_has_a_value_here() -> None:
    assert list(VALUES) == [field.name for field in FIELDS]


def test_the_member_and_the_audience_reach_amazon() -> None:
    sent = leaves(upload("external_user_id", "audience_id", "email"))
    names = {field.name: field.sent_name for field in FIELDS}
    assert sent[names["external_user_id"]] == VALUES["external_user_id"]
    assert str(sent[names["audience_id"]]) == VALUES["audience_id"]


@pytest.mark.parametrize("field", OPTIONAL, ids=lambda field: field.name)
def test_every_field_reaches_amazon_under_its_name(field: MappedField) -> None:
    other = "phone" if field.name == "email" else "email"  # an addition needs an identifier
    without, with_it = (upload("external_user_id", "audience_id", other, *names) for names in ([], [field.name]))
    assert field.sent_name not in leaves(without)
    assert leaves(with_it)[field.sent_name]
    assert read_upload(with_it).records


def test_amazon_accepts_all_fields_together() -> None:
    body = upload(*VALUES)
    assert {field.sent_name for field in FIELDS} <= leaves(body).keys()
    assert read_upload(body).records


@pytest.mark.parametrize("field", IDENTIFIERS, ids=lambda field: field.name)
def test_an_identifier_is_sent_as_its_digest(field: MappedField) -> None:
    body = upload("external_user_id", "audience_id", "country", field.name)
    assert leaves(body)[field.sent_name] == normalize.identifier(field.name, VALUES[field.name], VALUES["country"])


def test_every_identifier_has_a_normalization_rule() -> None:
    assert list(RULES) == [identifier.name for identifier in IDENTIFIERS]


def test_every_identifier_has_a_unique_one_letter_code() -> None:
    assert all(len(field.code) == (field.kind == "identifier") for field in FIELDS)
    assert len({field.code for field in IDENTIFIERS}) == len(IDENTIFIERS)


def test_translation_uses_every_field_once() -> None:
    places = range(len(FIELDS))
    single = [translation._EXTERNAL_USER_ID, translation._AUDIENCE_ID, translation._COUNTRY]
    assert sorted([*single, *translation._identifiers(places), *translation._signals(places)]) == [*places]
    assert [FIELDS[place] for place in translation._identifiers(places)] == list(IDENTIFIERS)
    assert [FIELDS[place].name for place in translation._signals(places)] == list(consent.SIGNALS)
