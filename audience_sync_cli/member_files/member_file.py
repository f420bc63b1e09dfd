"""A file of members, read row by row: CSV, JSON lines or Parquet, also compressed with gzip, or standard input.

The format is recognized by the content, not by the name. Nothing of a file is kept beyond the row that is read.
"""

import gzip
import hashlib
import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from audience_sync_cli.errors import NotThere, WrongUsage
from audience_sync_cli.member_files.formats import CsvRows, JsonRows, ParquetRows, readable

STDIN = "-"
_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"  # how such files begin
_MARK = b"\xef\xbb\xbf"  # which some programs write before UTF-8


class Rows(Protocol):
    """The rows of an open file, to be read once."""

    @property
    def kind(self) -> str:
        """The format, as it is shown."""

    @property
    def columns(self) -> Sequence[str]:
        """Their names."""

    def read(self, wanted: Sequence[str]) -> Iterator[tuple[Any, ...] | None]:
        """Give of each row the values of the wanted columns, in their order; None for a row that cannot be read.

        Raises:
            WrongUsage: the rest of the file cannot be read.
        """

    def count(self) -> int:
        """Return how many rows there are. Raises WrongUsage."""


@dataclass(frozen=True, slots=True)
class MemberFile:
    """A file that can be read several times; standard input once."""

    name: str
    path: Path | None  # None for standard input

    @classmethod
    def named(cls, name: str) -> "MemberFile":
        """Take the file of this name, or standard input for `-`. Raises NotThere."""
        if name == STDIN:
            return cls("standard input", None)
        if not (path := Path(name)).is_file():
            raise NotThere("There is no such file.", "Check the path.")
        return cls(path.name, path)

    @contextmanager
    def rows(self) -> Iterator[Rows]:
        """Open it at its first row. Raises WrongUsage where it is in no format that is read."""
        with nullcontext(sys.stdin.buffer) if self.path is None else self.path.open("rb") as stream:
            yield self._rows(stream)

    def _rows(self, stream: Any) -> Rows:
        begin = stream.peek(4)
        if begin.startswith(_GZIP):
            stream = io.BufferedReader(gzip.GzipFile(fileobj=stream))
        if begin.startswith(_PARQUET):
            if self.path is None:
                raise WrongUsage("Parquet cannot be read from standard input.", "Give the path of the file.")
            return ParquetRows(stream)
        with readable():
            begin = stream.peek(64)[:64].removeprefix(_MARK).lstrip()
        if not begin:
            raise WrongUsage("The file is empty.", "The first row of a CSV file names the columns.")
        if begin.startswith(b"["):
            raise WrongUsage("The file is a JSON array.", "Write one object a line: `jq -c '.[]' FILE`.")
        return JsonRows(stream) if begin.startswith(b"{") else CsvRows(stream)

    def digest(self) -> str | None:
        """Return the SHA-256 of the file in hex; None of standard input, which cannot be read twice."""
        if self.path is None:
            return None
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def written_at(self) -> int | None:
        """Return when the file was last written, in epoch milliseconds; None of standard input."""
        return None if self.path is None else int(self.path.stat().st_mtime * 1000)
