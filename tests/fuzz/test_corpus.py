"""The inputs in the tree, each given to its target: examples, and what has failed once."""

import re
from pathlib import Path

import pytest

from local.template import ROOT
from tests.fuzz.targets import CORPUS, TARGETS, corpus

INPUTS = [pytest.param(target, path, id=f"{target}: {path.name}") for target in TARGETS for path in corpus(target)]


@pytest.mark.parametrize(("target", "path"), INPUTS)
def test_a_corpus_input_breaks_no_invariant(target: str, path: Path) -> None:
    TARGETS[target](path.read_bytes())


def test_every_corpus_folder_belongs_to_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)


def test_fuzzing_md_lists_every_target() -> None:
    table = (ROOT / "docs/development" / "fuzzing.md").read_text()
    assert re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE) == list(TARGETS)
