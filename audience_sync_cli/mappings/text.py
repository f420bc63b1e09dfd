"""Formats directives for people."""

import json
from typing import Any


def plain(directive: Any) -> str:
    """Format a directive: a path unchanged, the first of several paths as a list of them, all others as JSON."""
    match directive:
        case {"@path": str(path)} if len(directive) == 1:
            return path
        case {"@if": {"blank": first, "then": then, "else": other}} | {
            "@if": {"exists": first, "then": then, "else": other}
        }:
            if first == then:
                return f"{plain(then)}, else {plain(other)}"
    return json.dumps(directive, ensure_ascii=False)


def membership(written: Any) -> str:
    """Format the key membership of a mapping, which an earlier version may have stored in another form."""
    if not isinstance(written, dict):
        return plain(written)
    lists = {name: written.get(name) or [] for name in ("enter", "exit")}
    names = (
        f"{name} on {', '.join(map(_name, each))}" for name, each in lists.items() if isinstance(each, list) and each
    )
    return "; ".join((plain(written.get("value")), *names))


def _name(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
