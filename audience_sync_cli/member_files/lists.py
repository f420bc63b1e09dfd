"""CSV lists for the operator: rows left out and values not used, and members who differ."""

import csv
import errno
import io
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from audience_sync_cli.frame.errors import WrongUsage
from audience_sync_cli.frame.files import new_file
from audience_sync_cli.frame.reasons import row_remedy
from audience_sync_cli.member_files.comparison import ENTERS, Difference, OnDifference
from audience_sync_cli.member_files.import_run import Reject
from audience_sync_cli.member_files.list_cells import DIFFERENCES_HEAD, written
from audience_sync_cli.member_files.row_changes import LeftOut
from audience_sync_cli.member_files.unusable_values import UnusableValue

_REJECTS_HEAD = ("row", "reason", "remedy", "field")  # the last one is of a value that is not used
_HEAD = ",".join(_REJECTS_HEAD[:3])  # how the file begins
_NO_LIST = "The --rejects file exists and is not a rejects list.", "Use another name."


@contextmanager
def listed_rejects(path: Path | None, *, after: int) -> Iterator[Reject]:
    """Open the list of rows left out and of values not used: numbers and reasons.

    Without a path, nothing is listed. On a resumed run, entries of the interrupted run up to `after` stay. Raises
    WrongUsage if the file has other contents, which are left unchanged, or cannot be written.
    """
    if path is None or path == Path(os.devnull):
        yield lambda _left_out: None
        return
    with _former_list(path) as former, _replaced(path) as stream:
        writer, rows = csv.writer(stream), csv.reader(former)
        writer.writerow((after and next(rows, None)) or _REJECTS_HEAD)
        # A killed run may have written its last row in part.
        writer.writerows(row for row in rows if len(row) > 2 and row[0].isdecimal() and int(row[0]) <= after)

        def add(rejected: LeftOut | UnusableValue) -> None:
            if isinstance(rejected, UnusableValue):
                cells = [rejected.reason.code, rejected.reason.remedy, rejected.field]
            else:
                cells = [rejected.reason, row_remedy(rejected.reason), ""]
            writer.writerow(written([rejected.row, *cells]))

        yield add


_REPAIRED_BY = {
    **dict.fromkeys(ENTERS, "compare --repair missing"),
    Difference.SURPLUS: "compare --repair surplus",
    Difference.CONSENT_DENIED: "compare --repair denied",
}


@contextmanager
def listed_differences(path: Path | None) -> Iterator[OnDifference]:
    """Open the list of differences; without one, nothing is listed. Raises WrongUsage."""
    if path is None:
        yield lambda _member, _found, _reason: None
        return
    with new_file(path, "--out") as stream:
        writer = csv.writer(stream)
        writer.writerow(DIFFERENCES_HEAD)

        def add(member: str, found: Difference, reason: str) -> None:
            writer.writerow(written((member, found, _REPAIRED_BY.get(found, ""), reason)))

        yield add


@contextmanager
def _former_list(path: Path) -> Iterator[TextIO]:
    """Open the existing list, or an empty one. Raises WrongUsage if another file exists there.

    A link could lead to any of the operator's files, and another user's file would show that user the list.
    """
    if not os.path.lexists(path):
        yield io.StringIO()
        return
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # NONBLOCK: do not wait for a pipe
    except OSError as error:
        what = "is a symbolic link" if error.errno == errno.ELOOP else "cannot be read"
        raise WrongUsage(f"The --rejects file {what}.", "Use another name.") from None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise WrongUsage(*_NO_LIST)
    with open(descriptor, encoding="utf-8", errors="replace", newline="") as stream:  # noqa: PTH123 - a descriptor
        if found.st_uid != os.geteuid():
            raise WrongUsage("The --rejects file belongs to another user.", "Use another name.")
        if found.st_size and stream.read(len(_HEAD)) != _HEAD:
            raise WrongUsage(*_NO_LIST)
        stream.seek(0)
        yield stream


@contextmanager
def _replaced(path: Path) -> Iterator[TextIO]:
    """Open a new file that replaces the old one at once, so that a killed run leaves its rows.

    Only its owner may read it, and no other program can have it open. Raises WrongUsage if it cannot be written.
    """
    try:
        descriptor, new = tempfile.mkstemp(prefix=".rejects.", dir=path.parent)  # O_EXCL, mode 600
        Path(new).replace(path)
    except OSError:
        raise WrongUsage("The --rejects file cannot be written.", "Check folder and permissions.") from None
    with open(  # noqa: PTH123 - a descriptor
        descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", newline=""
    ) as stream:
        yield stream
