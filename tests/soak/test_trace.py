"""The trace header, in which Lambda counts how often a chain of messages has invoked a function."""

import pytest

from tests.soak.trace import next_invocation


def test_a_chain_counts_the_invocations_of_each_function() -> None:
    trace = ""
    for _ in range(3):
        trace, _ = next_invocation([trace], "Worker")
    trace, jobs = next_invocation([trace], "Jobs")
    _, worker = next_invocation([trace], "Worker")
    assert (jobs, worker) == (1, 4)


def test_a_batch_counts_as_its_longest_chain_of_invocations() -> None:
    long, _ = next_invocation([next_invocation([""], "Worker")[0]], "Worker")
    short, _ = next_invocation([""], "Worker")
    assert next_invocation([short, long, ""], "Worker")[1] == 3


@pytest.mark.parametrize(
    "trace",
    [
        "",
        "Root=1-64d38018-6a56d23a731e0cbe6ed85687;Parent=1e4dbd311c45e826;Sampled=0",
        "Root=1-64d38018-6a56d23a731e0cbe6ed85687;Parent=1e4dbd311c45e826;Sampled=0;Lineage=037bed70:5",
    ],
)
def test_a_trace_without_this_function_counts_from_one(trace: str) -> None:
    assert next_invocation([trace], "Worker")[1] == 1
