"""Every message that names a command names it as it is typed, so that it can be copied."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import audience_sync_cli
from audience_sync_cli.app import PARTS

PACKAGE = Path(audience_sync_cli.__file__).parent
WITHOUT_PROGRAM = re.compile(rf"`(?:{'|'.join(PARTS)}) [^`]*`")  # `parked list` instead of `audience-sync parked list`


def test_messages_name_commands_with_the_program_name() -> None:
    found = [f"{path.name}: {text}" for path in sorted(PACKAGE.rglob("*.py")) for text in _messages(path)]
    assert len(found) > 100
    assert [text for text in found if WITHOUT_PROGRAM.search(text)] == []


def _messages(path: Path) -> Iterator[str]:
    """Yield the texts of a module, without docstrings and help: the help stands below the name of the program."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    help_texts = {
        id(node)
        for call in ast.walk(tree)
        if isinstance(call, ast.keyword) and call.arg == "help"
        for node in ast.walk(call.value)
    }
    docstrings = {id(statement.value) for statement in ast.walk(tree) if isinstance(statement, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in help_texts | docstrings:
            yield node.value
