"""No text from outside moves the cursor, changes colors or writes the clipboard of the operator's terminal."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.text import Text

from audience_sync_cli.frame.errors import OperatorError, WrongUsage
from audience_sync_cli.frame.screen import Screen
from audience_sync_cli.member_files.import_members import import_members
from audience_sync_cli.member_files.import_plan import ImportOptions
from audience_sync_cli.member_files.options import FileOptions
from tests.command.conftest import Deployment

HOSTILE = [
    pytest.param("\x1b]0;pwned\x07", r"\x1b]0;pwned\x07", id="OSC: window title"),
    pytest.param("\x1b]52;c;cHduZWQ=\x1b\\", r"\x1b]52;c;cHduZWQ=\x1b" + "\\", id="OSC 52: clipboard"),
    pytest.param("\x1b[2J\x1b[31m", r"\x1b[2J\x1b[31m", id="CSI: clear, red"),
    pytest.param("\x9b2J", r"\x9b2J", id="CSI of one byte, C1"),
    pytest.param("\x9d0;pwned\x9c", r"\x9d0;pwned\x9c", id="OSC of one byte, C1"),
    pytest.param("a\rb\x08c\x7fd\x00", r"a\rb\x08c\x7fd\x00", id="return, backspace, DEL, NUL"),
    pytest.param("id\u202egpj", r"id\u202egpj", id="right-to-left override"),
    pytest.param("a\u061cb\u200ec\u200fd", r"a\u061cb\u200ec\u200fd", id="invisible direction marks"),
    pytest.param("cut\udcff", r"cut\udcff", id="a byte that is not UTF-8"),
]
UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202e\ud800-\udfff]")

SHOWN: list[tuple[str, Callable[[Screen, str], None]]] = [
    ("sentence", lambda screen, text: screen.say(text)),
    ("note", lambda screen, text: screen.note(text)),
    ("cell", lambda screen, text: screen.table(("column",), [(text,)])),
    ("name of a column", lambda screen, text: screen.table((text,), [("cell",)])),
    ("fact", lambda screen, text: screen.facts({"name": text})),
    ("name of a fact", lambda screen, text: screen.facts({text: "value"})),
    ("error", lambda screen, text: screen.fail(OperatorError(f"no {text}", "try again"))),
    ("remedy", lambda screen, text: screen.fail(OperatorError("wrong", f"not {text}"))),
]


@pytest.mark.parametrize(("text", "escaped"), HOSTILE)
@pytest.mark.parametrize("show", [pytest.param(show, id=name) for name, show in SHOWN])
def test_control_characters_are_printed_as_escapes(
    show: Callable[[Screen, str], None], text: str, escaped: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show(Screen(), text)
    printed = "".join(capsys.readouterr())
    assert not UNSAFE.search(printed)
    assert escaped in printed


@pytest.mark.parametrize(("text", "_escaped"), HOSTILE)
def test_json_has_no_control_characters_and_the_same_value(
    text: str, _escaped: str, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = Screen(as_json=True)
    screen.result({text: text})
    screen.result([text], indent=None)
    screen.fail(OperatorError(text))
    printed = capsys.readouterr().out
    assert not UNSAFE.search(printed)
    assert json.loads(printed[: printed.index("}") + 1]) == {text: text}


def test_questions_have_no_control_characters(deployment: Deployment) -> None:
    deployment.answers.append("y")
    deployment.session().screen.confirm("Add the rows of \x1b[2J.csv?")
    assert deployment.questions == [r"Add the rows of \x1b[2J.csv? [y/N] "]


def test_line_breaks_and_all_scripts_are_kept_but_in_a_cell(capsys: pytest.CaptureFixture[str]) -> None:
    Screen().say("one\ntwo: İstanbul, 東京, عربي 👩‍👧")
    assert capsys.readouterr().out == "one\ntwo: İstanbul, 東京, عربي 👩‍👧\n"
    Screen().table(("column", "used as"), [("id\nnot used\tat all", "email")])
    assert r"id\nnot used\tat all" in capsys.readouterr().out


def test_a_cell_keeps_its_styles_beside_an_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen()
    with screen._rows.capture() as captured:
        screen.table(("column",), [(Text("a\x9b").append("b", style="red"),)])
    assert "a\\x9b\x1b[31mb\x1b[0m" in captured.get()


@pytest.mark.parametrize(
    "content",
    [
        'userId,email,"\x1b]0;pwned\x07\x9b31m"\nu1,\x1b[31m@example.com,x\n',
        '{"userId": "u1", "email": "a@b.co", "\\u001b[2J\\u009b": "x"}\n',
    ],
    ids=["names and cells of CSV", "names of JSON"],
)
def test_import_escapes_control_characters_from_files(
    deployment: Deployment, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    deployment.list_audience()
    path = tmp_path / "\x1b]0;x\x07.csv"
    path.write_text(content, encoding="utf-8")
    named = deployment.session(), str(path), "lapsed_premium_buyers"
    import_members(*named, ImportOptions(dry_run=True), FileOptions(at="1h"))
    with pytest.raises(WrongUsage) as caught:
        import_members(*named, reading=FileOptions(column=["email=z"]))
    Screen().fail(caught.value)
    out, err = capsys.readouterr()
    assert r"\x1b]0;x\x07.csv" in out
    assert not UNSAFE.search(out + err)
