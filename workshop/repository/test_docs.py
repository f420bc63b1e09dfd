"""Documents and messages name what exists: pages, headings, files, our commands with their options, targets, hosts."""

import ast
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from local.template import ROOT, read_document
from scripts import sam_options
from tests.support.command_lines import check_command_line
from tests.support.markdown import DOCUMENTS, anchors, code, links, words
from workshop.documents import GENERATED

FOLDERS = "local|tests|workshop|scripts"  # with modules to run
TEXTS = {document: document.read_text(encoding="utf-8") for document in DOCUMENTS}
# Hosts that a document may link to. CI asks none of them: an address is looked at by the person who adds it.
HOSTS = {
    "advertising.amazon.com",
    "aws.amazon.com",
    "developer.amazon.com",
    "docs.astral.sh",
    "docs.aws.amazon.com",
    "docs.snowplow.io",
    "docs.tealium.com",
    "github.com",
    "hightouch.com",
    "pipx.pypa.io",
    "unified.to",
    "www.autoriteitpersoonsgegevens.nl",
    "www.twilio.com",
}


def _commands() -> list[Any]:
    """Every use of our command in the documents: the words behind it, and whether it is a line to run."""
    found = []
    for document, text in TEXTS.items():
        for line, is_run in code(text):
            for match in re.finditer(r"(?:^|\$\(|while |; |&& |\{ |bin/)audience-sync( .+|$)", line):
                command = re.split(r"\s+#|\s[|>]\s|; |\)\s*$", match[1])[0].strip()
                found.append(pytest.param(words(command), is_run, id=f"{document.stem}: {command[:60]}"))
    return found


@pytest.mark.parametrize(("typed", "is_run"), _commands())
def test_every_documented_command_exists_with_its_options_and_arguments(
    typed: list[str], is_run: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)  # our files are named from there
    check_command_line(typed, is_complete=is_run)


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
                typed = "".join(command)
                found.append(pytest.param(typed, id=f"{path.stem}:{getattr(node, 'lineno', 0)}: {typed[:50]}"))
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
def test_every_command_in_a_message_exists(command: str) -> None:
    typed = shlex.split(re.split(r"\s[|>]\s", command)[0])
    if typed[-1].startswith("--"):
        typed.append("VALUE")  # a message may name an option without its value
    try:
        check_command_line(typed, is_complete=False)
    except AssertionError:
        check_command_line(typed[:-1], is_complete=False)  # it was a flag


def test_every_documented_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {
        (document.name, target)
        for document, text in TEXTS.items()
        for line, _ in code(text)
        for match in re.finditer(r"(?:^|[;&] |\) )make((?: [\w-]+(?![\w=-]))*)", line)
        for target in match[1].split()
    }
    assert {each for each in named if each[1] not in targets} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_documented_files_modules_and_parameters_exist(document: Path) -> None:
    package = ROOT / "layers/shared"
    missing = []
    for line, is_run in code(TEXTS[document]):
        for name in re.findall(rf"python -m ((?:{FOLDERS})[\w.]*)", line):
            path = ROOT / name.replace(".", "/")
            missing += [] if path.with_suffix(".py").exists() or (path / "__main__.py").exists() else [name]
        if not is_run and re.fullmatch(rf"(?:[\w.<>-]+/)*\w+\.py|(?:{FOLDERS}|docs|events)/[\w/.-]+", line):
            name = line.replace("<name>", "*").replace("TARGET", "*")
            places = (*package.rglob(name), *ROOT.glob(name), *ROOT.glob(f"audience_sync_cli/{name}"))
            missing += [] if places else [line]
        names = re.findall(r"^([A-Z][a-zA-Z]*[a-z])=\w", line)
        for written in re.findall(r"make deploy (ARGS=[^#;]*--parameter-overrides [^#;]*)", line.replace(" $*", "")):
            (arguments,) = shlex.split(written)
            names += sam_options.read_target(shlex.split(arguments.removeprefix("ARGS="))).parameters
        for name in names:
            missing += [] if name in read_document()["Parameters"] else [name]
    assert missing == []


@pytest.mark.parametrize(("path", "make"), GENERATED.items(), ids=[path.name for path in GENERATED])
def test_generated_documents_are_up_to_date(path: Path, make: Callable[[], str]) -> None:
    assert path.read_text(encoding="utf-8") == make(), f"{path.name} is out of date: run `make docs`"


def test_the_readme_leads_to_the_index_and_the_index_to_every_page() -> None:
    assert "docs/README.md" in links(TEXTS[ROOT / "README.md"])
    docs = ROOT / "docs"
    pages = [str(path.relative_to(docs)) for path in docs.rglob("*") if path.suffix in (".md", ".yaml")]
    listed = re.findall(r"^\| .+\? \| \[\S+\]\((\S+)\) \|$", TEXTS[docs / "README.md"], re.MULTILINE)
    assert sorted(listed) == sorted({*pages, "../CHANGELOG.md"} - {"README.md"})


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_links_lead_to_existing_headings_or_to_known_hosts_by_https(document: Path) -> None:
    for target in links(TEXTS[document]):
        path, _, anchor = target.partition("#")
        if "://" in path:
            address = urlsplit(target)
            assert (address.scheme, address.hostname in HOSTS) == ("https", True) or address.hostname == "127.0.0.1"
            continue
        linked = document.parent / path if path else document
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked.read_text(encoding="utf-8")), target
