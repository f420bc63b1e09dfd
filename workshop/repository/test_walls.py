"""The walls that import-linter does not see: what several share stands apart only if several need it."""

import re

import grimp
import pytest

from local.template import ROOT

# Without a cache: it takes a file of the same second for the same.
COMMAND = grimp.build_graph("audience_sync_cli", cache_dir=None)
TESTS = grimp.build_graph("tests", "workshop", cache_dir=None)
STACK = sorted(COMMAND.find_children("audience_sync_cli.stack"))
SUPPORT = sorted(each for each in TESTS.find_descendants("tests.support") if not TESTS.find_children(each))


@pytest.mark.parametrize("module", STACK)
def test_a_module_stands_in_stack_only_if_two_subjects_need_it(module: str) -> None:
    needing = {each.split(".")[1] for each in COMMAND.find_downstream_modules(module)}
    assert len(needing - {"stack"}) >= 2


@pytest.mark.parametrize("module", STACK)
def test_what_several_subjects_need_asks_the_operator_nothing(module: str) -> None:
    text = (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
    assert re.findall(r"\.confirm\w*\(|\.asks\b|\.ask\(|\binput\(|(?m:^@command\()", text) == []


@pytest.mark.parametrize("module", SUPPORT)
def test_a_module_stands_in_support_only_if_two_folders_need_it(module: str) -> None:
    needing = {each.removeprefix("tests.").split(".")[0] for each in TESTS.find_downstream_modules(module)}
    assert len(needing - {"support"}) >= 2 or module == "tests.support.pytest_plugin"
