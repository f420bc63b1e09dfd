"""A stack and the command that operates it should be of one version; where they are not, the operator reads it."""

import pytest

from audience_sync_cli.health.status import status
from audience_sync_cli.health.versions import own_version
from tests.command.conftest import Deployment


@pytest.fixture
def deployed(deployment: Deployment) -> Deployment:
    deployment.stack.local = None
    deployment.stack.version = "0.0.1"
    return deployment


def test_status_shows_the_version_and_says_what_to_do_about_another_one(deployed: Deployment) -> None:
    printed = deployed.printed(status)
    assert printed.out.split()[:2] == ["version", "0.0.1"]
    assert f"Deploy version {own_version()}, or use the command of version 0.0.1." in printed.err


@pytest.mark.parametrize("version", [own_version(), None], ids=["the same", "none stated"])
def test_status_notes_nothing_about_the_same_version_or_a_stack_without_one(
    deployed: Deployment, version: str | None
) -> None:
    deployed.stack.version = version
    assert deployed.printed(status).err == ""


def test_the_version_is_in_the_json_and_the_note_is_not_part_of_it(deployed: Deployment) -> None:
    assert deployed.json(status)["version"] == "0.0.1"
