"""Compiles the fields of a mapping into one function that reads them all from an event.

Nearly every field is the string at a path, or at the first of several. So the objects along the paths are looked up
once for all fields, and a reader is called only for other values. That halves the time.
"""

from collections.abc import Callable, Sequence
from typing import Any

from audience_sync.segment.budget import Budget
from audience_sync.segment.directives.compiler import Constant, Reader
from audience_sync.segment.directives.paths import FirstOfPaths, PathReader, Step
from audience_sync.segment.directives.values import UNDEFINED, materialize

MAX_STEPS = 16  # of a path; longer paths, of up to a thousand steps, are left to the reader
MAX_SHAPES = 256  # kept for a mapping; Segment's events have a handful

type FieldsReader = Callable[[dict[str, Any], Budget], list[Any]]
"""Maps an event to the value of each field; None if there is none. Raises RejectedEvent: the budget is used up."""

type _AtPaths = tuple[int, Reader, list[tuple[int, str]]]
"""The index of a field, its reader, and the object and the name at the end of each of its paths."""

_NOTHING: dict[str, Any] = {}


def compile_fields(readers: Sequence[Reader]) -> FieldsReader:
    """Build the function that reads all fields.

    Args:
        readers: one for each field.

    Returns:
        A function that returns `value_of` for each reader. It calls a reader only if the value at its paths is not a
        non-empty string, or if something on the way is not an object.
    """
    return _Fields(readers).read


def value_of(reader: Reader, event: dict[str, Any], budget: Budget) -> Any:
    """Return the value of one field; None if there is none. Unwraps a list of one, as Segment's actions do.

    Raises:
        RejectedEvent: the budget is used up.
    """
    value = reader(event, budget)
    if value is UNDEFINED:
        return None
    value = materialize(value)
    return value[0] if isinstance(value, list) and len(value) == 1 else value


class _Fields:
    """The fields of a mapping, sorted by how they are read.

    An object is identified by its index among the objects along the paths, the event first.
    """

    def __init__(self, readers: Sequence[Reader]) -> None:
        self._readers = readers
        self._constants: list[Any] = [None] * len(readers)
        self._at_paths: list[_AtPaths] = []
        self._others: list[tuple[int, Reader]] = []
        self._objects: list[tuple[int, str, int]] = []  # except the event: index of the parent, name in it, and its bit
        self._by_shape: dict[
            int, list[_AtPaths]
        ] = {}  # of the objects that an event has; the paths in others are left out
        self._places: dict[tuple[str, ...], int] = {(): 0}  # index of each object by its path
        for field, reader in enumerate(readers):
            if isinstance(reader, Constant):
                self._constants[field] = value_of(reader, {}, Budget())
            elif paths := _names_in(reader):
                places = [(self._place_of(names[:-1]), names[-1]) for names in paths]
                self._at_paths.append((field, reader, places))
            else:
                self._others.append((field, reader))

    def _place_of(self, names: tuple[str, ...]) -> int:
        if names not in self._places:
            outer = self._place_of(names[:-1])
            self._places[names] = len(self._objects) + 1
            self._objects.append((outer, names[-1], 1 << self._places[names]))
        return self._places[names]

    def read(self, event: dict[str, Any], budget: Budget) -> list[Any]:
        objects, shape = [event], 1
        for outer, name, bit in self._objects:
            value = objects[outer].get(name)
            if type(value) is dict:
                shape |= bit
            else:
                if value is not None and not value:  # in JavaScript, a falsy value ends the path and is the result
                    return [value_of(reader, event, budget) for reader in self._readers]
                value = _NOTHING
            objects.append(value)
        values = self._constants.copy()
        for field, reader, paths in self._by_shape.get(shape) or self._of_shape(shape):
            for place, name in paths:
                value = objects[place].get(name)
                if value is not None:
                    values[field] = value if value and type(value) is str else value_of(reader, event, budget)
                    break
        for field, reader in self._others:
            values[field] = value_of(reader, event, budget)
        return values

    def _of_shape(self, shape: int) -> list[_AtPaths]:
        """Return the fields that an event with these objects can have, each with its paths in them."""
        found = [
            (field, reader, some)
            for field, reader, paths in self._at_paths
            if (some := [(place, name) for place, name in paths if shape >> place & 1])
        ]
        if len(self._by_shape) < MAX_SHAPES:
            self._by_shape[shape] = found
        return found


def _names_in(reader: Reader) -> list[tuple[str, ...]]:
    """Return the paths that a reader tries in turn, as names; empty for any other reader."""
    paths: Sequence[tuple[Step, ...]] = ()
    if isinstance(reader, PathReader):
        paths = [reader.steps]
    elif isinstance(reader, FirstOfPaths):
        paths = reader.paths
    # A name that is a list position may lead into a list.
    leads_into_objects = all(position < 0 for steps in paths for _, position in steps[1:])
    if not leads_into_objects or max(map(len, paths), default=0) > MAX_STEPS:
        return []
    return [tuple(name for name, _ in steps) for steps in paths]
