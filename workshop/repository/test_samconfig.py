"""The environments of samconfig.toml: one stack each.

An operator's copy may have other names, a region and parameters there, as `sam deploy --guided` saves them. This is
what must hold all the same.
"""

import shlex
import tomllib
from typing import Any

import pytest

from local.template import ROOT, read_document

CONFIG: dict[str, Any] = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
ENVIRONMENTS = [name for name, value in CONFIG.items() if isinstance(value, dict)]
DOCUMENT = read_document()


def _parameters(environment: str, command: str) -> dict[str, Any]:
    """What SAM reads for a command; it inherits nothing from another environment."""
    sections = [CONFIG[environment].get(section, {}) for section in ("global", command)]
    return {key: value for section in sections for key, value in section.get("parameters", {}).items()}


def test_staging_and_production_are_different_stacks() -> None:
    assert {"default", "staging", "production"} <= set(ENVIRONMENTS)
    names = [_parameters(each, "deploy")["stack_name"] for each in ("default", "staging", "production")]
    assert names[0] == names[2] != names[1], "production is the stack of a plain `make deploy`, and staging is another"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_environment_has_what_a_deployment_needs(environment: str) -> None:
    parameters = _parameters(environment, "deploy")
    assert parameters["capabilities"] in ("CAPABILITY_IAM", ["CAPABILITY_IAM"])
    assert parameters.get("resolve_s3") is True or "s3_bucket" in parameters
    assert parameters["s3_prefix"] == parameters["stack_name"], "the deployer of one stack cannot write another's code"
    assert parameters["fail_on_empty_changeset"] is False, "a push that changes no resource is no failure"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_environments_set_only_parameters_of_the_template(environment: str) -> None:
    overrides = _parameters(environment, "deploy").get("parameter_overrides", [])
    given = shlex.split(overrides) if isinstance(overrides, str) else overrides
    assert {each.partition("=")[0] for each in given} <= DOCUMENT["Parameters"].keys()
