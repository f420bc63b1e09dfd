"""Each scenario comes to rest, with no more uploads than its changes need, and leaves nothing that had to go."""

import pytest

from tests.soak.__main__ import describe
from tests.soak.checks import findings
from tests.soak.scenarios import SCENARIOS, run_script
from tests.soak.uploads import uploads_by_member

FEW = 5  # records about a member after its last change; two workers may find the same upload due at once


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_comes_to_rest_with_few_uploads(name: str) -> None:
    simulation = run_script(name, seed=1)
    found = findings(simulation)
    assert not found, describe(simulation, found)
    assert max(each.after_last for each in uploads_by_member(simulation)) <= FEW
