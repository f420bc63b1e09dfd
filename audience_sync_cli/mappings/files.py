"""Files of mappings and events, as written by people."""

from pathlib import Path
from typing import Any

from audience_sync.segment.directives.compiler import display
from audience_sync_cli.errors import WrongUsage
from audience_sync_cli.mappings.json_fault import JsonFault, read_json_text, repeated_names


def read_mappings(file: Path) -> Any:
    """Read a file of mappings as JSON.

    Raises:
        WrongUsage: it is not JSON (shows the line at fault with a caret), or an object has a name twice.
    """
    text = _text(file)
    found = read_json_text(text)
    if isinstance(found, JsonFault):
        raise WrongUsage(
            f"{_at(file, found)}\n{found.excerpt}", "`audience-sync mappings show --json` prints a valid file."
        )
    if repeated := repeated_names(text):
        names = ", ".join(map(display, repeated))
        raise WrongUsage(f"{file} has a name twice in one object: {names}.", "Only the last would count; remove one.")
    return found


def read_event(file: Path) -> Any:
    """Read a request body from Segment as JSON.

    Raises:
        WrongUsage: it is not JSON; names line and column, but nothing of the event, which is personal data.
    """
    found = read_json_text(_text(file))
    if isinstance(found, JsonFault):
        raise WrongUsage(_at(file, found), "Copy the event from Segment's debugger as it is.")
    return found


def _at(file: Path, fault: JsonFault) -> str:
    return f"{file}, line {fault.line}, column {fault.column}: {fault.sentence}."


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise WrongUsage(f"{file} is not UTF-8.", "Save it as UTF-8.") from None
    except OSError as error:
        raise WrongUsage(f"{file} cannot be read: {error.strerror}.") from None
