"""The workflow that deploys from GitHub: it runs what exists, with no secret and with the least it needs.

GitHub's own check of a workflow needs GitHub; these are the rules that can be checked here.
"""

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.template import ROOT, read_document

PATH = ROOT / ".github/workflows/deploy.yml"
WORKFLOW: dict[Any, Any] = yaml.safe_load(PATH.read_text(encoding="utf-8"))
TRIGGERS = WORKFLOW[True]  # YAML 1.1 reads the key `on` so
JOBS: dict[str, dict[str, Any]] = WORKFLOW["jobs"]
RUNS = [step["run"] for job in JOBS.values() for step in job["steps"] if "run" in step]
TARGETS = set(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
GUIDE = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", RUNS)
def test_every_workflow_step_runs_a_make_target(command: str) -> None:
    words = command.split()
    assert (words[0], words[1] in TARGETS) == ("make", True)


def _runs(job: str) -> list[str]:
    return [step["run"] for step in JOBS[job]["steps"] if "run" in step]


def _uses(job: str) -> list[str]:
    return [step["uses"].partition("@")[0] for step in JOBS[job]["steps"] if "uses" in step]


def test_deployment_waits_for_checks_tests_and_rehearsal() -> None:
    assert JOBS["deploy"]["needs"] == ["check", "build"]
    assert _runs("check") == ["make check", "make validate", "make test", "make rehearse"]


def test_only_main_is_built_and_deployed() -> None:
    for job in ("build", "deploy"):
        assert JOBS[job]["if"] == "vars.AWS_REGION != '' && github.ref == 'refs/heads/main'"


def test_the_deploy_job_builds_nothing_and_gets_credentials_last() -> None:
    assert _runs("build") == ["make pack"]
    assert _runs("deploy") == ["make unpack", 'make ship ARGS="--config-env $ENVIRONMENT --no-confirm-changeset"']
    steps = JOBS["deploy"]["steps"]
    assert steps[-2]["uses"].startswith("aws-actions/configure-aws-credentials@")
    assert _uses("build").count("actions/upload-artifact") == _uses("deploy").count("actions/download-artifact") == 1


@pytest.mark.parametrize("target", ["pack", "unpack", "ship", "release"])
def test_the_jobs_that_build_and_deploy_install_no_development_package(target: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (needed,) = re.findall(rf"^{target}:(.*?)##", makefile, re.MULTILINE)
    assert needed.split() == ["$(BIN)/uv"]
    (installing,) = re.findall(r"^\$\(BIN\)/uv:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert re.findall(r"requirements/(\w+)\.txt", installing) == ["setup"]


def test_the_digest_of_the_build_is_a_job_output_and_not_in_the_artifact() -> None:
    (packing,) = [step for step in JOBS["build"]["steps"] if step.get("run") == "make pack"]
    assert JOBS["build"]["outputs"] == {"digest": f"${{{{ steps.{packing['id']}.outputs.digest }}}}"}
    (unpacking,) = [step for step in JOBS["deploy"]["steps"] if step.get("run") == "make unpack"]
    assert unpacking["env"] == {"DIGEST": "${{ needs.build.outputs.digest }}"}


def test_only_the_deploy_job_may_assume_a_role() -> None:
    assert {name: job["permissions"] for name, job in JOBS.items()} == {
        "check": {"contents": "read"},
        "build": {"contents": "read"},
        "deploy": {"contents": "read", "id-token": "write"},
    }


def test_a_push_deploys_to_staging_and_other_environments_are_chosen_by_hand() -> None:
    choice = TRIGGERS["workflow_dispatch"]["inputs"]["environment"]
    config = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
    assert choice["options"] == [name for name in config if name not in ("version", "default")]
    assert choice["default"] == "staging"
    chosen = "${{ inputs.environment || 'staging' }}"
    assert JOBS["deploy"]["environment"] == JOBS["deploy"]["steps"][-1]["env"]["ENVIRONMENT"] == chosen
    assert TRIGGERS["push"] == {"branches": ["main"]}


def test_deployments_run_one_at_a_time_and_are_never_cancelled() -> None:
    assert WORKFLOW["concurrency"]["group"].startswith("deploy-")
    assert WORKFLOW["concurrency"]["cancel-in-progress"] is False


def test_the_guides_trust_policy_accepts_one_environment_of_one_repository() -> None:
    policies = [json.loads(block) for block in re.findall(r"```json\n(\{.*?\n\})\n```", GUIDE, re.DOTALL)]
    (statement,) = next(each["Statement"] for each in policies if "AssumeRole" in str(each))
    subject = "repo:OWNER@OWNER_ID/REPOSITORY@REPOSITORY_ID:environment:staging"
    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert statement["Condition"] == {
        "StringEquals": {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": subject,
            "token.actions.githubusercontent.com:ref": "refs/heads/main",
        }
    }


def test_the_deployers_role_is_not_one_that_it_may_change() -> None:
    names = re.findall(r"--role-name (\S+)", GUIDE)
    assert len(names) >= 2
    assert not any(name.startswith("audience-sync") for name in names), "its policy allows changes to such roles"


def test_the_guide_sets_the_alarm_address_before_the_first_deployment() -> None:
    section = GUIDE.split("\n## Deploying from GitHub\n")[1].split("\n## ")[0]
    (toml,) = re.findall(r"```toml\n(.*?)```", section, re.DOTALL)
    overrides = tomllib.loads("\n".join(line.strip() for line in toml.splitlines()))["parameter_overrides"]
    given = dict(each.split("=") for each in overrides.split())
    pattern = read_document()["Parameters"]["AlarmEmail"]["AllowedPattern"]
    assert [bool(re.search(pattern, value)) for name, value in given.items() if name == "AlarmEmail"] == [True]
    assert section.index(toml) < section.index("**First deployment**")
    for environment in ("staging", "production"):
        assert f"`[{environment}.deploy.parameters]`" in section


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with a build."""
    (tmp_path / "scripts").mkdir()
    for name in ("pack.sh", "unpack.sh"):
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts")
    (tmp_path / ".aws-sam/build/IngestFunction").mkdir(parents=True)
    (tmp_path / ".aws-sam/build/IngestFunction/handler.py").write_text("built", encoding="utf-8")
    (tmp_path / ".aws-sam/sbom.cdx.json").write_text("{}", encoding="utf-8")
    return tmp_path


def _run(clone: Path, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(clone / "scripts" / script)]
    environment = {"PATH": os.environ["PATH"]} | environment
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def _packed(clone: Path) -> str:
    """The digest that the job hands over."""
    output = clone / "output"
    assert _run(clone, "pack.sh", GITHUB_OUTPUT=str(output)).returncode == 0
    digest = output.read_text(encoding="utf-8").strip().removeprefix("digest=")
    shutil.rmtree(clone / ".aws-sam")  # the other job is on another machine
    return digest


def test_packing_a_build_is_reversible_and_reproducible(clone: Path) -> None:
    digest = _packed(clone)
    assert _run(clone, "unpack.sh", DIGEST=digest).returncode == 0
    assert (clone / ".aws-sam/build/IngestFunction/handler.py").read_text(encoding="utf-8") == "built"
    assert (clone / ".aws-sam/sbom.cdx.json").exists()
    (clone / "output").unlink()
    assert _packed(clone) == digest


@pytest.mark.parametrize("digest", ["0" * 64, "", "not a digest"])
def test_a_build_with_another_digest_is_not_unpacked(clone: Path, digest: str) -> None:
    _packed(clone)
    ended = _run(clone, "unpack.sh", DIGEST=digest)
    assert ended.returncode != 0
    assert "SHA-256" in ended.stderr
    assert not (clone / ".aws-sam").exists()
