"""`audience-sync diagnose` on a running local stack: every fact is read there, and the cause of a fault comes first."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import requests

from local.example_audiences import EXAMPLE
from tests.e2e.conftest import ROOT, LocalStack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


def diagnosed(stack: LocalStack) -> dict[str, Any]:
    """Run the command, and return what it prints."""
    command = [sys.executable, "-m", "audience_sync_cli", "diagnose", EXAMPLE.audience_id, "--json"]
    environment = os.environ | {"AUDIENCE_SYNC_LOCAL": stack.where["api"]}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, timeout=120, check=False
    )
    document: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if document["ok"] else 1)
    return document


def found(document: dict[str, Any]) -> dict[str, str]:
    return {each["check"]: each["found"] for each in document["findings"]}


def test_diagnose_reads_every_fact_and_lists_denied_access_first(stack: LocalStack) -> None:
    stack.post_example("14-batch-of-five.json")
    stack.post_example("10-track-eu-without-consent.json")
    stack.wait_until_quiescent()
    document = wait_until(
        lambda: diagnosed(stack), lambda each: "1 consent_missing" in found(each)["consent and country"]
    )
    assert [text for text in found(document).values() if text.startswith("Not checked")] == []
    assert "3 current members" in found(document)["entries"]
    assert "3 records" in found(document)["size"]

    denied = [{"match": {"path": "/amc/audiences/records"}, "do": {"status": 403}, "times": 1}]
    requests.put(f"{stack.where['amazon']}/sandbox/faults", json=denied, timeout=60).raise_for_status()
    stack.post_example("01-track-entered-full-pii.json")
    stack.wait_until_quiescent()
    document = diagnosed(stack)
    assert (document["ok"], document["reasons"][0]) == (False, "parked changes")
    assert found(document)["parked changes"].startswith(
        "1 dead letter of this audience: 1 access_denied. Give the user who consented access"
    )
