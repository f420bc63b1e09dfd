"""Counts the member ids that occur in more than one row of a file, in memory that does not grow with it."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

from audience_sync_cli.frame.screen import Screen
from audience_sync_cli.frame.unusable import AS_TEXT

_HELD = 1_000  # hashes that are written together


class Repeated(NamedTuple):
    """Member ids in more than one row."""

    ids: int
    rows: int
    addresses: int  # different e-mail addresses in these rows


class RepeatedIds:
    """Hashes of ids and addresses, in a temporary file that SQLite deletes. Their salt is another in each run."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("")  # a name would keep the file
        self._database.execute("CREATE TABLE ids (hash INTEGER, address INTEGER)")
        self._held: list[tuple[int, int | None]] = []
        self._is_complete = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def add(self, member: str, identities: Sequence[Mapping[str, str]]) -> None:
        """Add the member id of a row, and its first e-mail address."""
        address = next((hash(each["email"]) for each in identities if "email" in each), None)
        self._held.append((hash(member), address))
        if len(self._held) == _HELD:
            self._write()

    def count(self) -> Repeated | None:
        """Count the ids added more than once; None if there was no room for the temporary file."""
        self._write()
        if not self._is_complete:
            return None
        counts = "SELECT count(DISTINCT hash), count(*), count(DISTINCT address) FROM ids"
        repeated = "SELECT hash FROM ids GROUP BY hash HAVING count(*) > 1"
        try:
            return Repeated(*self._database.execute(f"{counts} WHERE hash IN ({repeated})").fetchone())
        except sqlite3.Error:
            return None

    def _write(self) -> None:
        try:
            self._database.executemany("INSERT INTO ids VALUES (?, ?)", self._held)
        except sqlite3.Error:  # the rows matter more than this number
            self._is_complete = False
        self._held.clear()


def show_repeated(screen: Screen, repeated: Repeated | None) -> None:
    """Print the number of repeated member ids, if any, and whether they may be of several people each."""
    if repeated and repeated.ids:
        occur = "member id occurs" if repeated.ids == 1 else "member ids occur"
        few = {0: "no address", 1: "one address"}
        addresses = few.get(repeated.addresses, f"{repeated.addresses:,} different addresses")
        kept = "all their identifiers count, and the country and consent of the last."
        screen.say(f"{repeated.ids:,} {occur} in more than one row ({repeated.rows:,} rows, {addresses}): {kept}")
        if repeated.addresses > repeated.ids:
            cut = f"If these are different people, a spreadsheet may have cut their ids: {AS_TEXT}."
            screen.say(cut, style="yellow")
