"""Files of members, as an operator has them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command.conftest import NOW

WRITTEN = int(NOW) - 3_600  # epoch seconds at which the files were written
type Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a file of members at an epoch second, and returns its path."""

    def written(content: str, name: str = "members.csv", *, at: float = WRITTEN) -> str:
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        os.utime(path, (at, at))
        return str(path)

    return written
