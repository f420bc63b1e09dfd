"""A world for tests of moves and ends."""

import pytest

from audience_sync_cli.moves import ending
from audience_sync_cli.state import counts
from audience_sync_cli.state.counts import Depth
from local.resources import MANAGER_ACCOUNT
from tests.command.conftest import Deployment
from tests.command.moves.world import World


@pytest.fixture
def world(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> World:
    deployment.stack.parameters = {"DataManagerAccountId": MANAGER_ACCOUNT}
    made = World(deployment)
    monkeypatch.setattr(ending, "LOCAL_LOOK", 3600.0)
    monkeypatch.setattr(counts, "depth", lambda *_: Depth(len(made.rows.queue.messages), 0, 0))
    return made
