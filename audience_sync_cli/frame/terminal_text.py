"""Makes text safe for a terminal: files, names at Amazon and log lines may contain control sequences.

Control characters (C0, DEL, C1) move the cursor, rename the window and, in several terminals, write the clipboard.
Direction overrides and marks disguise names. Lone surrogates, as in file names that are not UTF-8, cannot be printed.
"""

import re

from rich.console import Console
from rich.text import Text

_DIRECTION = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_UNSAFE = re.compile(rf"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029{_DIRECTION}\ud800-\udfff]")


def escaped(text: str) -> str:
    r"""Return text with an escape such as `\x1b` for each unsafe character. Keeps line breaks and tabs."""
    return _UNSAFE.sub(lambda found: ascii(found[0])[1:-1], text)


def on_one_line(text: str) -> str:
    """Return text from outside for one line or table cell, also with escapes for line breaks and tabs."""
    return escaped(text).replace("\n", r"\n").replace("\t", r"\t")


def escaped_styled(text: Text) -> Text:
    """Return styled text with escapes, each in the style of its character."""
    segments = text.render(Console(), end="") if _UNSAFE.search(text.plain) else ()
    return Text.assemble(*((escaped(each.text), each.style or "") for each in segments)) if segments else text


def escaped_json(document: str) -> str:
    r"""Return a JSON document with an escape such as `\u009b` for each remaining unsafe character."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", document)
