"""Thousands of generated triggers, evaluated by us and by Segment's own engine, in one run of Node."""

import random
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

from audience_sync.errors import InvalidTrigger
from audience_sync.segment.budget import Budget
from audience_sync.segment.fql.refusals import TriggerRefusal
from audience_sync.segment.trigger import compile_trigger, matches
from tests.support.node import run
from tests.support.trigger_table import conditions

SEED = 20240304
TRIGGERS = 6000
EVENTS = 80

FIELDS = r"""type event name userId properties.a properties.a.b properties.n properties.o.a properties.list.\0
properties.list.\1.b traits.a-b traits.first\ name traits.caf\é context._x.y context.\and.\1st""".replace("\n", " ")
FIELD_NAMES = [name.replace("\0", "\\ ") for name in FIELDS.replace("\\ ", "\0").split()]
ODD_NAMES = [
    *(
        "event.a",
        "properties",
        "traits.",
        "context..a",
        "properties.1",
        "properties.null",
        "properties.or",
        "anonymousId",
    ),
    *(
        r"properties.a\.b",
        r"properties.list\[0\]",
        "contains",
        "true",
        "and",
        "NOT",
        "propertiesX",
        r"\event",
        "messageId",
    ),
]
TEXTS = ["", "text", "te", "xt", "5", "true", "null", "a'b", "é", "*", "track", "Audience Entered", "😀", "a\\", "a b"]
PATTERNS = [*("text*", "*text", "*", "te*", "*xt", "*é", "Audience*", "*Entered") * 3, "**", "*e*", "text", "t*t", ""]
NUMBERS = ["5", "0", "-1.5", "+5", "007", "9007199254740993", "1" * 400, "5.0", "-0"]
JUNK = [
    *("not", "AND", "Or", "in", "!", "(", ")", ",", "]", "[", "'text'", '"', "=", "!=", "<", ">=", "!(", "and", "or"),
    *("null", "true", "5", '"text"', ".", "..", "\\", "&&", "\r", "5.", "1e5", "-", "é", "\u00a0", "#", "==", "=>"),
]
VALUES: list[Any] = [
    *(None, 0, 1, 5, 5.0, -1.5, 2**53 + 1, 2**53, int("1" * 400), True, False),
    *(
        "",
        "te",
        "text",
        "text and more",
        "more text",
        "*text",
        "Text",
        "5",
        "true",
        "false",
        "null",
        "a'b",
        "é",
        "😀",
        "a\\",
    ),
    *(
        {},
        {"b": 5},
        {"b": "text"},
        {"b": {"b": None}},
        {"a": {"b": True}},
        {"0": 5},
        [],
        [5, "text"],
        [0, {"b": "text"}],
    ),
]
NAMES_IN_EVENTS = ["a", "b", "n", "o", "list", "a-b", "first name", "café", "_x", "y", "and", "1st"]


class Case(NamedTuple):
    """One trigger, our refusal or results, and the engine's; one character an event."""

    trigger: str
    refusal: TriggerRefusal | None
    ours: str
    engine_parsed: bool
    engine: str


def field_name(rng: random.Random) -> str:
    return rng.choice(ODD_NAMES if rng.random() < 0.03 else FIELD_NAMES)


def comparison(rng: random.Random) -> list[str]:
    """Mostly one that is valid, else any field with any operator and any value."""
    field = field_name(rng)
    text, number = f'"{rng.choice(TEXTS)}"', rng.choice(NUMBERS)
    if rng.random() < 0.1:
        return [field, rng.choice("= != < <= > >=".split()), rng.choice([text, number, "true", "false", "null"])]
    valid = [["=", text], ["!=", text], [rng.choice("< <= > >=".split()), number]]
    if field not in ("type", "event"):
        valid += [["=", "null"], ["!=", "null"]]
    if "." in field:
        valid += [["=", number], ["!=", number], ["=", "true"], ["=", "false"]]
    return [field, *rng.choice(valid)]


def function(rng: random.Random) -> list[str]:
    field = "userId" if (field := field_name(rng)) == "type" and rng.random() < 0.9 else field
    name = rng.choice(["contains", "match", "!contains", "!match"])
    text = rng.choice(TEXTS if name.endswith("contains") else PATTERNS)
    return [name, "(", field, ",", f'"{text}"', ")"]


def level(rng: random.Random, depth: int = 0) -> list[str]:
    words = rng.choice([["and"], ["or"], ["and"], ["or"], ["and", "or"]])
    written: list[str] = []
    for number in range(rng.choice([1, 1, 2, 2, 3, 4])):
        written += [rng.choice(words)] if number else []
        if depth < 2 and rng.random() < (0.25, 0.03)[depth]:
            written += ["(", *level(rng, depth + 1), ")"]
        else:
            written += rng.choice([comparison, comparison, function])(rng)
    return written


def spaced(rng: random.Random, tokens: list[str]) -> str:
    """Join as a person would, or as tightly as often still works."""
    if rng.random() < 0.8:
        return " ".join(tokens).replace("( ", "(").replace(" )", ")").replace(" ,", ",")
    return "".join(token + rng.choice(["", " ", " ", "\t", "\n "]) for token in tokens)


def mutated(rng: random.Random, tokens: list[str]) -> list[str]:
    at = rng.randrange(len(tokens))
    change = rng.choice(["drop", "double", "junk", "replace", "swap", "character"])
    if change == "drop":
        return tokens[:at] + tokens[at + 1 :]
    if change == "double":
        return [*tokens[:at], tokens[at], *tokens[at:]]
    if change in ("junk", "replace"):
        return [*tokens[:at], rng.choice(JUNK), *tokens[at + (change == "replace") :]]
    if change == "swap":
        other = rng.randrange(len(tokens))
        tokens = list(tokens)
        tokens[at], tokens[other] = tokens[other], tokens[at]
        return tokens
    text = tokens[at]
    cut = rng.randrange(len(text) + 1)
    return [
        *tokens[:at],
        text[:cut] + rng.choice(" \"'\\.!=<()n5a_-*é") + text[cut + rng.randrange(2) :],
        *tokens[at + 1 :],
    ]


def triggers(rng: random.Random) -> Iterator[str]:
    for number in range(TRIGGERS):
        tokens = level(rng)
        for _ in range((0, 0, 1, 2)[number % 4]):  # half of them unchanged
            tokens = mutated(rng, tokens) or ["("]
        yield spaced(rng, tokens)
    yield from (
        "",
        " \n",
        "type = 'track'",
        "properties.n=5",
        "properties.n=5 ",
        "x" * 4097,
        'event = "\ud83d"',
        '!(type = "a")',
    )


def event(rng: random.Random) -> dict[str, Any]:
    def holder() -> Any:
        if rng.random() < 0.1:
            return rng.choice([None, "", "text", 0, 5, False, [], [5]])
        return {name: rng.choice(VALUES) for name in NAMES_IN_EVENTS if rng.random() < 0.7}

    written: dict[str, Any] = {}
    for field in ("type", "event", "name", "userId"):
        if rng.random() < 0.85:
            written[field] = rng.choice([*VALUES, "track", "Audience Entered", "text"])
    for field in ("properties", "traits", "context"):
        if rng.random() < 0.9:
            written[field] = holder()
    for below in ("properties", "context"):  # so that deeper names often lead somewhere
        if isinstance(written.get(below), dict) and rng.random() < 0.6:
            written[below] |= {"list": rng.choice([[], [5], ["text", {"b": "text"}]]), "o": {"a": rng.choice(VALUES)}}
            written[below] |= {"_x": {"y": rng.choice(VALUES)}, "and": {"1st": rng.choice(VALUES)}}
    return _without_texts_on_the_way(written)


def _without_texts_on_the_way(written: dict[str, Any]) -> dict[str, Any]:
    """Drop what the documented differences are about: a text where a trigger looks for a position in a list."""
    properties = written.get("properties")
    if isinstance(properties, dict) and isinstance(properties.get("list"), str):
        properties["list"] = None
    return written


@cache
def cases() -> tuple[Case, ...]:
    rng = random.Random(SEED)
    texts = list(dict.fromkeys(triggers(rng)))
    events = [event(rng) for _ in range(EVENTS)]
    answers = run("trigger.cjs", {"triggers": texts, "events": events})
    return tuple(
        Case(text, *_ours(text, events), answer["parsed"], answer["results"])
        for text, answer in zip(texts, answers, strict=True)
    )


def _ours(trigger: str, events: list[dict[str, Any]]) -> tuple[TriggerRefusal | None, str]:
    try:
        holds = compile_trigger(trigger)
    except InvalidTrigger as refused:
        return refusal_of(refused), ""
    return None, "".join("y" if holds(written, Budget()) else "n" for written in events)


def refusal_of(refused: InvalidTrigger) -> TriggerRefusal:
    return TriggerRefusal(str(refused).rsplit(" (at character ", 1)[0])


def test_an_accepted_trigger_matches_the_same_events_as_segments_engine() -> None:
    different = [case.trigger for case in cases() if case.refusal is None and case.ours != case.engine]
    assert different == []


def test_most_accepted_triggers_hold_for_some_events_and_not_for_others() -> None:
    accepted = [case for case in cases() if case.refusal is None]
    assert sum("y" in case.ours and "n" in case.ours for case in accepted) >= 1000


def test_segments_engine_parses_every_trigger_that_we_accept() -> None:
    assert [case.trigger for case in cases() if case.refusal is None and not case.engine_parsed] == []


def test_generated_triggers_cause_every_kind_of_refusal() -> None:
    assert {refusal.name for refusal in TriggerRefusal} - {
        case.refusal.name for case in cases() if case.refusal
    } == set()


def test_the_documented_conditions_hold_for_segments_engine() -> None:
    rows = [(trigger, event, expected) for trigger, _, event, expected in conditions()]
    assert [
        row for row, holds in zip(rows, engine_holds([row[:2] for row in rows]), strict=True) if holds != row[2]
    ] == []


def test_only_segments_engine_finds_properties_that_javascript_adds() -> None:
    rows: list[tuple[str, dict[str, Any]]] = [
        ("properties.constructor != null", {"properties": {}}),
        ("properties.toString != null", {"properties": {}}),
        ("properties.__proto__ != null", {"properties": {}}),
        ("properties.x.length = 2", {"properties": {"x": [5, 6]}}),
        ("properties.x.length = 3", {"properties": {"x": "abc"}}),
        (r'properties.x.\0 = "a"', {"properties": {"x": "abc"}}),
    ]
    assert engine_holds(rows) == [True] * len(rows)
    assert [matches(trigger, event) for trigger, event in rows] == [False] * len(rows)


def engine_holds(rows: Sequence[tuple[str, dict[str, Any]]]) -> list[bool]:
    """The engine's answer for each trigger and its own event."""
    answers = run("trigger.cjs", {"triggers": [row[0] for row in rows], "events": [row[1] for row in rows]})
    return [answer["results"][number] == "y" for number, answer in enumerate(answers)]
