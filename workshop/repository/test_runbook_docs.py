"""The operator's documents name what exists: alarms, reason codes, metrics, log lines, commands of AWS and parts."""

import ast
import re
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import jmespath  # type: ignore[import-untyped]
import pytest
from botocore import xform_name
from moto import mock_aws

from audience_sync.reasons import DEFERRED, PARKED, REFUSED, REJECTED, Reason
from audience_sync.runtime import metric_names
from local.amazon.recipes import RECIPES
from local.template import ROOT, read_document
from tests.support.aws_fixtures import create_table
from tests.support.markdown import BLOCK, code, words

DOCS = ROOT / "docs"
OURS = [
    DOCS / f"{name}.md"
    for name in ("runbook", "architecture", "segment-setup", "amazon-setup", "cost", "deploy", "privacy")
]
RUNBOOK = (DOCS / "runbook.md").read_text()
TEMPLATE = (ROOT / "template.yaml").read_text()
SOURCES = [*(ROOT / "layers/shared/audience_sync").rglob("*.py"), *(ROOT / "functions").rglob("*.py")]
TREES = [ast.parse(path.read_text()) for path in SOURCES]

# Reasons of classes that are never raised themselves, only their subclasses.
_RAISING = ast.Call, ast.keyword, ast.Assign, ast.IfExp
NEVER_RAISED = {Reason.ERROR, Reason.PERMANENT, Reason.TRANSIENT}
# Options of every AWS command, and of those that have pages.
GLOBAL = {"query", "output", "max-items", "no-cli-pager", "region"}


RESOURCES = read_document()["Resources"]
PARAMETERS = set(read_document()["Parameters"])
RULES = {  # SAM names the rule of a schedule so
    f"{name}{event}"
    for name, resource in RESOURCES.items()
    for event, source in resource["Properties"].get("Events", {}).items()
    if source["Type"] == "Schedule"
}
ALARMS = [name for name, resource in RESOURCES.items() if resource["Type"] == "AWS::CloudWatch::Alarm"]


def _calls(name: str) -> list[Any]:
    """Every use of a command in the documents, as the words behind the command."""
    found = []
    for document in OURS:
        for line, _ in code(document.read_text()):
            for match in re.finditer(rf"(?:^\s*|\$\(|while |\{{ ){name} (.+)", line):
                text = re.split(r"\s+#|\s\|\s|; |\)\s*$", match[1])[0]
                found.append(pytest.param(words(text), id=f"{document.stem}: {name} {text[:50]}"))
    return found


def test_every_alarm_has_a_heading_in_the_order_of_the_template() -> None:
    alarms = RUNBOOK.split("\n## Alarms\n")[1].split("\n## ")[0]
    assert re.findall(r"^### (\w+)$", alarms, re.MULTILINE) == ALARMS


def test_the_table_of_urgency_lists_every_alarm_once() -> None:
    table = RUNBOOK.split("| alarm | when |")[1].split("\n\n")[0]
    linked = re.findall(r"\[(\w+)\]\(#(\w+)\)", table)
    assert sorted(name for name, _ in linked) == sorted(ALARMS)
    assert all(anchor == name.lower() for name, anchor in linked)


def _check_parts(section: str, labels: tuple[str, ...]) -> None:
    assert [section.count(label) for label in labels] == [1] * len(labels)
    assert [section.index(label) for label in labels] == sorted(section.index(label) for label in labels)
    (block,) = re.findall(r"\A.*?```bash\n(.*?)```", section.split("**Look here first.**")[1], re.DOTALL)
    ours = [line.startswith("audience-sync ") for line in block.splitlines()]
    assert ours == sorted(ours, reverse=True), "our commands come first: they need no AWS CLI"


@pytest.mark.parametrize("alarm", ALARMS)
def test_every_alarm_section_has_all_its_parts_in_order(alarm: str) -> None:
    section = re.split(r"\n##", RUNBOOK.split(f"\n### {alarm}\n")[1])[0]
    _check_parts(section, ("**It means**", "**Safe:**", "**Look here first.**", "**Do:**", "**Over**"))


SAID = {2: "twice", 3: "three", 5: "five", 10: "ten", 20: "a fifth", 100: "a hundred"}  # counts and percent
SECONDS = {300: "five minutes", 1_800: "30 minutes", 259_200: "three days"}
SAID |= SECONDS
LINK = r"\[(\w+)\]\((?:runbook\.md)?#\w+\)"
THRESHOLDS = {name: RESOURCES[name]["Properties"].get("Threshold") for name in ALARMS}


@pytest.mark.parametrize("alarm", [name for name, each in THRESHOLDS.items() if isinstance(each, int) and each > 1])
def test_the_template_its_description_and_the_runbook_say_the_same_threshold(alarm: str) -> None:
    section = re.split(r"\n##", RUNBOOK.split(f"\n### {alarm}\n")[1])[0].split("**Safe:**")[0]
    for text in (RESOURCES[alarm]["Properties"]["AlarmDescription"], section):
        assert SAID[THRESHOLDS[alarm]] in text.lower()


@pytest.mark.parametrize("alarm", ALARMS)
def test_a_section_names_the_parameters_of_the_alarms_description(alarm: str) -> None:
    section = re.split(r"\n##", RUNBOOK.split(f"\n### {alarm}\n")[1])[0]
    named = set(re.findall(r"\w+", RESOURCES[alarm]["Properties"]["AlarmDescription"])) & PARAMETERS
    assert {name for name in named if f"`{name}`" not in section} == set()


def test_a_sentence_that_links_an_alarm_says_after_how_long_it_goes_off() -> None:
    texts = [" ".join(path.read_text().split()) for path in DOCS.rglob("*.md")]
    said = {pair for text in texts for pair in re.findall(rf"{LINK} after (\w+ \w+)", text)}
    said |= {pair[::-1] for text in texts for pair in re.findall(rf"for (\w+ \w+), see {LINK}", text)}
    ages = {alarm: SECONDS[each] for alarm, each in THRESHOLDS.items() if isinstance(each, int) and each in SECONDS}
    assert {alarm: after for alarm, after in said if alarm in ages} == {
        alarm: ages[alarm] for alarm in ("OldestMessageAge", "AuditLag")
    }


def test_the_card_for_the_night_is_ten_lines_to_type() -> None:
    card = RUNBOOK.split("\n## ")[1]
    assert card.startswith("The card for the night\n")
    (block,) = re.findall(r"```bash\n(.*?)```", card, re.DOTALL)
    assert len(block.splitlines()) == 10


TABLES = RUNBOOK.split("\n## Reason codes\n")[1].split("\n## ")[0].split("\n### ")[1:]
EXPLAINED = {table.splitlines()[0]: re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) for table in TABLES}


@pytest.mark.parametrize(
    ("title", "effect", "besides"),
    [
        pytest.param("Events that were rejected", REJECTED, set(), id="rejected"),
        # Those that waiting or parked changes have as well are in their tables.
        pytest.param(
            "Requests answered with 4xx or 503",
            REFUSED,
            {reason for reason in Reason if reason.effects > REFUSED},
            id="refused",
        ),
        pytest.param("Waiting changes and failed uploads", DEFERRED, {Reason.FRESH}, id="deferred"),
        pytest.param("Changes in the dead letter queue", PARKED, set(), id="parked"),
    ],
)
def test_each_reason_table_explains_the_codes_of_its_effect(
    title: str, effect: frozenset[str], besides: set[str]
) -> None:
    assert set(EXPLAINED[title]) ^ {reason for reason in Reason if effect <= reason.effects} == besides


def test_every_reason_code_is_explained_once_and_raised() -> None:
    assert {reason for reasons in EXPLAINED.values() for reason in reasons} == set(Reason) - NEVER_RAISED
    assert all(len(reasons) == len(set(reasons)) > 0 for reasons in EXPLAINED.values())
    assert {
        reason for reason in Reason if not reason.means or (reason.effects >= REJECTED and not reason.remedy)
    } == set()
    trees = [*TREES, ast.parse((ROOT / "audience_sync_cli/stack/dead_letters.py").read_text())]
    # A comparison or a set raises nothing: a reason is passed to a call, or is the one of an error.
    uses = [node for tree in trees for node in ast.walk(tree) if isinstance(node, _RAISING)]
    parts = [each for use in uses for each in ast.iter_child_nodes(use) if isinstance(each, ast.Attribute)]
    assert {*Reason.__members__} - {each.attr for each in parts if ast.unparse(each.value) == "Reason"} == set()


METRICS = {
    value
    for name, value in vars(metric_names).items()
    if name.isupper() and isinstance(value, str) and name != "NAMESPACE"
}


def test_metrics_in_the_runbook_exist() -> None:
    named = set(re.findall(r"\b(?:metric|usual) ([A-Z]\w+)", RUNBOOK))
    assert named
    assert named <= METRICS


def test_log_lines_that_the_runbook_searches_for_are_written() -> None:
    searched = set(re.findall(r'message = "([^"]+)"', RUNBOOK))
    written = {
        node.args[0].value
        for tree in TREES
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("logger.")
        if node.args and isinstance(node.args[0], ast.Constant)
    }
    assert searched
    assert searched <= written


def test_log_fields_that_the_runbook_searches_for_are_written() -> None:
    text = "\n".join(path.read_text() for path in SOURCES)
    queries = re.findall(r"^ask \w+ \d+ '([^']+)'", RUNBOOK, re.MULTILINE)
    lists = [fields for query in queries for fields in re.findall(r"by ([@\w, ]+)", query)]
    lists += re.findall(r"^newest \w+ \d+ '[^']+' ([@\w, ]+?)(?:$| +#)", RUNBOOK, re.MULTILINE)
    asked = {word for fields in lists for word in fields.strip().split(", ")}
    own = {word for word in asked if word.isidentifier() and word != "bin"}
    assert {word for word in own if f"{word}=" not in text} == set()


def test_log_groups_in_the_runbook_exist_in_the_template() -> None:
    names = " ".join(re.findall(r"^(?:ask|newest|for name in) ([\w ]+?)(?: \d|;)", RUNBOOK, re.MULTILINE)).split()
    searched = {f"/aws/lambda/${{AWS::StackName}}-{name}" for name in names}
    assert {name for name in searched if name not in TEMPLATE} == set()
    assert "/aws/vendedlogs/$STACK-access" in RUNBOOK
    assert "/aws/vendedlogs/${AWS::StackName}-access" in TEMPLATE


def test_resources_that_the_documents_name_exist() -> None:
    for document in OURS:
        text = document.read_text()
        parts = set(re.findall(r"\b(?:part|arn) ([A-Z]\w+)", text))
        assert parts <= RESOURCES.keys() | RULES


@pytest.mark.parametrize("call", _calls("aws"))
def test_documented_aws_commands_exist_with_their_options(call: list[str]) -> None:
    service, operation, *rest = call
    model = botocore.session.get_session().get_service_model(service)
    if operation == "wait":
        return
    names = {xform_name(name, "-"): name for name in model.operation_names}
    assert operation in names, operation
    shape = model.operation_model(names[operation]).input_shape
    known = GLOBAL | {xform_name(member, "-") for member in (shape.members if shape else {})}
    for option, value in pairwise(rest):
        if option == "--query":
            jmespath.compile(value)
    if (service, operation) == ("sns", "subscribe"):
        known.add("notification-endpoint")  # the command line's name for `Endpoint`
    options = {word.removeprefix("--") for word in rest if word.startswith("--")}
    assert {option for option in options if option not in known and option.removeprefix("no-") not in known} == set()


@pytest.mark.parametrize("document", OURS, ids=lambda path: path.stem)
def test_documented_shell_blocks_have_valid_syntax(document: Path) -> None:
    for _, language, block in BLOCK.findall(document.read_text()):
        if language == "bash":
            read = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
            assert read.stderr == ""


def test_sandbox_md_lists_every_recipe_with_its_runbook_section() -> None:
    rows = re.findall(
        r"^\| `([a-z-]+)` \| (.+?) \| (.+?) \| .+? \| \[(.+?)\]\(runbook\.md#\S+\) \|$",
        (DOCS / "sandbox.md").read_text(),
        re.MULTILINE,
    )
    assert [(name, does, runbook) for name, does, _, runbook in rows] == [
        (each.name, each.does, each.runbook) for each in RECIPES
    ]
    assert all(f"`{each.reason}`" in row[2] for each, row in zip(RECIPES, rows, strict=True) if each.reason)


@mock_aws
def test_copying_audiences_from_a_restored_table_adds_lost_rows_and_keeps_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    dynamodb = boto3.client("dynamodb")
    for table in ("restored", "live"):
        create_table(dynamodb, table, "audienceId")
    for table, audience in (("restored", "lost"), ("restored", "there"), ("live", "there")):
        dynamodb.put_item(TableName=table, Item={"audienceId": {"S": audience}, "name": {"S": table}})

    (script,) = re.findall(r"<<'END'\n(.*?)\nEND\n", RUNBOOK, re.DOTALL)
    monkeypatch.setattr("sys.argv", ["-", "restored", "live"])
    exec(compile(script, "runbook.md", "exec"), {})  # noqa: S102 - our own text

    rows = dynamodb.scan(TableName="live")["Items"]
    assert {row["audienceId"]["S"]: row["name"]["S"] for row in rows} == {"lost": "restored", "there": "live"}
    assert capsys.readouterr().out == "1 rows copied, 1 were there already\n"
