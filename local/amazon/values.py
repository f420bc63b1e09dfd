"""Checks of single values in request bodies and queries."""

import base64
from collections.abc import Collection, Iterable
from typing import Any, Protocol

from local.amazon.refusals import Refusal


class Numbered(Protocol):
    """Something listed in the order of its creation."""

    @property
    def number(self) -> int:
        """Counts from 1."""


def text(body: dict[str, Any], field: str, shortest: int = 1, longest: int | None = None) -> str:
    """Read a required string. Raises Refusal."""
    value = body.get(field)
    if type(value) is not str or len(value) < shortest or (longest is not None and len(value) > longest):
        raise Refusal(f"{field} must be a string of {shortest} to {longest or 'any number of'} characters")
    return value


def optional_text(body: dict[str, Any], field: str, shortest: int = 1, longest: int | None = None) -> str | None:
    """Read a string that may be left out. Raises Refusal."""
    return text(body, field, shortest, longest) if field in body else None


def flag(body: dict[str, Any], field: str) -> bool:
    """Read true or false. Raises Refusal."""
    value = body.get(field)
    if type(value) is not bool:
        raise Refusal(f"{field} must be true or false")
    return value


def one_of(value: Any, allowed: Collection[str], field: str) -> str:
    """Read one of a list of strings. Raises Refusal."""
    if type(value) is not str or value not in allowed:
        raise Refusal(f"{field} is not a value of its list")
    return value


def entries(body: dict[str, Any], field: str, fewest: int, most: int | None = None) -> list[Any]:
    """Read a required list. Raises Refusal."""
    value = body.get(field)
    if type(value) is not list or len(value) < fewest or (most is not None and len(value) > most):
        raise Refusal(f"{field} must hold {fewest} to {most or 'any number of'} entries")
    return value


def strings(body: dict[str, Any], field: str, *, most: int | None = None, once: bool = False) -> list[str] | None:
    """Read a list of strings that may be left out, but not empty. Raises Refusal."""
    if field not in body:
        return None
    listed = entries(body, field, 1, most)
    if any(type(value) is not str or not value for value in listed):
        raise Refusal(f"{field} must hold strings with content")
    if once and len(set(listed)) < len(listed):
        raise Refusal(f"{field} holds a value twice")
    return listed


def page_size(value: str | None, *, most: int | None = None) -> int:
    """Read the size of a page from a query. Raises Refusal."""
    if value is None:
        return 100
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= (most or int(value))):
        raise Refusal("the size of a page must be a number from 1" + (f" to {most}" if most else ""))
    return min(int(value), 100)  # no upper bound is declared for all lists: a client must follow nextToken anyhow


def page[T: Numbered](listed: Iterable[T], size: int, token: str | None, kind: str) -> tuple[list[T], dict[str, str]]:
    """Cut one page, and return it with the token of the next one, if there is one. Raises Refusal."""
    after = 0
    if token is not None:
        try:
            after = int(base64.b64decode(token, validate=True).decode().removeprefix(kind))
        except ValueError:
            raise Refusal("nextToken is not valid") from None
    left = [each for each in listed if each.number > after]
    shown = left[:size]
    if len(left) <= size:
        return shown, {}
    return shown, {"nextToken": base64.b64encode(f"{kind}{shown[-1].number}".encode()).decode()}
