"""A stack of an earlier release can be updated: it loses nothing that it holds, and nothing entered elsewhere fails.

Git has the template of every release, or of the commit that was deployed before the first one.
"""

import copy
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from local.template import ROOT, read_document
from scripts.last_release import BEFORE_THE_FIRST, built, main, releases, tags
from scripts.parameter_overrides import NOW
from workshop.repository.aws_reference import replacing

CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
HEADINGS = re.findall(r"^## (\S+), (unreleased|\d{4}-\d\d-\d\d)$", CHANGELOG, re.MULTILINE)
CURRENT = read_document()

HOLD = {  # types whose resources hold what is nowhere else, or have an address that was entered elsewhere
    "AWS::DynamoDB::Table",
    "AWS::SQS::Queue",
    "AWS::SecretsManager::Secret",
    "AWS::Serverless::HttpApi",
    "AWS::Logs::LogGroup",
}
OF_SAM = {"AWS::Serverless::Function": "AWS::Lambda::Function", "AWS::Serverless::HttpApi": "AWS::ApiGatewayV2::Api"}
ALSO_REPLACED_BY = {"AWS::Serverless::HttpApi": ["StageName"]}  # in another URL
MADE_ANEW = {"AWS::SNS::Subscription", "AWS::Serverless::LayerVersion"}  # nothing depends on which one there is
VALUES = {"GenerateSecretString", "SecretString"}  # CloudFormation replaces a secret when these lines change


def breaks(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Say what an update from one template to another would lose, replace or refuse."""
    return [*_resources(old, new), *_parameters(old, new), *_outputs(old, new), *_routes(old, new)]


def _resources(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for name, before in old["Resources"].items():
        after, kind = new["Resources"].get(name, {}), before["Type"]
        if after.get("Type") == kind:
            yield from _one_resource(name, before, after)
        elif kind in HOLD:
            yield f"{name} is deleted"


def _one_resource(name: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    kind = before["Type"]
    if kind not in MADE_ANEW:
        fixed = {*replacing(OF_SAM.get(kind, kind)), *ALSO_REPLACED_BY.get(kind, ())}
        for each in _differing(before.get("Properties", {}), after.get("Properties", {}), fixed):
            yield f"{name} is replaced, because {each} differs"
    for each in _differing(before.get("Properties", {}), after.get("Properties", {}), VALUES):
        yield f"{name} gets a new value, because {each} differs"
    for each in _differing(before, after, {"DeletionPolicy", "UpdateReplacePolicy"} & before.keys()):
        yield f"{name} is kept less well, because {each} differs"


def _differing(before: dict[str, Any], after: dict[str, Any], names: Iterable[str]) -> list[str]:
    return [each for each in sorted(names) if before.get(each) != after.get(each)]


def _parameters(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for name, before in old["Parameters"].items():
        after = new["Parameters"].get(name)
        if after is None:
            yield f"{name} is no parameter any more: a saved value makes the deployment fail"
            continue
        if gone := set(before.get("AllowedValues", ())) - set(
            after.get("AllowedValues", before.get("AllowedValues", ()))
        ):
            yield f"{name} may not be {', '.join(map(str, sorted(gone, key=str)))} any more"
    for name, after in new["Parameters"].items():
        if name not in old["Parameters"] and "Default" not in after:
            yield f"{name} is new and has no default: the update fails"


def _outputs(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for name in old["Outputs"].keys() - new["Outputs"].keys():
        yield f"{name} is no output any more"


def _routes(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for method, path in _routes_of(old) - _routes_of(new):
        yield f"{method} {path} is no route any more"


def _routes_of(template: dict[str, Any]) -> set[tuple[str, str]]:
    return {
        (event["Properties"]["Method"], event["Properties"]["Path"])
        for resource in template["Resources"].values()
        for event in resource.get("Properties", {}).get("Events", {}).values()
        if event["Type"] == "HttpApi"
    }


GONE = "is no parameter any more: a saved value makes the deployment fail"
ACCEPTED = {  # until the first release: what the guide to updates says, or what holds nothing
    *(f"{name} {GONE}" for name in NOW),
    "MembershipShards is no output any more",
    "Dashboard is replaced, because DashboardName differs",
    *(
        f"Membership{each}Scaling is replaced, because ScalingTargetId differs" for each in ("Read", "Write")
    ),  # by itself
}


@pytest.mark.parametrize("release", releases() or [pytest.param("", marks=pytest.mark.skip("no git history"))])
def test_an_update_from_any_release_loses_and_replaces_nothing(release: str) -> None:
    found = set(breaks(releases()[release], CURRENT))
    assert found <= (ACCEPTED if release in BEFORE_THE_FIRST else set())
    assert release != BEFORE_THE_FIRST[0] or found == ACCEPTED, "each is still told"


def changed(path: str, to: Any) -> dict[str, Any]:
    """The template with one value set, or removed with None."""
    template = copy.deepcopy(CURRENT)
    parts = path.split(".")
    *parents, last = parts if parts[0] in CURRENT else ["Resources", *parts]
    place = template
    for each in parents:
        place = place[each]
    if to is None:
        del place[last]
    else:
        place[last] = to
    return template


@pytest.mark.parametrize(
    ("path", "to", "said"),
    [
        ("MembershipTable", None, "MembershipTable is deleted"),
        ("MembershipTable.Properties.KeySchema", [], "MembershipTable is replaced, because KeySchema differs"),
        ("ChangeQueue.Properties.QueueName", "x", "ChangeQueue is replaced, because QueueName differs"),
        ("IngestSecret.Properties.Name", "x", "IngestSecret is replaced, because Name differs"),
        ("TokenSecret.Properties.SecretString", "{}", "TokenSecret gets a new value, because SecretString differs"),
        ("AudienceTable.DeletionPolicy", "Delete", "AudienceTable is kept less well, because DeletionPolicy differs"),
        ("Api.Properties.StageName", "v2", "Api is replaced, because StageName differs"),
        ("IngestFunction.Properties.FunctionName", "x", "IngestFunction is replaced, because FunctionName differs"),
        ("Parameters.AlarmEmail", None, "AlarmEmail is no parameter any more: a saved value makes the deployment fail"),
        ("Parameters.Region.AllowedValues", ["NA", "EU"], "Region may not be FE any more"),
        ("Parameters.New", {"Type": "String"}, "New is new and has no default: the update fails"),
        ("Outputs.EventsUrl", None, "EventsUrl is no output any more"),
        ("IngestFunction.Properties.Events.Health", None, "GET /v1/health is no route any more"),
    ],
)
def test_an_update_that_would_break_a_running_stack_is_named(path: str, to: Any, said: str) -> None:
    assert breaks(CURRENT, changed(path, to)) == [said]


@pytest.mark.parametrize(
    ("path", "to"),
    [
        pytest.param("FunctionErrors", None, id="an alarm goes"),
        pytest.param("ChangeQueue.Properties.VisibilityTimeout", 700, id="a queue's timeout"),
        pytest.param("Parameters.New", {"Type": "String", "Default": ""}, id="a parameter with a default"),
        pytest.param("Outputs.New", {"Value": "x"}, id="another output"),
    ],
)
def test_an_update_that_loses_nothing_is_allowed(path: str, to: Any) -> None:
    assert breaks(CURRENT, changed(path, to)) == []


def test_the_rehearsal_deploys_the_last_release_with_the_code_of_the_build() -> None:
    text = built(read_document())
    assert "CodeUri: IngestFunction\n" in text
    assert "Handler: functions.ingest.handler.lambda_handler\n" in text
    assert "ContentUri: SharedLayer" in text


def test_without_a_history_the_rehearsal_deploys_this_version_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("scripts.last_release.ROOT", tmp_path)
    monkeypatch.setattr("sys.argv", ["last_release"])
    main()
    printed = capsys.readouterr()
    assert printed.out == built(read_document())
    assert printed.err.startswith("skipped: the update of the last release")


def test_the_changelog_begins_with_the_version_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert HEADINGS[0][0] == project["version"]


def test_only_the_newest_version_is_unreleased_and_the_others_have_a_tag() -> None:
    for version, date in HEADINGS[1:]:
        assert date != "unreleased", version
        assert f"v{version}" in tags() or not releases(), version
    assert [Version(version) for version, _ in HEADINGS] == sorted(
        (Version(each) for each, _ in HEADINGS), reverse=True
    )


@pytest.mark.parametrize("version", [version for version, _ in HEADINGS])
def test_the_upgrade_guide_has_notes_for_every_version(version: str) -> None:
    assert f"\n#### {version}\n" in (ROOT / "docs/operate.md").read_text(encoding="utf-8")
