"""Files that a command writes for the operator."""

import os
from pathlib import Path
from typing import TextIO

from audience_sync_cli.errors import WrongUsage


def new_file(path: Path, option: str) -> TextIO:
    """Create a file that only its owner may read. Raises WrongUsage if it exists or cannot be written."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise WrongUsage(f"The {option} file exists.", "Use another name.") from None
    except OSError:
        raise WrongUsage(f"The {option} file cannot be written.", "Check folder and permissions.") from None
    return open(descriptor, "w", encoding="utf-8", newline="")  # noqa: PTH123 - a descriptor
