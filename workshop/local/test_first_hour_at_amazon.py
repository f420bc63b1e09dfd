"""The first hour at Amazon, in docs/amazon-setup.md, run against the sandbox under both settings of its switches."""

import json
import os
import re
import subprocess
from dataclasses import fields, replace
from pathlib import Path

from local.amazon.app import build_app
from local.amazon.exchange import SANDBOX
from local.amazon.options import Options
from local.template import ROOT
from tests.support.sandbox_server import CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN
from tests.support.servers import serve

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
TOO_MANY = {"status": 429, "headers": {"Retry-After": 7}}
THROTTLED = {"match": {"path": "/amc/*", "method": "GET"}, "do": TOO_MANY, "times": 50}
# Time passes in `sleep` alone. The others stand in for the runbook's functions, AWS and the command.
STUBS = rf"""
sleep() {{ echo "$1" >> clock; }}
date() {{ awk '{{ s += $1 }} END {{ print s }}' clock; }}
part() {{ echo "$1"; }}
aws() {{
  echo '{{"clientId": "{CLIENT_ID}"}}'
  curl -s "$SANDBOX/auth/o2/token" -d 'grant_type=refresh_token&refresh_token={REFRESH_TOKEN}' \
    -d 'client_id={CLIENT_ID}&client_secret={CLIENT_SECRET}' | sed s/access_token/accessToken/
}}
audience-sync() {{
  call GET /adm/terms; call PATCH /adm/terms "{{\"agreementToken\":\"$(field agreementToken)\",\"hasAccepted\":true}}"
}}
"""


def answers(folder: Path, options: Options, *rules: object) -> list[str]:
    """Run every line of the section; return the answers that it asks to paste into an issue."""
    folder.mkdir()
    (folder / "scripts").symlink_to(ROOT / "scripts")
    clock = folder / "clock"
    clock.write_text("1800000000\n", encoding="utf-8")
    app = build_app(
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        refresh_token=REFRESH_TOKEN,
        job_delay=45.0,
        clock=lambda: sum(map(float, clock.read_text(encoding="utf-8").split())),
        options=options,
    )
    of_segment = {"name": "Segment's", "description": "", "targetResource": {}, "metadata": {"externalAudienceId": "s"}}
    app[SANDBOX].seed(int(re.findall(r"SEGMENTS=(\d+)", SECTION)[0]), of_segment)
    app[SANDBOX].connections.add({"connectionId": "conn-1", "amcInstanceId": "amc1"}, 0.0)
    faults = f"curl -s -X PUT $SANDBOX/sandbox/faults -d '{json.dumps(rules)}'\n"
    lines = "".join([STUBS, *STEPS, faults, LIMITS, ANSWERS, "sleep 2592000\n", LATER])
    with serve(lambda: app) as amazon:
        script = lines.replace("https://advertising-api.amazon.com", amazon.url)
        names = {"PATH": os.environ["PATH"], "SANDBOX": amazon.url}
        run = subprocess.run(
            ["bash", "-c", script], cwd=folder, env=names, check=True, stderr=subprocess.PIPE, text=True
        )
    assert "command not found" not in run.stderr
    return (folder / "answers").read_text(encoding="utf-8").splitlines()


def test_the_page_states_each_answer_of_the_sandbox_under_either_setting_and_no_other(tmp_path: Path) -> None:
    switches = {each.name for each in fields(Options)} - NO_SWITCHES
    assert [each for each in switches if getattr(ASSUMED, each) == getattr(OTHER, each)] == []
    assert [each for each in switches if f"`{each}`" not in SECTION] == []
    assert {*answers(tmp_path / "assumed", ASSUMED), *answers(tmp_path / "other", OTHER, THROTTLED)} == STATED
