"""Counts the member ids that occur in more than one row of a file, in memory that does not grow with it."""

import sqlite3
from typing import Self

from audience_sync_cli.screen import Screen

_HELD = 1_000  # hashes that are written together


class RepeatedIds:
    """The hashes of member ids, in a temporary file that SQLite deletes. Python's hash has another salt in each run."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("")  # a name would keep the file
        self._database.execute("CREATE TABLE ids (hash INTEGER)")
        self._held: list[tuple[int]] = []
        self._is_complete = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def add(self, member: str) -> None:
        """Add the member id of a row."""
        self._held.append((hash(member),))
        if len(self._held) == _HELD:
            self._write()

    def count(self) -> int | None:
        """Return the number of ids added more than once; None if there was no room for the temporary file."""
        self._write()
        if not self._is_complete:
            return None
        repeated = "SELECT count(*) FROM (SELECT 1 FROM ids GROUP BY hash HAVING count(*) > 1)"
        try:
            return int(self._database.execute(repeated).fetchone()[0])
        except sqlite3.Error:
            return None

    def _write(self) -> None:
        try:
            self._database.executemany("INSERT INTO ids VALUES (?)", self._held)
        except sqlite3.Error:  # the rows matter more than this number
            self._is_complete = False
        self._held.clear()


def show_repeated(screen: Screen, repeated: int | None) -> None:
    """Print the number of repeated member ids, if any."""
    if repeated:
        occur = "member id occurs" if repeated == 1 else "member ids occur"
        kept = "all their identifiers count, and the country and consent of the last."
        screen.say(f"{repeated:,} {occur} in more than one row: {kept}")
