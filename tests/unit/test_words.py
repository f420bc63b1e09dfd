"""The words of names, comments, texts and documents: plain ones, which the on-call engineer understands at once.

Where AWS, Segment or Amazon have a word for a thing, it is that word. WORDS lists what has been used instead, and what
to write. A word that has a second, ordinary meaning gets a line in ALLOWED, with the reason.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
CODE = ("layers", "functions", "cli", "local", "scripts")
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]

WORDS = {  # what is banned, as a pattern: what to write instead
    r"tells?|telling|told": "say, send, report, return or show; of a value what it is",
    r"books?": "audit",
    r"letters?": "dead letter",
    r"story|stories": "failure",
    r"verdicts?": "outcome",
    r"patience": "timeout",
    r"census|headcounts?": "member count",
    r"who(?:m|so)?ever": "name the person or the program",
    r"bookmarks?": "cursor or checkpoint",
    r"couriers?": "worker or harness",
    r"fates?": "outcome",
    r"stages?": "the name of what it is; for AWS's stages see ALLOWED",
    r"theatres?|theaters?|actors?|plays?|playing": "task, run or scheduler",
    r"agendas?": "schedule",
    r"bells?": "notifier",
    r"hearsay|hears?|heard|hearing": "receive, read or be informed",
    r"rings?|rang|ringing": "the alarm goes off",
    r"rounds?\s+again": "redrive, repeat or retry",
    r"somebody|someone|nobody": "name the person or the program: the operator, the sender, no worker",
    r"mend(?:s|ed|ing)?": "repair or fix",
    r"put(?:s|ting)?\s+off": "defer",
    r"look(?:s|ed|ing)?\s+into": "inspect",
}

ALLOWED = {  # a pattern: why it may be used
    r"dead[\s-]+letters?": "what AWS calls a message that was given up",
    r"(?:capital|small|upper-case|lower-case|lowercase|uppercase)\s+letters?": "characters of a text",
    r"letters?,?\s+(?:and|or)\s+(?:digits?|spaces)|letters,\s+digits": "characters of a text",
    r"(?:one|two|three)[\s-]+letters?": "characters of a text",
    r"context\.stage|api\s+gateway(?:'s)?\s+stages?": "API Gateway's word",
    r"version\s*stages?": "Secrets Manager's word",
}

_WORDS = {re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE): instead for pattern, instead in WORDS.items()}
_ALLOWED = re.compile("|".join(rf"\b(?:{pattern})\b" for pattern in ALLOWED), re.IGNORECASE)


class Text(NamedTuple):
    """One piece of a file."""

    path: Path
    line: int  # of its beginning
    text: str


def plain(text: str) -> str:
    """Split names at underscores and capitals, and blank out what is allowed. Lines stay lines."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text).replace("_", " ")
    return _ALLOWED.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), spaced)


def faults(texts: Iterator[Text]) -> list[str]:
    """Name every banned word: where it is and what to write."""
    found = set()
    for piece in texts:
        text = plain(piece.text)
        for word, instead in _WORDS.items():
            for match in word.finditer(text):
                line = piece.line + text.count("\n", 0, match.start())
                place = piece.path.relative_to(ROOT) if piece.path.is_absolute() else piece.path
                found.add((str(place), line, " ".join(match[0].lower().split()), instead))
    return [f"{path}:{line}: {word!r}; write: {instead}" for path, line, word, instead in sorted(found)]


def modules(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


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
    first, last, lines = 0, -1, list[str]()
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type != tokenize.COMMENT:
            continue
        if token.start[0] != last + 1:
            yield Text(path, first, "\n".join(lines))
            first, lines = token.start[0], []
        last = token.start[0]
        lines.append(token.string.lstrip("# "))
    yield Text(path, first, "\n".join(lines))


def sentences(path: Path) -> Iterator[Text]:
    """The texts in a module that have more than one word: docstrings, log messages, help, errors, what is printed."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.search(r"\s", node.value.strip()):
            yield Text(path, node.lineno, node.value)


def every(*readers: object, paths: list[Path]) -> Iterator[Text]:
    for path in paths:
        for read in readers:
            assert callable(read)
            yield from read(path)


def whole(path: Path) -> Iterator[Text]:
    yield Text(path, 1, path.read_text())


@pytest.mark.parametrize("folder", [*CODE, "tests"])
def test_names_are_plain_words(folder: str) -> None:
    found = faults(every(identifiers, paths=modules(folder)))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("folder", CODE)
def test_comments_docstrings_and_messages_are_plain_words(folder: str) -> None:
    found = faults(every(comments, sentences, paths=modules(folder)))
    assert not found, "\n".join(found)


def test_the_template_is_in_plain_words() -> None:
    found = faults(whole(ROOT / "template.yaml"))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_documents_are_in_plain_words(document: Path) -> None:
    found = faults(whole(document))
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("told_name", ["told"], id="part of a name with underscores"),
        pytest.param("BooksBehind", ["books"], id="part of a name with capitals"),
        pytest.param("_NoLetters", ["letters"], id="letters alone"),
        pytest.param("the DeadLetterQueue, dead letters, dead_letter_url", [], id="dead letters"),
        pytest.param("a key of letters and digits", [], id="characters"),
        pytest.param("keyring, restored, history, staged", [], id="parts of other words"),
        pytest.param("Goes round\nagain", ["round again"], id="a phrase over two lines"),
    ],
)
def test_a_banned_word_is_found_as_a_whole_word_however_it_is_written(text: str, words: list[str]) -> None:
    found = faults(iter([Text(Path("x.py"), 3, text)]))
    assert [re.search(r"'(.+)'", each)[1] for each in found] == words  # type: ignore[index]


def test_a_finding_names_file_line_word_and_replacement() -> None:
    assert faults(iter([Text(Path("x.py"), 3, "one\ntwo verdicts")])) == ["x.py:4: 'verdicts'; write: outcome"]


def test_comments_on_consecutive_lines_are_read_as_one(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("# a dead\n# letter\n\nx = 1  # the\n# story\n")
    assert [(each.line, each.text) for each in comments(path) if each.text] == [
        (1, "a dead\nletter"),
        (4, "the\nstory"),
    ]
