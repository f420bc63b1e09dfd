"""What the audit finds in its readings, when it tells it, and in which words."""

import re
from dataclasses import replace

import pytest

from audience_sync.members.membership import Audience
from audience_sync.operations.audience_trends import State, Trend
from audience_sync.operations.findings import (
    AUDIENCE_SHRUNK,
    DAY,
    HOUR,
    MAX_REASON,
    AuditFinding,
    Findings,
    Signs,
    alarm_states,
    of_audiences,
    of_the_stack,
    reason,
)
from local.template import ROOT

SECTION = (ROOT / "docs/runbook.md").read_text(encoding="utf-8").split("| finding | by | means |")[-1].split("\n\n")[0]
FINDINGS = re.findall(r"^\| `(\w+)` \|", SECTION, re.MULTILINE)
NOON = 20_000 * DAY + 12 * HOUR
NAMES = (
    "unresolved",
    "ending",
    "expiring",
    "revoked",
    "created",
    "strangers",
    "repeated",
    "delivered",
    "refreshes",
    "unreadable",
)
LONG_AGO = dict.fromkeys(("refreshes", "revoked", "renewal"), NOON - 30.0 * DAY)
ALIVE = {"refreshes": {NOON - HOUR: 3.0}, "revoked": {NOON - HOUR: 0.0}}
NO_VALUES: dict[str, dict[int, float]] = {name: {} for name in NAMES}
QUIET = Signs(NOON, NO_VALUES | ALIVE, LONG_AGO, renews=True, renewed=NOON - DAY)


def signs(**series: dict[int, float]) -> Signs:
    """Hours before noon, and their values."""
    given = {name: {NOON - before * HOUR: value for before, value in hours.items()} for name, hours in series.items()}
    return replace(QUIET, series={**QUIET.series, **given})


def names(found: Signs) -> list[str]:
    return [each.name for each in of_the_stack(found)]


@pytest.mark.parametrize(
    ("found", "name"),
    [
        pytest.param(signs(unresolved={25: 1}), "", id="a job of the day before"),
        pytest.param(signs(ending={4: 3}), "", id="new consent was given"),
        pytest.param(replace(signs(revoked={}), watched={"refreshes": 0.0}), "", id="no account, so nothing to read"),
        pytest.param(replace(signs(revoked={}), watched={"revoked": NOON - HOUR}), "", id="an account since an hour"),
        pytest.param(replace(signs(refreshes={}), watched={"refreshes": NOON - HOUR}), "", id="a new stack"),
        pytest.param(signs(created={20: 5, 2: 5}), "audiences_created", id="ten audiences within a day"),
        pytest.param(signs(created={25: 5, 2: 5}), "", id="five audiences a day"),
        pytest.param(signs(unreadable={24: 2}), "rows_unreadable", id="two rows, found by the daily renewal"),
        pytest.param(signs(unreadable={25: 2}), "", id="rows that nobody has met for a day"),
        pytest.param(signs(strangers={6: 100}), "requests_without_credential", id="a hundred requests in an hour"),
        pytest.param(signs(strangers={6: 99, 5: 99}), "", id="99 requests in each of two hours"),
        pytest.param(
            signs(repeated={2: 100, 1: 100}, delivered={2: 390, 1: 390}), "records_repeated", id="a fifth and more"
        ),
        pytest.param(signs(repeated={2: 100, 1: 100}, delivered={2: 400, 1: 390}), "", id="a fifth in one hour"),
        pytest.param(signs(repeated={2: 99, 1: 99}), "", id="few repetitions, whatever their share"),
        pytest.param(replace(QUIET, renewed=NOON - 26 * HOUR), "renewal_overdue", id="no pass for 26 hours"),
        pytest.param(replace(QUIET, renewed=NOON - 26 * HOUR + 1), "", id="a pass a day and two hours ago"),
        pytest.param(replace(QUIET, renewed=0, renews=False), "", id="no audience is renewed"),
    ],
)
def test_readings_lead_to_findings(found: Signs, name: str) -> None:
    assert names(found) == ([name] if name else [])


def test_all_at_once_are_told_in_the_order_of_the_runbook_the_most_urgent_first() -> None:
    series = ("unreadable", "unresolved", "ending", "expiring", "revoked", "created", "strangers")
    busy = {name: {1: 100.0} for name in series}
    everything = replace(signs(**busy, repeated={2: 100, 1: 100}, refreshes={}), renewed=0)
    unread = replace(everything, series={**everything.series, "revoked": {}})
    for found in (everything, unread):
        assert [each for each in FINDINGS if each in names(found)] == names(found)
    assert {*names(everything), *names(unread), AUDIENCE_SHRUNK} == {*FINDINGS}


def test_jobs_without_a_result_are_told_again_on_another_day() -> None:
    midnight = 12
    (today, yesterday) = reversed(list(of_the_stack(signs(unresolved={midnight + 1: 2, midnight: 3, 1: 4}))))
    assert (yesterday.about, ": 2." in yesterday.sentence) == ("2024-10-03", True)
    assert (today.about, ": 7." in today.sentence) == ("2024-10-04", True)
    assert Findings((yesterday,)).new_in([yesterday, today]) == [today]


A, B = AuditFinding("a", "A."), AuditFinding("b", "B.")


@pytest.mark.parametrize(
    ("before", "after", "states"),
    [
        pytest.param(Findings(), Findings(day=1), ("OK",), id="the first audit finds nothing"),
        pytest.param(Findings(day=1), Findings(day=1), (), id="an hour later: a state set by hand stays"),
        pytest.param(Findings(day=1), Findings(day=2), ("OK",), id="a day later"),
        pytest.param(Findings(day=1), Findings((A,), day=1), ("INSUFFICIENT_DATA", "ALARM"), id="it begins"),
        pytest.param(Findings((A,), day=1), Findings((A,), day=2), (), id="it stays"),
        pytest.param(Findings((A,)), Findings((A, B)), ("INSUFFICIENT_DATA", "ALARM"), id="another one beside it"),
        pytest.param(
            Findings((A,)), Findings((A._replace(level=2),)), ("INSUFFICIENT_DATA", "ALARM"), id="it becomes worse"
        ),
        pytest.param(Findings((A._replace(level=2),)), Findings((A,)), (), id="it becomes milder"),
        pytest.param(Findings((A, B)), Findings((A,)), (), id="one of two ends"),
        pytest.param(Findings((A,), day=1), Findings(day=1), ("OK",), id="the last one ends"),
    ],
)
def test_the_alarm_notifies_of_each_new_finding_and_of_the_end_of_the_last(
    before: Findings, after: Findings, states: tuple[str, ...]
) -> None:
    assert alarm_states(before, after) == states
    assert Findings.from_fields(after.fields) == after


def test_the_reason_of_the_alarm_names_what_is_new_fits_and_is_ascii() -> None:
    audiences = [Audience(str(number), name="Käufer " * 9) for number in range(100, 120)]
    trends = {each.audience_id: Trend(State.SILENT, "Nothing. " * 9) for each in audiences}
    trends["119"] = Trend(State.SIZE_FELL, "Since 2026-11-20 its size is 4, 60% less than the 10 of the weeks before.")
    said = reason(of_audiences(trends, audiences, []), others=2)
    assert said.startswith('audience_shrunk: "K?ufer K?ufer K?ufer K?ufer K?ufer K?ufe" (119): Since 2026-11-20')
    assert said.endswith("\n16 more: audience-sync status. What to do: docs/runbook.md, Findings.")
    assert (len(said) <= MAX_REASON, said.isascii()) == (True, True)
    assert reason([A], others=0) == "a: A.\nWhat to do: docs/runbook.md, Findings."
