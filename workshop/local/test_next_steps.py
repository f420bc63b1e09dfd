"""What `python -m local` says to a person: where the page is, and how the command finds the stack."""

import os
import pty
import subprocess
import sys

import pytest

from audience_sync.amazon_ads.data_manager.accounts import Account
from local.command import next_steps, options_from
from local.resources import DATA_MANAGER_ACCOUNTS
from local.stack import Stack
from local.template import ROOT, Template

ADDRESSES = {
    "api": "http://127.0.0.1:9000",
    "amazon": "http://127.0.0.1:9001",
    "status": "http://127.0.0.1:9000/status",
    "eventKey": "k" * 48,
}


@pytest.mark.parametrize(("choice", "is_manager"), [("manager", True), ("dsp", False), ("none", None)])
def test_a_stack_can_have_a_manager_account_a_dsp_account_or_none(choice: str, is_manager: bool | None) -> None:
    parameters = DATA_MANAGER_ACCOUNTS[options_from(["--data-manager-account", choice]).data_manager_account]
    template = Template.load(parameters)
    account = Account.from_parameter(template.resolve({"Ref": "DataManagerAccountId"}))
    assert (account and account.is_manager) is is_manager


def test_a_stack_can_have_a_prefix_of_audience_names() -> None:
    stack = Stack(options_from(["--name-prefix", "Brand A - "]))
    assert stack._template.resolve({"Ref": "AudienceNamePrefix"}) == "Brand A - "


def test_next_steps_show_the_status_page_and_the_variables_of_the_stack() -> None:
    text = next_steps(ADDRESSES)
    assert "http://127.0.0.1:9000/status" in text
    assert "export AUDIENCE_SYNC_LOCAL=http://127.0.0.1:9000 AMAZON=http://127.0.0.1:9001\n" in text
    assert f"export EVENT_KEY={'k' * 48}\n" in text
    assert max(map(len, text.splitlines())) < 80


def test_the_start_is_announced_before_the_slow_imports() -> None:
    without = "import runpy, sys; sys.modules['local.command'] = None; runpy.run_module('local', run_name='__main__')"
    ours, theirs = pty.openpty()
    try:
        ended = subprocess.run(
            [sys.executable, "-c", without], cwd=ROOT, stdout=subprocess.PIPE, stderr=theirs, check=False
        )
        assert os.read(ours, 10_000).decode().startswith("Starting the stack: ")
        assert ended.stdout == b"", "its one line comes when all is ready"
    finally:
        os.close(ours)
        os.close(theirs)


def test_next_steps_without_a_status_page_name_none() -> None:
    assert "page" not in next_steps({name: each for name, each in ADDRESSES.items() if name != "status"})
