"""Progress of an import, so that an interrupted one can be resumed: a small file without personal data."""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class Progress(NamedTuple):
    """Progress of an import."""

    row: int  # all rows up to it are in the change queue
    at: int  # epoch milliseconds, the time of all its changes


@dataclass(frozen=True, slots=True)
class ImportState:
    """The saved progress of importing one file, with the same options, into one audience of one stack."""

    path: Path

    @classmethod
    def of(cls, *parts: str) -> "ImportState":
        """Find the state of an import by its stack, its audience, and the digest of its file and options.

        The folder is that of the XDG Base Directory Specification.
        """
        name = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
        base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
        return cls(Path(base).expanduser() / "audience-sync" / "imports" / f"{name}.json")

    def load(self) -> Progress | None:
        """Return the progress of an interrupted run; None if there was none or its file is unreadable."""
        try:
            stored = json.loads(self.path.read_text(encoding="utf-8"))
            return Progress(int(stored["row"]), int(stored["at"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def save(self, progress: Progress) -> None:
        """Store the progress. If storing fails, the run continues: repeating rows is safe."""
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            new = self.path.with_suffix(".new")
            new.write_text(json.dumps(progress._asdict()), encoding="utf-8")
            new.replace(self.path)

    def delete(self) -> None:
        """Delete the state of a complete import."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
