"""docs/import.md states what the code does."""

import re

from audience_sync.aws.membership_rows import KEEP_ACTIVE, KEEP_EXIT
from audience_sync.reasons import Reason
from audience_sync_cli.frame.column_names import NAMES, guess
from audience_sync_cli.frame.reasons import ROW_REMEDIES, row_remedy
from audience_sync_cli.frame.times import DAY
from audience_sync_cli.stack.change_sender import WAITS
from audience_sync_cli.stack.estimate import CHANGES_A_SECOND, DOLLARS_A_MILLION, WORKERS, estimate
from local.template import ROOT
from scripts.cost_model import total
from scripts.delivery_model import WORKER, Traffic, worker
from tests.support.markdown import table

TEXT = (ROOT / "docs/import.md").read_text(encoding="utf-8")
FLOWING = " ".join(TEXT.split())


def test_every_reason_for_which_a_row_may_be_left_out_has_a_remedy_hashing_of_ids_for_addresses_only() -> None:
    assert all(row_remedy(reason) for reason in Reason if "rejected" in reason.effects)
    assert row_remedy("of_a_newer_version")
    named = {reason for reason, remedy in ROW_REMEDIES.items() if "--hash-ids" in remedy}
    assert named == {"member_id_address"}
    assert "as your mapping does" in row_remedy("member_id_address")


def test_the_documented_column_names_are_recognized_as_the_fields_beside_them() -> None:
    rows = [
        (fields.replace("`", "").split(), re.split("[,;] ", names)) for fields, names in table(TEXT, "| field | such")
    ]
    assert {field for fields, _ in rows for field in fields} == set(NAMES)
    assert {(*guess([name]),) for _, names in rows for name in names} == {(field,) for field in NAMES}
    assert [name for fields, names in rows for name in names if not set(guess([name])) <= set(fields)] == []


def test_the_documented_times_are_those_of_the_membership_table() -> None:
    assert f"{KEEP_ACTIVE // DAY} or more days old" in FLOWING
    assert f"kept for {KEEP_EXIT // DAY} days" in FLOWING
    assert 110 <= sum(WAITS) <= 130  # "for two minutes"


def test_the_documented_estimates_are_those_of_the_cost_and_scaling_models() -> None:
    assert abs(worker(2) / CHANGES_A_SECOND - 1) < 0.05
    assert WORKER.concurrency == WORKERS
    million = (total(Traffic(11e6)) - total(Traffic(1e6))) / 10
    assert abs(million / DOLLARS_A_MILLION - 1) < 0.1
    assert f"about {round(WORKERS * CHANGES_A_SECOND, -2):,} members a second" in FLOWING
    assert f"about ${DOLLARS_A_MILLION:.2f} at AWS" in FLOWING
    assert round(estimate(1_000_000, WORKERS)[0] / 60) == 8  # "eight minutes for a million"
    rows, _, _, messages = (float(cell.replace(",", "")) for cell in table(TEXT, "| rows | file, MB")[-1][:4])
    assert 60 < estimate(round(1_000 * rows / messages), WORKERS)[0] < 300  # "less than five minutes of delivery"
