"""Scripts written for the documents of before still find every key, and all states but one under their old word.

The times of `inFlight` left: `since` and `nextTry` of a blocker are the only clock of what waits.

old_documents.json was recorded on 2026-11-30, from the session of every_command.py and a state of the page, before
`test`, `diagnose`, `status` and the page became views of one report.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.command.dashboard import states
from tests.command.every_command import Ran

OLD: dict[str, Any] = json.loads(Path(__file__).with_name("old_documents.json").read_text(encoding="utf-8"))
CHANGED = {"missing": "problem"}  # a state in `test`


def lost(old: Any, new: Any, path: str = "$") -> list[str]:
    """Return the places in an old document that a new one does not have."""
    match old:
        case dict() if isinstance(new, dict):
            return [
                place
                for name, value in old.items()
                for place in (lost(value, new[name], f"{path}.{name}") if name in new else [f"{path}.{name}"])
            ]
        case [dict(), *_] if isinstance(new, list):
            known = {_name(each): each for each in reversed(new)}  # without names, the first one
            return [place for each in old for place in lost(each, known.get(_name(each)), f"{path}[]")]
        case _:
            return [] if old is None or new is None or isinstance(new, type(old)) else [path]


def _name(entry: dict[str, Any]) -> str:
    """Return the name of a finding; empty for any other entry."""
    return str(entry.get("part", entry.get("check", "")))


def names(document: dict[str, Any]) -> list[str]:
    return [_name(each) for each in document["findings"]]


@pytest.mark.parametrize("command", ["test", "diagnose", "status"])
def test_every_key_of_an_old_document_is_still_in_a_new_one(every_command: list[Ran], command: str) -> None:
    new = [document for ran in every_command if ran.command == command for document in ran.documents]
    assert min((lost(OLD[command], each) for each in new), key=len) == []


def test_the_page_gets_every_key_that_it_got() -> None:
    assert lost(OLD["page"], json.loads(json.dumps(states.parked().as_json()))) == []


@pytest.mark.parametrize("command", ["test", "diagnose"])
def test_findings_keep_their_names_their_order_and_but_for_one_word_their_states(
    every_command: list[Ran], command: str
) -> None:
    new = next(ran.documents[0] for ran in every_command if ran.command == command)
    assert [name for name in names(new) if name in names(OLD[command])] == names(OLD[command])
    states_now = [each["state"] for each in new["findings"] if _name(each) in names(OLD[command])]
    assert states_now == [CHANGED.get(each["state"], each["state"]) for each in OLD[command]["findings"]]
