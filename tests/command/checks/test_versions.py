"""A stack and the command that operates it should be of one version; where they are not, the operator reads it."""

from importlib.metadata import version

import pytest

from audience_sync_cli.checks.status import status
from tests.command.conftest import Deployment


@pytest.fixture
def deployed(deployment: Deployment) -> Deployment:
    deployment.stack.local = None
    return deployment


@pytest.mark.parametrize(("of_stack", "is_noted"), [("0.0.1", True), (version("audience-sync"), False), (None, False)])
def test_status_shows_the_version_and_the_remedy_if_the_command_has_a_different_one(
    deployed: Deployment, of_stack: str | None, is_noted: bool
) -> None:
    deployed.stack.version = of_stack
    printed = deployed.printed(status)
    assert (printed.out.split()[:2] == ["version", of_stack]) is (of_stack is not None)
    remedy = f"Deploy version {version('audience-sync')}, or use the command of version 0.0.1."
    assert (remedy in printed.err, printed.err == "") == (is_noted, not is_noted)
    assert deployed.json(status)["version"] == of_stack
