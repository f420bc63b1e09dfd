"""What GitHub runs by itself beside the deployment: a weekly look for known vulnerabilities, and newer actions."""

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


def test_the_audit_is_the_makefiles_and_can_read_the_code_only() -> None:
    assert [step["run"] for step in JOB["steps"] if "run" in step] == ["make audit"]
    assert "secrets." not in TEXT
    assert "${{" not in TEXT
    assert WORKFLOW["permissions"] == {}
    assert JOB["permissions"] == {"contents": "read"}
    assert JOB["timeout-minutes"] <= 15
    assert JOB["steps"][0]["with"] == {"persist-credentials": False}


def test_all_workflows_use_the_same_commit_of_an_action() -> None:
    used: dict[str, set[str]] = {}
    for workflow in (GITHUB / "workflows").glob("*.yml"):
        for action, commit in re.findall(
            r"uses: ([\w/-]+)@([0-9a-f]{40} # v[\d.]+)$", workflow.read_text(), re.MULTILINE
        ):
            used.setdefault(action, set()).add(commit)
    assert used
    assert {action: commits for action, commits in used.items() if len(commits) > 1} == {}
    assert len(re.findall(r"uses: ", TEXT)) == len(re.findall(r"uses: [\w/-]+@[0-9a-f]{40} # v", TEXT))


def test_python_packages_are_left_to_make_lock() -> None:
    """Their locks have no header, from which Dependabot reads the options of the resolver."""
    updates = yaml.safe_load((GITHUB / "dependabot.yml").read_text(encoding="utf-8"))["updates"]
    assert [each["package-ecosystem"] for each in updates] == ["github-actions"]
    assert "--no-header" in (ROOT / "Makefile").read_text(encoding="utf-8")
