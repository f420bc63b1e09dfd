"""docs/architecture.md speaks of the code as it is."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

from audience_sync.membership import MembershipChange
from audience_sync.messages import ChangeMessage, DeliveryHistory, change_as_json

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "layers/shared/audience_sync"
TEXT = (ROOT / "docs/architecture.md").read_text()


def _section(title: str) -> str:
    return TEXT.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_every_module_at_the_root_and_every_folder_has_its_row() -> None:
    written = re.findall(
        r"`([\w/]+(?:\.py|/))`", "".join(re.findall(r"^\| (`.*?) \|", _section("Where things are"), re.MULTILINE))
    )
    modules = [path.name for path in PACKAGE.glob("*.py") if path.name != "__init__.py"]
    folders = [f"{path.name}/" for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert sorted(written) == sorted(modules + folders)


def test_every_function_names_its_use_case_and_its_handler_imports_it() -> None:
    for handler in (ROOT / "functions").glob("*/handler.py"):
        text = handler.read_text()
        (place,) = re.findall(r"Use case: audience_sync/([\w/]+)", text.split('"""')[1])
        assert f"from audience_sync.{place.replace('/', '.')}" in text, handler.parent.name
        assert f"of `{handler.parent.name}`" in _section("Where things are")


def test_every_file_that_is_named_exists() -> None:
    named = set(re.findall(r"`((?:[\w<>]+/)*\w+\.py)`", TEXT))
    missing = {
        name for name in named if not list(PACKAGE.rglob(name)) and not list(ROOT.glob(name.replace("<name>", "*")))
    }
    assert missing == set()


def test_the_example_is_a_message_that_the_worker_reads() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    message = ChangeMessage.from_body(example)
    assert [change.exits for change in message.changes] == [False]
    assert json.loads(example)["changes"] == [change_as_json(change) for change in message.changes]


def test_the_fields_that_a_message_may_carry_besides_are_explained() -> None:
    envelope = DeliveryHistory(attempts=1, first_at=1, is_replay=True).as_json()
    record = {"externalUserId": "user-1", "action": "DELETE", "hashedPII": []}
    change = change_as_json(MembershipChange("1", None, 0, "id", record, erase=True))
    explained = re.findall(r"`(\w+)`", _section("A message of the change queue").split("| --- |", 1)[1])
    assert envelope.keys() | {"erase"} <= set(explained)
    assert "erase" in change


def test_the_parameters_that_are_named_exist() -> None:
    template = (ROOT / "template.yaml").read_text()
    named = set(re.findall(r"`((?:[A-Z][a-z]+){2,})(?:=\w+)?`", TEXT))
    telemetry = (PACKAGE / "metric_names.py").read_text()
    assert {name for name in named if f"  {name}:\n" not in template and f'"{name}"' not in telemetry} == set()


def test_the_picture_is_well_formed_and_as_wide_as_a_readme() -> None:
    picture = ET.parse(ROOT / "docs/images/architecture.svg").getroot()  # noqa: S314 - our own file
    assert picture.get("width") == "900"
    assert "prefers-color-scheme: dark" in ET.tostring(picture, encoding="unicode")
