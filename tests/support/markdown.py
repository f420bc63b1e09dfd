"""Reads Markdown for the tests about documents: sections, paragraphs, tables, code, links and anchors."""

import re
import shlex
from collections.abc import Iterator
from html.parser import HTMLParser

from local.template import ROOT

DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
_LANGUAGES = {"bash", "console", ""}  # of blocks that may hold commands


def prose(text: str) -> str:
    """Return a document without its blocks."""
    return BLOCK.sub("", text)


def section(text: str, title: str) -> str:
    """Return the text under a heading of the second level."""
    return text.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def paragraph(text: str, words: str) -> str:
    """Return the one paragraph, or item of a list, that contains these words, on one line."""
    parts = [" ".join(part.split()) for part in re.split(r"\n\n|\n(?=\s*(?:\*|\d+\.) )", prose(text))]
    (found,) = [part for part in parts if words in part]
    return found


def table(text: str, head: str) -> list[list[str]]:
    """Return the cells of the first table whose head begins so, row by row, without bold type."""
    lines = text.split(f"\n{head}", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip(" *") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def code(text: str) -> Iterator[tuple[str, bool]]:
    """Yield every command line of the blocks, joined where it goes on, and every piece of code within a sentence.

    With each comes whether it is a line to run: a sentence may name a command without its arguments.
    """
    for _, language, block in BLOCK.findall(text):
        if language in _LANGUAGES:
            for line in re.sub(r" \\\n\s*", " ", block).splitlines():
                yield line.strip().removeprefix("$ "), True
    for piece in re.findall(r"`([^`\n]+)`", prose(text)):
        yield piece, False


def words(text: str) -> list[str]:
    """Split a command into words, as a shell does."""
    try:
        return shlex.split(text, comments=True)
    except ValueError:  # cut inside a quotation: the words before it are what matters
        return text.split()


class _Addresses(HTMLParser):
    """The addresses of HTML tags."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - HTMLParser's name
        self.found += [value for name, value in attrs if name in ("href", "src", "srcset") and value]


def links(text: str) -> list[str]:
    """Return every address that a document links to."""
    text = re.sub(r"`[^`\n]+`", "", prose(text))
    tags = _Addresses()
    tags.feed(text)
    bare = re.findall(r"(?<!\()\bhttps?://[^\s)>\"|]+", text)
    return re.findall(r"\]\(([^)\s]+)\)", text) + tags.found + bare


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of a document."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE):
        title = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", heading)
        anchor = re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        found[anchor] = found.get(anchor, -1) + 1
    return {
        anchor if not number else f"{anchor}-{number}" for anchor, last in found.items() for number in range(last + 1)
    }
