"""The words of names, comments, texts and documents: plain ones, which the on-call engineer understands at once.

Where AWS, Segment or Amazon have a word for a thing, it is that word. WORDS lists what has been used instead, and what
to write. A word that also has an ordinary meaning gets a line in ALLOWED, with the reason.
"""

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
CODE = ("layers", "functions", "audience_sync_cli", "local", "scripts")
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]

WORDS = {  # a pattern of banned words: what to write
    r"tells?|telling|told": "say, send, report, return or show; for a value, what it is",
    r"books?": "audit",
    r"letters?": "dead letter",
    r"story|stories": "failure",
    r"verdicts?": "outcome",
    r"patience": "timeout",
    r"census|headcounts?": "member count",
    r"who(?:m|so)?ever": "the person or the program",
    r"bookmarks?": "cursor or checkpoint",
    r"couriers?": "worker or harness",
    r"fates?": "outcome",
    r"stages?": "what it is; for the stages of AWS see ALLOWED",
    r"theatres?|theaters?|actors?|plays?|playing": "task, run or scheduler",
    r"agendas?": "schedule",
    r"bells?": "notifier",
    r"hearsay|hears?|heard|hearing": "receive, read or get",
    r"rings?|rang|ringing": "the alarm goes off",
    r"rounds?\s+again": "redrive, repeat or retry",
    r"somebody|someone|nobody": "the person or the program: the operator, no worker",
    r"mend(?:s|ed|ing)?": "repair or fix",
    r"put(?:s|ting)?\s+off": "defer",
    r"look(?:s|ed|ing)?\s+into": "inspect",
}

ALLOWED = {  # a pattern: why it may be used
    r"dead[\s-]+letters?": "AWS's word for a message that was given up",
    r"(?:capital|small|(?:upper|lower)-?case)\s+letters?": "characters of a text",
    r"letters?,?\s+(?:and|or)\s+(?:digits?|spaces)|letters,\s+digits": "characters of a text",
    r"(?:one|two|three)[\s-]+letters?": "characters of a text",
    r"context\.stage|api\s+gateway(?:'s)?\s+stages?": "API Gateway's word",
    r"version\s*stages?": "Secrets Manager's word",
}
ALLOWED_IN = {  # where a path begins, and a pattern: why it may be used there
    ("local/gateway.py", r"stage"): "a field of the events of API Gateway",
    ("layers/shared/audience_sync/amazon_ads/normaliz", r"letters?"): "characters of names and addresses",
    ("layers/shared/audience_sync/segment/fql/", r"letters?"): "characters of a trigger",
    ("tests/unit/amazon_ads/test_normalize", r"letters?"): "characters of names and addresses",
    ("tests/unit/local/test_sample_profiles.py", r"letters?"): "characters of a text",
    ("docs/normalization.md", r"letters?"): "characters of names and addresses",
    ("docs/triggers.md", r"letters?"): "characters of a trigger",
}

_WORDS = {re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE): instead for pattern, instead in WORDS.items()}


class Text(NamedTuple):
    """One piece of a file."""

    path: Path
    line: int  # at which it begins
    text: str


type Reader = Callable[[Path], Iterator[Text]]


def plain(text: str, path: str) -> str:
    """Split names at underscores and capitals, and blank out what is allowed. Lines stay lines."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text).replace("_", " ")
    for pattern in [*ALLOWED, *(pattern for place, pattern in ALLOWED_IN if path.startswith(place))]:
        spaced = re.sub(rf"\b(?:{pattern})\b", _blank, spaced, flags=re.IGNORECASE)
    return spaced


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])


def findings(texts: Iterable[Text]) -> list[str]:
    """Name every banned word: where it is, and what to write."""
    found = set()
    for piece in texts:
        path = str(piece.path.relative_to(ROOT) if piece.path.is_absolute() else piece.path)
        text = plain(piece.text, path)
        for word, instead in _WORDS.items():
            for match in word.finditer(text):
                line = piece.line + text.count("\n", 0, match.start())
                found.add((path, line, " ".join(match[0].lower().split()), instead))
    return [f"{path}:{line}: {word!r}; write: {instead}" for path, line, word, instead in sorted(found)]


def identifiers(path: Path) -> Iterator[Text]:
    """The names that a module gives: its own, and those of functions, classes, arguments, attributes and variables."""
    yield Text(path, 1, path.stem)
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield Text(path, node.lineno, name)
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield Text(path, node.lineno, name)
            case ast.alias(asname=str(name)):
                yield Text(path, node.lineno, name)
            case _:
                pass


def comments(path: Path) -> Iterator[Text]:
    """The comments of a module; those on consecutive lines are one."""
    block: list[tuple[int, str]] = []
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type != tokenize.COMMENT:
            continue
        if block and token.start[0] != block[-1][0] + 1:
            yield _joined(path, block)
            block = []
        block.append((token.start[0], token.string.lstrip("# ")))
    if block:
        yield _joined(path, block)


def _joined(path: Path, block: list[tuple[int, str]]) -> Text:
    return Text(path, block[0][0], "\n".join(text for _, text in block))


def strings(path: Path) -> Iterator[Text]:
    """The texts in a module: docstrings, log messages, help, errors, what is printed, names of metrics and fields."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield Text(path, node.lineno, node.value)


def whole(path: Path) -> Iterator[Text]:
    yield Text(path, 1, path.read_text())


def check(paths: Iterable[Path], *readers: Reader) -> None:
    found = findings(text for path in paths for read in readers for text in read(path))
    assert not found, "\n" + "\n".join(found)


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("folder", [*CODE, "tests"])
def test_names_are_plain_words(folder: str) -> None:
    check(modules(folder), identifiers)


@pytest.mark.parametrize("folder", CODE)
def test_comments_docstrings_and_messages_are_plain_words(folder: str) -> None:
    check(modules(folder), comments, strings)


def test_alarms_metrics_parameters_and_comments_of_the_template_are_plain_words() -> None:
    check([ROOT / "template.yaml"], whole)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_documents_are_plain_words(document: Path) -> None:
    check([document], whole)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("told_name", ["told"], id="part of a name with underscores"),
        pytest.param("BooksBehind", ["books"], id="part of a name with capitals"),
        pytest.param("_NoLetters", ["letters"], id="letters alone"),
        pytest.param("the DeadLetterQueue, dead letters, dead_letter_url", [], id="dead letters"),
        pytest.param("a key of letters and digits", [], id="characters"),
        pytest.param("keyring, restored, history, staged", [], id="parts of other words"),
        pytest.param("Goes round\nagain", ["round again"], id="a phrase on two lines"),
        pytest.param('"stage"', ["stage"], id="a word that is allowed in another file"),
    ],
)
def test_a_banned_word_is_found_as_a_whole_word_however_it_is_written(text: str, words: list[str]) -> None:
    assert [finding.split("'")[1] for finding in findings([Text(Path("x.py"), 3, text)])] == words


def test_a_finding_names_file_line_word_and_replacement() -> None:
    assert findings([Text(Path("x.py"), 3, "one\ntwo verdicts")]) == ["x.py:4: 'verdicts'; write: outcome"]


def test_comments_on_consecutive_lines_are_read_as_one(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("# a dead\n# letter\n\nx = 1  # the\n# story\n")
    assert list(comments(path)) == [Text(path, 1, "a dead\nletter"), Text(path, 4, "the\nstory")]


@pytest.mark.parametrize(
    "code",
    ["def told(): ...", "class Told: ...", "def f(told): ...", "self.told = 1", "told = 1", "import x as told"],
)
def test_every_kind_of_name_is_read(tmp_path: Path, code: str) -> None:
    path = tmp_path / "module.py"
    path.write_text(code)
    assert any("told" in text.text.lower() for text in identifiers(path))
