"""The expressions in the braces of @liquid: values, filters and conditions. Anything ambiguous is refused.

filtered  = operand { "|" filter [ ":" operand { "," operand } ] }
condition = test { ( "and" | "or" ) test }          read from the right: a or b and c is a or (b and c)
test      = [ "not" ] operand [ ( "==" | "!=" | ">" | "<" | ">=" | "<=" | "contains" ) operand ]
operand   = text | number | "true" | "false" | "nil" | "null" | "empty" | "blank" | path
path      = name { "." name | "[" ( number | text ) "]" }
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from audience_sync.segment.budget import Budget
from audience_sync.segment.directives.compiler import did_you_mean, display
from audience_sync.segment.directives.values import UNDEFINED, WHITE_SPACE
from audience_sync.segment.liquid.filters import DISABLED, FILTERS
from audience_sync.segment.liquid.values import (
    BLANK,
    EMPTY,
    NIL,
    contains,
    equal,
    is_empty,
    is_less,
    is_true,
    property_of,
)

_SPACE = re.compile(f"[{WHITE_SPACE}]*")
QUOTED = re.compile(r""""(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+'""", re.DOTALL)
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?![\w?.-])", re.ASCII)
_NAME = re.compile(r"[A-Za-z_][\w?-]*", re.ASCII)
_STEP = re.compile(rf"\.([\w?-]+)|\[[{WHITE_SPACE}]*(?:([+-]?[0-9]+)|({QUOTED.pattern}))[{WHITE_SPACE}]*\]", re.ASCII)
_OPERATOR = re.compile(r"==|!=|>=|<=|>|<|contains(?![\w?-])", re.ASCII)
_WORD = re.compile(r"(?:and|or)(?![\w?-])", re.ASCII)
_NOT = re.compile(r"not(?![\w?-])", re.ASCII)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "v": "\v", "\\": "\\", '"': '"', "'": "'"}
_LITERALS = {"true": True, "false": False, "nil": NIL, "null": NIL, "empty": EMPTY, "blank": BLANK}
_RESERVED = ("and", "or", "not", "contains")

MAX_DIGITS = 15  # of a number in a template: JavaScript rounds longer ones


class LiquidFault(Exception):
    """The template is invalid. `position` counts characters from 0."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


@dataclass(slots=True)
class Scope:
    """The state of a rendering: the event, the assigned variables, and the steps left.

    Attributes:
        has_read: whether an output has read a value; kept if the template needs all of its values.
    """

    event: Mapping[str, Any] = field(repr=False)
    budget: Budget
    assigned: dict[str, Any] = field(default_factory=dict, repr=False)
    has_read: bool = False


type Operand = Callable[[Scope], Any]
type Test = Callable[[Scope], bool]


class _Literal:
    """A constant in the template."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __call__(self, _: Scope) -> Any:
        return self._value


_COMPARISONS: dict[str, Callable[[Any, Any, Budget], bool]] = {
    "==": equal,
    "!=": lambda left, right, budget: not equal(left, right, budget),
    "<": lambda left, right, budget: is_less(left, right, budget, or_equal=False),
    "<=": lambda left, right, budget: is_less(left, right, budget, or_equal=True),
    ">": lambda left, right, budget: is_less(right, left, budget, or_equal=False),
    ">=": lambda left, right, budget: is_less(right, left, budget, or_equal=True),
    "contains": contains,
}


class Expressions:
    """Parses a part of a template from its start. Each method continues at the end of the one before.

    If all values are needed, filters other than `default` keep an empty value empty.
    """

    def __init__(self, template: str, start: int, end: int, *, needs_all: bool = False) -> None:
        self._template = template
        self._position = start
        self._end = end
        self._needs_all = needs_all
        self.parts = 0  # operands and filters read so far; they bound the work

    def filtered(self) -> Operand:
        """Read a value and its filters, up to the end. Raises LiquidFault."""
        value = self._needed(self._operand())
        while self._take("|"):
            value = self._filter(value)
        self.finish("a filter after |, or the end")
        return value

    def condition(self) -> Test:
        """Read a condition, up to the end. Raises LiquidFault."""
        first = self._test()
        word = self._match(_WORD)
        if word is None:
            self.finish("and, or, or the end; filters belong in {% assign %}")
            return first
        rest = self.condition()
        if word[0] == "and":
            return lambda scope: first(scope) and rest(scope)
        return lambda scope: first(scope) or rest(scope)

    def name(self) -> str:
        """Read the name of a variable. Raises LiquidFault."""
        found = self._match(_NAME)
        if found is None or found[0] in _RESERVED or found[0] in _LITERALS:
            raise self._fault("expected the name of a variable")
        return found[0]

    def expect(self, sign: str) -> None:
        """Read a sign. Raises LiquidFault."""
        if not self._take(sign):
            raise self._fault(f"expected {sign} here")

    def finish(self, expected: str) -> None:
        """Check that nothing follows. Raises LiquidFault."""
        self._skip()
        if self._position < self._end:
            raise self._fault(f"expected {expected}")

    def _test(self) -> Test:
        if self._match(_NOT):
            inner = self._test_of_operands()
            return lambda scope: not inner(scope)
        return self._test_of_operands()

    def _test_of_operands(self) -> Test:
        left = self._operand()
        operator = self._match(_OPERATOR)
        if operator is None:
            return lambda scope: is_true(left(scope))
        compare, right = _COMPARISONS[operator[0]], self._operand()
        return lambda scope: compare(left(scope), right(scope), scope.budget)

    def _operand(self) -> Operand:
        self.parts += 1
        self._skip()
        if text := self._match(QUOTED):
            return _Literal(self._unescaped(text))
        if number := self._match(_NUMBER):
            if sum(map(str.isdecimal, number[0])) > MAX_DIGITS:
                raise LiquidFault(f"a number of over {MAX_DIGITS} digits; write it as a string", number.start())
            return _Literal(float(number[0]) if "." in number[0] else int(number[0]))
        if self._template.startswith("[", self._position):
            steps = self._steps()
            if steps and isinstance(steps[0], str):
                return _path(steps[0], steps[1:])
            raise self._fault("expected a name in quotes between brackets")
        if name := self._match(_NAME):
            return self._named(name)
        raise self._fault("expected a value: a path, a string in quotes, a number, true, false, nil, empty or blank")

    def _named(self, name: re.Match[str]) -> Operand:
        if name[0] in _RESERVED:
            raise LiquidFault(f"{name[0]} is not a value here", name.start())
        steps = self._steps()
        if name[0] not in _LITERALS:
            return _path(name[0], steps)
        if steps:
            raise LiquidFault(f"{name[0]} has no fields", name.start())
        return _Literal(_LITERALS[name[0]])

    def _steps(self) -> list[str | int]:
        """Read the steps that directly follow a name."""
        steps: list[str | int] = []
        while found := _STEP.match(self._template, self._position, self._end):
            self._position = found.end()
            if found[2]:
                steps.append(int(found[2][:6]) if len(found[2]) < 6 else 10**6)
            else:
                steps.append(found[1] or _unquoted(found[3]))
        if self._template[self._position : self._position + 1] in (".", "["):
            raise self._fault("brackets hold a number or a name in quotes, and a dot is followed by a name")
        return steps

    def _filter(self, value: Operand) -> Operand:
        name = self._match(_NAME)
        if name is None:
            raise self._fault("expected the name of a filter after |")
        if name[0] not in FILTERS:
            why = "Segment disables it" if name[0] in DISABLED else f"unknown here{did_you_mean(name[0], FILTERS)}"
            raise LiquidFault(f"filter {display(name[0])}: {why}; docs/mapping.md lists the filters", name.start())
        found, arguments = FILTERS[name[0]], self._arguments()
        if not found.at_least <= len(arguments) <= found.at_most:
            raise LiquidFault(
                f"filter {name[0]} takes {_counted(found.at_least, found.at_most)}, not {len(arguments)}", name.start()
            )
        self.parts += 1
        if not self._needs_all or name[0] == "default":
            return lambda scope: found.apply(value(scope), [each(scope) for each in arguments], scope.budget)

        def apply_to_all(scope: Scope) -> Any:
            parts = [part(scope) for part in (value, *arguments)]
            if any(part is NIL for part in parts):
                return NIL
            return _nil_if_empty(found.apply(parts[0], parts[1:], scope.budget))

        return apply_to_all

    def _needed(self, operand: Operand) -> Operand:
        """Read an empty value as nil, and record the read, if all values are needed."""
        if not self._needs_all or isinstance(operand, _Literal):
            return operand

        def read(scope: Scope) -> Any:
            value = _nil_if_empty(operand(scope))
            scope.has_read |= value is not NIL
            return value

        return read

    def _arguments(self) -> Sequence[Operand]:
        if not self._take(":"):
            return ()
        arguments = [self._needed(self._operand())]
        while self._take(","):
            arguments.append(self._needed(self._operand()))
        return arguments

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        self._skip()
        found = pattern.match(self._template, self._position, self._end)
        if found:
            self._position = found.end()
        return found

    def _take(self, sign: str) -> bool:
        self._skip()
        if not self._template.startswith(sign, self._position, self._end):
            return False
        self._position += len(sign)
        return True

    def _skip(self) -> None:
        space = _SPACE.match(self._template, self._position, self._end)
        self._position = space.end() if space else self._position

    def _unescaped(self, text: re.Match[str]) -> str:
        for escape in _ESCAPE.finditer(text[0]):
            if escape[1] not in _ESCAPES:
                raise LiquidFault(
                    f"no such escape; known: {' '.join(_ESCAPES)}".replace("\n", ""), text.start() + escape.start()
                )
        return _unquoted(text[0])

    def _fault(self, message: str) -> LiquidFault:
        return LiquidFault(message, self._position)


def _unquoted(text: str) -> str:
    return _ESCAPE.sub(lambda escape: _ESCAPES.get(escape[1], escape[1]), text[1:-1])


def _nil_if_empty(value: Any) -> Any:
    return NIL if is_empty(value) else value


def _path(name: str, steps: Sequence[str | int]) -> Operand:
    def read(scope: Scope) -> Any:
        value = scope.assigned.get(name, UNDEFINED) if name in scope.assigned else scope.event.get(name, UNDEFINED)
        if value is UNDEFINED and name == "size" and name not in scope.assigned:
            value = 0  # LiquidJS returns the size of its empty globals
        for step in steps:
            value = property_of(value, step)
        return value

    return read


def _counted(at_least: int, at_most: int) -> str:
    if at_least == at_most:
        return {0: "no argument", 1: "one argument"}.get(at_least, f"{at_least} arguments")
    return f"{at_least} to {at_most} arguments"
