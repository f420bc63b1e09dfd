"""The command writes files only where docs/security.md says so."""

import ast
import re
from pathlib import Path

from local.template import ROOT


def test_only_import_commands_and_new_private_files_are_written() -> None:
    def writes(call: ast.Call) -> bool:
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        return name in {"open", "write_text", "write_bytes", "dump", "mkdir", "touch", "NamedTemporaryFile", "mkstemp"}

    calls = [
        f"{path.name}:{node.lineno}"
        for path in Path(ROOT / "audience_sync_cli").rglob("*.py")
        if (path.parent.name, path.stem)
        not in {
            ("audience_sync_cli", "files"),
            *(("member_files", name) for name in ("import_state", "lists", "member_file")),
        }
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and writes(node) and not re.match(r"webbrowser|.*'rb'\)$", ast.unparse(node))
    ]
    assert calls == []
