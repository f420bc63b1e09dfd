"""Status: the counts of a deployed or local stack, and the sentences about them."""

import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from audience_sync_cli.checks.status import audit_progress, status
from audience_sync_cli.frame.times import DAY
from audience_sync_cli.stack.blockers import Blocker
from audience_sync_cli.stack.counts import Counts, Depth, waiting_text
from audience_sync_cli.stack.needs import needs
from audience_sync_cli.stack.stack_metrics import StackMetrics
from tests.command.conftest import Deployment
from tests.support import dashboard_states as states

NOW = datetime(2026, 3, 4, 9, 30, tzinfo=UTC).timestamp()


def test_counts_of_a_deployed_stack_go_back_to_its_creation_and_erasures_12_hours(deployment: Deployment) -> None:
    deployment.publish(NOW - 40 * DAY, ChangesAccepted=3)
    deployment.publish(NOW - 60, ChangesAccepted=4, ChangesDelivered=5)
    deployment.publish(NOW - 60, {"service": "another"}, ChangesAccepted=100)
    metrics = StackMetrics(deployment.stack)
    counts = metrics.counts(NOW - 50 * DAY, NOW)
    assert (counts.accepted, counts.delivered, counts.waiting) == (7, 5, 2)
    assert metrics.counts(NOW - 50 * DAY, NOW, 2).accepted == 4, "the last hours alone"
    found = [metrics.overdue_erasures(NOW)]
    for hours, overdue in ((13, 3), (8, 2), (2, 1)):
        deployment.publish(NOW - hours * 3_600, ErasuresOverdue=overdue)
        found.append(metrics.overdue_erasures(NOW))
    assert found == [0, 0, 2, 1], "of the last check"


def test_status_counts_requests_that_were_not_let_in(deployment: Deployment) -> None:
    """A local stack has no alarm: Segment, set up without its key, would be heard of nowhere."""
    deployment.list_audience()
    assert "unauthorized" not in deployment.printed(status).out
    deployment.publish(time.time(), RequestsUnauthorized=3, RequestsWithoutCredential=2)
    assert "unauthorized 3 requests refused" in " ".join(deployment.printed(status).out.split())
    assert deployment.json(status)["counts"]["unauthorized"] == 3


COMPLETED = "Every accepted change is completed"
REDRIVEN = "waiting; the change queue holds 5 messages: other changes in it are redriven"


@pytest.mark.parametrize(
    ("counts", "queue", "sentence"),
    [
        pytest.param(Counts(accepted=3, delivered=1, superseded=1, parked=1), 0, COMPLETED, id="all"),
        pytest.param(Counts(accepted=6, delivered=6), 5, f"0 changes {REDRIVEN}", id="only redriven ones"),
        pytest.param(Counts(accepted=6, delivered=5), 5, f"1 change {REDRIVEN}", id="with redriven ones"),
        pytest.param(Counts(), 0, "No change was accepted", id="nothing yet"),
        pytest.param(Counts(), 2, "No change was accepted", id="only what is not counted"),
        pytest.param(Counts(accepted=3, delivered=1), 1, "2 changes waiting in 1 message of", id="waiting"),
        pytest.param(Counts(accepted=3, delivered=1), 0, "2 changes not completed, but the change queue", id="a lag"),
        pytest.param(Counts(accepted=3, delivered=1, unaccounted=2), 0, "Every accepted", id="missing"),
        pytest.param(Counts(accepted=1, delivered=2), 0, COMPLETED, id="one counted twice"),
    ],
)
def test_one_sentence_tells_whether_changes_are_waiting(counts: Counts, queue: int, sentence: str) -> None:
    assert sentence in waiting_text(counts, Depth(queue, 0, 0))


@pytest.mark.parametrize(
    ("counts", "waiting", "twice"),
    [
        pytest.param(Counts(accepted=50_020, delivered=50_306, superseded=1), 0, 287, id="before the audit"),
        pytest.param(Counts(accepted=9, delivered=7, superseded=1, counted_twice=2), 3, 2, id="found by the audit"),
        pytest.param(Counts(accepted=9, delivered=7, parked=1), 1, 0, id="none"),
    ],
)
def test_the_sum_of_changes_adds_up_if_some_were_counted_twice(counts: Counts, waiting: int, twice: int) -> None:
    assert (counts.waiting, counts.counted_twice) == (waiting, twice)
    assert counts.accepted == counts.delivered + counts.superseded + counts.parked + waiting - twice
    assert (f"{waiting} waiting" + (f" - {twice} counted twice" if twice else "")) in counts.sum(dead_letters=0)


@pytest.mark.parametrize(
    ("parked", "dead_letters", "since"),
    [
        pytest.param(0, 0, "", id="none"),
        pytest.param(3, 0, "3 redriven, dropped or expired", id="all were redriven"),
        pytest.param(3, 1, "2 redriven, dropped or expired", id="one is left"),
        pytest.param(3, 3, "", id="all are left"),
        pytest.param(3, 5, "", id="others moved there by SQS"),
        pytest.param(3, None, "", id="of the last hours: they may be others than the dead letters"),
    ],
)
def test_status_shows_parked_changes_that_left_the_queue(parked: int, dead_letters: int | None, since: str) -> None:
    counts = Counts(accepted=parked, parked=parked)
    assert f"{parked} parked{f' ({since})' if since else ''} + 0 waiting" in counts.sum(dead_letters)
    shown = replace(states.empty(), counts=counts, dead_letters=dead_letters or parked * (dead_letters is None))
    assert shown.as_json()["parkedSince"] == since, "the page says the same"


BLOCKED = Blocker("not_connected", "Amazon is not connected yet.", "Run `audience-sync connect`.", needs_person=True)
ONE_PARKED = "1 dead letter needs you: `audience-sync parked list`."
PARKED = "6 dead letters need you: `audience-sync parked list`."
REJECTED = "100 events of 10,000 rejected: `audience-sync rejections`."
URGENT = [
    "Amazon is not connected yet. Run `audience-sync connect`.",
    "2 changes unaccounted for: see UnaccountedChanges in docs/runbook.md.",
    "2 erasures overdue: `audience-sync member erasure`.",
    PARKED,
    "100 events of 100 rejected: `audience-sync rejections`.",
]


@pytest.mark.parametrize(
    ("counts", "dead_letters", "blockers", "texts"),
    [
        pytest.param(Counts(accepted=6, delivered=6), 0, [], [], id="nothing"),
        pytest.param(Counts(accepted=6, parked=6), 6, [], [PARKED], id="dead letters"),
        pytest.param(Counts(), 1, [], [ONE_PARKED], id="moved there by SQS"),
        pytest.param(Counts(accepted=6, parked=6), 0, [], [], id="all were redriven"),
        pytest.param(Counts(), 0, [Blocker("throttled", "Amazon is busy.")], [], id="a wait that ends by itself"),
        pytest.param(Counts(events_accepted=900, events_rejected=99), 0, [], [], id="some rejections"),
        pytest.param(Counts(events_accepted=99_900, events_rejected=100), 0, [], [], id="few of many"),
        pytest.param(Counts(events_accepted=9_900, events_rejected=100), 0, [], [REJECTED], id="many"),
        pytest.param(Counts(events_rejected=100, unaccounted=2), 6, [BLOCKED], URGENT, id="the most urgent first"),
    ],
)
def test_needs_are_sorted_by_urgency_and_prevent_a_statement_of_completion(
    counts: Counts, dead_letters: int, blockers: list[Blocker], texts: list[str]
) -> None:
    found = needs(counts, dead_letters, blockers, overdue_erasures=counts.unaccounted)
    assert [each.found for each in found] == texts
    assert "completed" not in waiting_text(counts, Depth(0, 0, 0), is_needed=True)


NOTHING = "nothing yet; the audit counts what is accepted from 2026-03-04 09:30:00Z on"
UP_TO = "completed up to 2026-03-04 09:30:00Z, 2 unaccounted for"


@pytest.mark.parametrize(
    ("until", "since", "sentence"),
    [
        pytest.param(None, None, "not completed yet; it runs every hour", id="the audit has not run"),
        pytest.param(round(NOW), round(NOW), NOTHING, id="it has run once, and nothing is audited yet"),
        pytest.param(round(NOW), round(NOW) - 300, UP_TO, id="up to a time"),
        pytest.param(round(NOW), None, UP_TO, id="of an older version"),
    ],
)
def test_the_audit_reports_its_progress_in_a_sentence(until: int | None, since: int | None, sentence: str) -> None:
    assert audit_progress(until, since, Counts(unaccounted=2)) == sentence
