"""DynamoDB's expressions: conditions, filters, projections and updates, parsed once and evaluated on rows."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

Row = dict[str, dict[str, Any]]
type Names = Mapping[str, str]
type Values = Mapping[str, dict[str, Any]]
type _Test = Callable[[Row, Names, Values], bool]
type _Read = Callable[[Row, Names, Values], dict[str, Any] | None]

_TOKEN = re.compile(r"\s*([#:]?\w+|<=|>=|<>|[=<>(),+-])")
_CLAUSE = re.compile(r"\b(SET|REMOVE|ADD|DELETE)\b")
_ACTIONS = re.compile(r",(?![^(]*\))")


def copy_row(row: Row) -> Row:
    """Copy a row, sets and lists included."""
    return {
        name: {kind: list(value) if isinstance(value, list) else value for kind, value in held.items()}
        for name, held in row.items()
    }


def ordered(value: Mapping[str, Any]) -> tuple[str, Any]:
    """Return what DynamoDB compares: the type, and a number or bytes."""
    ((kind, content),) = value.items()
    if kind == "N":
        return kind, Decimal(content)
    if kind == "S":
        return kind, content.encode()
    return kind, tuple(sorted(content)) if kind in ("SS", "NS", "BS") else content


def holds(expression: str | None, row: Row | None, names: Names | None, values: Values | None) -> bool:
    """Return whether a condition holds for a row; for None as for a row without attributes."""
    return expression is None or _condition(expression)(row or {}, names or {}, values or {})


def project(expression: str | None, row: Row, names: Names | None) -> Row:
    """Return the attributes that a projection names."""
    if expression is None:
        return copy_row(row)
    wanted = {(names or {}).get(name.strip(), name.strip()) for name in expression.split(",")}
    return copy_row({name: value for name, value in row.items() if name in wanted})


def updated(expression: str, before: Row | None, key: Row, names: Names | None, values: Values | None) -> Row:
    """Return the row after an update."""
    row = copy_row(before if before is not None else key)
    old = before or {}
    parts = [part.strip() for part in _CLAUSE.split(expression) if part.strip()]
    for clause, actions in zip(parts[::2], parts[1::2], strict=True):
        for action in _ACTIONS.split(actions):
            _apply(clause, action.strip(), row, old, names or {}, values or {})
    return row


def _apply(clause: str, action: str, row: Row, old: Row, names: Names, values: Values) -> None:
    if clause == "REMOVE":
        row.pop(names.get(action, action), None)
        return
    if clause == "SET":
        left, _, right = action.partition("=")
        name = left.strip()
        value = _operand(right.strip())(old, names, values)
        assert value is not None, f"an operand of {action} is missing from the row"
        row[names.get(name, name)] = value
        return
    left, right = action.split()
    name, ((kind, change),) = names.get(left, left), values[right].items()
    if kind == "N":
        held_number = Decimal(row[name]["N"]) if name in row else Decimal(0)
        row[name] = {"N": str(held_number + Decimal(change))}
        return
    held = set(row[name][kind]) if name in row else set()
    whole = held | set(change) if clause == "ADD" else held - set(change)
    if whole:
        row[name] = {kind: sorted(whole)}
    else:
        row.pop(name, None)


@lru_cache(maxsize=512)
def _condition(expression: str) -> _Test:
    parser = _Parser(_tokens(expression))
    test = parser.either()
    assert not parser.tokens, f"not known here: {expression}"
    return test


@lru_cache(maxsize=512)
def _operand(expression: str) -> _Read:
    parser = _Parser(_tokens(expression))
    read = parser.value()
    assert not parser.tokens, f"not known here: {expression}"
    return read


def _tokens(expression: str) -> list[str]:
    tokens = _TOKEN.findall(expression)
    assert "".join(tokens) == "".join(expression.split()), f"not known here: {expression}"
    return tokens


class _Parser:
    """Reads tokens from the left."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens

    def either(self) -> _Test:
        tests = [self._both()]
        while self._takes("OR"):
            tests.append(self._both())
        return tests[0] if len(tests) == 1 else lambda row, names, values: any(t(row, names, values) for t in tests)

    def _both(self) -> _Test:
        tests = [self._one()]
        while self._takes("AND"):
            tests.append(self._one())
        return tests[0] if len(tests) == 1 else lambda row, names, values: all(t(row, names, values) for t in tests)

    def _one(self) -> _Test:
        if self._takes("NOT"):
            inner = self._one()
            return lambda row, names, values: not inner(row, names, values)
        if self._takes("("):
            test = self.either()
            self._expect(")")
            return test
        if self.tokens[0] in ("attribute_exists", "attribute_not_exists"):
            wanted = self.tokens.pop(0) == "attribute_exists"
            (read,) = self._arguments()
            return lambda row, names, values: (read(row, names, values) is not None) is wanted
        if self.tokens[0] in ("begins_with", "contains"):
            function = self.tokens.pop(0)
            held, part = self._arguments()
            return lambda row, names, values: _is_part(function, held(row, names, values), part(row, names, values))
        return self._comparison()

    def _comparison(self) -> _Test:
        left = self.value()
        if self._takes("BETWEEN"):
            low = self.value()
            self._expect("AND")
            high = self.value()
            return lambda row, names, values: (
                _compare(">=", left(row, names, values), low(row, names, values))
                and _compare("<=", left(row, names, values), high(row, names, values))
            )
        if self._takes("IN"):
            choices = self._arguments()
            return lambda row, names, values: any(
                _compare("=", left(row, names, values), choice(row, names, values)) for choice in choices
            )
        operator = self.tokens.pop(0)
        right = self.value()
        return lambda row, names, values: _compare(operator, left(row, names, values), right(row, names, values))

    def value(self) -> _Read:
        read = self._term()
        while self.tokens and self.tokens[0] in "+-":
            sign = 1 if self.tokens.pop(0) == "+" else -1
            read = _sum(read, self._term(), sign)
        return read

    def _term(self) -> _Read:
        name = self.tokens.pop(0)
        if name == "if_not_exists":
            held, otherwise = self._arguments()
            return lambda row, names, values: held(row, names, values) or otherwise(row, names, values)
        if name == "size":
            (sized,) = self._arguments()
            return lambda row, names, values: _size(sized(row, names, values))
        if name.startswith(":"):
            return lambda _row, _names, values: values[name]
        return lambda row, names, _values: row.get(names.get(name, name))

    def _arguments(self) -> list[_Read]:
        self._expect("(")
        found = [self.value()]
        while self._takes(","):
            found.append(self.value())
        self._expect(")")
        return found

    def _takes(self, token: str) -> bool:
        if self.tokens and self.tokens[0].upper() == token:
            self.tokens.pop(0)
            return True
        return False

    def _expect(self, token: str) -> None:
        assert self._takes(token), f"{token} expected before {' '.join(self.tokens)}"


def _sum(left: _Read, right: _Read, sign: int) -> _Read:
    def read(row: Row, names: Names, values: Values) -> dict[str, Any] | None:
        first, second = left(row, names, values), right(row, names, values)
        if first is None or second is None:
            return None
        return {"N": str(Decimal(first["N"]) + sign * Decimal(second["N"]))}

    return read


def _size(value: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if value is None else {"N": str(len(next(iter(value.values()))))}


def _is_part(function: str, held: dict[str, Any] | None, part: dict[str, Any] | None) -> bool:
    if held is None or part is None:
        return False
    ((kind, content),), ((_, wanted),) = held.items(), part.items()
    if function == "begins_with":
        return bool(content.startswith(wanted))
    return wanted in content and kind in ("S", "SS", "NS", "BS", "L")


def _compare(operator: str, left: dict[str, Any] | None, right: dict[str, Any] | None) -> bool:
    if left is None or right is None:
        return False
    (kind, first), (other, second) = ordered(left), ordered(right)
    if operator in ("=", "<>"):
        return ((kind, first) == (other, second)) is (operator == "=")
    if kind != other:
        return False
    return bool({"<": first < second, "<=": first <= second, ">": first > second, ">=": first >= second}[operator])
