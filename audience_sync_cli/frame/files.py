"""Files that a command writes for the operator, and the encoding of those that it reads."""

import codecs
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from audience_sync_cli.frame.errors import WrongUsage


def new_file(path: Path, option: str) -> TextIO:
    """Create a file that only its owner may read. Raises WrongUsage if it exists or cannot be written."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise WrongUsage(f"The {option} file exists.", "Use another name.") from None
    except OSError:
        raise WrongUsage(f"The {option} file cannot be written.", "Check folder and permissions.") from None
    return open(descriptor, "w", encoding="utf-8", newline="")  # noqa: PTH123 - a descriptor


def make_output_private() -> None:
    """If the output goes to a file, let only its owner read it: what follows is personal data."""
    with suppress(OSError):  # no file, or somebody else's
        output = sys.stdout.fileno()
        if stat.S_ISREG(os.fstat(output).st_mode):
            os.fchmod(output, 0o600)


def encoding_of(begin: bytes) -> str:
    """Return the encoding of a file by its mark, or by the zeros that UTF-16 has in every other place."""
    if begin.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return {b"\0\0": "utf-16-le"}.get(begin[1:4:2], "utf-16-be" if begin[:3:2] == b"\0\0" else "utf-8-sig")
