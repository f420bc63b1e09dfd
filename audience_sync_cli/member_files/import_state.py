"""How far an import has come, so that an interrupted one can go on: a small file that holds no personal data."""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class Progress(NamedTuple):
    """Up to where an import has come."""

    row: int  # all rows up to it are in the change queue
    at: int  # epoch milliseconds, the time of all its changes


@dataclass(frozen=True, slots=True)
class ImportState:
    """The state of one import: of one file, read in one way, into one audience of one stack."""

    path: Path

    @classmethod
    def of(cls, folder: Path, *parts: str) -> "ImportState":
        """Find the state of an import by its stack, its audience, and the digests of its file and options."""
        name = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
        return cls(folder / f"{name}.json")

    def load(self) -> Progress | None:
        """Return where an interrupted run stopped; None where there was none, or its file is not readable."""
        try:
            stored = json.loads(self.path.read_text(encoding="utf-8"))
            return Progress(int(stored["row"]), int(stored["at"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def save(self, progress: Progress) -> None:
        """Store how far the import has come. A run that cannot store it goes on: repeating rows does no harm."""
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            new = self.path.with_suffix(".new")
            new.write_text(json.dumps(progress._asdict()), encoding="utf-8")
            new.replace(self.path)

    def delete(self) -> None:
        """Forget it: the import is complete."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def state_folder() -> Path:
    """Return the folder of the operator's state, as the XDG Base Directory Specification has it."""
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "audience-sync" / "imports"
