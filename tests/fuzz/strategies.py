"""Hypothesis's way to the same inputs: those of the corpus, changed in some places, and any bytes."""

from random import Random

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz.mutations import changed
from tests.fuzz.targets import TARGETS, corpus

EXAMPLES = 1_000  # inputs of one run


def inputs(target: str) -> st.SearchStrategy[bytes]:
    kept = list(corpus()[target].values())
    from_corpus = st.builds(
        lambda data, number: changed(data, Random(number)), st.sampled_from(kept), st.integers(0, 2**32)
    )
    return st.one_of(from_corpus, from_corpus, from_corpus, st.binary(max_size=200))


def run(target: str, number: int, examples: int = EXAMPLES) -> None:
    """Give a target some inputs, always the same ones for the same number. Raises what the target raises."""

    @seed(number)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs(target))
    def give(data: bytes) -> None:
        TARGETS[target](data)

    give()
