"""The walls within the operator's command that import-linter does not see: what stands in `stack/`, and why."""

import re

import grimp
import pytest

from local.template import ROOT

STACK = ROOT / "audience_sync_cli/stack"
GRAPH = grimp.build_graph("audience_sync_cli")
MODULES = sorted(GRAPH.find_children("audience_sync_cli.stack"))


@pytest.mark.parametrize("module", MODULES)
def test_a_module_stands_in_stack_only_if_two_subjects_need_it(module: str) -> None:
    needing = GRAPH.find_downstream_modules(module)
    assert len({name.split(".")[1] for name in needing} - {"__main__", "app", "stack"}) >= 2


@pytest.mark.parametrize("module", MODULES)
def test_what_several_subjects_need_asks_the_operator_nothing(module: str) -> None:
    text = (STACK / f"{module.rpartition('.')[2]}.py").read_text(encoding="utf-8")
    assert re.findall(r"\.confirm\w*\(|\.asks\b|\.ask\(|\binput\(|(?m:^@command\()", text) == []
