"""Compiles the fields of a mapping into one function, which reads all of them from an event.

Nearly every field is the text at a path, or at the first of several. Readers that call each other take three times as
long as that takes, so the source of one function is written. It holds no text of the mapping: names in paths, like all
that comes from outside, are constants, which the source knows by their numbers.
"""

from collections.abc import Callable, Sequence
from typing import Any

from audience_sync.segment.budget import Budget
from audience_sync.segment.directives.compiler import Constant, Reader
from audience_sync.segment.directives.paths import FirstOfPaths, PathReader, Step
from audience_sync.segment.directives.values import UNDEFINED, materialize

MAX_STEPS = 16  # of a path; a reader takes longer ones, of which a mapping can have a thousand steps

type FieldsReader = Callable[[dict[str, Any], Budget], list[Any]]
"""From an event to the value of each field, None where there is none. Raises RejectedEvent: the budget is used up."""


def compile_fields(readers: Sequence[Reader]) -> FieldsReader:
    """Write the function that reads all fields.

    Args:
        readers: one for each field.

    Returns:
        A function that gives what `value_of` gives for each reader. It asks a reader only where the value at its paths
        is no text, or where what leads there is no object.
    """
    source = _Source(readers)
    values = ", ".join([source.value(number, reader) for number, reader in enumerate(readers)])
    lines = ["def read(event, budget):", *source.lines, f"    return [{values}]"]
    exec("\n".join(lines), source.constants)  # noqa: S102 - holds nothing but fixed words and numbers
    read: FieldsReader = source.constants["read"]
    return read


def value_of(reader: Reader, event: dict[str, Any], budget: Budget) -> Any:
    """Return the value of one field: None where there is none, and what a list of one holds, as in Segment's actions.

    Raises:
        RejectedEvent: the budget is used up.
    """
    value = reader(event, budget)
    if value is UNDEFINED:
        return None
    value = materialize(value)
    return value[0] if isinstance(value, list) and len(value) == 1 else value


class _Source:
    """The lines written so far, and the constants that they use."""

    def __init__(self, readers: Sequence[Reader]) -> None:
        self.lines: list[str] = []
        self.constants: dict[str, Any] = {
            "nothing": {},
            "value_of": value_of,
            "by_readers": lambda event, budget: [value_of(reader, event, budget) for reader in readers],
        }
        self._objects: dict[tuple[str, ...], str] = {(): "event"}  # variables, by the names that lead there

    def value(self, number: int, reader: Reader) -> str:
        """Write what finds the value of a field. Returns the expression for it."""
        if isinstance(reader, Constant):
            return self._constant(value_of(reader, {}, Budget()))
        variable, general = f"v{number}", f"value_of({self._constant(reader)}, event, budget)"
        paths = _names_in(reader)
        if not paths:
            return general
        places = [(self._object(names[:-1]), self._constant(names[-1])) for names in paths]
        for depth, (holder, name) in enumerate(places):
            if depth:
                self._write(depth, f"if {variable} is None:")
            self._write(depth + 1, f"{variable} = {holder}.get({name})")
        # No other text than the empty one is passed over for the next path.
        is_other = (
            f"not {variable} or type({variable}) is not str" if len(paths) > 1 else f"type({variable}) is not str"
        )
        self._write(1, f"if {variable} is not None and ({is_other}): {variable} = {general}")
        return variable

    def _object(self, names: tuple[str, ...]) -> str:
        """Write what finds an object. Returns its variable. Anything else that is true in JavaScript holds nothing."""
        if names not in self._objects:
            outer, name = self._object(names[:-1]), self._constant(names[-1])
            variable = self._objects[names] = f"o{len(self._objects)}"
            self._write(1, f"{variable} = {outer}.get({name})")
            self._write(1, f"if type({variable}) is not dict:")
            self._write(2, f"if {variable} is not None and not {variable}: return by_readers(event, budget)")
            self._write(2, f"{variable} = nothing")
        return self._objects[names]

    def _constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        return name

    def _write(self, depth: int, line: str) -> None:
        self.lines.append("    " * depth + line)


def _names_in(reader: Reader) -> list[tuple[str, ...]]:
    """Return the paths that a reader tries in turn, as names; none where it does anything else."""
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
