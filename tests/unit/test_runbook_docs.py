"""The operator's documents name what exists: alarms, reason codes, metrics, log lines, commands of AWS and parts."""

import ast
import re
import shlex
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import jmespath  # type: ignore[import-untyped]
import pytest
from botocore import xform_name
from moto import mock_aws

from audience_sync import metric_names
from local.template import read_document
from tests.aws_fixtures import create_table

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
OURS = [
    DOCS / f"{name}.md"
    for name in ("runbook", "architecture", "segment-setup", "amazon-setup", "cost", "deploy", "privacy", "upgrade")
]
RUNBOOK = (DOCS / "runbook.md").read_text()
TEMPLATE = (ROOT / "template.yaml").read_text()
SOURCES = [*(ROOT / "layers/shared/audience_sync").rglob("*.py"), *(ROOT / "functions").rglob("*.py")]
TREES = [ast.parse(path.read_text()) for path in [*SOURCES, ROOT / "audience_sync_cli/parked/dead_letters.py"]]

# Reasons of classes that are never raised themselves, only their subclasses.
NEVER_RAISED = {"error", "permanent", "transient"}
# Options of every AWS command, and of those that have pages.
GLOBAL = {"query", "output", "max-items", "no-cli-pager", "region"}


RESOURCES, PARAMETERS = read_document()["Resources"], read_document()["Parameters"]
RULES = {  # SAM names the rule of a schedule so
    f"{name}{event}"
    for name, resource in RESOURCES.items()
    for event, source in resource["Properties"].get("Events", {}).items()
    if source["Type"] == "Schedule"
}
ALARMS = [name for name, resource in RESOURCES.items() if resource["Type"] == "AWS::CloudWatch::Alarm"]


_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


def _commands(document: Path) -> Iterator[str]:
    """Every line of the shell blocks, joined where it goes on, and every piece of code within a sentence."""
    text = document.read_text()
    for _, language, block in _BLOCK.findall(text):
        if language == "bash":
            yield from re.sub(r" \\\n\s*", " ", block).splitlines()
    yield from re.findall(r"`([^`\n]+)`", _BLOCK.sub("", text))


def _calls(name: str) -> list[Any]:
    """Every use of a command in the documents, as the words behind the command."""
    found = []
    for document in OURS:
        for line in _commands(document):
            for match in re.finditer(rf"(?:^\s*|\$\(|while |\{{ ){name} (.+)", line):
                text = re.split(r"\s+#|\s\|\s|; |\)\s*$", match[1])[0]
                found.append(pytest.param(_words(text), id=f"{document.stem}: {name} {text[:50]}"))
    return found


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:  # cut inside a quotation: the words before it are what matters
        return text.split()


def test_every_alarm_has_a_heading_in_the_order_of_the_template() -> None:
    alarms = RUNBOOK.split("\n## Alarms\n")[1].split("\n## ")[0]
    assert re.findall(r"^### (\w+)$", alarms, re.MULTILINE) == ALARMS


def test_every_alarm_is_once_in_the_table_of_what_can_wait() -> None:
    table = RUNBOOK.split("| alarm | when |")[1].split("\n\n")[0]
    linked = re.findall(r"\[(\w+)\]\(#(\w+)\)", table)
    assert sorted(name for name, _ in linked) == sorted(ALARMS)
    assert all(anchor == name.lower() for name, anchor in linked)


@pytest.mark.parametrize("alarm", ALARMS)
def test_an_alarm_is_explained_from_what_it_means_to_when_it_is_over(alarm: str) -> None:
    section = re.split(r"\n##", RUNBOOK.split(f"\n### {alarm}\n")[1])[0]
    labels = ("**It means**", "**Safe:**", "**Look here first.**", "**Do:**", "**Over**")
    assert [section.count(label) for label in labels] == [1] * len(labels)
    assert "```bash" in section


def _reasons_in_code() -> set[str]:
    found: set[str] = set()
    for tree in TREES:
        for node in ast.walk(tree):
            found |= _reasons_of(node)
    return found - {""}


def _reasons_of(node: ast.AST) -> set[str]:
    """The reason codes that one piece of code states."""
    match node:
        case (
            ast.Assign(targets=[ast.Name(id="reason") | ast.Attribute(attr="reason")], value=value)
            | ast.Assign(targets=[ast.Tuple(elts=[*_, ast.Name(id="reason")])], value=ast.Tuple(elts=[*_, value]))
            | ast.Call(func=ast.Name(id="RejectedEvent"), args=[value, *_])
            | ast.keyword(arg="reason", value=value)
        ):
            return set(_texts(value))
        case ast.Dict(keys=keys, values=values):
            pairs = zip(keys, values, strict=True)
            return {text for key, value in pairs if _is_text(key, "reason") for text in _texts(value)}
        case _:
            return set()


def _is_text(node: ast.AST | None, text: str) -> bool:
    return isinstance(node, ast.Constant) and node.value == text


def _texts(node: ast.AST) -> Iterator[str]:
    """Literal texts that may be the value of an expression; those inside calls are arguments, not results."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.BoolOp(values=values):
            for value in values:
                yield from _texts(value)
        case ast.IfExp(body=body, orelse=orelse):
            yield from _texts(body)
            yield from _texts(orelse)


def _reasons_by_table() -> dict[str, list[str]]:
    tables = RUNBOOK.split("\n## Reason codes\n")[1].split("\n## ")[0].split("\n### ")[1:]
    return {table.splitlines()[0]: re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) for table in tables}


def rejection_reasons() -> list[str]:
    """The reasons for which an event is rejected."""
    return _reasons_by_table()["Events that were rejected"]


def test_every_reason_that_the_code_can_give_is_explained_and_no_other() -> None:
    explained = {reason for reasons in _reasons_by_table().values() for reason in reasons}
    assert explained == _reasons_in_code() - NEVER_RAISED


def test_reasons_that_are_raised_by_name_were_found() -> None:
    raised = {"member_id_invalid", "job_failed", "circuit_open", "out_of_time", "received_too_often", "access_denied"}
    assert raised <= _reasons_in_code()


@pytest.mark.parametrize("reasons", [pytest.param(each, id=title) for title, each in _reasons_by_table().items()])
def test_no_table_explains_a_reason_twice(reasons: list[str]) -> None:
    assert reasons
    assert len(reasons) == len(set(reasons))


METRICS = {
    value
    for name, value in vars(metric_names).items()
    if name.isupper() and isinstance(value, str) and name != "NAMESPACE"
}


def test_metrics_that_are_named_exist() -> None:
    named = set(re.findall(r"\bmetric ([A-Z]\w+)", RUNBOOK))
    assert named
    assert named <= METRICS


def test_log_lines_that_are_searched_for_are_written() -> None:
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


def test_fields_that_are_searched_for_are_written_beside_the_line() -> None:
    text = "\n".join(path.read_text() for path in SOURCES)
    queries = re.findall(r"^ask \w+ \d+ '([^']+)'", RUNBOOK, re.MULTILINE)
    lists = [fields for query in queries for fields in re.findall(r"(?:by|display) ([@\w, ]+)", query)]
    asked = {word for fields in lists for word in fields.strip().split(", ")}
    own = {word for word in asked if word.isidentifier() and word != "bin"}
    assert {word for word in own if f"{word}=" not in text} == set()


def test_log_groups_that_are_searched_have_the_names_of_the_template() -> None:
    searched = {f"/aws/lambda/${{AWS::StackName}}-{name}" for name in re.findall(r"^ask (\w+) ", RUNBOOK, re.MULTILINE)}
    assert {name for name in searched if name not in TEMPLATE} == set()
    assert "/aws/vendedlogs/$STACK-access" in RUNBOOK
    assert "/aws/vendedlogs/${AWS::StackName}-access" in TEMPLATE


def test_parts_and_parameters_that_are_named_exist() -> None:
    for document in OURS:
        text = document.read_text()
        parts = set(re.findall(r"\b(?:part|arn) ([A-Z]\w+)", text))
        given = set(re.findall(r"(?:--parameter-overrides |`)([A-Z][a-zA-Z]*[a-z])=\w", text))
        assert parts <= RESOURCES.keys() | RULES
        assert given <= PARAMETERS.keys()


@pytest.mark.parametrize("words", _calls("aws"))
def test_commands_of_aws_exist_with_their_options(words: list[str]) -> None:
    service, operation, *rest = words
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
def test_shell_blocks_are_valid_shell(document: Path) -> None:
    for _, language, block in _BLOCK.findall(document.read_text()):
        if language == "bash":
            read = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
            assert read.stderr == ""


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
