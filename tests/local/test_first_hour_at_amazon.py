"""The first hour at Amazon, in docs/amazon-setup.md, run against the sandbox under both settings of its switches."""

import json
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from aiohttp import web

from local.amazon.app import build_app
from local.amazon.exchange import SANDBOX
from local.amazon.options import Options
from local.template import ROOT
from tests.local.sandbox_server import CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN
from tests.servers import serve

SECTION = (ROOT / "docs/amazon-setup.md").read_text(encoding="utf-8").split("\n## First hour at Amazon\n")[1]
*STEPS, LIMITS, ANSWERS, LATER = re.findall(r"```bash\n(.*?)```", SECTION, re.DOTALL)
STATED = set(re.findall(r"`([a-zA-Z0-9][\w ,]*: [^`]+)`", SECTION))

ASSUMED = Options(match_share=1.0, identity_deletion_delay=20 * 86_400.0)
OTHER = replace(
    ASSUMED,
    max_body=2_000_000,
    data_manager_terms_accepted=False,
    data_room_exists=False,
    advertiser_mode=False,
    permissions=frozenset({"ads_data_manager_edit"}),
    delete_finds_member="identity",
    index_base=1,
    consent_required_everywhere=False,
    deletion_reaches_later_uploads=True,
)
NO_SWITCHES = {"match_share", "max_data_manager_body", "identity_deletion_delay"}
THROTTLED = {
    "match": {"path": "/amc/*", "method": "GET"},
    "do": {"status": 429, "headers": {"Retry-After": 7}},
    "times": 50,
}
# Time passes in `sleep` alone. The others stand in for the runbook's functions, AWS and the command.
STUBS = r"""
sleep() { echo "$1" >> clock; }
date() { awk '{ s += $1 } END { print s }' clock; }
part() { echo "$1"; }
aws() {
  echo "{\"clientId\": \"$CLIENT_ID\"}"
  curl -s "$SANDBOX/auth/o2/token" -d "grant_type=refresh_token&refresh_token=$REFRESH_TOKEN" \
    -d "client_id=$CLIENT_ID&client_secret=$CLIENT_SECRET" | sed s/access_token/accessToken/
}
audience-sync() {
  call GET /adm/terms; call PATCH /adm/terms "{\"agreementToken\":\"$(field agreementToken)\",\"hasAccepted\":true}"
}
"""


def answers(folder: Path, options: Options, *rules: object) -> Sequence[str]:
    """Run every line of the section; return the answers that it asks to paste into an issue."""
    folder.mkdir()
    (folder / "clock").write_text("1800000000\n", encoding="utf-8")
    (folder / "scripts").symlink_to(ROOT / "scripts")

    def now() -> float:
        return sum(map(float, (folder / "clock").read_text(encoding="utf-8").split()))

    login: dict[str, Any] = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "refresh_token": REFRESH_TOKEN}

    def build() -> web.Application:
        app = build_app(**login, job_delay=45.0, clock=now, options=options)
        app[SANDBOX].connections.add({"connectionId": "conn-1", "amcInstanceId": "amc1"}, now())
        return app

    with serve(build) as amazon:
        faults = f"curl -s -X PUT $SANDBOX/sandbox/faults -d '{json.dumps(rules)}'\n"
        lines = "".join([STUBS, *STEPS, faults, LIMITS, ANSWERS, "sleep 2592000\n", LATER])
        script = lines.replace("https://advertising-api.amazon.com", amazon.url)
        variables = {each.upper(): value for each, value in login.items()} | {"SANDBOX": amazon.url}
        environment = variables | {"PATH": os.environ["PATH"]}
        command = ["bash", "-c", script]
        printed = subprocess.run(
            command, cwd=folder, env=environment, check=True, stderr=subprocess.PIPE, text=True
        ).stderr
    assert "command not found" not in printed
    return (folder / "answers").read_text(encoding="utf-8").splitlines()


def test_the_page_states_each_answer_of_the_sandbox_under_either_setting_and_no_other(tmp_path: Path) -> None:
    differing = {each.name for each in fields(Options) if getattr(ASSUMED, each.name) != getattr(OTHER, each.name)}
    assert {each.name for each in fields(Options)} - NO_SWITCHES == differing
    assert [each for each in differing if f"`{each}`" not in SECTION] == []
    assert {*answers(tmp_path / "assumed", ASSUMED), *answers(tmp_path / "other", OTHER, THROTTLED)} == STATED
