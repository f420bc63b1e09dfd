"""Finding a stack: by name through CloudFormation, or on this machine."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from audience_sync_cli.frame.errors import NotThere, TryLater, WrongUsage
from audience_sync_cli.frame.stacks import Stack, deployed, local, own_clients


@dataclass
class CloudFormation:
    """One stack, as describe_stacks and describe_stack_resource show it."""

    name: str = "mine"
    region: str = "EU"
    outputs: dict[str, str] = field(
        default_factory=lambda: {
            "EventsUrl": "https://abc.execute-api.eu-west-1.amazonaws.com/v1/events",
            "ChangeQueueUrl": "https://sqs.example/changes",
        }
    )
    resources: dict[str, str] = field(default_factory=lambda: {"WorkerFunction": "mine-WorkerFunction-1"})
    looked_up: list[str] = field(default_factory=list)

    def describe_stacks(self, *, StackName: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        if StackName != self.name:
            raise ClientError({"Error": {"Code": "ValidationError", "Message": "does not exist"}}, "DescribeStacks")
        outputs = [{"OutputKey": name, "OutputValue": value} for name, value in self.outputs.items()]
        parameters = [{"ParameterKey": "Region", "ParameterValue": self.region}]
        created = datetime(2026, 3, 4, tzinfo=UTC)
        return {"Stacks": [{"Outputs": outputs, "Parameters": parameters, "CreationTime": created}]}

    def describe_stack_resource(self, *, StackName: str, LogicalResourceId: str) -> dict[str, Any]:  # noqa: N803
        assert StackName == self.name
        self.looked_up.append(LogicalResourceId)
        if LogicalResourceId not in self.resources:
            raise ClientError({"Error": {"Code": "ValidationError"}}, "DescribeStackResource")
        return {"StackResourceDetail": {"PhysicalResourceId": self.resources[LogicalResourceId]}}


def find(name: str = "mine", cloud: CloudFormation | None = None, **outputs: str) -> Stack:
    return deployed(name, lambda _: cloud or CloudFormation(outputs=outputs))


CHANGES = "https://sqs.example/changes"


def test_a_stack_is_found_by_name_with_its_outputs() -> None:
    cloud = CloudFormation()
    found = find(cloud=cloud)
    assert (found["ChangeQueue"], found.api) == (CHANGES, "https://abc.execute-api.eu-west-1.amazonaws.com")
    assert found.hosts.api == "https://advertising-api-eu.amazon.com"
    assert (found.version, cloud.looked_up) == (None, [])
    cloud.outputs["Version"] = "0.2.0"
    assert find(cloud=cloud).version == "0.2.0"
    found = find(ChangeQueueUrl=CHANGES)
    assert (found.api, found.events_url, found.audiences_url, found.event_queue) == ("", None, None, None)


def test_a_resource_without_an_output_is_looked_up_once() -> None:
    cloud = CloudFormation()
    found = find(cloud=cloud)
    assert [found["WorkerFunction"], found["WorkerFunction"]] == ["mine-WorkerFunction-1"] * 2
    assert cloud.looked_up == ["WorkerFunction"]


@pytest.mark.parametrize(
    ("look", "said"),
    [
        pytest.param(lambda: find(ChangeQueueUrl=CHANGES)["JobsFunction"], "has no JobsFunction", id="an old stack"),
        pytest.param(lambda: find("other"), "--stack", id="an unknown stack, and the option"),
        pytest.param(find, "not an Audience Sync stack", id="a stack of another product"),
    ],
)
def test_what_is_missing_is_named(look: Callable[[], object], said: str) -> None:
    with pytest.raises(NotThere) as caught:
        look()
    assert said in f"{caught.value} {caught.value.remedy}"
    assert "JobsFunction" not in find(ChangeQueueUrl=CHANGES)


@pytest.mark.parametrize(
    ("region", "default", "chosen"),
    [
        pytest.param("eu-west-1", "us-east-1", "eu-west-1", id="AWS_REGION goes first"),
        pytest.param("eu-west-1", "", "eu-west-1", id="AWS_REGION alone"),
        pytest.param("", "us-east-1", "us-east-1", id="AWS_DEFAULT_REGION"),
        pytest.param("", "", "ap-southeast-2", id="the profile's"),
    ],
)
def test_the_region_is_chosen_as_in_the_aws_cli(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, region: str, default: str, chosen: str
) -> None:
    (tmp_path / "config").write_text("[default]\nregion = ap-southeast-2\n", encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for name, value in (("AWS_REGION", region), ("AWS_DEFAULT_REGION", default), ("AWS_PROFILE", "")):
        monkeypatch.setenv(name, value)
        if not value:
            monkeypatch.delenv(name)
    assert own_clients()("sqs").meta.region_name == chosen


@pytest.mark.parametrize("url", ["http://example.com:8080", "http://192.0.2.1", "example", "http://127.0.0.1.example"])
def test_local_accepts_only_loopback_addresses_and_prints_how_to_start_one(url: str) -> None:
    with pytest.raises(WrongUsage):
        local(url)
    with pytest.raises(TryLater) as error:
        local("http://127.0.0.1:9")
    assert "python -m local" in error.value.remedy
