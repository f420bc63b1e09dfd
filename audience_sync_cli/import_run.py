"""One run over the rows of a file: each becomes a change that is sent, or is counted and listed as left out."""

import csv
import io
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from audience_sync.membership import MembershipChange
from audience_sync_cli.errors import WrongUsage
from audience_sync_cli.row_changes import REMEDIES, LeftOut, RowChanges

PREVIEWED = 5  # rows
_HEAD = ("row", "reason", "remedy")


class Taker(Protocol):
    """What takes the changes, row by row."""

    def take(self, row: int, change: MembershipChange | None) -> None:
        """Take the change of a row, None where it makes none."""


class Previewed(NamedTuple):
    """One of the first rows, as it is shown. Holds clear text."""

    row: int
    values: Sequence[Any] | None
    outcome: MembershipChange | LeftOut


@dataclass
class Report:
    """What the rows have become."""

    rows: int = 0
    changes: int = 0
    left_out: Counter[str] = field(default_factory=Counter)  # rows, by reason
    identifiers: Counter[str] = field(default_factory=Counter)  # changes that have one, by Amazon's name
    first: list[Previewed] = field(default_factory=list)


class NoQueue:
    """Takes what a dry run would send."""

    def send(self, bodies: Sequence[str], *, deadline: float) -> None:
        """Send nothing."""


class Rejects:
    """The file that lists rows which are left out: numbers and reasons; the rows themselves only where asked for."""

    def __init__(self, stream: Any, fields: Sequence[str], *, with_rows: bool) -> None:
        """Take the open file, None where there is none."""
        self._writer = csv.writer(stream) if stream else None
        self._fields = fields
        self._with_rows = with_rows

    @classmethod
    @contextmanager
    def opened(cls, path: Path | None, fields: Sequence[str], *, with_rows: bool, goes_on: bool) -> Iterator["Rejects"]:
        """Open the file, which only its owner may read. Where the run goes on from an earlier one, lines are added.

        Raises:
            WrongUsage: another file is there, which is left as it is; or it cannot be written.
        """
        if path is None:
            yield cls(None, fields, with_rows=with_rows)
            return
        if path.exists() and not _is_ours(path):
            raise WrongUsage("The file for --rejects exists, and is no list of rejects.", "Give another name.")
        flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if goes_on else os.O_TRUNC)
        try:
            descriptor = os.open(path, flags, 0o600)
        except OSError:
            raise WrongUsage("The file for --rejects cannot be written.", "Check folder and permissions.") from None
        with open(descriptor, "w", encoding="utf-8", newline="") as stream:  # noqa: PTH123 - a descriptor
            rejects = cls(stream, fields, with_rows=with_rows)
            if not path.stat().st_size:
                rejects.write_head()
            yield rejects

    def write_head(self) -> None:
        """Name the columns."""
        if self._writer:
            self._writer.writerow([*_HEAD, *(self._fields if self._with_rows else ())])

    def add(self, left_out: LeftOut, values: Sequence[Any] | None) -> None:
        """List one row."""
        if self._writer:
            clear = values if self._with_rows and values else ()
            self._writer.writerow([left_out.row, left_out.reason, REMEDIES.get(left_out.reason, ""), *clear])


def run(
    rows: Iterable[Sequence[Any] | None], changes: RowChanges, taker: Taker, rejects: Rejects, *, after: int = 0
) -> Report:
    """Turn rows into changes and hand them on.

    Args:
        rows: the values of the fields of `changes`; None for a row that cannot be read.
        changes: makes a change of a row.
        taker: takes the changes.
        rejects: lists the rows that are left out.
        after: a row; it and those before it are passed over, since an earlier run has sent them.
    """
    report = Report()
    for row, values in enumerate(rows, start=1):
        if row <= after:
            continue
        outcome = changes.of(row, values)
        report.rows += 1
        if report.rows <= PREVIEWED:
            report.first.append(Previewed(row, values, outcome))
        if isinstance(outcome, LeftOut):
            report.left_out[outcome.reason] += 1
            rejects.add(outcome, values)
            taker.take(row, None)
        else:
            report.changes += 1
            for name in {name for identity in outcome.record["hashedPII"] for name in identity}:
                report.identifiers[name] += 1
            taker.take(row, outcome)
    return report


def _is_ours(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            begin = stream.readline(200)
    except OSError:
        return False
    expected = io.StringIO()
    csv.writer(expected).writerow(_HEAD)
    return not begin or begin.startswith(expected.getvalue().rstrip().encode())
