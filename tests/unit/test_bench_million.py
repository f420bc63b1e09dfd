"""A small run of the benchmark with a million members: what it counts, and that memory does not grow with members."""

import tracemalloc
from collections.abc import Iterator

import pytest

from tests.benchmarks.bench_million import Tenth, measure

MEMBERS = 2_000


@pytest.fixture(scope="module")
def tenths() -> Iterator[list[Tenth]]:
    tracemalloc.start()
    list(measure(MEMBERS // 2))  # fills the caches
    tracemalloc.reset_peak()
    yield list(measure(MEMBERS, memory=lambda: tracemalloc.get_traced_memory()[1]))
    tracemalloc.stop()


def test_every_member_goes_through_ingest_and_the_worker(tenths: list[Tenth]) -> None:
    assert [tenth.members for tenth in tenths] == list(range(200, MEMBERS + 1, 200))
    assert all(tenth.ingest > 0 and tenth.worker > 0 for tenth in tenths)


def test_each_invocation_makes_as_few_uploads_as_its_bytes_allow(tenths: list[Tenth]) -> None:
    assert [tenth.uploads for tenth in tenths] == list(range(1, 11)), "each 200 members are less than 1 MB"
    assert tenths[-1].fewest == 2


def test_memory_does_not_grow_with_the_members(tenths: list[Tenth]) -> None:
    assert tenths[-1].peak <= 1.2 * tenths[0].peak
