"""What `make mutate` mutates, and what it leaves out."""

from fnmatch import fnmatch

import pytest

from workshop.mutation.modules import PACKAGE, ROOT, TESTS, core, quick_tests
from workshop.mutation.report import EQUIVALENTS


@pytest.mark.parametrize("pattern", TESTS)
def test_mutation_patterns_match_existing_modules_and_tests(pattern: str) -> None:
    modules = [path for path in core() if fnmatch(path, pattern)]
    assert modules
    assert all((ROOT / path).exists() for path in quick_tests(modules))


def test_an_equivalent_mutant_has_an_existing_module_and_a_reason() -> None:
    for line in EQUIVALENTS.read_text().splitlines():
        if not line.startswith("#"):
            module, before, after, reason = line.split(" ¦ ")
            assert (PACKAGE / module).exists()
            assert before != after
            assert len(reason) > 10
