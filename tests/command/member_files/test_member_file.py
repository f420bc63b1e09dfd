"""Files of members: the formats, what is refused as a whole, and what makes a single row unreadable."""

import csv
import gzip
import hashlib
import io
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync_cli.frame.errors import NotThere, OperatorError, WrongUsage
from audience_sync_cli.member_files.formats import DELIMITERS
from audience_sync_cli.member_files.member_file import MemberFile

ROWS = [("u1", "a@b.co"), ("u2", "c@d.co")]
JSON = '{"id":"u1","email":"a@b.co"}\n{"id":"u2","email":"c@d.co"}'

type File = Callable[[bytes | str], MemberFile]


@pytest.fixture
def file(tmp_path: Path) -> File:
    def write(content: bytes | str) -> MemberFile:
        path = tmp_path / "members"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return MemberFile.named(str(path))

    return write


def read(file: MemberFile, wanted: Sequence[str]) -> list[Any]:
    with file.rows() as rows:
        return list(rows.read(wanted))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("id,email\nu1,a@b.co\nu2,c@d.co\n", id="CSV"),
        pytest.param("note;email;id\nx;a@b.co;u1\ny;c@d.co;u2", id="CSV with semicolons, without a last line end"),
        pytest.param("id\temail\r\nu1\ta@b.co\r\n\r\nu2\tc@d.co\r\n", id="CSV with tabs, and a blank line"),
        pytest.param("\ufeffid,email\nu1,a@b.co\nu2,c@d.co\n", id="CSV with a byte order mark"),
        pytest.param('id,email,note\nu1,a@b.co,"a\nb, c"\n"u2",c@d.co,\n', id="CSV with a line end within quotes"),
        pytest.param("sep=;\r\nid;email\r\nu1;a@b.co\r\nu2;c@d.co", id="CSV whose first line names the delimiter"),
        pytest.param("id\temail\r\nu1\ta@b.co\r\nu2\tc@d.co".encode("utf-16"), id="UTF-16, as Excel's Unicode text"),
        pytest.param(f"\ufeff{JSON}".encode("utf-16-be"), id="JSON, UTF-16"),
        pytest.param('{"id":"u1","email":"a@b.co"}\n\n{"email":"c@d.co","id":"u2","x":1}\n', id="JSON lines"),
        pytest.param("id;email\r\nu1;a@b.co\r\nu2;c@d.co".encode("utf-16-le"), id="UTF-16 without a mark"),
        pytest.param("\n;;\n\nid;email\nu1;a@b.co\nu2;c@d.co\n", id="CSV after blank lines"),
        pytest.param("id,email,,\nu1,a@b.co,,\nu2,c@d.co,,\n", id="CSV with columns that have no name"),
        pytest.param(gzip.compress(b"id,email\nu1,a@b.co\nu2,c@d.co\n"), id="CSV, compressed"),
        pytest.param(gzip.compress(JSON.encode()), id="JSON, compressed"),
    ],
)
def test_the_format_is_detected_from_the_content(file: File, content: bytes | str) -> None:
    members = file(content)
    assert read(members, ["id", "email"]) == ROWS
    assert read(members, ["email"]) == [(email,) for _, email in ROWS]
    with members.rows() as rows:
        assert rows.count() == len(ROWS)


_CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@given(
    rows=st.lists(st.tuples(_CELL, _CELL, _CELL), min_size=1, max_size=8),
    delimiter=st.sampled_from(DELIMITERS),
    ending=st.sampled_from(["\n", "\r\n"]),
)
def test_csv_with_any_delimiter_is_read(rows: list[tuple[str, str, str]], delimiter: str, ending: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "members.csv"
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, delimiter=delimiter, lineterminator=ending, quoting=csv.QUOTE_ALL)
            writer.writerows([("id", "email", "note"), *rows])
        members = MemberFile.named(str(path))
        assert read(members, ["email", "id"]) == [(email, member) for member, email, _ in rows]
        with members.rows() as opened:
            assert opened.count() == len(rows)


def test_nested_json_is_read_by_its_path(file: File) -> None:
    members = file('{"userId":7,"traits":{"address":{"city":"Rome"}}}\n{"userId":8}\n{"userId":9,"traits":null}')
    with members.rows() as rows:
        assert rows.columns == ["userId", "traits.address.city", "traits"]
    assert read(members, ["userId", "traits.address.city"]) == [(7, "Rome"), (8, None), (9, None)]


def test_an_unreadable_row_does_not_stop_the_others_and_missing_last_cells_are_empty(file: File) -> None:
    """Many programs write no empty cells at the end of a row."""
    assert read(file("id,email\nu1,a@b.co\nu3,c@d.co,more\nu4,e@f.co"), ["id"]) == [("u1",), None, ("u4",)]
    assert read(file('{"id":1}\n[2]\n{"id":\n{"id":4}'), ["id"]) == [(1,), None, None, (4,)]
    found = read(file("id,email,note\nu1\nu2,c@d.co\n"), ["email", "note", "id"])
    assert found == [("", "", "u1"), ("c@d.co", "", "u2")]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        pytest.param('id,"email\nu1,a@b.co\n', 1, id="in the names"),
        pytest.param('\nsep=,\nid,email\nu1,"a@b.co\nu2,c@d.co\n', 4, id="in the first row, below other lines"),
        pytest.param('id,email\nu1,"a\nb"\nu2,"\nu3,c@d.co', 4, id="after a cell of two lines"),
        pytest.param('id,email\nu1,x\n"', 3, id="at the end"),
        pytest.param('id,email\nu1,x\nu2,"' + "x" * 200_000, 3, id="before a cell of enormous length"),
    ],
)
def test_an_unclosed_quotation_mark_is_reported_with_its_line(file: File, content: str, line: int) -> None:
    with pytest.raises(OperatorError, match=rf"begins in line {line} has an unclosed quotation mark"):
        read(file(content), ["id"])


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="empty"),
        pytest.param("\n \n", id="blank"),
        pytest.param("ada@example.com,u1\nbob@example.com,u2\n", id="no names: an e-mail address"),
        pytest.param("u1,+1 (555) 010-0199\nu2,\n", id="no names: a phone number"),
        pytest.param("id,email\nu1,m\xfcller@example.de\n".encode("latin-1"), id="not UTF-8"),
        pytest.param(gzip.compress(b"id\n" * 10_000)[:-20], id="a compressed file that is cut off"),
        pytest.param("id,email\nu1," + "x" * 200_000, id="a cell of enormous length"),
        pytest.param(gzip.compress(b"id,email\nu1,a\n" + b'"x",' * 300_000), id="a line of a megabyte"),
        pytest.param(gzip.compress(b'{"id":1}\n{"id":"' + b"x" * 1_000_000), id="JSON: a line of a megabyte"),
    ],
)
def test_an_unreadable_file_is_refused_without_quoting_it(file: File, content: bytes | str) -> None:
    with pytest.raises(OperatorError) as refused:
        read(file(content), [])
    assert refused.value.remedy
    assert not any(text in f"{refused.value}{refused.value.remedy}" for text in ("example", "555", "ller"))


DAMAGED = b"PAR1" + b"x" * 100 + b"PAR1"
DATED = "and pass the time of the export with --at."


@pytest.mark.parametrize(
    ("content", "message", "remedy"),
    [
        pytest.param(b"PK\x03\x04...", "Excel workbook", f"CSV UTF-8, {DATED}", id="xlsx"),
        pytest.param(b"\xd0\xcf\x11\xe0...", "Excel workbook", f"CSV UTF-8, {DATED}", id="xls"),
        pytest.param(b"id,n\nu1,m\xfc\n", "not UTF-8", DATED, id="not UTF-8"),
        pytest.param(b'[{"id":1}]', "JSON array", f"`jq -c '.[]' FILE > NEW`, {DATED}", id="a JSON array"),
        pytest.param(b"id,email,email\nu1,a,b\n", "Two columns are named email.", DATED, id="a name that stands twice"),
        pytest.param(b"Export of 3 March,,\nid,email,zip\n", "may be a title", DATED, id="a title with empty cells"),
        pytest.param(
            b"Report: VIP\n\nOf 3 March\nid;email;zip\n", "Line 1 has one cell, and line 4 has 3", DATED, id="a title"
        ),
        pytest.param(b"id,email\n\n", "no rows below", "Export the members again.", id="names of columns only"),
        *(pytest.param(content, "Parquet", "", id="damaged Parquet") for content in (b"PAR1", DAMAGED)),
    ],
)
def test_the_refusal_of_a_file_names_the_cause_and_asks_to_keep_the_date(
    file: File, content: bytes, message: str, remedy: str
) -> None:
    with pytest.raises(WrongUsage, match=message) as refused:
        read(file(content), [])
    assert refused.value.remedy
    assert refused.value.remedy.endswith(remedy)


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(NotThere, match=r"Cannot read /nowhere/members.csv: no such file."):
        MemberFile.named("/nowhere/members.csv")
    with pytest.raises(WrongUsage, match=f"{tmp_path}: it is a directory."):
        MemberFile.named(str(tmp_path))


def test_digest_and_time_are_read_from_the_file(file: File) -> None:
    members = file("id\nu1\n")
    assert members.path is not None
    assert members.digest() == hashlib.sha256(b"id\nu1\n").hexdigest()
    assert members.written_at() == int(members.path.stat().st_mtime * 1000)


def test_standard_input_is_read_like_a_file_except_for_parquet(monkeypatch: pytest.MonkeyPatch) -> None:
    def typed(content: bytes) -> MemberFile:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(content))))
        return MemberFile.named("-")

    members = typed(b"id,email\nu1,a@b.co\n")
    assert (members.digest(), members.written_at()) == (None, None)
    assert read(members, ["id", "email"]) == [("u1", "a@b.co")]
    with pytest.raises(WrongUsage):
        read(typed(b"PAR1 and more"), [])


def test_parquet_is_read_with_pyarrow(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    columns = {"id": [1, 2, None], "email": ["a@b.co", None, "c@d.co"], "address": [{"city": "Rome"}, None, None]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "members.parquet")
    members = MemberFile.named(str(tmp_path / "members.parquet"))
    assert read(members, ["email", "id"]) == [("a@b.co", 1), (None, 2), ("c@d.co", None)]
    with members.rows() as rows:
        assert (rows.kind, rows.columns, rows.count()) == ("Parquet", ["id", "email", "address"], 3)
    parquet.write_table(pyarrow.table({"id": []}), tmp_path / "empty.parquet")
    with pytest.raises(WrongUsage, match="no rows"):
        read(MemberFile.named(str(tmp_path / "empty.parquet")), ["id"])
    assert members.path is not None
    whole = members.path.read_bytes()
    members.path.write_bytes(whole[:4] + b"x" * 60 + whole[64:])
    with pytest.raises(WrongUsage):
        read(members, ["email", "id"])
