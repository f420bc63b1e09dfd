"""Each target on a bounded number of new inputs, always the same ones."""

import pytest

from tests.fuzz import strategies
from tests.fuzz.targets import TARGETS

FEWER = {"amazon": 200, "worker": 300}  # each is ten requests, or two invocations


@pytest.mark.parametrize("target", TARGETS)
def test_generated_inputs_break_no_invariant(target: str) -> None:
    strategies.run(target, 1, FEWER.get(target, strategies.EXAMPLES))
