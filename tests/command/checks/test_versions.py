"""A stack and the command that operates it should be of one version; where they are not, the operator reads it."""

from importlib.metadata import version

import pytest

from audience_sync_cli.checks.status import status
from tests.command.conftest import Deployment


@pytest.fixture
def deployed(deployment: Deployment) -> Deployment:
    deployment.stack.local = None
    deployment.stack.version = "0.0.1"
    return deployment


def test_status_shows_the_version_and_the_remedy_if_the_command_has_a_different_one(deployed: Deployment) -> None:
    printed = deployed.printed(status)
    assert printed.out.split()[:2] == ["version", "0.0.1"]
    assert f"Deploy version {version('audience-sync')}, or use the command of version 0.0.1." in printed.err


@pytest.mark.parametrize("version", [version("audience-sync"), None], ids=["the same", "none stated"])
def test_status_is_silent_about_the_same_version_and_about_none(deployed: Deployment, version: str | None) -> None:
    deployed.stack.version = version
    assert deployed.printed(status).err == ""


def test_json_has_the_version_without_the_warning(deployed: Deployment) -> None:
    assert deployed.json(status)["version"] == "0.0.1"
