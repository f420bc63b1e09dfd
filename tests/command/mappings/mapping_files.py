"""A mapping, and files with mappings or events in them."""

import json
from pathlib import Path
from typing import Any

from local.template import ROOT

EVENTS = ROOT / "events/segment"
MAPPING: dict[str, Any] = {
    "name": "Mine",
    "trigger": 'type = "track"',
    "fields": {"external_user_id": {"@path": "$.userId"}},
}


def written(tmp_path: Path, document: Any) -> Path:
    """Return a file with a document."""
    file = tmp_path / f"{len([*tmp_path.iterdir()])}.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    return file
