"""Reads a file of members row by row: CSV, JSON lines or Parquet, optionally gzipped, or standard input.

The format is detected from the content, not the name. Only one row is kept in memory.
"""

import gzip
import hashlib
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audience_sync_cli.frame.errors import NotThere, WrongUsage
from audience_sync_cli.frame.files import encoding_of
from audience_sync_cli.member_files.formats import KEEP_DATE, CsvRows, JsonRows, ParquetRows, lines_of, readable

STDIN = "-"
_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"  # how such files begin
_WORKBOOKS = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"  # .xlsx, which is a ZIP archive, and .xls


type Rows = CsvRows | JsonRows | ParquetRows  # of an open file; can be read once


@dataclass(frozen=True, slots=True)
class MemberFile:
    """A file that can be read several times; standard input only once."""

    name: str
    path: Path | None  # None for standard input

    @classmethod
    def named(cls, name: str) -> "MemberFile":
        """Return the file of this name, or standard input for `-`. Raises NotThere, or WrongUsage for a directory."""
        if name == STDIN:
            return cls("standard input", None)
        path = Path(name)
        if path.is_dir():
            raise WrongUsage(f"Cannot read {name}: it is a directory.", "Pass the path of a file.")
        if not path.is_file():
            raise NotThere(f"Cannot read {name}: no such file.", "Check the path.")
        return cls(path.name, path)

    @contextmanager
    def rows(self) -> Iterator[Rows]:
        """Open it at its first row. Raises WrongUsage if the format is not supported."""
        with nullcontext(sys.stdin.buffer) if self.path is None else self.path.open("rb") as stream:
            yield self._rows(stream)

    def _rows(self, stream: Any) -> Rows:
        begin = stream.peek(4)
        if begin.startswith(_GZIP):
            stream = io.BufferedReader(gzip.GzipFile(fileobj=stream))
        if begin.startswith(_PARQUET):
            if self.path is None:
                raise WrongUsage("Parquet cannot be read from standard input.", "Pass the path of the file.")
            return ParquetRows(stream)
        with readable():
            begin = stream.peek(64)[:64]
        if begin.startswith(_WORKBOOKS):
            raise WrongUsage(
                "The file is an Excel workbook or another archive.", f"Save its sheet as CSV UTF-8, {KEEP_DATE}"
            )
        encoding = encoding_of(begin)
        start = begin.decode(encoding, "ignore").lstrip()
        if not start:
            raise WrongUsage("The file is empty.", "The first row of a CSV file must name the columns.")
        if start.startswith("["):
            raise WrongUsage(
                "The file is a JSON array.", f"Write one object a line: `jq -c '.[]' FILE > NEW`, {KEEP_DATE}"
            )
        is_json = start.startswith("{")
        if is_json and encoding == "utf-8-sig":
            return JsonRows(stream, lines_of(stream))  # a line that is not UTF-8 is one unreadable row
        text = io.TextIOWrapper(stream, encoding=encoding, newline="")
        return JsonRows(text, map(str.encode, lines_of(text))) if is_json else CsvRows(text)

    def digest(self) -> str | None:
        """Return the SHA-256 of the file in hex; None for standard input, which cannot be read twice."""
        if self.path is None:
            return None
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def written_at(self) -> int | None:
        """Return the modification time in epoch milliseconds; None for standard input."""
        return None if self.path is None else int(self.path.stat().st_mtime * 1000)
