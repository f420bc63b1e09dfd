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
