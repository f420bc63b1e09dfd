"""The workflow that publishes a release attests who built it and what is in it; the notes are the changelog's."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.template import ROOT

WORKFLOWS = ROOT / ".github/workflows"
TEXT = (WORKFLOWS / "release.yml").read_text(encoding="utf-8")
WORKFLOW: dict[Any, Any] = yaml.safe_load(TEXT)
JOBS: dict[str, dict[str, Any]] = WORKFLOW["jobs"]
STEPS: list[dict[str, Any]] = JOBS["publish"]["steps"]
ATTESTING = [step for step in STEPS if step.get("uses", "").startswith("actions/attest@")]
GUIDE = (ROOT / "docs/development/releasing.md").read_text(encoding="utf-8")


def test_only_a_version_tag_publishes_a_release() -> None:
    assert WORKFLOW[True] == {"push": {"tags": ["v*"]}}  # YAML 1.1 reads the key `on` so


def test_only_the_job_without_a_build_may_attest_and_publish() -> None:
    assert {name: job["permissions"] for name, job in JOBS.items()} == {
        "build": {"contents": "read"},
        "check": {"contents": "read"},
        "publish": {"contents": "write", "id-token": "write", "attestations": "write"},
    }
    assert JOBS["publish"]["needs"] == ["build", "check"]
    pull_request = yaml.safe_load((WORKFLOWS / "check.yml").read_text(encoding="utf-8"))["jobs"]["check"]
    assert JOBS["check"] == pull_request, "what is published has passed the checks of a pull request"
    assert [step["run"] for step in STEPS if "run" in step] == ["scripts/unpack.sh", "scripts/release.sh"]


def test_the_release_is_packed_before_development_packages_are_installed() -> None:
    commands = [step["run"] for step in JOBS["build"]["steps"] if "run" in step]
    assert commands == ["scripts/release.sh --check", "make pack", "make wheel"]


def test_provenance_and_sbom_are_attested_before_the_release_is_published() -> None:
    provenance, sbom = (step["with"] for step in ATTESTING)
    assert provenance["subject-path"].split() == ["dist/build.tar.gz", "dist/*.whl"]
    assert sbom == {"subject-path": "dist/build.tar.gz", "sbom-path": ".aws-sam/sbom.cdx.json"}
    names = [step.get("run", step.get("uses", "")).partition("@")[0] for step in STEPS]
    assert names[-4:] == ["scripts/unpack.sh", "actions/attest", "actions/attest", "scripts/release.sh"]


def test_a_private_repository_publishes_without_attestations_by_default() -> None:
    assert {step["if"] for step in ATTESTING} == {"${{ !github.event.repository.private || vars.ATTEST == 'yes' }}"}
    assert "`ATTEST`" in GUIDE


def test_actions_are_pinned_and_all_workflows_use_the_same_commits() -> None:
    used: dict[str, set[str]] = {}
    for path in WORKFLOWS.glob("*.yml"):
        for action in re.findall(r"uses: (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE):
            pinned = re.fullmatch(r"((?:actions|aws-actions)/[\w-]+)@([0-9a-f]{40} # v\d+\.\d+\.\d+)", action)
            assert pinned, action
            used.setdefault(pinned[1], set()).add(pinned[2])
    assert {"actions/attest", "actions/checkout"} <= used.keys()
    assert {action: commits for action, commits in used.items() if len(commits) > 1} == {}


@pytest.mark.parametrize("path", sorted(WORKFLOWS.glob("*.yml")), ids=lambda path: path.stem)
def test_no_workflow_uses_secrets_expressions_in_a_shell_command_or_more_rights_than_it_needs(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert "secrets." not in text
    assert workflow["permissions"] == {}
    assert "pull_request_target" not in text, "it would run a stranger's code with the rights of this copy"
    for name, job in workflow["jobs"].items():
        assert job["permissions"] == {"contents": "read"} or name in ("deploy", "publish"), (
            "which have tests of their own"
        )
        assert job["timeout-minutes"] <= 60
        assert not any("${{" in step.get("run", "") for step in job["steps"])
        assert all(
            step["with"] | {"fetch-depth": 0} == {"persist-credentials": False, "fetch-depth": 0}
            for step in job["steps"]
            if step.get("uses", "").startswith("actions/checkout@")
        )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of version 1.2.3 with what was built, and a `gh` that prints its arguments and what it reads."""
    for folder in ("scripts", "bin", "dist", ".aws-sam"):
        (tmp_path / folder).mkdir()
    shutil.copy(ROOT / "scripts/release.sh", tmp_path / "scripts")
    (tmp_path / "pyproject.toml").write_text('version = "1.2.3"\n', encoding="utf-8")
    changelog = "# Changelog\n\n## 1.2.3, 2026-11-28\n\n- New.\n\n## 1.2.2, 2026-11-27\n\n- Old.\n"
    (tmp_path / "CHANGELOG.md").write_text(changelog, encoding="utf-8")
    for name in ("dist/build.tar.gz", "dist/audience_sync-1.2.3-py3-none-any.whl", ".aws-sam/sbom.cdx.json"):
        (tmp_path / name).touch()
    (tmp_path / "bin/gh").write_text('#!/bin/sh\necho "$@"\ncat\n', encoding="utf-8")
    (tmp_path / "bin/gh").chmod(0o755)
    return tmp_path


def _release(clone: Path, *arguments: str, tag: str = "v1.2.3") -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{clone}/bin:{os.environ['PATH']}", "GITHUB_REF_NAME": tag}
    command = [str(clone / "scripts/release.sh"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_a_release_has_the_files_and_the_notes_of_its_version(clone: Path) -> None:
    printed = _release(clone).stdout
    assert printed.startswith("release create v1.2.3 --verify-tag --title 1.2.3 --notes-file - ")
    files = printed.splitlines()[0].split(" - ")[1].split()
    assert files == ["dist/build.tar.gz", "dist/audience_sync-1.2.3-py3-none-any.whl", ".aws-sam/sbom.cdx.json"]
    assert "- New." in printed
    assert "- Old." not in printed


def test_checking_a_release_publishes_nothing(clone: Path) -> None:
    ended = _release(clone, "--check")
    assert (ended.returncode, ended.stdout) == (0, "")


@pytest.mark.parametrize("arguments", [[], ["--check"]], ids=["publish", "check"])
@pytest.mark.parametrize(
    ("tag", "version", "message"),
    [
        pytest.param("v1.2.4", "1.2.3", "v1.2.3", id="another version"),
        pytest.param("v1.2.0", "1.2.0", "CHANGELOG.md", id="a version without a date"),
    ],
)
def test_a_tag_that_does_not_match_version_and_changelog_is_refused(
    clone: Path, arguments: list[str], tag: str, version: str, message: str
) -> None:
    (clone / "pyproject.toml").write_text(f'version = "{version}"\n', encoding="utf-8")
    ended = _release(clone, *arguments, tag=tag)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert message in ended.stderr
