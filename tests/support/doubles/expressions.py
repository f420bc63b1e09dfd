"""DynamoDB's expressions, as far as the functions use them: conditions, filters, projections and updates."""

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
_ACTION = re.compile(r"(#?\w+)(?:(?: = | )(:\w+))?")
_CLAUSE = re.compile(r"\b(SET|REMOVE|ADD|DELETE)\b")


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
    parts = [part.strip() for part in _CLAUSE.split(expression) if part.strip()]
    for clause, actions in zip(parts[::2], parts[1::2], strict=True):
        for action in actions.split(","):
            _apply(clause, action.strip(), row, names or {}, values or {})
    return row


def _apply(clause: str, action: str, row: Row, names: Names, values: Values) -> None:
    found = _ACTION.fullmatch(action)
    assert found, f"not known here: {action}"
    left, right = found.groups()
    name = names.get(left, left)
    match clause:
        case "REMOVE":
            row.pop(name, None)
        case "SET":
            row[name] = values[right]
        case "ADD":
            ((kind, more),) = values[right].items()
            if kind == "N":
                row[name] = {kind: str(Decimal(row.get(name, {kind: "0"})[kind]) + Decimal(more))}
            else:
                row[name] = {kind: sorted({*row.get(name, {kind: []})[kind], *more})}
        case _:
            raise AssertionError(f"not known here: {clause}")


@lru_cache(maxsize=512)
def _condition(expression: str) -> _Test:
    parser = _Parser(_tokens(expression))
    test = parser.either()
    assert not parser.tokens, f"not known here: {expression}"
    return test


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
        if self._takes("BEGINS_WITH"):
            held, part = self._arguments()
            return lambda row, names, values: _begins(held(row, names, values), part(row, names, values))
        left, operator, right = self._value(), self.tokens.pop(0), self._value()
        return lambda row, names, values: _compare(operator, left(row, names, values), right(row, names, values))

    def _value(self) -> _Read:
        name = self.tokens.pop(0)
        if name.startswith(":"):
            return lambda _row, _names, values: values[name]
        return lambda row, names, _values: row.get(names.get(name, name))

    def _arguments(self) -> list[_Read]:
        self._expect("(")
        found = [self._value()]
        while self._takes(","):
            found.append(self._value())
        self._expect(")")
        return found

    def _takes(self, token: str) -> bool:
        if self.tokens and self.tokens[0].upper() == token:
            self.tokens.pop(0)
            return True
        return False

    def _expect(self, token: str) -> None:
        assert self._takes(token), f"{token} expected before {' '.join(self.tokens)}"


def _begins(held: dict[str, Any] | None, part: dict[str, Any] | None) -> bool:
    return held is not None and part is not None and bool(held["S"].startswith(part["S"]))


def _compare(operator: str, left: dict[str, Any] | None, right: dict[str, Any] | None) -> bool:
    if left is None or right is None:
        return False
    (kind, first), (other, second) = ordered(left), ordered(right)
    if operator in ("=", "<>"):
        return ((kind, first) == (other, second)) is (operator == "=")
    if kind != other:
        return False
    return bool({"<": first < second, "<=": first <= second, ">": first > second, ">=": first >= second}[operator])
