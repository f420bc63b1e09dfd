"""The lists that the operator asks for, as CSV files: rows that are left out, and members who differ."""

import csv
import io
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from audience_sync_cli.errors import WrongUsage
from audience_sync_cli.member_files.comparison import ENTERS, Difference, OnDifference
from audience_sync_cli.member_files.row_changes import REMEDIES, LeftOut

_HEAD = ("row", "reason", "remedy")


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
        """Open the file. Where the run goes on from an earlier one, lines are added.

        Raises:
            WrongUsage: another file is there, which is left as it is; or it cannot be written.
        """
        if path is None:
            yield cls(None, fields, with_rows=with_rows)
            return
        if path.exists() and not _is_ours(path):
            raise WrongUsage("The file for --rejects exists, and is no list of rejects.", "Give another name.")
        with _opened_for_owner(path, os.O_APPEND if goes_on else os.O_TRUNC, "--rejects") as stream:
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


@contextmanager
def listed_differences(path: Path | None) -> Iterator[OnDifference]:
    """Open the list of differences; without one, nothing is listed. Raises WrongUsage."""
    if path is None:
        yield lambda _member, _found: None
        return
    with _opened_for_owner(path, os.O_EXCL, "--out") as stream:
        writer = csv.writer(stream)
        writer.writerow(("externalUserId", "difference", "repaired by"))

        def add(member: str, found: Difference) -> None:
            remedy = "--repair" if found in ENTERS else "--repair --surplus" if found is Difference.SURPLUS else ""
            writer.writerow((member, found, remedy))

        yield add


def _opened_for_owner(path: Path, flag: int, option: str) -> TextIO:
    """Open a file to write, which only its owner may read, also where it was there before: the lists name members.

    Raises:
        WrongUsage: with O_EXCL, the file exists; or it cannot be written, or not be closed to others.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | flag, 0o600)
        stream = open(descriptor, "w", encoding="utf-8", newline="")  # noqa: PTH123, SIM115 - a descriptor; the caller's
    except FileExistsError:
        raise WrongUsage(f"The file for {option} exists.", "Give another name.") from None
    except OSError:
        raise WrongUsage(f"The file for {option} cannot be written.", "Check folder and permissions.") from None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):  # and not /dev/null
        try:
            os.fchmod(descriptor, 0o600)
        except OSError:
            stream.close()
            raise WrongUsage(f"The file for {option} belongs to another user.", "Give another name.") from None
    return stream


def _is_ours(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            begin = stream.readline(200)
    except OSError:
        return False
    expected = io.StringIO()
    csv.writer(expected).writerow(_HEAD)
    return not begin or begin.startswith(expected.getvalue().rstrip().encode())
