"""@case, @replace, @json and @sha256: texts made of values. @liquid, which is refused."""

import hashlib
import json
import re
from typing import Any

from audience_sync.segment.directives.compiler import NOTHING, CompileContext, Compiler, Reader
from audience_sync.segment.directives.values import (
    MAX_TEXT,
    UNDEFINED,
    is_number,
    is_truthy,
    json_text,
    number_text,
    text_of,
    whole,
)

MAX_PATTERN = 10  # UTF-16 units of @replace's patterns and replacements; Segment's limit

_REFERENCE = re.compile(r"\$([$&`'])")


def _case(argument: Any, place: CompileContext) -> Reader:
    options = place.options(argument, ("operator", "value"), ("operator",))
    operator = (place / "operator").choice(options["operator"], ("lower", "upper"))
    told = (place / "value").read_text(options["value"]) if "value" in options else NOTHING
    if options.get("value") == "":
        return NOTHING  # as in Segment, where an empty constant is no value
    change = str.lower if operator == "lower" else str.upper

    def read(event: Any) -> Any:
        value = told(event)
        return change(value) if isinstance(value, str) else value

    return read


def _replace(argument: Any, place: CompileContext) -> Reader:
    names = ("value", "pattern", "replacement", "pattern2", "replacement2", "ignorecase", "global")
    options = place.options(argument, names, ("value", "pattern"))
    told = (place / "value").read_text(options["value"])
    ignore_case = (place / "ignorecase").choice(options.get("ignorecase", False), (True, False))
    everywhere = (place / "global").choice(options.get("global", True), (True, False))
    pairs = [_pair(options, place, "pattern", "replacement")]
    if options.get("pattern2") not in (None, ""):
        pairs.append(_pair(options, place, "pattern2", "replacement2"))
    if options["value"] == "":
        return NOTHING

    def read(event: Any) -> Any:
        value = told(event)
        if not isinstance(value, str | int | float):
            return ""
        text = text_of(value)
        for pattern, replacement in pairs:
            if not isinstance(text, str) or len(text) > MAX_TEXT:
                return UNDEFINED
            text = _replaced(text, pattern, replacement, ignore_case=ignore_case, everywhere=everywhere)
        return text

    return read


def _pair(options: dict[str, Any], place: CompileContext, pattern_name: str, replacement_name: str) -> tuple[str, str]:
    pattern, replacement = options[pattern_name], options.get(replacement_name, "")
    if not isinstance(pattern, str) or not 1 <= _units(pattern) <= MAX_PATTERN:
        raise (place / pattern_name).fault(f"not a text of 1 to {MAX_PATTERN} characters; it is searched as it stands")
    if not isinstance(replacement, str) or _units(replacement) > MAX_PATTERN:
        raise (place / replacement_name).fault(f"not a text of up to {MAX_PATTERN} characters; shorten it")
    if any(reference[1] in "`'" for reference in _REFERENCE.finditer(replacement)):
        raise (place / replacement_name).fault("$` and $' repeat the text around every match; write $$ for a dollar")
    return pattern, replacement


def _replaced(text: str, pattern: str, replacement: str, *, ignore_case: bool, everywhere: bool) -> str:
    searched, wanted = (_folded(text), _folded(pattern)) if ignore_case else (text, pattern)
    pieces: list[str] = []
    start = 0
    while (found := searched.find(wanted, start)) >= 0:
        end = found + len(wanted)
        pieces += text[start:found], _expanded(replacement, text[found:end])
        start = end
        if not everywhere:
            break
    return "".join(pieces) + text[start:]


def _expanded(replacement: str, match: str) -> str:
    return _REFERENCE.sub(lambda reference: "$" if reference[1] == "$" else match, replacement)


def _folded(text: str) -> str:
    """Fold case as JavaScript's patterns do: one character stays one, and none beyond ASCII becomes an ASCII one."""
    return text.upper() if text.isascii() else "".join(map(_folded_character, text))


def _folded_character(character: str) -> str:
    upper = character.upper()
    keeps = len(upper) != 1 or character > "\uffff" or (character > "\x7f" and upper <= "\x7f")
    return character if keeps else upper


def _units(text: str) -> int:
    return len(text) + sum(character > "\uffff" for character in text)


def _json(argument: Any, place: CompileContext) -> Reader:
    options = place.options(argument, ("mode", "value"), ("mode", "value"))
    mode = (place / "mode").choice(options["mode"], ("encode", "decode"))
    if not is_truthy(options["value"]):
        raise (place / "value").fault("empty; give a value or a directive")
    told = (place / "value").read(options["value"])
    change = json_text if mode == "encode" else _decoded
    return lambda event: change(told(event))


def _decoded(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if len(value) > MAX_TEXT:
        return UNDEFINED
    try:
        return json.loads(value, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return value


def _refuse_constant(_: str) -> Any:
    raise ValueError  # NaN and Infinity are not JSON


def _sha256(argument: Any, place: CompileContext) -> Reader:
    """Ours: a value that the mapping's author wants hashed exactly as it stands."""
    told = place.read(argument) if is_number(argument) else place.read_text(argument)

    def read(event: Any) -> Any:
        value = told(event)
        text = number_text(value) if is_number(value) else value
        if not isinstance(text, str) or not text:
            return UNDEFINED
        return hashlib.sha256(whole(text).encode()).hexdigest()

    return read


def _liquid(_: Any, place: CompileContext) -> Reader:
    raise place.fault("@liquid is not supported; use @template, with @case, @replace or @if around it")


TEXTS: dict[str, Compiler] = {
    "@case": _case,
    "@replace": _replace,
    "@json": _json,
    "@sha256": _sha256,
    "@liquid": _liquid,
}
