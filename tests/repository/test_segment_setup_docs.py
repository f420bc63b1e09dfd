"""docs/segment-setup.md: the stack treats its events as the page says."""

import json
import re
from typing import Any

from audience_sync.ingest.intake import changes_from, compiled
from audience_sync.members.membership import Audience
from audience_sync.segment.default_mapping import DEFAULT_MAPPING
from local.template import ROOT
from tests.doubles.audiences import Listed
from tests.unit.ingest.test_intake import NOW

TEXT = (ROOT / "docs/segment-setup.md").read_text(encoding="utf-8")
BLOCKS = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)]
EVENT = next(each for each in BLOCKS if "event" in each)


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
    listed = Listed(Audience("5", country="US", computation_key=EVENT["context"]["personas"]["computation_key"]))
    result = changes_from(json.dumps(EVENT).encode(), mappings=compiled(None), audiences=listed, now=NOW)
    assert (result.accepted, result.rejections) == (1, [])
