"""`tail`: which log lines an operator sees, in which words, and which options select them."""

import json
import re
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from audience_sync.errors import Unavailable
from audience_sync_cli.frame.errors import NotThere, WrongUsage
from audience_sync_cli.stack.function_logs import FUNCTIONS, Follower, FunctionLogs, LogLine
from audience_sync_cli.watch.log_entries import _READERS, entries, selected
from audience_sync_cli.watch.tail import batches, tail
from local.template import ROOT
from tests.command.conftest import Deployment
from tests.support.aws_fixtures import AUDIENCE
from tests.support.json_schema import faults

SOURCES = ROOT / "functions"
ID = AUDIENCE.audience_id
TIMES = "since 2027-01-15 07:59:00Z; next try by 2027-01-15 08:02:10Z"
AHEAD = "time_ahead: the time is more than five minutes ahead. personas_1"
METRICS: dict[str, Any] = {"_aws": {"CloudWatchMetrics": []}}
UNAUTHORIZED = METRICS | {"RequestsUnauthorized": [1.0]}
TAKEN_BACK = METRICS | {"ChangesDelivered": [-2.0], "ChangesParked": [2.0]}
DELIVERED = METRICS | {"ChangesDelivered": [2.0], "ChangesSuperseded": [1.0]}


REJECTED = {"message": "event rejected", "reason": "time_ahead", "message_id": "personas_1"}
BY_ONE, HAS_DENIED = REJECTED | {"audience_id": "7"}, "consent_denied: the person has denied consent"
ACCEPTED = METRICS | {"EventsAccepted": [2.0, 1.0], "EventsIgnored": [1.0], "EventsRejected": [4.0]}
WITHOUT = UNAUTHORIZED | {"RequestsWithoutCredential": [1.0]}
NO_TOKEN = {"message": "token refresh failed", "reason": "not_connected"}
NOT_YET = "not_connected: Amazon is not connected yet"
IS_REFUSED = "authorization_refused: Amazon refuses the stored authorization (invalid_grant, invalid_client)"
DENIED = {"message": "consent denied", "reason": "consent_denied", "message_id": "personas_1"}
OF_A_REQUEST = {"message": "events rejected", "rejected": 4, "by_reason": {"time_ahead": 4}}
OF_A_LARGE_ONE = OF_A_REQUEST | {"rejected": 150, "by_reason": {"time_ahead": 149, "no_identifier": 1}}
MORE = "50 more events of the same request; all its rejections: 149 time_ahead, 1 no_identifier"
OF_JOB = "audience 1, 2 records parked, hashes of 2 members erased, job job-1"
TOO_LARGE = {"message": "request refused", "status": 413, "reason": "too_large", "detail": "over 4500000 bytes"}
UPLOADED = {"message": "upload accepted", "audience_id": "1", "job_id": "job-1", "records": 2}
INCOMPLETE: dict[str, Any] = {"message": "delivery incomplete", "waits_since": 1_799_999_940, "audience_ids": ["1"]}
REFUSED = INCOMPLETE | {"deferred": ["authorization_refused"], "waits_since": 2**60, "audience_ids": []}
FAILED = {
    "uploads_failed": {"throttled": 1},
    "parked": {"request_rejected": 2},
    "deferred": ["out_of_time", "throttled"],
}
ENDED = {"message": "job checked", "audience_id": "1", "job_id": "job-1", "state": "PARTIALLYSUCCEEDED"}
PARTLY = {"outcome": "ended", "parked": 2, "repeated": 0, "erased": 2}
NEW = {"message": "something new", "level": "WARNING", "location": "x:1", "reason": "new"}


@pytest.mark.parametrize(
    ("function", "fields", "expected"),
    [
        pytest.param("Ingest", ACCEPTED, ["accepted: 3 events accepted, 1 ignored"], id="accepted: of a request"),
        pytest.param("Ingest", REJECTED, [f"rejected: {AHEAD}"], id="rejected: with its message id"),
        pytest.param("Ingest", BY_ONE, [f"rejected: {AHEAD}, only by audience 7"], id="rejected: by one audience"),
        pytest.param("Ingest", DENIED, [f"denied: {HAS_DENIED}. personas_1"], id="denied"),
        pytest.param("Ingest", OF_A_REQUEST, [], id="rejected: the sum of lines that are shown already"),
        pytest.param("Ingest", OF_A_LARGE_ONE, [f"rejected: {MORE}"], id="rejected: more than have lines of their own"),
        pytest.param("Ingest", UNAUTHORIZED, ["refused: 401: request with a credential that does not match"], id="key"),
        pytest.param("Ingest", WITHOUT, ["refused: 401: request with no credential"], id="refused: no key"),
        pytest.param("Ingest", TOO_LARGE, ["refused: 413: too_large, over 4500000 bytes"], id="refused: too large"),
        pytest.param("Worker", UPLOADED, ["upload: 2 records to audience 1, job job-1"], id="upload"),
        pytest.param("Worker", DELIVERED, ["delivered: 2 changes delivered, 1 superseded"], id="delivered"),
        pytest.param("Jobs", TAKEN_BACK, [], id="what a job takes back"),
        pytest.param(
            "Worker",
            INCOMPLETE | FAILED,
            [
                "failed: 1 upload: 1 throttled, audience 1",
                "parked: 2 changes: 2 request_rejected, audience 1",
                f"waits: throttled: Amazon asks the stack to slow down (429), audience 1; {TIMES}",
            ],
            id="failed, parked and waiting",
        ),
        pytest.param("Worker", REFUSED, [f"waits: {IS_REFUSED}"], id="waiting for a person, and a time that cannot be"),
        pytest.param("Jobs", ENDED | PARTLY, [f"job: PARTIALLYSUCCEEDED (ended), {OF_JOB}"], id="job"),
        pytest.param("Refresh", NO_TOKEN, [f"token: {NOT_YET}. Run `audience-sync connect`."], id="no token"),
        pytest.param("Worker", NEW, ["warning: something new reason=new"], id="a warning without a form of its own"),
        pytest.param("Ingest", {"message": "credential used", "level": "INFO", "entry": "eventKey"}, [], id="other"),
        pytest.param("Ingest", {"type": "platform.start"}, [], id="a line of Lambda's own"),
    ],
)
def test_each_log_line_becomes_a_readable_entry(function: str, fields: dict[str, Any], expected: list[str]) -> None:
    shown = entries(LogLine(1_800_000_000_000, function, fields), 10)
    assert [f"{entry.kind}: {entry.text}" for entry in shown] == expected


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
FIELDS = "reason by_reason records parked erased uploads_failed deferred waits_since audience_ids audience_id job_id"


@given(
    message=st.sampled_from([*_READERS, "", "something new"]),
    fields=st.dictionaries(st.sampled_from([*FIELDS.split(), "state", "level", "_aws", "EventsAccepted"]), ANYTHING),
)
def test_unknown_log_lines_raise_no_error(message: str, fields: dict[str, Any]) -> None:
    for entry in entries(LogLine(0, "Worker", {"message": message} | fields)):
        assert entry.text
        assert json.dumps(entry.as_json())
        assert faults("tail", entry.as_json()) == []


def test_every_message_with_a_reader_is_logged_by_a_function() -> None:
    logged = "".join(path.read_text() for path in SOURCES.rglob("*.py"))
    runtime = SOURCES.parent / "layers/shared/audience_sync/runtime"
    logged += "".join((runtime / f"{name}.py").read_text() for name in ("telemetry", "intake_report"))
    messages = re.findall(r'"(\w[\w ]+)": _', (SOURCES.parent / "audience_sync_cli/watch/log_entries.py").read_text())
    assert len(messages) == 10
    assert [message for message in messages if f'"{message}"' not in logged] == []


@pytest.mark.parametrize(
    ("selection", "kinds"),
    [
        pytest.param({}, ["rejected", "upload", "parked"], id="everything"),
        pytest.param({"audience_id": "1"}, ["upload", "parked"], id="an audience"),
        pytest.param({"reason": "time_ahead"}, ["rejected"], id="a reason"),
        pytest.param({"audience_id": "1", "reason": "access_denied"}, ["parked"], id="both"),
    ],
)
def test_filters_are_combined(selection: dict[str, str], kinds: list[str]) -> None:
    logged: list[dict[str, Any]] = [REJECTED, UPLOADED, INCOMPLETE | {"parked": {"access_denied": 1}}]
    lines = [LogLine(at, "Worker", fields) for at, fields in enumerate(logged)]
    assert [entry.kind for entry in selected(lines, **selection)] == kinds


def test_no_follow_prints_past_entries_and_ends(deployment: Deployment) -> None:
    deployment.list_audience()
    deployment.log("Worker", "upload accepted", audience_id=ID, job_id="job-1", records=1)
    deployment.log("Worker", "upload accepted", audience_id="2", job_id="job-2", records=1)
    (printed,) = deployment.printed(tail, audience="lapsed_premium_buyers", follow=False).out.splitlines()
    assert re.fullmatch(rf"\S{{10}} \S{{8}}Z  upload     1 record to audience {ID}, job job-1", printed)


def test_with_json_each_line_is_a_document(deployment: Deployment) -> None:
    deployment.log("Ingest", "event rejected", reason="time_ahead", message_id="m-2")
    (document,) = map(json.loads, deployment.printed(tail, follow=False, as_json=True).out.splitlines())
    assert document.pop("at").endswith("Z")
    assert document == {"function": "ingest", "kind": "rejected", "reason": "time_ahead", "messageId": "m-2"}


@pytest.mark.parametrize(
    ("typed", "note"),
    [
        pytest.param("time_ahed", "Did you mean time_ahead?", id="almost right"),
        pytest.param("acces_denied", "Did you mean access_denied?", id="of a dead letter"),
        pytest.param("time_ahead", "", id="known"),
        pytest.param("unauthorized", "", id="known to others only"),
    ],
)
def test_a_similar_reason_code_is_suggested(deployment: Deployment, typed: str, note: str) -> None:
    error = deployment.printed(tail, reason=typed, follow=False).err
    assert (note in error) if note else ("reason code" not in error)


def test_new_entries_are_printed_after_each_pause(deployment: Deployment) -> None:
    deployment.log("Worker", "first")
    follower = Follower(FunctionLogs(deployment.stack), FUNCTIONS, 0)
    found = batches(follower, lambda: deployment.log("Jobs", "second"), print, once=False)
    assert [[line.message for line in next(found)], [line.message for line in next(found)]] == [["first"], ["second"]]


class FailingFollower:
    """Gives what is in the list: lines, or an error."""

    def __init__(self, *answers: list[LogLine] | Exception) -> None:
        self._answers = list(answers)

    def new(self) -> list[LogLine]:
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_temporary_error_does_not_end_tail_but_in_the_first_read() -> None:
    notes, silent = list[str](), Unavailable("CloudWatch Logs does not answer: x")
    follower: Any = FailingFollower([], silent, [LogLine(1, "Jobs", {})], silent)
    found = batches(follower, lambda: None, notes.append, once=False)
    assert [len(next(found)) for _ in range(3)] == [0, 0, 1]
    assert notes == ["CloudWatch Logs does not answer: x. Trying again."]
    with pytest.raises(Unavailable):
        next(batches(follower, lambda: None, print, once=False))


def test_a_missing_permission_ends_tail_at_any_time(deployment: Deployment) -> None:
    denied = ClientError({"Error": {"Code": "AccessDeniedException"}}, "FilterLogEvents")
    follower = Follower(FunctionLogs(deployment.stack), FUNCTIONS, 0)
    found = batches(follower, lambda: deployment.fail("logs", denied), print, once=False)
    next(found)
    with pytest.raises(Unavailable):
        next(found)


def test_an_unknown_audience_and_an_unreadable_age_are_refused(deployment: Deployment) -> None:
    deployment.refusal(NotThere, tail, audience="none", follow=False)
    deployment.refusal(WrongUsage, tail, since="10 minutes", follow=False)
