"""The environments of samconfig.toml: one stack each, deployed in the same way."""

import tomllib
from typing import Any

import pytest

from audience_sync_cli.global_options import DEFAULT_STACK
from local.template import ROOT, read_document

CONFIG: dict[str, Any] = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
ENVIRONMENTS = [name for name, value in CONFIG.items() if isinstance(value, dict)]
ROLES = [each for each in read_document()["Resources"].values() if each["Type"] == "AWS::IAM::Role"]


def _stack(environment: str) -> str:
    name: str = CONFIG[environment]["global"]["parameters"]["stack_name"]
    return name


def test_there_is_an_environment_to_try_a_version_in_and_one_for_the_real_audiences() -> None:
    assert ENVIRONMENTS == ["default", "staging", "production"]
    assert _stack("staging") != _stack("production")


def test_production_is_the_stack_of_commands_without_options() -> None:
    assert _stack("production") == _stack("default") == DEFAULT_STACK


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_environment_is_deployed_as_the_default_one(environment: str) -> None:
    assert CONFIG[environment]["deploy"] == CONFIG["default"]["deploy"]


def test_the_capability_is_the_one_that_roles_without_a_name_need() -> None:
    assert CONFIG["default"]["deploy"]["parameters"]["capabilities"] == "CAPABILITY_IAM"
    assert not any("RoleName" in role["Properties"] for role in ROLES)
