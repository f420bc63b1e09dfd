"""Files of mappings, as written by people."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from audience_sync.segment.directives.compiler import display
from audience_sync_cli.frame.errors import WrongUsage

_SHOWN = 72  # characters of the line at fault


def read_mappings(file: Path) -> Any:
    """Read a file of mappings as JSON.

    Raises:
        WrongUsage: it is not JSON (shows the line at fault with a caret), or an object has a name twice: parsers
            disagree on which one counts.
    """
    repeated: set[str] = set()

    def checked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        repeated.update(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        return dict(pairs)

    text, remedy = _text(file), "`audience-sync mappings show --json` prints a valid file."
    try:
        found = json.loads(text, object_pairs_hook=checked)
    except json.JSONDecodeError as error:
        raise WrongUsage(f"{file} is not JSON: {error}.\n{_excerpt(error)}", remedy) from None
    except RecursionError as error:
        raise WrongUsage(f"{file} is not JSON: {error}.", remedy) from None
    if repeated:
        names = ", ".join(map(display, sorted(repeated)))
        raise WrongUsage(f"{file} has a name twice in one object: {names}.", "Only the last would count; remove one.")
    return found


def _excerpt(error: json.JSONDecodeError) -> str:
    before = error.colno - 1
    first = max(0, before - _SHOWN // 2)
    line = error.doc.split("\n")[error.lineno - 1][first : first + _SHOWN]
    return "".join(each if each.isprintable() else " " for each in line) + f"\n{' ' * (before - first)}^"


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")  # with or without a byte order mark
    except UnicodeDecodeError:
        raise WrongUsage(f"{file} is not UTF-8.", "Save it as UTF-8.") from None
    except OSError as error:
        raise WrongUsage(f"{file} cannot be read: {error.strerror}.") from None
