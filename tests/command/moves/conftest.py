"""A world for tests of moves and ends."""

import pytest

from audience_sync_cli.moves import ending
from local.resources import MANAGER_ACCOUNT
from tests.command.conftest import Deployment
from tests.command.moves.world import World


@pytest.fixture
def world(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> World:
    deployment.stack.parameters = {"DataManagerAccountId": MANAGER_ACCOUNT}
    monkeypatch.setattr(ending, "LOCAL_POLL", 3600.0)
    return World(deployment)
