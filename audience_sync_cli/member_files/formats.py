"""The formats of files of members: CSV, JSON lines and Parquet."""

import csv
import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from operator import itemgetter
from typing import IO, Any, BinaryIO, TextIO

from audience_sync.quick_json import read_json
from audience_sync_cli.frame.errors import OperatorError, WrongUsage
from audience_sync_cli.frame.terminal_text import on_one_line
from audience_sync_cli.member_files.list_cells import is_list, read_back

DELIMITERS = ",;\t|"
HEAD = 12  # lines of CSV that are compared with the first
SAMPLE = 100  # JSON lines whose names are the columns
MAX_LINE = 1_000_000  # characters, or bytes of JSON; a small compressed file can hold a line of many gigabytes
MAX_DEPTH = 4  # nested objects, such as traits.address.city
BATCH = 10_000  # Parquet rows in memory at a time
# Rewriting a file gives it a new date, and members who left since the export would be added again.
KEEP_DATE = "and pass the time of the export with --at."
_SEPARATOR = re.compile(rf"sep=([{DELIMITERS}])\s*")  # a first line for Excel, written by some programs
# Column names do not contain e-mail addresses and are not long numbers.
_A_VALUE = re.compile(r".*@.*\..*|[+\d][\d ().-]{6,}")
_MARK = "\ufeff"

type Values = tuple[Any, ...] | None


class CsvRows:
    """CSV with column names in the first row. The delimiter is detected."""

    kind = "CSV"

    def __init__(self, text: TextIO) -> None:
        self._text = text  # closes the stream when it is deleted
        self._line = 0  # the last one read
        self._is_read = False
        with readable():
            head = [*islice(lines_of(text), HEAD)]
            lines = self._lines(chain(head, lines_of(text)))
            first = _first_filled(lines)
            if separator := _SEPARATOR.fullmatch(first):
                first = _first_filled(lines)
            _refuse_title(head, self._line)
            delimiter = separator[1] if separator else max(DELIMITERS, key=first.count)
            rows = self._rows(csv.reader(chain([first], lines), delimiter=delimiter))
            self.columns = [name.strip() for name in next(rows, [])]
        if any(map(_A_VALUE.fullmatch, self.columns)):
            raise WrongUsage("The first row does not name the columns.", f"Add a row with their names, {KEEP_DATE}")
        for name, times in Counter(filter(None, self.columns)).items():
            if times > 1:
                raise WrongUsage(f"Two columns are named {on_one_line(name)}.", f"Rename one of them, {KEEP_DATE}")
        with readable():
            below = next(filter(None, rows), None)
        if below is None:
            raise _no_rows()
        self._reader = chain([below], rows)

    def read(self, wanted: Sequence[str]) -> Iterator[Values]:
        """Yield the wanted cells of each row, missing last ones empty; None if it has more than the header."""
        places = [self.columns.index(name) for name in wanted]
        width = len(self.columns)
        picked = _picker(places)
        if is_list(self.columns):
            picked = _read_back(picked)
        with readable():
            for cells in self._reader:
                if len(cells) == width:
                    yield picked(cells)
                elif cells:  # a blank line has none
                    yield None if len(cells) > width else picked([*cells, *[""] * (width - len(cells))])

    def count(self) -> int:
        """Count the rows."""
        with readable():
            return sum(1 for cells in self._reader if cells)

    def _lines(self, lines: Iterable[str]) -> Iterator[str]:
        for line in lines:
            self._line += 1
            yield line
        self._is_read = True

    def _rows(self, reader: Iterator[list[str]]) -> Iterator[list[str]]:
        first = self._line  # of the row
        try:
            for cells in reader:
                if self._is_read:  # the row did not end before the file
                    raise _unclosed(first)
                yield cells
                first = self._line + 1
        except csv.Error:  # a cell over the limit of csv
            raise _unclosed(first) from None


class JsonRows:
    """JSON lines: one object a line. Keys are columns; nested keys are joined with dots."""

    kind = "JSON lines"

    def __init__(self, stream: IO[Any], lines: Iterable[bytes]) -> None:
        self._stream = stream  # is closed when it is deleted
        lines = _filled(lines)
        first = list(islice(lines, SAMPLE))
        self._lines = chain(first, lines)
        self._paths: dict[str, tuple[str, ...]] = {}
        for found in map(_object, first):
            self._paths |= {".".join(path): path for path in _paths(found or {})}
        self.columns = list(self._paths)

    def read(self, wanted: Sequence[str]) -> Iterator[Values]:
        """Yield the wanted values of each line; None if it is not a JSON object. Absent values are None."""
        paths = [self._paths[name] for name in wanted]
        if all(len(path) == 1 for path in paths):
            names = [path[0] for path in paths]
            for line in self._lines:
                found = _object(line)
                yield None if found is None else tuple([found.get(name) for name in names])
            return
        for line in self._lines:
            found = _object(line)
            yield None if found is None else tuple([_at(found, path) for path in paths])

    def count(self) -> int:
        """Count the lines."""
        return sum(1 for _ in self._lines)


class ParquetRows:
    """Parquet, if pyarrow is installed. Nested columns are not read."""

    kind = "Parquet"

    def __init__(self, stream: BinaryIO) -> None:
        try:
            from pyarrow import ArrowException, parquet  # noqa: PLC0415 - not installed with the command
        except ImportError:
            raise WrongUsage(
                "Reading Parquet needs pyarrow.", "`pip install 'pyarrow>=21,<27'`, or write CSV."
            ) from None
        self._errors = (ArrowException, OSError)
        with self._readable():
            self._file = parquet.ParquetFile(stream)
        if not self.count():
            raise _no_rows()
        self.columns = [str(name) for name in self._file.schema_arrow.names]

    def read(self, wanted: Sequence[str]) -> Iterator[Values]:
        """Yield the wanted values of each row."""
        with self._readable():
            for batch in self._file.iter_batches(batch_size=BATCH, columns=list(wanted)):
                by_name = dict(zip(batch.schema.names, batch.columns, strict=True))
                yield from zip(*(by_name[name].to_pylist() for name in wanted), strict=True)

    def count(self) -> int:
        """Return the row count in the file's metadata."""
        return int(self._file.metadata.num_rows)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except self._errors:
            raise WrongUsage("The file is not readable as Parquet.", "Export it again, or as CSV.") from None


def _no_rows() -> WrongUsage:
    return WrongUsage("The file has no rows below the names of its columns.", "Export the members again.")


def _refuse_title(head: Sequence[str], number: int) -> None:
    """Refuse a file whose first line with text has one cell, and a later one more. Raises WrongUsage."""
    cells = [max(len([*filter(str.strip, line.split(each))]) for each in DELIMITERS) for line in head]
    most = max(cells[number:], default=0)
    if cells[number - 1 : number] == [1] and most > 1:
        raise WrongUsage(
            f"Line {number} has one cell, and line {cells.index(most) + 1} has {most}: it may be a title.",
            f"Delete the lines above the names of the columns, {KEEP_DATE}",
        )


def _unclosed(line: int) -> OperatorError:
    return OperatorError(
        f"The row that begins in line {line} has an unclosed quotation mark.",
        f"Close it, or write it twice if it belongs to the value, {KEEP_DATE}",
    )


def _picker(places: Sequence[int]) -> Any:
    match len(places):
        case 0:
            return lambda _: ()
        case 1:
            (place,) = places
            return lambda cells: (cells[place],)
        case _:
            return itemgetter(*places)


def _read_back(picked: Any) -> Any:
    return lambda cells: read_back(picked(cells))


@contextmanager
def readable() -> Iterator[None]:
    """Turn decoding errors into one that does not quote the text."""
    try:
        yield
    except UnicodeDecodeError:
        # Read as Windows-1252, a file from a Mac would give wrong hashes of names, unseen in a masked preview.
        raise WrongUsage(
            "The file is not UTF-8.",
            f"In Excel, save it as CSV UTF-8 (elsewhere: `iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW`), {KEEP_DATE}",
        ) from None
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise OperatorError("The compressed file is damaged or truncated.", "Copy it again: `gzip -t FILE`.") from None


def lines_of[Line: (str, bytes)](stream: IO[Line]) -> Iterator[Line]:
    """Yield the lines of a file. Raises OperatorError for one over MAX_LINE, without reading its rest."""
    while line := stream.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise OperatorError(f"A line of the file is over {MAX_LINE:,} characters.", "Export the members again.")
        yield line


def _first_filled(lines: Iterable[str]) -> str:
    """Return the first line that is not blank: in a spreadsheet, even a blank line may have delimiters."""
    return next((line for line in lines if line.strip(f"{DELIMITERS} \r\n{_MARK}")), "")


def _filled(stream: Iterable[bytes]) -> Iterator[bytes]:
    with readable():
        for line in stream:
            if not line.isspace():
                yield line


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        found = read_json(line.removeprefix(_MARK.encode()))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _paths(value: Mapping[str, Any], before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, inner in value.items():
        path = (*before, name)
        if isinstance(inner, dict) and len(path) < MAX_DEPTH:
            yield from _paths(inner, path)
        else:
            yield path


def _at(value: Any, path: Sequence[str]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value
