"""Compiles a mapping, and names the position of each fault."""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from audience_sync.errors import InvalidMapping, RejectedEvent
from audience_sync.segment.budget import Budget
from audience_sync.segment.directives.values import UNDEFINED, ListValue, ObjectValue, has_gap

type Reader = Callable[[Any, Budget], Any]
"""Maps an event, or one item of a list, to a value or UNDEFINED. Raises RejectedEvent if the budget is used up.

Costs that depend on the event are charged to the budget; the rest is in `CompileContext.steps`.
"""

type Compiler = Callable[[Any, "CompileContext"], Reader]
"""Compiles a directive's argument into its reader. Raises InvalidMapping."""

MAX_DEPTH = 32  # levels of objects, lists and directives in one directive
MAX_SIZE = 1_000  # values in one directive
MAX_CHARACTERS = 2_000  # of one string in a directive; Segment's own limit, if any, is 1,000

STEPS_A_VALUE = 2  # to resolve one value of a directive, on average
SAME_FOR_ALL = "the same for every member; give a directive that reads the event, such as @path"

_STEPS_TO_TRY = 10_000  # for a member id directive on an empty event

_EDITOR_NOTES = "_metadata"  # the one key allowed beside a directive: notes of Segment's editor


class Constant:
    """A reader that returns the same value for every event."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __call__(self, event: Any, budget: Budget) -> Any:  # noqa: ARG002
        """Return the value."""
        return self.value


@dataclass(slots=True)
class _Count:
    """Totals over the values compiled so far."""

    values: int = 0
    steps: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass(slots=True, eq=False, repr=False)
class CompileContext:
    """One position in a mapping; errors name it by its path, such as `fields.email.@if.then`.

    Attributes:
        name: the key or list position; at the outermost position, the whole path.
        outer: the enclosing position in the same directive, if any.
        depth: levels from the outermost position.
        needs_all: whether a string has no value if one of the values in it is empty. Set for member ids: otherwise
            all members without that value would share one id.
    """

    name: object
    directives: Mapping[str, Compiler]
    outer: Self | None = None
    depth: int = 0
    _count: _Count = field(default_factory=_Count)  # shared by all positions of a directive
    needs_all: bool = False

    def __truediv__(self, name: object) -> Self:
        """Return the context one level further in."""
        return type(self)(name, self.directives, self, self.depth + 1, self._count, self.needs_all)

    @property
    def steps(self) -> int:
        """The fixed cost per event of the readers compiled so far; @arrayPath spends it for each item."""
        return self._count.steps

    def takes(self, steps: int) -> None:
        """Add the fixed cost of the reader at this position beyond STEPS_A_VALUE."""
        self._count.steps += steps

    def fault(self, message: str) -> InvalidMapping:
        """Return the error for this position; the message states the fault and the remedy."""
        return InvalidMapping(f"{self.path}: {message}")

    @property
    def path(self) -> str:
        """The path of this value in the mapping, such as `email.@if.then`. Built only to report a fault."""
        return f"{self.outer.path}.{display(self.name)}" if self.outer else str(self.name)

    def compile(self, value: Any) -> Reader:
        """Compile a whole directive, at its outermost position.

        Raises:
            InvalidMapping: not JSON, beyond the limits, or invalid; lists every fault.
        """
        reader = self.read(value)
        if self._count.faults:
            raise InvalidMapping(*self._count.faults)
        return reader

    def read(self, value: Any) -> Reader:
        """Compile the value at this position: a directive, a list or object that may hold directives, or a constant.

        A fault is recorded, and compilation goes on, so that all faults are reported.
        """
        if self._count.values > MAX_SIZE:
            return NO_VALUE  # already recorded
        try:
            return self._read(value)
        except InvalidMapping as invalid:
            self._count.faults += invalid.faults
            return NO_VALUE

    def _read(self, value: Any) -> Reader:
        self._count.values += 1
        self._count.steps += STEPS_A_VALUE
        if self.depth > MAX_DEPTH:
            raise self.fault(f"nested deeper than {MAX_DEPTH} levels; split the mapping")
        if self._count.values > MAX_SIZE:
            raise self.fault(f"over {MAX_SIZE} values in one directive; split the mapping")
        if isinstance(value, dict):
            return self._directive_or_object(value)
        if isinstance(value, list):
            return self._list(value)
        if isinstance(value, str) and len(value) > MAX_CHARACTERS:
            raise self.fault(f"a string of over {MAX_CHARACTERS} characters; shorten it")
        if isinstance(value, str | int | None) or (isinstance(value, float) and math.isfinite(value)):
            return Constant(value)
        raise self.fault("not a JSON value; use null, true, false, a number, a string, a list or an object")

    def read_outcome(self, value: Any) -> Reader:
        """Compile one branch of a choice. Raises InvalidMapping, also if it makes a member id constant."""
        reader = self.read(value)
        if self.needs_all and is_fixed(reader):
            raise self.fault(SAME_FOR_ALL)
        return reader

    def read_text(self, value: Any) -> Reader:
        """Compile a string, or a directive that returns one. Raises InvalidMapping."""
        if isinstance(value, str) or is_directive(value):
            return self.read(value)
        raise self.fault("must be a string or a directive")

    def options(self, argument: Any, allowed: Collection[str], required: Collection[str] = ()) -> dict[str, Any]:
        """Validate the named options of a directive and return them. Raises InvalidMapping."""
        if not isinstance(argument, dict) or is_directive(argument):
            raise self.fault(f"not an object of options; give an object with {_listed(allowed)}")
        for name in argument:
            if name not in allowed and name != _EDITOR_NOTES:
                raise self.fault(
                    f"unknown option {display(name)}{did_you_mean(name, allowed)}; allowed: {_listed(allowed)}"
                )
        for name in required:
            if name not in argument:
                raise self.fault(f"option {name} is missing; add it")
        return argument

    def choice(self, value: Any, allowed: Collection[Any]) -> Any:
        """Validate that a constant is allowed, and return it. Raises InvalidMapping."""
        if not any(value is option or (isinstance(option, str) and value == option) for option in allowed):
            raise self.fault(f"not one of {_listed(allowed)}; choose one of them")
        return value

    def _directive_or_object(self, value: dict[Any, Any]) -> Reader:
        if not all(isinstance(key, str) and len(key) <= MAX_CHARACTERS for key in value):
            raise self.fault(f"a key that is not a string of up to {MAX_CHARACTERS} characters; quote or shorten it")
        names = [key for key in value if key.startswith("@")]
        if not names:
            return self._object(value)
        name = names[0]
        if len(names) > 1:
            raise self.fault(f"{len(names)} directives in one object; nest one in the other, or choose one")
        if any(key not in (name, _EDITOR_NOTES) for key in value):
            raise self.fault(f"{display(name)} has other keys beside it; give it an object of its own")
        if name not in self.directives:
            hint = did_you_mean(name, self.directives)
            raise self.fault(f"unknown directive {display(name)}{hint}; docs/mapping.md lists them")
        return self.directives[name](value[name], self / name)

    def _object(self, value: dict[str, Any]) -> Reader:
        readers = tuple((key, (self / key).read(inner)) for key, inner in value.items())

        def build(event: Any, budget: Budget) -> ObjectValue:
            return ObjectValue((key, reader(event, budget)) for key, reader in readers)

        return Constant(build(None, Budget())) if all(isinstance(reader, Constant) for _, reader in readers) else build

    def _list(self, value: list[Any]) -> Reader:
        readers = tuple((self / position).read(inner) for position, inner in enumerate(value))

        def build(event: Any, budget: Budget) -> ListValue:
            return ListValue(reader(event, budget) for reader in readers)

        return Constant(build(None, Budget())) if all(isinstance(reader, Constant) for reader in readers) else build


NO_VALUE = Constant(UNDEFINED)


def is_fixed(reader: Reader) -> bool:
    """Return whether the reader of a member id, which needs all values in it, returns an id for an empty event."""
    try:
        return not has_gap(reader({}, Budget(_STEPS_TO_TRY)))
    except RejectedEvent:
        return False


def is_directive(value: Any) -> bool:
    """Return whether a value is a directive: an object with a key that starts with @."""
    return isinstance(value, dict) and any(isinstance(key, str) and key.startswith("@") for key in value)


def display(name: object) -> str:
    """Return a name from a mapping for an error: short, on one line."""
    text = str(name)
    return text if len(text) <= 40 and text.isprintable() else f"{ascii(text[:40])[1:-1]}…"


def did_you_mean(name: object, known: Collection[str]) -> str:
    """Return " (did you mean NAME?)" for the closest known name; empty if none is close."""
    import difflib  # noqa: PLC0415  only a refusal needs it, and no request should wait for it

    close = difflib.get_close_matches(str(name)[:80], known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _listed(names: Collection[Any]) -> str:
    return ", ".join(name if isinstance(name, str) else str(name).lower() for name in names)
