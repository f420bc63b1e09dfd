"""The inputs in the tree, each given to its target: examples, and what has failed once."""

import re

import pytest

from local.template import ROOT
from tests.fuzz.targets import TARGETS, corpus

INPUTS = [
    pytest.param(target, data, id=f"{target}: {name}")
    for target, kept in corpus().items()
    for name, data in kept.items()
]


@pytest.mark.parametrize(("target", "data"), INPUTS)
def test_a_corpus_input_breaks_no_invariant(target: str, data: bytes) -> None:
    TARGETS[target](data)


def test_the_corpus_has_inputs_for_each_target_and_for_no_other() -> None:
    assert {target for target, kept in corpus().items() if kept} == set(TARGETS)


def test_fuzzing_md_lists_every_target() -> None:
    table = (ROOT / "docs/development" / "fuzzing.md").read_text()
    assert re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE) == list(TARGETS)
