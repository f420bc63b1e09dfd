"""Explains the first fault of a file that is not JSON: mistakes of people who write it by hand."""

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

SHOWN = 72  # characters of the line at fault, on either side of the fault together

_LAST_COMMA = "a comma before the end; remove it"
_UNCLOSED_TEXT = "a quote is missing: the string that starts here is not closed on its line"
_CURLY_QUOTES = "\u201c\u201d\u201e\u2018\u2019"
_PYTHON = {"True": "true", "False": "false", "None": "null"}
_NAME = re.compile(r"[A-Za-z_$][\w$.-]*")
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\\n]|\\.)*+"?|[{}\[\]]')
_PAIRS = {"}": "{", "]": "["}


@dataclass(frozen=True, slots=True)
class JsonFault:
    """The first fault of a document that is not JSON."""

    line: int  # from 1
    column: int  # from 1, in characters
    sentence: str  # what is wrong, and the remedy; holds nothing of the text but a keyword or a sign
    excerpt: str  # the line, cut around the fault, and a caret below the fault


def read_json_text(text: str) -> Any | JsonFault:
    """Parse JSON, or return its first fault. A byte order mark at its beginning is passed over."""
    text = text.removeprefix("\ufeff")
    try:
        return json.loads(text)
    except RecursionError:
        return JsonFault(1, 1, "it is nested too deeply", "")
    except json.JSONDecodeError as error:
        position, sentence = _explained(text, error)
    return _located(text, position, sentence)


def repeated_names(text: str) -> list[str]:
    """Return the names that an object has twice, in JSON that can be read. Parsers disagree on which one counts."""
    repeated: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        counts = Counter(name for name, _ in pairs)
        repeated.extend(name for name, count in counts.items() if count > 1)

    json.loads(text.removeprefix("\ufeff"), object_pairs_hook=note)
    return sorted(set(repeated))


def _explained(text: str, error: json.JSONDecodeError) -> tuple[int, str]:
    """Return the position that a person has to look at, which can lie before the parser's, and what is wrong there."""
    at = error.pos
    return (
        _text_fault(text, at, error.msg)
        or _end_fault(text, at, error.msg)
        or _foreign_sign(text, at)
        or _missing_sign(text, at, error.msg.partition(" delimiter")[0])
        or _no_value(text, at)
    )


def _text_fault(text: str, at: int, message: str) -> tuple[int, str] | None:
    """Explain a fault inside a string."""
    if message.startswith("Invalid \\"):
        return at, "JSON has no such escape; write two backslashes for one"
    if message.startswith("Invalid control character") and text[at] != "\n":
        return at, "a tab or control character inside a string; write \\t, or leave it out"
    if message.startswith(("Unterminated string", "Invalid control character")):
        return text.rindex('"', 0, at + 1), _UNCLOSED_TEXT
    return None


def _end_fault(text: str, at: int, message: str) -> tuple[int, str] | None:
    """Explain a fault at the end of the document, of an object or of a list."""
    before = text[:at].rstrip()
    if not text.strip():
        return 0, "the file is empty"
    if message == "Extra data":
        return at, "the document ends before this; remove the rest, or put both into one list"
    if message.startswith("Illegal trailing comma"):  # Python before 3.13 finds the bracket instead
        return at, _LAST_COMMA
    if before.endswith(",") and text[at : at + 1] in ("}", "]", ""):
        return len(before) - 1, _LAST_COMMA
    return None if text[at:] else (len(before), _unclosed(text))


def _foreign_sign(text: str, at: int) -> tuple[int, str] | None:
    """Explain syntax of other languages."""
    rest = text[at:]
    if rest[0] == "'":
        return at, "single quotes; JSON allows only double quotes"
    if rest[0] in _CURLY_QUOTES:
        return at, "curly quotes, as word processors write them; use straight double quotes"
    if rest.startswith(("//", "/*", "#")):
        return at, "a comment; JSON has none, remove it"
    if rest[0] == "," and text[:at].rstrip().endswith((",", "[", "{", ":")):
        return at, "a comma without a value before it; remove it, or add the value"
    return None


def _missing_sign(text: str, at: int, expected: str) -> tuple[int, str] | None:
    """Explain a missing comma or colon."""
    sign, end = text[at], len(text[:at].rstrip())
    if expected == "Expecting ':'":
        start = text.rindex('"', 0, end - 1)
        if ":" in text[start:end]:
            return start, "a quote is missing: the name that begins here is not closed"
        return end, "a colon is missing between name and value"
    if expected != "Expecting ','":
        return None
    if sign in _PAIRS:
        return at, f"found {sign}, expected {'}' if sign == ']' else ']'}"
    if text[at - 1] == '"' and _NAME.match(text, at):
        return at - 1, 'a quote inside a string ends it; write \\" there'
    return end, "a comma is missing before the next value"


def _no_value(text: str, at: int) -> tuple[int, str]:
    """Explain a missing name or value."""
    name = _NAME.match(text, at)
    if name and name[0] in _PYTHON:
        return at, f"{name[0]}; JSON writes {_PYTHON[name[0]]}"
    if name:
        return at, "a quote is missing: names and strings need double quotes"
    if text[at] in _PAIRS:
        return at, f"found {text[at]}, expected a value"
    return at, "not a JSON value; use a string in double quotes, a number, true, false, null, a list or an object"


def _unclosed(text: str) -> str:
    """Name the bracket that is not closed, in a truncated document."""
    opened: list[re.Match[str]] = []
    for found in _STRING_OR_BRACKET.finditer(text):
        if found[0] in ("{", "["):
            opened.append(found)
        elif opened and _PAIRS.get(found[0]) == opened[-1][0]:
            opened.pop()
    if not opened:
        return "the document ends too early"
    line = text.count("\n", 0, opened[-1].start()) + 1
    return f"the document ends too early: the {opened[-1][0]} of line {line} is not closed"


def _located(text: str, position: int, sentence: str) -> JsonFault:
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    whole = text[start : len(text) if end < 0 else end].rstrip("\r")
    column = position - start
    first = max(0, min(column - SHOWN // 2, len(whole) - SHOWN))
    shown = "".join(each if each.isprintable() else " " for each in whole[first : first + SHOWN])
    marks = "…" if first else "", "…" if first + SHOWN < len(whole) else ""
    caret = " " * (column - first + len(marks[0])) + "^"
    return JsonFault(text.count("\n", 0, position) + 1, column + 1, sentence, f"{marks[0]}{shown}{marks[1]}\n{caret}")
