"""Which modules and functions are mutated, and with which tests."""

import ast
import re
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "layers/shared/audience_sync"
UNIT = "tests/unit"
DELIVERY = f"{UNIT}/delivery"
AMAZON = f"{UNIT}/amazon_ads"
SEGMENT = f"{UNIT}/segment"
PROTOCOL = "tests/contract/test_member_protocol.py tests/contract/test_waiting_changes.py"
NOTICES = "tests/contract/test_deletion_notices.py"

# The quick tests of each part of the core, by pattern. mutmut runs those of them that reach the function.
TESTS = {
    "delivery/batch.py": f"{DELIVERY}/test_batch.py",
    "delivery/member_delivery.py": f"{DELIVERY}/test_member_delivery.py {PROTOCOL} {NOTICES} {DELIVERY}/test_batch.py "
    "tests/contract/test_dataset_protocol.py",
    "delivery/deletion_notices.py": f"{NOTICES} tests/contract/test_people_deletion.py",
    **dict.fromkeys(
        ("delivery/outcomes.py", "delivery/pending.py"),
        f"{DELIVERY}/test_outcomes.py {DELIVERY}/test_batch.py {PROTOCOL} {NOTICES}",
    ),
    "delivery/job_members.py": f"{DELIVERY}/test_job_members.py",
    "delivery/returning.py": f"{DELIVERY}/test_batch.py {PROTOCOL}",
    "delivery/sending.py": f"{DELIVERY}/test_uploads.py {DELIVERY}/test_batch.py",
    "delivery/uploads.py": f"{DELIVERY}/test_uploads.py {DELIVERY}/test_batch.py",
    "delivery/bisect.py": f"{DELIVERY}/test_bisect.py {DELIVERY}/test_batch.py",
    "delivery/backoff.py": f"{DELIVERY}/test_backoff.py",
    "delivery/gates/retry_budget.py": f"{DELIVERY}/gates/test_retry_budget.py",
    "delivery/gates/gate.py": "tests/contract/test_circuit_breaker.py",
    "delivery/gates/circuit_*.py": "tests/contract/test_circuit_breaker.py",
    "delivery/groups.py": f"{DELIVERY}/test_groups.py",
    "operations/audience_*.py": f"{UNIT}/operations/test_audience_trends.py",
    "operations/audit.py": f"{UNIT}/operations/test_audit.py",
    "operations/erasure_check.py": "tests/contract/test_erasures.py tests/contract/test_people_deletion.py",
    "operations/people_deletion.py": "tests/contract/test_people_deletion.py",
    "operations/job_end.py": f"{UNIT}/operations/test_job_end.py",
    "operations/job_tracking.py": f"{UNIT}/operations/test_job_tracking.py",
    "operations/renewal.py": f"{UNIT}/operations/test_renewal.py",
    "aws/membership_rows.py": f"{UNIT}/aws/test_membership_rows.py",
    "aws/membership_table.py": f"{UNIT}/aws/test_membership_table.py {DELIVERY}/test_member_delivery.py {PROTOCOL}",
    "aws/sqs.py": f"{UNIT}/aws/test_sqs.py",
    "amazon_ads/normalize.py": f"{AMAZON}/test_normalize.py {AMAZON}/test_normalize_unchanged.py",
    "amazon_ads/normalization/address.py": f"{AMAZON}/test_address.py {AMAZON}/test_normalize.py",
    "amazon_ads/normalization/fields.py": f"{AMAZON}/test_normalize.py {AMAZON}/test_address.py",
    "amazon_ads/normalization/phone.py": f"{AMAZON}/normalization/test_phone.py {AMAZON}/test_normalize.py",
    "amazon_ads/normalization/quick.py": f"{AMAZON}/test_quick.py",
    **dict.fromkeys(("amazon_ads/ids.py", "amazon_ads/record.py", "amazon_ads/upload.py"), f"{AMAZON}/test_record.py"),
    "amazon_ads/data_manager/*.py": f"{AMAZON}/data_manager tests/contract/test_data_manager_client.py",
    "amazon_ads/consent.py": f"{UNIT}/amazon_ads/test_consent.py",
    "amazon_ads/countries.py": f"{UNIT}/amazon_ads/test_countries.py",
    "amazon_ads/job.py": f"{UNIT}/amazon_ads/test_job.py",
    "amazon_ads/exchange.py": f"{AMAZON}/test_exchange.py tests/contract/test_amazon_client.py",
    "amazon_ads/transport.py": f"{AMAZON}/test_transport.py tests/contract/test_transport.py",
    "segment/budget.py": f"{SEGMENT}/test_budget.py",
    "segment/event.py": f"{SEGMENT}/test_event.py {UNIT}/ingest/test_intake.py",
    "segment/signature.py": f"{SEGMENT}/test_signature.py",
    "segment/trigger.py": f"{SEGMENT}/test_trigger.py {SEGMENT}/test_budget.py",
    "segment/fql/*.py": f"{SEGMENT}/test_trigger.py {SEGMENT}/test_trigger_docs.py",
    "segment/mapping.py": f"{SEGMENT}/test_mapping.py",
    "segment/compiled_fields.py": f"{SEGMENT}/test_compiled_fields.py",
    **dict.fromkeys(
        ("segment/compiled_mapping.py", "segment/mapping_config.py", "segment/separators.py"),
        f"{SEGMENT}/test_mapping_config.py {SEGMENT}/test_mapping_docs.py",
    ),
    "segment/directives/*.py": f"{SEGMENT}/test_mapping.py {SEGMENT}/test_mapping_config.py {SEGMENT}/test_budget.py "
    f"{SEGMENT}/test_mapping_docs.py {SEGMENT}/test_compiled_fields.py",
    "members/erasure_steps.py": f"{UNIT}/members/erasure/test_status.py",
    "members/erasure/status.py": f"{UNIT}/members/erasure/test_status.py tests/contract/test_people_deletion.py",
    **dict.fromkeys(
        ("members/erasure/planning.py", "members/erasure/review.py"),
        f"{UNIT}/members/erasure/test_review.py tests/contract/test_people_deletion.py",
    ),
    "members/member_state.py": f"{UNIT}/members/test_member_state.py {UNIT}/members/test_member_step.py",
    "members/member_step.py": f"{UNIT}/members/test_member_step.py {UNIT}/members/test_member_over_time.py "
    "tests/contract/test_dataset_protocol.py",
    "members/repetitions.py": f"{UNIT}/members/test_repetitions.py",
    "members/membership.py": f"{UNIT}/members/test_membership.py",
    **dict.fromkeys(
        ("members/messages.py", "members/job_messages.py", "members/dead_letters.py", "members/envelope.py"),
        f"{UNIT}/members/test_messages.py {UNIT}/members/test_membership.py",
    ),
    **dict.fromkeys(
        ("ingest/translation.py", "ingest/mapped_values.py", "ingest/outcome.py", "ingest/record_rules.py"),
        f"{UNIT}/ingest/test_intake.py {UNIT}/test_fields.py",
    ),
    **dict.fromkeys(
        ("ingest/intake.py", "segment/request_body.py"),
        f"{UNIT}/ingest/test_intake.py {UNIT}/ingest/test_intake_requests.py",
    ),
    "access/credentials.py": f"{UNIT}/access/test_credentials.py",
    "runtime/api_gateway.py": f"{UNIT}/runtime/test_api_gateway.py",
    "json_input.py": f"{UNIT}/test_json_input.py {UNIT}/runtime/test_api_gateway.py",
}

UNFIT = (
    # They count calls or lines, and mutmut adds calls of its own to every function.
    f"{SEGMENT}/test_budget.py::test_work_stays_within_the_budget_which_changes_no_value",
    f"{SEGMENT}/test_budget.py::test_many_costly_directives_reject_the_event",
    f"{SEGMENT}/test_mapping.py::test_a_hostile_event_costs_few_steps_and_raises_nothing",
    f"{SEGMENT}/test_trigger.py::test_parsing_a_trigger_is_linear_in_its_length",
    # It takes 10 seconds, longer than all other tests of phone numbers together.
    f"{AMAZON}/normalization/test_phone.py::test_the_table_never_disagrees_with_phonenumbers",
)


def core() -> list[str]:
    """Return the paths of the core's modules within the package."""
    paths = (path.relative_to(PACKAGE).as_posix() for path in sorted(PACKAGE.rglob("*.py")))
    return [path for path in paths if any(fnmatch(path, pattern) for pattern in TESTS)]


def quick_tests(modules: list[str]) -> list[str]:
    """Return the files and folders of the tests that cover these modules."""
    patterns = [pattern for pattern in TESTS if any(fnmatch(path, pattern) for path in modules)]
    return sorted({test for pattern in patterns for test in TESTS[pattern].split()})


def default_base() -> str:
    """Return origin/main, HEAD~1 where there is none."""
    known = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", "origin/main"], cwd=ROOT, stdout=subprocess.PIPE, check=False
    )
    return "HEAD~1" if known.returncode else "origin/main"


def changed_functions(path: str, base: str) -> set[str]:
    """Return mutmut's names of the functions of a module with lines that have changed since a commit."""
    command = ["git", "diff", "--unified=0", base, "--", str(PACKAGE / path)]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    changed: set[int] = set()
    for found in re.finditer(r"^@@ -\S+ \+(\d+)(?:,(\d+))? @@", shown, re.MULTILINE):
        start, count = int(found[1]), int(found[2] or 1)
        changed.update(range(start, start + max(count, 1)))
    return {name for name, lines in functions((PACKAGE / path).read_text()) if changed.intersection(lines)}


def functions(source: str) -> Iterator[tuple[str, range]]:
    """Yield the functions and methods of a module, by mutmut's names, with their lines."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef):
            yield f"x_{node.name}", range(node.lineno, (node.end_lineno or 0) + 1)
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef):
                    yield f"xǁ{node.name}ǁ{inner.name}", range(inner.lineno, (inner.end_lineno or 0) + 1)
