"""Each story comes to rest, with no more uploads than its changes need, and leaves nothing that had to go."""

import pytest

from tests.soak.checks import findings
from tests.soak.stories import STORIES, describe, play
from tests.soak.uploads import uploads_by_member

FEW = 4  # records about a member after its last change


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", STORIES)
def test_the_story_ends_well(name: str, seed: int) -> None:
    simulation = play(name, seed)
    found = findings(simulation)
    assert not found, f"{[(each.kind, each.detail) for each in found]}\n{describe(simulation)}"
    assert max(each.after_last for each in uploads_by_member(simulation)) <= FEW, describe(simulation)
