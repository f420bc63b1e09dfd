"""A mapping of Segment events: a trigger, and a directive for every field of a record."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from audience_sync.fields import FIELDS
from audience_sync.segment.budget import Budget
from audience_sync.segment.compiled_fields import FieldsReader, compile_fields, value_of
from audience_sync.segment.directives.compiler import NO_VALUE, CompileContext, Reader
from audience_sync.segment.directives.values import UNDEFINED, materialize
from audience_sync.segment.mapping import DIRECTIVES, Event
from audience_sync.segment.row_membership import compile_membership
from audience_sync.segment.separators import split_at, split_reader

MEMBER_ID = "external_user_id"

_CHARACTERS_A_STEP = 8  # of a trigger; its shortest condition has as many

type Trigger = Callable[[Event, Budget], bool]


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping before compilation: its trigger, and the directive for each field."""

    name: str
    trigger: str
    fields: dict[str, Any] = field(default_factory=dict)
    enabled: bool = True
    enable_batching: bool = True  # kept for compatibility with Segment; changes are always sent in batches
    membership: dict[str, Any] | None = None  # the values that state it, for events that Engage did not make
    separators: dict[str, str] = field(default_factory=dict)  # by field: characters between several values in a string


class CompiledField(NamedTuple):
    """The directive of one field, compiled."""

    read: Reader
    steps: int  # fixed cost per event


class CompiledMapping:
    """A mapping that can be applied to events.

    Attributes:
        steps: the fixed cost of its fields; costs that depend on the event are charged to the budget.
        steps_of_member: the fixed cost of external_user_id.
        steps_of_audience: the fixed cost of audience_id.
        steps_of_trigger: the fixed cost of its trigger.
        membership: the values that state it; None if only Engage's events do.
        values_of: returns the value of each of fields.FIELDS in one event; None if there is none. Spends from the
            budget of the event, which is shared with all triggers and mappings.
    """

    def __init__(self, mapping: Mapping, applies_to: Trigger, fields: dict[str, CompiledField] | None = None) -> None:
        """Compile the fields.

        Args:
            mapping: one of parse_mappings, or DEFAULT_MAPPING.
            applies_to: the mapping's trigger, compiled.
            fields: the mapping's fields, if already compiled.
        """
        if fields is None:
            fields = {
                name: compile_field(name, each, mapping.separators.get(name)) for name, each in mapping.fields.items()
            }
        self.membership = compile_membership(mapping.membership)
        self.name = mapping.name
        self.is_enabled = mapping.enabled
        self.applies_to = applies_to if mapping.enabled else _applies_to_none
        self.steps = sum(field.steps for field in fields.values()) + (self.membership.steps if self.membership else 0)
        self.steps_of_member = fields[MEMBER_ID].steps if MEMBER_ID in fields else 0
        self.steps_of_audience = fields["audience_id"].steps if "audience_id" in fields else 0
        self.steps_of_trigger = len(mapping.trigger) // _CHARACTERS_A_STEP if mapping.enabled else 0
        self._readers = {name: field.read for name, field in fields.items()}
        self.values_of = compile_fields([self._readers.get(field.name, NO_VALUE) for field in FIELDS])

    def fields_of(self, event: Event, budget: Budget) -> dict[str, Any]:
        """Resolve the fields on one event. Omits fields without a value; null is a value. Raises as values_of."""
        found = ((name, materialize(read(event, budget))) for name, read in self._readers.items())
        return {name: value for name, value in found if value is not UNDEFINED}

    def member_of(self, event: Event, budget: Budget) -> Any:
        """Return the value of external_user_id; None if there is none. Raises as values_of."""
        return value_of(self._readers.get(MEMBER_ID, NO_VALUE), event, budget)

    @cached_property
    def read_audience(self) -> FieldsReader:
        """Reads audience_id alone, as a list of one. Compiled on first use."""
        return compile_fields([self._readers.get("audience_id", NO_VALUE)])


def compile_mappings(
    mappings: Iterable[Mapping], compile_trigger: Callable[[str], Trigger]
) -> tuple[CompiledMapping, ...]:
    """Compile checked mappings; a disabled one applies to no event. Raises InvalidTrigger."""
    return tuple(CompiledMapping(mapping, compile_trigger(mapping.trigger)) for mapping in mappings)


def compile_field(name: str, directive: Any, separators: Any = None) -> CompiledField:
    """Compile the directive of one field, whose strings are split at valid separators. Raises InvalidMapping."""
    context = CompileContext(f"fields.{name}", DIRECTIVES, needs_all=name == MEMBER_ID)
    read, split = context.compile(directive), split_at(separators)
    return CompiledField(split_reader(read, split) if split else read, context.steps)


def _applies_to_none(_event: Event, _budget: Budget) -> bool:
    return False
