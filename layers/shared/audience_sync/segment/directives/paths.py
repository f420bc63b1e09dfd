"""@path and @template: values of the event, alone or inside a string."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from audience_sync.segment.budget import OTHERS_A_STEP, Budget
from audience_sync.segment.directives.compiler import MAX_CHARACTERS, CompileContext, Compiler, Constant, Reader
from audience_sync.segment.directives.values import MAX_TEXT, UNDEFINED, WHITE_SPACE, Undefined, list_position, text_of

# Segment's own pattern: a dot, or the brackets around digits or quotes. Quotes are removed after the split, so a dot
# inside a quoted name still separates.
_SEPARATORS = re.compile(r"""\[(?=["'0-9])|\.|(?<=["'0-9])\]+""")
_UNQUOTED_BRACKET = re.compile(r"""\[(?!["'0-9])""")
# Segment's own patterns are {{{([^}]+)}}} and {{([^}]+)}}. These match the same, and also unclosed
# braces up to the first candidate for their end, so that no character is tried twice.
_TRIPLE = re.compile(r"\{\{\{([^}]*+)(\}{0,3}+)")
_DOUBLE = re.compile(r"\{\{([^}]*+)(\}{0,2}+)")
_CLOSED = re.compile(r"(?<!\{)(?:\{\{\{[^{}]++\}\}\}|\{\{[^{}]++\}\})")

_STEPS_A_PIECE = 5  # to write a value, which may be a number, into a template
_STEPS_TO_SPLIT = 10  # a short path or template that comes from the event
_STEPS_A_CHARACTER = 3  # of such a path or template: most may be dots or braces

type Step = tuple[str, int]
"""A name and its list position; -1 if it is not one."""


def path_reader(path: str, context: CompileContext) -> Reader:
    """Compile a path as @path writes it: `$.a.b`, `a.list[0]`, `a['b c']`; `$.` is the whole event.

    Raises:
        InvalidMapping: too long, or brackets without a number or a quoted name.
    """
    return _checked_reader(path.replace("$.", "", 1), context)


def _checked_reader(path: str, context: CompileContext) -> Reader:
    if len(path) > MAX_CHARACTERS:
        raise context.fault(f"a path of over {MAX_CHARACTERS} characters; shorten it")
    if _UNQUOTED_BRACKET.search(path):
        raise context.fault("bad path: brackets hold a number or a quoted name, as in [0] or ['name']; see @arrayPath")
    context.takes(len(path) // OTHERS_A_STEP)
    return _reader_of(path)


def _reader_of(path: str) -> Reader:
    steps = _steps_of(path)
    return PathReader(steps) if steps else lambda event, _: event


def _steps_of(path: str) -> tuple[Step, ...]:
    """Split a path; the whole event has no steps."""
    names = [name.replace("'", "").replace('"', "") for name in _SEPARATORS.split(path) if name]
    return tuple((name, list_position(name)) for name in names)


class PathReader:
    """The value at one path.

    Attributes:
        steps: the path to it; one or more.
    """

    __slots__ = ("steps",)

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self.steps = steps

    def __call__(self, event: Any, budget: Budget) -> Any:  # noqa: ARG002
        """Return the value."""
        return walk(event, self.steps)


class FirstOfPaths:
    """The value at the first of several paths that has one, as for most fields; at the last if none has.

    Attributes:
        paths: the steps of two or more paths.
        is_passed_over: whether to try the next path. True if missing; never for a non-empty string.
    """

    __slots__ = ("is_passed_over", "paths")

    def __init__(self, paths: Sequence[tuple[Step, ...]], is_passed_over: Callable[[Any, Budget], bool]) -> None:
        self.paths = paths
        self.is_passed_over = is_passed_over

    def __call__(self, event: Any, budget: Budget) -> Any:
        """Return the value."""
        *others, last = self.paths
        for steps in others:
            value = walk(event, steps)
            if value is not UNDEFINED and not self.is_passed_over(value, budget):
                return value
        return walk(event, last)


def first_of_paths(paths: Sequence[str], is_passed_over: Callable[[Any, Budget], bool]) -> FirstOfPaths | None:
    """Compile a chain of @if that selects the first path with a value.

    Args:
        paths: in the syntax of @path, validated.
        is_passed_over: as in FirstOfPaths.

    Returns:
        None if there is no path, or if one is the whole event.
    """
    split = [_steps_of(path.replace("$.", "", 1)) for path in paths]
    return FirstOfPaths(split, is_passed_over) if split and all(split) else None


def walk(value: Any, steps: tuple[Step, ...]) -> Any:
    """Follow the steps through the event's own members: no lengths, nothing inherited."""
    for name, position in steps:
        if isinstance(value, dict):
            value = value.get(name, UNDEFINED)
        elif isinstance(value, list) or (value and isinstance(value, str)):
            value = value[position] if 0 <= position < len(value) else UNDEFINED
        else:
            return UNDEFINED if value else value  # in JavaScript, a falsy value ends the path and is the result
    return value


def _path(argument: Any, context: CompileContext) -> Reader:
    if isinstance(argument, str):
        return path_reader(argument, context)
    return _named_by_event(argument, context, lambda path: _reader_of(path.replace("$.", "", 1)))


def _template(argument: Any, context: CompileContext) -> Reader:
    if isinstance(argument, str):
        context.read(argument)
        _check_braces(argument, context)
        pieces = _split(argument, context)
        context.takes(len(pieces) * _STEPS_A_PIECE)
        return Constant(argument) if pieces == [argument] else _renderer(pieces, context)

    def reader_of(template: str) -> Reader:
        return _renderer(_split(template, None), context)

    return _named_by_event(argument, context, reader_of)


def _named_by_event(argument: Any, context: CompileContext, reader_of: Callable[[str], Reader]) -> Reader:
    """Compile a path or template that is itself a value of the event, so is compiled for each event."""
    read_text = replace(context, needs_all=False).read_text(argument)  # a name is not part of the value
    context.takes(_STEPS_TO_SPLIT)

    def read(event: Any, budget: Budget) -> Any:
        text = read_text(event, budget)
        if not isinstance(text, str) or len(text) > MAX_CHARACTERS:
            return UNDEFINED
        budget.spend(len(text) * _STEPS_A_CHARACTER)
        return reader_of(text)(event, budget)

    return read


def _split(template: str, context: CompileContext | None) -> list[str | Reader]:
    """Split a template into strings and readers. A value is never read as a template itself."""
    pieces: list[str | Reader] = []
    for position, outer in enumerate(_parts(_TRIPLE, 3, template)):
        parts = [outer] if position % 2 else _parts(_DOUBLE, 2, outer)
        for number, part in enumerate(parts, start=position % 2):
            if number % 2:
                path = part.strip(WHITE_SPACE)
                pieces.append(_checked_reader(path, context) if context else _reader_of(path))
            elif part:
                pieces.append(part)
    return pieces


def _check_braces(template: str, context: CompileContext) -> None:
    """Refuse braces that Segment would send as text, or whose name would start inside other braces."""
    rest = _CLOSED.sub(lambda closed: " " * len(closed[0]), template)
    if (start := rest.find("{{")) >= 0:
        fault = "empty" if rest.startswith("{{}}", start) else "not closed"
        raise context.fault(f"the {{{{ at character {start + 1} is {fault}; write {{{{ path }}}}")


def _parts(pattern: re.Pattern[str], braces: int, template: str) -> list[str]:
    """Split a template at the names in braces: text, name, text, name, ..., text."""
    parts: list[str] = []
    end = 0
    for found in pattern.finditer(template):
        if found[1] and len(found[2]) == braces:
            parts += template[end : found.start()], found[1]
            end = found.end()
    return [*parts, template[end:]]


def _renderer(pieces: list[str | Reader], context: CompileContext) -> Reader:
    needs_all = context.needs_all
    return lambda event, budget: _render(pieces, event, budget, needs_all=needs_all)


def _render(pieces: list[str | Reader], event: Any, budget: Budget, *, needs_all: bool) -> str | Undefined:
    texts: list[str] = []
    characters_left = MAX_TEXT
    for piece in pieces:
        text = piece if isinstance(piece, str) else text_of(piece(event, budget), budget)
        if isinstance(text, Undefined) or (characters_left := characters_left - len(text)) < 0:
            return UNDEFINED
        if needs_all and not text:
            return UNDEFINED
        texts.append(text)
    rendered = "".join(texts)
    budget.spend_on_text(rendered)
    return rendered


PATHS: dict[str, Compiler] = {"@path": _path, "@template": _template}
