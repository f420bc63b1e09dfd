"""The workflows on GitHub: what each job runs, after which others, with which rights; and rules for all of them.

GitHub's own check of a workflow needs GitHub; these are the rules that can be checked here.
"""

import json
import re
import tomllib
from typing import Any, NamedTuple

import pytest
import yaml

from local.template import ROOT, read_document

TEXTS = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / ".github/workflows").glob("*.yml"))}
WORKFLOWS: dict[str, dict[Any, Any]] = {name: yaml.safe_load(text) for name, text in TEXTS.items()}
GUIDE = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")


class Job(NamedTuple):
    """What a job does in the order of its steps: commands, and actions without checkout and Python."""

    steps: str  # joined by commas
    needs: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()  # each may read the repository, and nothing else
    condition: str | None = None


OF_MAIN = "vars.AWS_REGION != '' && github.ref == 'refs/heads/main'"
CHECKED = "make check, make validate, make build, make test"  # of a pull request, and so of a release
SHIP = 'aws-actions/configure-aws-credentials, make ship ARGS="--config-env $ENVIRONMENT --no-confirm-changeset"'
ATTEST = "actions/attest, actions/attest, scripts/release.sh"
JOBS = {
    "audit.audit": Job('make audit, make watch, make soak SEED="${GITHUB_RUN_NUMBER}000" SEEDS=5 EVENTS=300'),
    "check.check": Job(CHECKED),
    "deploy.check": Job("make check, make validate, make test, make rehearse"),
    # Built without the packages that check it. The job with the rights builds nothing, and gets credentials last.
    "deploy.build": Job("make pack, actions/upload-artifact", condition=OF_MAIN),
    "deploy.deploy": Job(
        f"actions/download-artifact, make unpack, {SHIP}", ("check", "build"), ("id-token",), condition=OF_MAIN
    ),
    "release.build": Job("scripts/release.sh --check, make pack, make wheel, actions/upload-artifact"),
    "release.check": Job(CHECKED),
    "release.publish": Job(
        f"actions/download-artifact, scripts/unpack.sh, {ATTEST}",
        ("build", "check"),
        ("contents", "id-token", "attestations"),
    ),
}
TRIGGERS: dict[str, Any] = {  # but for what is started by hand
    "audit": {"schedule": [{"cron": "17 6 * * 1"}]},
    "check": "pull_request",  # pull_request_target would run a stranger's code with the rights of this copy
    "deploy": {"push": {"branches": ["main"]}},
    "release": {"push": {"tags": ["v*"]}},
}
WRITTEN = {
    f"{name}.{job}": written for name, workflow in WORKFLOWS.items() for job, written in workflow["jobs"].items()
}
TARGETS = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_every_workflow_has_its_trigger_and_every_job_its_row() -> None:
    triggers = {name: workflow[True] for name, workflow in WORKFLOWS.items()}  # YAML 1.1 reads the key `on` so
    (environment,) = triggers["deploy"]["workflow_dispatch"]["inputs"].values()
    assert triggers == TRIGGERS | {
        name: TRIGGERS[name] | {"workflow_dispatch": triggers[name]["workflow_dispatch"]}
        for name in ("audit", "deploy")
    }
    assert WRITTEN.keys() == JOBS.keys()
    config = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
    assert environment["options"] == [name for name in config if name not in ("version", "default")]
    assert environment["default"] == "staging"


@pytest.mark.parametrize("name", JOBS)
def test_a_job_does_what_its_row_says_with_no_other_rights(name: str) -> None:
    job, row = WRITTEN[name], JOBS[name]
    steps = [step.get("run") or step["uses"].partition("@")[0] for step in job["steps"]]
    assert ", ".join(step for step in steps if step not in ("actions/checkout", "actions/setup-python")) == row.steps
    assert tuple(job.get("needs", ())) == row.needs
    assert job["permissions"] == {"contents": "read"} | dict.fromkeys(row.writes, "write")
    assert job.get("if") == row.condition
    assert job["timeout-minutes"] <= 60
    assert WORKFLOWS[name.partition(".")[0]]["permissions"] == {}


@pytest.mark.parametrize("name", JOBS)
def test_a_step_runs_what_exists_without_expressions_secrets_or_the_checkouts_credentials(name: str) -> None:
    assert "secrets." not in str(WRITTEN[name])
    for step in WRITTEN[name]["steps"]:
        command, *arguments = step.get("run", "make test").split()
        assert arguments[0] in TARGETS if command == "make" else (ROOT / command).is_file(), step["run"]
        assert "${{" not in step.get("run", "")
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"] | {"fetch-depth": 0} == {"persist-credentials": False, "fetch-depth": 0}


def test_actions_are_pinned_and_all_workflows_use_the_same_commits() -> None:
    actions = re.findall(r"uses: (.+)$", "\n".join(TEXTS.values()), re.MULTILINE)
    pinned = [re.fullmatch(r"((?:aws-)?actions/[\w-]+)@([0-9a-f]{40} # v\d+\.\d+\.\d+)", action) for action in actions]
    assert [action for action, found in zip(actions, pinned, strict=True) if not found] == []
    assert len(set(actions)) == len({found[1] for found in pinned if found})


def _environment(job: str, step: str) -> dict[str, str]:
    (found,) = [each["env"] for each in WRITTEN[job]["steps"] if each.get("run", "").startswith(step)]
    return dict(found)


@pytest.mark.parametrize(
    ("workflow", "unpack"), [("deploy.deploy", "make unpack"), ("release.publish", "scripts/unpack.sh")]
)
def test_the_digest_of_the_build_is_a_job_output_and_not_in_the_artifact(workflow: str, unpack: str) -> None:
    build = WRITTEN[workflow.partition(".")[0] + ".build"]
    (packing,) = [step["id"] for step in build["steps"] if step.get("run") == "make pack"]
    assert build["outputs"] == {"digest": f"${{{{ steps.{packing}.outputs.digest }}}}"}
    assert _environment(workflow, unpack) == {"DIGEST": "${{ needs.build.outputs.digest }}"}


def test_deployments_go_to_staging_unless_chosen_one_at_a_time_and_are_never_cancelled() -> None:
    chosen = "${{ inputs.environment || 'staging' }}"
    assert WRITTEN["deploy.deploy"]["environment"] == chosen
    assert _environment("deploy.deploy", "make ship") == {"ENVIRONMENT": chosen}
    assert WORKFLOWS["deploy"]["concurrency"] == {"group": f"deploy-{chosen}", "cancel-in-progress": False}


def test_what_ships_is_attested_unless_the_repository_is_private() -> None:
    attesting = [step for step in WRITTEN["release.publish"]["steps"] if "attest@" in step.get("uses", "")]
    provenance, sbom = (step["with"] for step in attesting)
    assert provenance["subject-path"].split() == ["dist/build.tar.gz", "dist/*.whl"]
    assert sbom == {"subject-path": "dist/build.tar.gz", "sbom-path": ".aws-sam/sbom.cdx.json"}
    assert {step["if"] for step in attesting} == {"${{ !github.event.repository.private || vars.ATTEST == 'yes' }}"}
    assert "`ATTEST`" in (ROOT / "docs/development/releasing.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("target", ["pack", "unpack", "ship", "release"])
def test_the_jobs_that_build_and_deploy_install_no_development_package(target: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (needed,) = re.findall(rf"^{target}:(.*?)##", makefile, re.MULTILINE)
    assert needed.split() == ["$(BIN)/uv"]
    (installing,) = re.findall(r"^\$\(BIN\)/uv:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert re.findall(r"requirements/(\w+)\.txt", installing) == ["setup"]


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
