"""What `make mutate` mutates, and what it leaves unjudged."""

from fnmatch import fnmatch

import pytest

from tests.mutation.modules import PACKAGE, ROOT, TESTS, core, functions, quick_tests
from tests.mutation.report import EQUIVALENTS, outcome_of
from tests.mutation.run import Mutant


@pytest.mark.parametrize("pattern", TESTS)
def test_a_pattern_names_modules_and_tests_that_exist(pattern: str) -> None:
    modules = [path for path in core() if fnmatch(path, pattern)]
    assert modules
    assert all((ROOT / path).exists() for path in quick_tests(modules))


def test_functions_and_methods_are_found_by_their_lines() -> None:
    source = "x = 1\ndef one():\n    return 1\n\nclass Two:\n    def three(self):\n        return 3\n"
    assert dict(functions(source)) == {"x_one": range(2, 4), "xǁTwoǁthree": range(6, 8)}


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        pytest.param("return a < b", "return a <= b", "survived", id="a bound"),
        pytest.param('raise Full("no room left")', 'raise Full("XXno room leftXX")', "wording", id="another text"),
        pytest.param('raise Full("no room left")', "raise Full(None)", "wording", id="no text"),
        pytest.param('"full", "no room left"', '"full", None', "wording", id="no text behind a name"),
        pytest.param('"full", "no room left"', 'None, "no room left"', "survived", id="no name before a text"),
        pytest.param('raise Full("full", 1)', 'raise Full("full", None)', "survived", id="another argument"),
        pytest.param('fields["at"]', 'fields["XXatXX"]', "survived", id="a name"),
        pytest.param("zip(a, b, strict=True)", "zip(a, b, strict=False)", "wording", id="an assertion of zip"),
        pytest.param("zip(a, b, strict=True)", "zip(a, b, )", "wording", id="no assertion of zip"),
        pytest.param("strict=True,", "strict=False,", "wording", id="an assertion of zip on a line of its own"),
        pytest.param("strict=True, )", ")", "wording", id="no assertion of zip, from several lines"),
        pytest.param("zip(a, b, strict=True)", "zip(b, strict=True)", "survived", id="less to zip"),
    ],
)
def test_a_change_of_wording_is_not_judged(before: str, after: str, outcome: str) -> None:
    assert outcome_of(Mutant("m.py", "m.x_f__mutmut_1", "survived", 0.0), (before, after), set()) == outcome


def test_an_equivalent_mutant_has_a_module_that_exists_and_a_reason() -> None:
    for line in EQUIVALENTS.read_text().splitlines():
        if not line.startswith("#"):
            module, before, after, reason = line.split(" ¦ ")
            assert (PACKAGE / module).exists()
            assert before != after
            assert len(reason) > 10
