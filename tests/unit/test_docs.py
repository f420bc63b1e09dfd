"""Documents and messages name what exists: pages, headings, our commands with their options, make targets, hosts."""

import ast
import re
import shlex
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from local.template import ROOT
from tests.documents import GENERATED
from tests.unit.cli.command_lines import check_command_line

DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
# Hosts that a document may link to. CI asks none of them: an address is looked at by the person who adds it.
HOSTS = {
    "advertising.amazon.com",
    "aws.amazon.com",
    "developer.amazon.com",
    "docs.astral.sh",
    "docs.aws.amazon.com",
    "github.com",
    "pipx.pypa.io",
    "unified.to",
    "www.autoriteitpersoonsgegevens.nl",
    "www.twilio.com",
}
_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
_LANGUAGES = {"bash", "console", ""}  # of blocks that may hold commands


def _prose(document: Path) -> str:
    """The text of a document without its blocks."""
    return _BLOCK.sub("", document.read_text(encoding="utf-8"))


def code(document: Path) -> Iterator[tuple[str, bool]]:
    """Every command line of the blocks, joined where it goes on, and every piece of code within a sentence.

    With each comes whether it is a line to run: a sentence may name a command without its arguments.
    """
    for _, language, block in _BLOCK.findall(document.read_text(encoding="utf-8")):
        if language in _LANGUAGES:
            for line in re.sub(r" \\\n\s*", " ", block).splitlines():
                yield line.strip().removeprefix("$ "), True
    for piece in re.findall(r"`([^`\n]+)`", _prose(document)):
        yield piece, False


def _commands() -> list[Any]:
    """Every use of our command in the documents: the words behind it, and whether it is a line to run."""
    found = []
    for document in DOCUMENTS:
        for line, is_run in code(document):
            for match in re.finditer(r"(?:^|\$\(|while |; |&& |\{ |bin/)audience-sync( .+|$)", line):
                text = re.split(r"\s+#|\s[|>]\s|; |\)\s*$", match[1])[0].strip()
                found.append(pytest.param(_words(text), is_run, id=f"{document.stem}: {text[:60]}"))
    return found


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:  # cut inside a quotation: the words before it are what matters
        return text.split()


def test_documents_with_commands_were_found() -> None:
    assert {each.id.split(":")[0] for each in _commands()} >= {"README", "cli", "runbook", "amazon-setup"}


@pytest.mark.parametrize(("words", "is_run"), _commands())
def test_a_command_exists_with_its_options_and_arguments(
    words: list[str], is_run: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)  # our files are named from there
    check_command_line(words, is_complete=is_run)


def _messages() -> list[Any]:
    """Every command that a message of ours names: in backquotes, or alone, as a remedy."""
    found = []
    for path in [
        path for folder in ("audience_sync_cli", "layers", "functions") for path in (ROOT / folder).rglob("*.py")
    ]:
        source = path.read_text(encoding="utf-8")
        if "audience-sync " not in source:
            continue  # most of them: all test processes do this, before their first test
        nodes = list(ast.walk(ast.parse(source)))
        pieces = {id(piece) for node in nodes if isinstance(node, ast.JoinedStr) for piece in node.values}
        for node in nodes:
            text = "" if id(node) in pieces else _text(node)
            for command in re.findall(r"`audience-sync ([a-z][^`\n]*)`|^audience-sync ([a-z][^\n]*)$", text):
                words = "".join(command)
                found.append(pytest.param(words, id=f"{path.stem}:{getattr(node, 'lineno', 0)}: {words[:50]}"))
    return found


def _text(node: ast.AST) -> str:
    """The text of a literal, with VALUE in place of what is put in when it runs."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_text(each) or "VALUE" for each in values)
        case _:
            return ""


@pytest.mark.parametrize("command", _messages())
def test_a_command_that_a_message_names_exists(command: str) -> None:
    words = shlex.split(re.split(r"\s[|>]\s", command)[0])
    if words[-1].startswith("--"):
        words.append("VALUE")  # a message may name an option without its value
    try:
        check_command_line(words, is_complete=False)
    except AssertionError:
        check_command_line(words[:-1], is_complete=False)  # it was a flag


def test_a_target_of_make_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {
        (document.name, target)
        for document in DOCUMENTS
        for line, _ in code(document)
        for match in re.finditer(r"(?:^|[;&] |\) )make((?: [\w-]+(?![\w=-]))*)", line)
        for target in match[1].split()
    }
    assert len({target for _, target in named}) > 10
    assert {each for each in named if each[1] not in targets} == set()


def test_a_module_that_python_runs_exists() -> None:
    for document in DOCUMENTS:
        for line, _ in code(document):
            for name in re.findall(r"python -m ((?:local|tests|scripts)[\w.]*)", line):
                path = ROOT / name.replace(".", "/")
                assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), f"{document.name}: {name}"


@pytest.mark.parametrize(("path", "make"), GENERATED.items(), ids=[path.name for path in GENERATED])
def test_a_generated_document_is_current(path: Path, make: Callable[[], str]) -> None:
    assert path.read_text(encoding="utf-8") == make(), f"{path.name} is out of date: run `make docs`"


def test_the_readme_leads_to_the_index_and_the_index_to_every_page() -> None:
    assert "docs/README.md" in _links(ROOT / "README.md")
    docs = ROOT / "docs"
    pages = [str(path.relative_to(docs)) for path in docs.rglob("*") if path.suffix in (".md", ".yaml")]
    listed = re.findall(r"^\| .+\? \| \[\S+\]\((\S+)\) \|$", (docs / "README.md").read_text(), re.MULTILINE)
    generated = {"cli-reference.md"}  # linked from cli.md
    assert sorted(listed) == sorted({*pages, "../CHANGELOG.md"} - {"README.md"} - generated)


class _Addresses(HTMLParser):
    """The addresses of HTML tags."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - HTMLParser's name
        self.found += [value for name, value in attrs if name in ("href", "src", "srcset") and value]


def _links(document: Path) -> list[str]:
    """Every address that a document links to."""
    text = re.sub(r"`[^`\n]+`", "", _prose(document))
    tags = _Addresses()
    tags.feed(text)
    bare = re.findall(r"(?<!\()\bhttps?://[^\s)>\"|]+", text)
    return re.findall(r"\]\(([^)\s]+)\)", text) + tags.found + bare


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a document."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#+ (.+)$", _prose(document), re.MULTILINE):
        text = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", heading)
        anchor = re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-")
        found[anchor] = found.get(anchor, -1) + 1
    return {
        anchor if not number else f"{anchor}-{number}" for anchor, last in found.items() for number in range(last + 1)
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_a_relative_link_leads_to_a_file_and_a_heading(document: Path) -> None:
    for target in _links(document):
        path, _, anchor = target.partition("#")
        if "://" in path:
            continue
        linked = document.parent / path if path else document
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_an_external_link_is_https_and_its_host_is_known(document: Path) -> None:
    external = [urlsplit(target) for target in _links(document) if "://" in target and "://127.0.0.1" not in target]
    assert [each.geturl() for each in external if each.scheme != "https" or each.hostname not in HOSTS] == []


def test_every_known_host_is_linked_to() -> None:
    linked = {urlsplit(target).hostname for document in DOCUMENTS for target in _links(document)}
    assert linked >= HOSTS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("see [a](b.md#c) and https://x.example/y.", ["b.md#c", "https://x.example/y."], id="bare address"),
        pytest.param("[a](https://x.example)", ["https://x.example"], id="found once"),
        pytest.param('<img alt="" src="images/a.svg">', ["images/a.svg"], id="HTML"),
        pytest.param("`[a](b)`, `http://127.0.0.1`", [], id="code"),
        pytest.param("```\n[a](b)\n```\n", [], id="block"),
    ],
)
def test_links_are_found(tmp_path: Path, text: str, expected: list[str]) -> None:
    document = tmp_path / "page.md"
    document.write_text(text, encoding="utf-8")
    assert _links(document) == expected


def test_anchors_are_those_of_github(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("# `a_b` & C\n## 1. Two\n## 1. Two\n```\n# none\n```\n", encoding="utf-8")
    assert anchors(document) == {"a_b--c", "1-two", "1-two-1"}
