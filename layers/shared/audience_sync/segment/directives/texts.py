"""@case, @replace, @json and @sha256: strings made from values. Segment's @liquid is refused."""

import hashlib
import json
import re
from typing import Any

from audience_sync.segment.budget import OTHERS_A_STEP, Budget
from audience_sync.segment.directives.compiler import NO_VALUE, CompileContext, Compiler, Reader
from audience_sync.segment.directives.values import (
    MAX_TEXT,
    UNDEFINED,
    has_gap,
    is_number,
    is_truthy,
    json_text,
    text_of,
    without_lone_surrogates,
)

MAX_PATTERN = 10  # UTF-16 units of @replace's patterns and replacements; Segment's limit

_STEPS_IN_ANY_CASE = 10  # of @replace, @json and @sha256, besides finding their value
_STEPS_TO_FOLD = 3  # a character outside ASCII, to upper case
_STEPS_A_MATCH = 4  # to write the replacement of one match if case is ignored

_REFERENCE = re.compile(r"(\$[$&`'])")


def _case(argument: Any, context: CompileContext) -> Reader:
    options = context.options(argument, ("operator", "value"), ("operator",))
    operator = (context / "operator").choice(options["operator"], ("lower", "upper"))
    read_value = (context / "value").read_text(options["value"]) if "value" in options else NO_VALUE
    if options.get("value") == "":
        return NO_VALUE  # as in Segment: an empty constant counts as missing
    change = str.lower if operator == "lower" else str.upper

    def read(event: Any, budget: Budget) -> Any:
        value = read_value(event, budget)
        if not isinstance(value, str):
            return value
        if len(value) > MAX_TEXT:
            return UNDEFINED
        budget.spend_on_text(value)
        return change(value)

    return read


def _replace(argument: Any, context: CompileContext) -> Reader:
    names = ("value", "pattern", "replacement", "pattern2", "replacement2", "ignorecase", "global")
    options = context.options(argument, names, ("value", "pattern"))
    read_value = (context / "value").read_text(options["value"])
    ignore_case = (context / "ignorecase").choice(options.get("ignorecase", False), (True, False))
    replace_all = (context / "global").choice(options.get("global", True), (True, False))
    limit = -1 if replace_all else 1
    pairs = [_pair(options, context, "pattern", "replacement")]
    if options.get("pattern2") not in (None, ""):
        pairs.append(_pair(options, context, "pattern2", "replacement2"))
    if options["value"] == "":
        return NO_VALUE
    context.takes(_STEPS_IN_ANY_CASE)

    def read(event: Any, budget: Budget) -> Any:
        value = read_value(event, budget)
        if not isinstance(value, str | int | float):
            return ""
        text = text_of(value, budget)
        for pattern, replacement in pairs:
            if not isinstance(text, str) or len(text) > MAX_TEXT:
                return UNDEFINED
            budget.spend_on_text(text)
            if ignore_case:
                text = _replaced_in_any_case(text, pattern, replacement, limit, budget)
            else:
                text = text.replace(pattern, pattern.join(replacement), limit)
            budget.spend_on_text(text)
        return text

    return read


def _pair(
    options: dict[str, Any], context: CompileContext, pattern_name: str, replacement_name: str
) -> tuple[str, list[str]]:
    """Validate a pattern and its replacement. Returns the replacement in parts; the match goes between them."""
    pattern, replacement = options[pattern_name], options.get(replacement_name, "")
    if not isinstance(pattern, str) or not 1 <= _utf16_units(pattern) <= MAX_PATTERN:
        raise (context / pattern_name).fault(
            f"must be a string of 1 to {MAX_PATTERN} characters; it is not a regular expression"
        )
    if not isinstance(replacement, str) or _utf16_units(replacement) > MAX_PATTERN:
        raise (context / replacement_name).fault(f"must be a string of up to {MAX_PATTERN} characters; shorten it")
    if any(piece in ("$`", "$'") for piece in _REFERENCE.split(replacement)):
        raise (context / replacement_name).fault("$` and $' repeat the text around every match; write $$ for a dollar")
    parts = [""]
    for piece in _REFERENCE.split(replacement):
        if piece == "$&":
            parts.append("")
        else:
            parts[-1] += "$" if piece == "$$" else piece
    return pattern, parts


def _replaced_in_any_case(text: str, pattern: str, replacement: list[str], limit: int, budget: Budget) -> str:
    if not text.isascii():
        budget.spend(len(text) * _STEPS_TO_FOLD)
    searched, wanted = _folded(text), _folded(pattern)
    budget.spend(searched.count(wanted) * _STEPS_A_MATCH)
    pieces: list[str] = []
    start = 0
    while (found := searched.find(wanted, start)) >= 0:
        end = found + len(wanted)
        pieces += text[start:found], text[found:end].join(replacement)
        start = end
        if limit == 1:
            break
    return "".join(pieces) + text[start:]


def _folded(text: str) -> str:
    """Fold case as JavaScript's patterns do: one character stays one, and none outside ASCII becomes ASCII."""
    return text.upper() if text.isascii() else "".join(map(_folded_character, text))


def _folded_character(character: str) -> str:
    upper = character.upper()
    keeps = len(upper) != 1 or character > "\uffff" or (character > "\x7f" and upper <= "\x7f")
    return character if keeps else upper


def _utf16_units(text: str) -> int:
    return len(text) + sum(character > "\uffff" for character in text)


def _json(argument: Any, context: CompileContext) -> Reader:
    options = context.options(argument, ("mode", "value"), ("mode", "value"))
    mode = (context / "mode").choice(options["mode"], ("encode", "decode"))
    if not is_truthy(options["value"]):
        raise (context / "value").fault("empty; give a value or a directive")
    read_value = (context / "value").read(options["value"])
    context.takes(_STEPS_IN_ANY_CASE)
    if mode == "decode":
        return lambda event, budget: _decoded(read_value(event, budget), budget)
    needs_all = context.needs_all

    def encode(event: Any, budget: Budget) -> Any:
        value = read_value(event, budget)
        return UNDEFINED if needs_all and has_gap(value) else json_text(value, budget)

    return encode


def _decoded(value: Any, budget: Budget) -> Any:
    if not isinstance(value, str):
        return value
    if len(value) > MAX_TEXT:
        return UNDEFINED
    budget.spend(len(value) // OTHERS_A_STEP)
    try:
        return json.loads(value, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return value


def _refuse_constant(_: str) -> Any:
    raise ValueError  # NaN and Infinity are not JSON


def _sha256(argument: Any, context: CompileContext) -> Reader:
    """Hash a value unchanged. Not one of Segment's directives."""
    read_value = context.read(argument) if is_number(argument) else context.read_text(argument)

    def read(event: Any, budget: Budget) -> Any:
        value = read_value(event, budget)
        text = text_of(value, budget) if is_number(value) else value
        if not isinstance(text, str) or not text or len(text) > MAX_TEXT:
            return UNDEFINED
        try:
            encoded = text.encode()
        except UnicodeEncodeError:
            budget.spend(len(text) // 2)  # searching takes longer than hashing
            encoded = without_lone_surrogates(text).encode()
        budget.spend_on_text(text)
        return hashlib.sha256(encoded).hexdigest()

    context.takes(_STEPS_IN_ANY_CASE)
    return read


def _liquid(_: Any, context: CompileContext) -> Reader:
    raise context.fault("Liquid templates are not read here; write it with @template, @if, @case or @replace")


TEXTS: dict[str, Compiler] = {
    "@case": _case,
    "@replace": _replace,
    "@json": _json,
    "@sha256": _sha256,
    "@liquid": _liquid,
}
