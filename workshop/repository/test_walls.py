"""The walls that import-linter does not see: what several share stands apart only if several need it."""

import ast
import re

import grimp
import pytest

from local.template import ROOT

# Without a cache: it takes a file of the same second for the same.
# Each writes a format with Amazon's words: messages, rows, the records of either API, the command's JSON.
OWNERS_OF_RECORDS = {
    "layers/shared/audience_sync/members/messages.py",
    "layers/shared/audience_sync/aws/membership_rows.py",
    "layers/shared/audience_sync/amazon_ads/advertiser_audiences/records.py",
    "layers/shared/audience_sync/amazon_ads/data_manager/members.py",
    "audience_sync_cli/members/member.py",
}
WORDS_OF_RECORDS = {"hashedPII", "hashedPiis", "userConsent", "CREATE"}
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


def test_only_the_owner_of_a_format_uses_amazons_words_for_a_record() -> None:
    paths = [
        path for folder in ("layers/shared", "functions", "audience_sync_cli") for path in (ROOT / folder).rglob("*.py")
    ]
    named = {
        path.relative_to(ROOT).as_posix()
        for path in paths
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in WORDS_OF_RECORDS
    }
    assert named == OWNERS_OF_RECORDS
