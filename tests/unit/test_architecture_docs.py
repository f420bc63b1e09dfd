"""docs/architecture.md speaks of the code as it is."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

from audience_sync.membership import ChangeMessage, DeliveryHistory, MembershipChange

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "layers/shared/audience_sync"
TEXT = (ROOT / "docs/architecture.md").read_text()


def _section(title: str) -> str:
    return TEXT.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_every_module_has_one_line_and_every_line_a_module() -> None:
    written = re.findall(r"^\| `([\w/]+\.py)` \|", _section("Modules"), re.MULTILINE)
    there = [path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]
    assert sorted(written) == sorted(there)


def test_every_file_that_is_named_exists() -> None:
    named = set(re.findall(r"`((?:[\w<>]+/)*\w+\.py)`", TEXT))
    missing = {
        name for name in named if not (PACKAGE / name).is_file() and not list(ROOT.glob(name.replace("<name>", "*")))
    }
    assert missing == set()


def test_the_example_is_a_message_that_the_worker_reads() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    message = ChangeMessage.from_body(example)
    assert [change.exits for change in message.changes] == [False]
    assert json.loads(example)["changes"] == [change.as_json() for change in message.changes]


def test_the_fields_that_a_message_may_carry_besides_are_explained() -> None:
    envelope = DeliveryHistory(attempts=1, first_at=1, again=True).as_json()
    record = {"externalUserId": "user-1", "action": "DELETE", "hashedPII": []}
    change = MembershipChange("1", None, 0, "id", record, forget=True).as_json()
    explained = re.findall(r"`(\w+)`", _section("A message of the change queue").split("| --- |", 1)[1])
    assert envelope.keys() | {"forget"} <= set(explained)
    assert "forget" in change


def test_the_parameters_that_are_named_exist() -> None:
    template = (ROOT / "template.yaml").read_text()
    named = set(re.findall(r"`((?:[A-Z][a-z]+){2,})(?:=\w+)?`", TEXT))
    telemetry = (PACKAGE / "telemetry.py").read_text()
    assert {name for name in named if f"  {name}:\n" not in template and f'"{name}"' not in telemetry} == set()


def test_the_picture_is_well_formed_and_as_wide_as_a_readme() -> None:
    picture = ET.parse(ROOT / "docs/images/architecture.svg").getroot()  # noqa: S314 - our own file
    assert picture.get("width") == "900"
    assert "prefers-color-scheme: dark" in ET.tostring(picture, encoding="unicode")
