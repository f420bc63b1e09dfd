"""Each scenario comes to rest, with no more uploads than its changes need, and leaves nothing that had to go."""

import pytest

from tests.soak.checks import findings
from tests.soak.scenarios import SCENARIOS, describe, run_script
from tests.soak.uploads import uploads_by_member

FEW = 5  # records about a member after its last change; two workers may look at what is due at once


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", SCENARIOS)
def test_each_scenario_ends_well(name: str, seed: int) -> None:
    simulation = run_script(name, seed)
    found = findings(simulation)
    assert not found, f"{[(each.kind, each.detail) for each in found]}\n{describe(simulation)}"
    assert max(each.after_last for each in uploads_by_member(simulation)) <= FEW, describe(simulation)
