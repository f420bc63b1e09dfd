"""docs/segment-setup.md: the mapping, the events and the responses that it shows are what the stack takes and gives."""

import json
import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from audience_sync.errors import Unauthorized
from audience_sync.ingest.intake import MAX_EVENTS, changes_from, compiled
from audience_sync.members.membership import Audience
from audience_sync.runtime.api_gateway import error_answer
from audience_sync.segment.default_mapping import DEFAULT_MAPPING
from functions.ingest.handler import _summary
from local.template import ROOT
from tests.doubles.audiences import Listed
from tests.unit.ingest.test_intake import NOW

TEXT = (ROOT / "docs/segment-setup.md").read_text(encoding="utf-8")
PICTURE = ROOT / "docs/images/mapping.svg"
BLOCKS = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)]
EVENT = next(each for each in BLOCKS if "event" in each)
RESPONSES = re.findall(r"^\| (\d{3}) \| `(\{.*?\})` \|", TEXT.split("\n## Testing\n")[1], re.MULTILINE)


def answer(event: dict[str, Any], *audiences: Audience) -> dict[str, Any]:
    """What ingest answers to one event."""
    listed = Listed(*audiences)
    return _summary(changes_from(json.dumps([event]).encode(), mappings=compiled(None), audiences=listed, now=NOW))


def test_the_picture_shows_the_suggested_mapping() -> None:
    table = dict(re.findall(r"^ +\| ([A-Z][\w ]+) \| (.+) \|$", TEXT, re.MULTILINE))
    drawn = {text.text for text in ET.parse(PICTURE).getroot().iter("{http://www.w3.org/2000/svg}text")}  # noqa: S314 - our own file
    shown = [
        value
        for name in ("URL", "Method", "Headers", "Data", "Batch size")
        for value in re.findall("`(.+?)`", table[name])
    ]
    assert [value for value in shown if value not in drawn] == []
    assert int(table["Batch size"].strip("`")) <= MAX_EVENTS


PERSONAS = {"computation_class": "audience", "computation_key": "big_spenders"}
NAMED = {"type": "track", "userId": "u1", "properties": {"audience_key": "big_spenders", "email": "a@b.co"}}
OF_ROW: dict[str, dict[str, Any]] = {  # the beginning of a row: an event of its kind
    "audiences of Engage": EVENT,
    "[journeys]": EVENT
    | {
        "event": "Step",
        "properties": {"email": "a@b.co"},
        "context": {"personas": PERSONAS | {"computation_class": "journey_step"}},
    },
    "track events of any source": NAMED | {"event": "Audience Entered"},
    "Linked Audiences: an entity": EVENT | {"event": "Household Lapsed", "properties": {"entity_id": "h1"}},
    "audiences of accounts": {"type": "group", "traits": {"big_spenders": True}, "context": {"personas": PERSONAS}},
    "Reverse ETL": NAMED | {"event": "deleted"},
    "RudderStack": NAMED | {"type": "record", "action": "delete"},
    "computed traits": {"type": "identify", "context": {"personas": PERSONAS | {"computation_class": "trait"}}},
    "everything else": {"type": "page", "userId": "u1"},
}


def test_each_kind_of_event_is_accepted_ignored_or_rejected_as_the_table_says() -> None:
    section = TEXT.split("\n## Which events work\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| .* \|$", section, re.MULTILINE)[2:]  # without its head
    assert len(rows) == len(OF_ROW)
    mapping = {"name": "All", "trigger": 'type != ""', "fields": dict(DEFAULT_MAPPING.fields)}
    listed = Listed(Audience("5", country="US", computation_key="big_spenders"))
    for row, (beginning, event) in zip(rows, OF_ROW.items(), strict=True):
        assert row.startswith(f"| {beginning}")
        result = changes_from(
            json.dumps(event).encode(), mappings=compiled(json.dumps([mapping])), audiences=listed, now=NOW
        )
        reasons = {each.reason for each in result.rejections}
        assert reasons <= {"membership_undecided"}
        found = "accepted" if result.accepted else "rejected" if reasons else "ignored"
        assert row.endswith(f"| {found} |"), row


def test_the_example_event_adds_the_person() -> None:
    key = EVENT["context"]["personas"]["computation_key"]
    assert answer(EVENT, Audience("5", country="US", computation_key=key))["accepted"] == 1
    assert answer(EVENT)["rejections"][0]["reason"] == "audience_unknown"


@pytest.mark.parametrize(
    ("changed", "listed"),
    [
        pytest.param({"messageId": "segment-test-message-1"}, True, id="ignored: an invented message"),
        pytest.param({"userId": "test-user-1"}, True, id="ignored: an invented user"),
        pytest.param({}, True, id="accepted"),
        pytest.param({}, False, id="rejected"),
    ],
)
def test_the_page_shows_the_responses_to_event_tester_events(changed: dict[str, Any], listed: bool) -> None:
    audiences = [Audience("5", country="US", computation_key="big_spenders")] if listed else []
    given = answer(EVENT | changed, *audiences)
    status = "200" if given["accepted"] or given["ignored"] else "400"
    given["rejections"] = "…" if given["rejections"] else []
    shown = {(status, json.dumps(given, separators=(",", ":"), ensure_ascii=False).replace('"…"', "[…]"))}
    assert shown <= set(RESPONSES)


def test_the_page_shows_the_response_to_a_wrong_key() -> None:
    refused = error_answer(Unauthorized("no"))
    assert (str(refused["statusCode"]), refused["body"]) in RESPONSES
