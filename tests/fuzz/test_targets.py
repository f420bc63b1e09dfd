"""Each target on a bounded number of new inputs, always the same ones."""

import pytest

from tests.fuzz import strategies
from tests.fuzz.targets import TARGETS

INPUTS = 400  # of each target; `make fuzz` makes as many as its time allows
FEWER = {"amazon": 100, "event-message": 150, "worker": 150}  # each is ten requests, or two or three invocations


@pytest.mark.parametrize("target", TARGETS)
def test_generated_inputs_break_no_invariant(target: str) -> None:
    strategies.run(target, 1, FEWER.get(target, INPUTS))
