"""Rows of Reverse ETL, decided by the preset and by Segment's own resolver of membership."""

from itertools import product
from typing import Any

from tests.support.intake import LAPSED, outcomes, preset, read
from tests.support.node import run

KEY = str(LAPSED.computation_key)
NAMES = ("new", "updated", "deleted", "New", "Deleted Row", "", None)
CLASSES = (None, "audience", "journey_step", "trait")
STATED: tuple[dict[str, Any], ...] = ({}, {KEY: True}, {KEY: False}, {KEY: "true"}, {KEY: None})
DECISIONS = {"CREATE u1": True, "DELETE u1": False}


def row(name: str | None, computation_class: str | None, stated: dict[str, Any]) -> dict[str, Any]:
    personas = {"computation_class": computation_class, "computation_key": KEY}
    context = {"personas": personas} if computation_class else {}
    properties = {"__segment_id": "u1", "email": "a@b.co", **stated}
    return {"type": "track", "event": name, "messageId": "m", "context": context, "properties": properties}


def test_the_preset_decides_like_segments_resolver_and_rejects_events_that_contradict_engage() -> None:
    cases = [*product(NAMES, CLASSES, STATED)]
    rows = [row(*case) for case in cases if case[0] in NAMES[:3] or not case[1]]  # else Engage alone decides
    different = []
    for each, theirs in zip(rows, run("membership.cjs", rows), strict=True):
        (outcome,) = outcomes(read(each, mappings=preset("reverse-etl"))) or ["ignored"]
        if DECISIONS.get(outcome) is not theirs:
            personas = each["context"]["personas"]
            different.append((personas["computation_class"], outcome))
    assert {*different} == {
        ("audience", "membership_contradictory"),
        ("journey_step", "membership_contradictory"),
        ("trait", "ignored"),  # about a computed trait
    }
    contradictory = [outcome for _, outcome in different if outcome == "membership_contradictory"]
    assert len(contradictory) == 9, "a boolean of true with deleted, of false with new or updated, or a journey's step"
