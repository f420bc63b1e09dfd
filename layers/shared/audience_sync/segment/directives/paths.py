"""@path and @template: values of the event, alone or inside a text."""

import re
from typing import Any

from audience_sync.segment.directives.compiler import MAX_CHARACTERS, CompileContext, Compiler, Constant, Reader
from audience_sync.segment.directives.values import MAX_TEXT, UNDEFINED, Undefined, list_position, text_of

# Segment's own pattern: a dot, or the brackets around digits or quotes. Quotes go after the split, so that a dot inside
# a name cannot be reached.
_SEPARATORS = re.compile(r"""\[(?=["'0-9])|\.|(?<=["'0-9])\]+""")
_UNQUOTED_BRACKET = re.compile(r"""\[(?!["'0-9])""")
_TRIPLE = re.compile(r"\{\{\{([^}]+)\}\}\}")
_DOUBLE = re.compile(r"\{\{([^}]+)\}\}")
_WHITE_SPACE = (  # what JavaScript trims, not what Python does
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)

type Step = tuple[str, int]
"""A name, and the list position that it is, -1 where it is none."""


def path_reader(path: str, context: CompileContext) -> Reader:
    """Compile a path as @path writes it: `$.a.b`, `a.list[0]`, `a['b c']`; `$.` is the whole event.

    Raises:
        InvalidMapping: too long, or brackets around something else than a number or a quoted name.
    """
    return _checked_reader(path.replace("$.", "", 1), context)


def _checked_reader(path: str, context: CompileContext) -> Reader:
    if len(path) > MAX_CHARACTERS:
        raise context.fault(f"a path of over {MAX_CHARACTERS} characters; shorten it")
    if _UNQUOTED_BRACKET.search(path):
        raise context.fault("bad path: brackets hold a number or a quoted name, as in [0] or ['name']; see @arrayPath")
    return _reader_of(path)


def _reader_of(path: str) -> Reader:
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
            return UNDEFINED if value else value  # in JavaScript, a falsy value ends the path and is the result
    return value


def _path(argument: Any, context: CompileContext) -> Reader:
    if isinstance(argument, str):
        return path_reader(argument, context)
    read_path = context.read_text(argument)

    def read(event: Any) -> Any:
        path = read_path(event)
        if not isinstance(path, str) or len(path) > MAX_CHARACTERS:
            return UNDEFINED
        return _reader_of(path.replace("$.", "", 1))(event)

    return read


def _template(argument: Any, context: CompileContext) -> Reader:
    if isinstance(argument, str):
        context.read(argument)
        pieces = _split(argument, context)
        return Constant(argument) if pieces == [argument] else lambda event: _render(pieces, event)
    read_template = context.read_text(argument)

    def read(event: Any) -> Any:
        template = read_template(event)
        if not isinstance(template, str) or len(template) > MAX_CHARACTERS:
            return UNDEFINED
        return _render(_split(template, None), event)

    return read


def _split(template: str, context: CompileContext | None) -> list[str | Reader]:
    """Split a template into texts and readers. A value is never read as a template itself."""
    pieces: list[str | Reader] = []
    for position, outer in enumerate(_TRIPLE.split(template)):
        parts = [outer] if position % 2 else _DOUBLE.split(outer)
        for number, part in enumerate(parts, start=position % 2):
            if number % 2:
                path = part.strip(_WHITE_SPACE)
                pieces.append(_checked_reader(path, context) if context else _reader_of(path))
            elif part:
                pieces.append(part)
    return pieces


def _render(pieces: list[str | Reader], event: Any) -> str | Undefined:
    texts: list[str] = []
    characters_left = MAX_TEXT
    for piece in pieces:
        text = piece if isinstance(piece, str) else text_of(piece(event))
        if isinstance(text, Undefined) or (characters_left := characters_left - len(text)) < 0:
            return UNDEFINED
        texts.append(text)
    return "".join(texts)


PATHS: dict[str, Compiler] = {"@path": _path, "@template": _template}
