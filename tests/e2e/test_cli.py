"""Runs the transcript in docs/cli.md against a local stack, and compares every line of output."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from local.resources import client
from tests.e2e.conftest import ROOT, LocalStack, local_stack
from tests.e2e.transcript import Transcript, compare, needs_curl
from tests.support.waiting import wait_until

DOCUMENT = ROOT / "docs" / "cli.md"


@needs_curl
@pytest.mark.transcript
def test_the_documented_transcript_shows_what_the_commands_print(tmp_path: Path) -> None:
    with local_stack("--settle", "0.2") as stack:
        reset(stack)
        actual = Transcript(stack, tmp_path).of(DOCUMENT.read_text(encoding="utf-8"))
        wait_until(stack.members, lambda members: sorted(members) == ["cust_1001", "cust_1002", "cust_1004"])
    compare(DOCUMENT, actual)


def reset(stack: LocalStack) -> None:
    """Empty the stack as it is after a deployment: without an authorization, without audiences."""
    found = requests.get(f"{stack.where['api']}/local/resources", timeout=10).json()
    names = found["names"]
    secrets = client("secretsmanager", stack.where["aws"])
    stored = json.loads(secrets.get_secret_value(SecretId=names["CredentialsSecret"])["SecretString"])
    for part, value in (
        ("CredentialsSecret", stored | {"refreshToken": ""}),
        ("TokenSecret", {"accessToken": "", "expiresAt": 0}),
    ):
        secrets.put_secret_value(SecretId=names[part], SecretString=json.dumps(value))
    dynamodb = client("dynamodb", stack.where["aws"])
    for row in _rows(dynamodb, names["AudienceTable"]):
        dynamodb.delete_item(TableName=names["AudienceTable"], Key={"audienceId": row["audienceId"]})


def _rows(dynamodb: Any, table: str) -> Iterator[dict[str, Any]]:
    for page in dynamodb.get_paginator("scan").paginate(TableName=table):
        yield from page["Items"]
