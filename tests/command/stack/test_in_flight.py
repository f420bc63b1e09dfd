"""Messages in flight: since when, and when that is a standstill."""

import pytest

from audience_sync_cli.stack.function_logs import LogLine
from audience_sync_cli.stack.in_flight import STALLED, VISIBILITY, begun, stalled_since
from local.template import Template

NOW = 1_800_000_000.0


def test_the_visibility_timeout_matches_the_template() -> None:
    assert Template.load().resources("AWS::SQS::Queue")["ChangeQueue"]["VisibilityTimeout"] == VISIBILITY


@pytest.mark.parametrize(
    ("since", "delivered_at", "stalled"),
    [
        pytest.param(NOW - STALLED, 0.0, NOW - STALLED, id="received long ago, and nothing was delivered"),
        pytest.param(NOW - 600, NOW - 400, NOW - 400, id="the newest delivery is long ago"),
        pytest.param(NOW - 600, NOW - STALLED + 1, None, id="another invocation delivers"),
        pytest.param(NOW - STALLED + 1, NOW - 3_600, None, id="received just now, after an idle hour"),
        pytest.param(None, NOW - 3_600, None, id="not known since when"),
    ],
)
def test_three_minutes_in_flight_without_a_delivery_are_a_standstill(
    since: float | None, delivered_at: float, stalled: float | None
) -> None:
    assert stalled_since(NOW, since, delivered_at) == stalled


def line(second: float, kind: str, request_id: str, **more: str) -> LogLine:
    record = {"requestId": request_id, **more}
    return LogLine(round((NOW + second) * 1000), "Worker", {"type": f"platform.{kind}", "record": record})


@pytest.mark.parametrize(
    ("lines", "second"),
    [
        pytest.param([], None, id="none"),
        pytest.param([line(1, "start", "a"), line(2, "report", "a", status="success")], None, id="it has ended"),
        pytest.param([line(1, "start", "a"), line(61, "report", "a", status="timeout")], 1, id="it was stopped"),
        pytest.param(
            [line(1, "start", "a"), line(2, "start", "b"), line(3, "report", "a", status="success")], 2, id="it runs"
        ),
        pytest.param([LogLine(0, "Worker", {"type": "platform.start", "record": "?"})], None, id="not as expected"),
    ],
)
def test_running_and_stopped_invocations_hold_messages(lines: list[LogLine], second: float | None) -> None:
    assert begun(lines) == (None if second is None else NOW + second)
