"""@path and @template: values of the event, alone or inside a text."""

import re
from typing import Any

from audience_sync.segment.directives.compiler import MAX_CHARACTERS, CompileContext, Compiler, Constant, Reader
from audience_sync.segment.directives.values import MAX_TEXT, UNDEFINED, Undefined, list_position, text_of

# Segment's own pattern: a dot, or the brackets around digits or quotes. Quotes go after the split, so that a dot inside
# a name cannot be reached.
_SEPARATORS = re.compile(r"""\[(?=["'0-9])|\.|(?<=["'0-9])\]+""")
_NOT_A_STEP = re.compile(r"""\[(?!["'0-9])""")
_TRIPLE = re.compile(r"\{\{\{([^}]+)\}\}\}")
_DOUBLE = re.compile(r"\{\{([^}]+)\}\}")
_WHITE_SPACE = (  # what JavaScript trims, not what Python does
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)

type Step = tuple[str, int]
"""A name, and the place in a list that it stands for, -1 where it stands for none."""


def path_reader(path: str, place: CompileContext) -> Reader:
    """Compile a path as @path writes it: `$.a.b`, `a.list[0]`, `a['b c']`; `$.` is the whole event.

    Raises:
        InvalidMapping: too long, or brackets around something else than a number or a quoted name.
    """
    return _checked(path.replace("$.", "", 1), place)


def _checked(path: str, place: CompileContext) -> Reader:
    if len(path) > MAX_CHARACTERS:
        raise place.fault(f"a path of over {MAX_CHARACTERS} characters; shorten it")
    if _NOT_A_STEP.search(path):
        raise place.fault("bad path: brackets hold a number or a quoted name, as in [0] or ['name']; see @arrayPath")
    return _follow(path)


def _follow(path: str) -> Reader:
    names = [name.replace("'", "").replace('"', "") for name in _SEPARATORS.split(path) if name]
    if path == "." or not names:
        return lambda event: event
    steps = tuple((name, list_position(name)) for name in names)
    return lambda event: _walk(event, steps)


def _walk(value: Any, steps: tuple[Step, ...]) -> Any:
    """Follow the steps through what the event itself holds: no lengths, nothing inherited."""
    for name, position in steps:
        if isinstance(value, dict):
            value = value.get(name, UNDEFINED)
        elif isinstance(value, list) or (value and isinstance(value, str)):
            value = value[position] if 0 <= position < len(value) else UNDEFINED
        else:
            return UNDEFINED if value else value  # in JavaScript, a falsy value on the way is the result
    return value


def _path(argument: Any, place: CompileContext) -> Reader:
    if isinstance(argument, str):
        return path_reader(argument, place)
    told = place.read_text(argument)

    def read(event: Any) -> Any:
        path = told(event)
        if not isinstance(path, str) or len(path) > MAX_CHARACTERS:
            return UNDEFINED
        return _follow(path.replace("$.", "", 1))(event)

    return read


def _template(argument: Any, place: CompileContext) -> Reader:
    if isinstance(argument, str):
        place.read(argument)
        pieces = _pieces(argument, place)
        return Constant(argument) if pieces == [argument] else lambda event: _render(pieces, event)
    told = place.read_text(argument)

    def read(event: Any) -> Any:
        template = told(event)
        if not isinstance(template, str) or len(template) > MAX_CHARACTERS:
            return UNDEFINED
        return _render(_pieces(template, None), event)

    return read


def _pieces(template: str, place: CompileContext | None) -> list[str | Reader]:
    """Cut a template into texts and readers. Values are never read as templates in turn."""
    pieces: list[str | Reader] = []
    for position, outer in enumerate(_TRIPLE.split(template)):
        parts = [outer] if position % 2 else _DOUBLE.split(outer)
        for number, part in enumerate(parts, start=position % 2):
            if number % 2:
                path = part.strip(_WHITE_SPACE)
                pieces.append(_checked(path, place) if place else _follow(path))
            elif part:
                pieces.append(part)
    return pieces


def _render(pieces: list[str | Reader], event: Any) -> str | Undefined:
    written: list[str] = []
    room = MAX_TEXT
    for piece in pieces:
        text = piece if isinstance(piece, str) else text_of(piece(event))
        if isinstance(text, Undefined) or (room := room - len(text)) < 0:
            return UNDEFINED
        written.append(text)
    return "".join(written)


PATHS: dict[str, Compiler] = {"@path": _path, "@template": _template}
