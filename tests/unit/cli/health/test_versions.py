"""A stack and the command that operates it should be of one version; where they are not, the operator reads it."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from audience_sync.amazon_ads.regions import HOSTS
from audience_sync_cli.health.status import status
from audience_sync_cli.health.versions import own_version
from audience_sync_cli.screen import Screen
from audience_sync_cli.session import Session
from audience_sync_cli.stack import Stack
from tests.aws_fixtures import create_table

KEYS = ("audienceShard", "externalUserId")


@pytest.fixture
def names() -> Iterator[dict[str, str]]:
    """Two queues and a table of a deployed stack, by logical id."""
    with mock_aws():
        sqs, dynamodb = client("sqs"), client("dynamodb")
        queues = {each: sqs.create_queue(QueueName=each)["QueueUrl"] for each in ("ChangeQueue", "DeadLetterQueue")}
        create_table(dynamodb, "members", *KEYS)
        yield queues | {"MembershipTable": "members"}


def client(service: str) -> Any:
    return boto3.client(  # type: ignore[call-overload]
        service, region_name="us-east-1", aws_access_key_id="made-up", aws_secret_access_key="made-up"
    )


def show(names: dict[str, str], version: str | None, *, as_json: bool = False) -> None:
    """Run `status` on a deployed stack of this version."""
    stack = Stack("mine", client, "https://api.example", HOSTS["NA"], {}, 0, version=version, _names=names)
    status(Session(Screen(as_json=as_json), lambda: stack))


def test_status_shows_the_version_and_says_what_to_do_about_another_one(
    names: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    show(names, "0.0.1")
    printed = capsys.readouterr()
    assert printed.out.split()[:2] == ["version", "0.0.1"]
    assert f"Deploy version {own_version()}, or use the command of version 0.0.1." in printed.err


@pytest.mark.parametrize("version", [own_version(), None], ids=["the same", "none stated"])
def test_status_notes_nothing_about_the_same_version_or_a_stack_without_one(
    names: dict[str, str], version: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    show(names, version)
    assert capsys.readouterr().err == ""


def test_the_version_is_in_the_json_and_the_note_is_not_part_of_it(
    names: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    show(names, "0.0.1", as_json=True)
    assert '"version": "0.0.1"' in capsys.readouterr().out
