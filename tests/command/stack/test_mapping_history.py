"""The history of the mappings: bounded in versions and bytes, and read back as it was written."""

import random
import zlib
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync.segment.default_mapping import DEFAULT_MAPPING
from audience_sync_cli.stack.mapping_history import MAX_BYTES, MAX_VERSIONS, KeptVersion, packed, unpacked

DEFAULT = asdict(DEFAULT_MAPPING)
JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
VERSIONS: Any = st.builds(
    KeptVersion,
    number=st.integers(0, 1_000),
    applied_at=st.none() | st.integers(0, 2**42),
    mappings=st.none() | st.lists(JSON, max_size=4),
)


def edited(number: int, mappings: list[Any]) -> KeptVersion:
    """A version in which one field of one mapping differs."""
    position = number % len(mappings)
    mappings[position] = mappings[position] | {
        "fields": mappings[position]["fields"] | {"country": {"@path": f"$.traits.country_{number}"}}
    }
    return KeptVersion(number, 1_800_000_000_000 + number, list(mappings))


@given(st.lists(VERSIONS, max_size=MAX_VERSIONS))
def test_versions_are_read_back_as_they_were_written(versions: list[KeptVersion]) -> None:
    assert unpacked({"B": packed(versions)}) == tuple(versions)


def test_the_newest_20_versions_are_kept_and_none_over_the_size_limit() -> None:
    versions = [KeptVersion(number, None, []) for number in range(30, 0, -1)]
    assert [each.number for each in unpacked({"B": packed(versions)})] == list(range(30, 30 - MAX_VERSIONS, -1))
    large = KeptVersion(1, None, [{"name": random.Random(1).randbytes(100_000).hex()}])
    assert unpacked({"B": packed([large])}) == ()


@pytest.mark.parametrize(
    ("mappings", "size"),
    [pytest.param(1, 1_400, id="the default mapping"), pytest.param(50, 2_800, id="fifty mappings")],
)
def test_twenty_versions_take_a_few_kilobytes(mappings: int, size: int) -> None:
    current = [DEFAULT | {"name": f"Mapping {number}"} for number in range(mappings)]
    versions = [edited(number, current) for number in range(MAX_VERSIONS)][::-1]
    content = packed(versions)
    assert len(content) <= size  # bytes
    assert len(unpacked({"B": content})) == MAX_VERSIONS


def test_the_newest_versions_that_fit_the_size_limit_are_kept() -> None:
    source = random.Random(1)
    versions = [
        KeptVersion(number, None, [{"name": source.randbytes(5_000).hex()}]) for number in range(MAX_VERSIONS, 0, -1)
    ]
    content = packed(versions)
    assert MAX_BYTES / 2 < len(content) <= MAX_BYTES
    kept = unpacked({"B": content})
    assert kept == tuple(versions[: len(kept)])


@pytest.mark.parametrize(
    "attribute",
    [
        pytest.param(None, id="nothing"),
        pytest.param({"S": "text"}, id="a text"),
        pytest.param({"B": b"no zlib"}, id="not packed"),
        pytest.param({"B": zlib.compress(b"[1]")}, id="another document"),
        pytest.param({"B": zlib.compress(b'{"mappings": [], "versions": [{"version": 1}]}')}, id="fields missing"),
    ],
)
def test_an_unreadable_history_counts_as_empty(attribute: Any) -> None:
    assert unpacked(attribute) == ()
