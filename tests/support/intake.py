"""A request to ingest, read for listed audiences, and every example of what Segment sends."""

import json
from datetime import UTC, datetime
from typing import Any

from audience_sync.ingest.intake import IntakeResult, changes_from, compiled
from audience_sync.ingest.record_rules import Policy
from audience_sync.members.membership import Audience
from local.template import ROOT
from tests.support.doubles.audiences import Listed

EXAMPLES = ROOT / "events/segment"
PRESETS = {path.stem: path.read_text() for path in (EXAMPLES.parent / "mappings").glob("*.json")}
NOW = int(datetime(2026, 3, 20, tzinfo=UTC).timestamp() * 1000)
LAPSED = Audience("418273650912345678", country="US", computation_key="lapsed_premium_buyers")
GERMAN = Audience("418273650912349999", country="DE")
JOURNEY = Audience("2", country="US", computation_key="winback_flow__send_to_amazon_4q8zt")
OLD_JOURNEY = Audience("3", country="US", computation_key="j_o_winback__opened_email_t7c2q")
MEMBER = {"external_user_id": {"@path": "$.userId"}, "email": {"@path": "$.context.traits.email"}}


def read(
    body: Any,
    *,
    audiences: Listed | None = None,
    policy: Policy | None = None,
    now: int = NOW,
    sent: int | None = None,
    mappings: str | None = None,
) -> IntakeResult:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    listed = audiences or Listed(LAPSED, GERMAN, JOURNEY, OLD_JOURNEY)
    return changes_from(raw, mappings=compiled(mappings), audiences=listed, now=now, sent=sent, policy=policy)


def example(number: str) -> Any:
    (path,) = EXAMPLES.glob(f"{number}-*.json")
    return json.loads(path.read_bytes())


def outcomes(result: IntakeResult) -> list[str]:
    """Each change as 'CREATE member', each rejection as its reason."""
    changes = [f"{'DELETE' if each.exits else 'CREATE'} {each.member_id}" for each in result.changes]
    return changes + [rejection.reason for rejection in result.rejections]


def entered(**changes: Any) -> dict[str, Any]:
    """A plain enter, with values at paths replaced; None removes the field."""
    event: dict[str, Any] = json.loads(json.dumps(example("01")))
    for path, value in changes.items():
        *steps, last = path.split("__")
        holder = event
        for step in steps:
            holder = holder[step]
        if value is None:
            holder.pop(last, None)
        else:
            holder[last] = value
    return event


def preset(name: str, audience_id: str = LAPSED.audience_id) -> str:
    return PRESETS[name].replace("AUDIENCE_ID", audience_id)
