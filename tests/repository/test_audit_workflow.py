"""What GitHub runs by itself beside the deployment: a weekly audit, watch and soak, and newer actions."""

import re
from typing import Any

import yaml

from local.template import ROOT

GITHUB = ROOT / ".github"
TEXT = (GITHUB / "workflows/audit.yml").read_text(encoding="utf-8")
WORKFLOW: dict[Any, Any] = yaml.safe_load(TEXT)
(JOB,) = WORKFLOW["jobs"].values()


def test_the_audit_runs_every_week_and_by_hand() -> None:
    triggers = WORKFLOW[True]  # YAML 1.1 reads the key `on` so
    assert triggers.keys() == {"schedule", "workflow_dispatch"}
    (schedule,) = triggers["schedule"]
    assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", schedule["cron"])


def test_the_audit_the_watch_and_the_soak_run_with_read_only_permissions() -> None:
    assert [step["run"].split()[1] for step in JOB["steps"] if "run" in step] == ["audit", "watch", "soak"]
    assert JOB["permissions"] == {"contents": "read"}


def test_dependabot_updates_actions_and_make_lock_python_packages() -> None:
    """Their locks have no header, from which Dependabot reads the options of the resolver."""
    updates = yaml.safe_load((GITHUB / "dependabot.yml").read_text(encoding="utf-8"))["updates"]
    assert [each["package-ecosystem"] for each in updates] == ["github-actions"]
    assert "--no-header" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_a_pull_request_from_a_fork_is_checked_with_a_read_only_token() -> None:
    check = yaml.safe_load((GITHUB / "workflows/check.yml").read_text(encoding="utf-8"))
    (job,) = check["jobs"].values()
    assert check[True] == "pull_request", "pull_request_target would run a stranger's code with the rights of this copy"
    assert job["permissions"] == {"contents": "read"}
    assert [step["run"] for step in job["steps"] if "run" in step] == [
        f"make {target}" for target in ("check", "validate", "build", "test")
    ]
