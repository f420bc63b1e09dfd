"""A stack without a public API: events are sent to its queue, and commands say that there is no endpoint."""

import json
from pathlib import Path

import pytest

from audience_sync_cli.checks.check_all import test as run_test
from audience_sync_cli.checks.status import status
from audience_sync_cli.frame.errors import AlreadyReported, OperatorError
from audience_sync_cli.frame.session import NO_API
from audience_sync_cli.mappings.trial import try_
from audience_sync_cli.setup.keys import show
from audience_sync_cli.watch.send import send
from tests.command.conftest import Deployment
from tests.command.mappings.mapping_files import EVENTS, written

EVENT = EVENTS / "01-track-entered-full-pii.json"


@pytest.fixture
def queue_only(deployment: Deployment, event_queue: None) -> Deployment:  # noqa: ARG001 - of the same stack
    deployment.stack.api = ""
    deployment.stack.parameters = {**deployment.stack.parameters, "PublicApi": "no"}
    return deployment


def queued(deployment: Deployment) -> list[str]:
    return [each.body for each in deployment.queues.peek(str(deployment.stack.event_queue))]


def test_send_puts_the_bytes_of_a_file_into_the_queue(queue_only: Deployment) -> None:
    queue_only.list_audience()
    document = queue_only.json(send, EVENT)
    assert (document["status"], document["accepted"]) == (202, 1)
    assert queued(queue_only) == [EVENT.read_text()]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        pytest.param(b'{"a"', "the body is not JSON", id="not JSON"),
        pytest.param(b"\xff", "the body is not UTF-8", id="not UTF-8"),
        pytest.param(b'{"a": "' + b"a" * 2**20 + b'"}', "too large", id="over 1 MiB"),
    ],
)
def test_an_unusable_body_is_not_queued(queue_only: Deployment, tmp_path: Path, body: bytes, sentence: str) -> None:
    (tmp_path / "event.json").write_bytes(body)
    assert sentence in str(queue_only.refusal(OperatorError, send, tmp_path / "event.json"))
    assert queued(queue_only) == []


def test_commands_reject_an_event_without_a_time_as_the_queue_does(queue_only: Deployment, tmp_path: Path) -> None:
    queue_only.list_audience()
    undated = json.loads(EVENT.read_text()) | dict.fromkeys(("timestamp", "originalTimestamp", "receivedAt"))
    file = written(tmp_path, undated)
    shown = queue_only.json(send, file, raises=AlreadyReported)
    assert [each["reason"] for each in shown["rejections"]] == ["time_missing"]
    assert queue_only.json(try_, file, explain=True, raises=AlreadyReported)["accepted"] == 0


def test_commands_say_that_there_is_no_endpoint(queue_only: Deployment) -> None:
    found = queue_only.json(run_test, raises=AlreadyReported)["findings"]
    by_part = {each["part"]: (each["state"], each["found"]) for each in found}
    assert by_part["gateway"] == ("ok", NO_API)
    assert by_part["event queue"] == ("ok", "0 messages")
    assert "IngestFunction" not in by_part
    queue_only.stack.local = None
    shown = queue_only.json(status)
    assert (shown["eventsUrl"], shown["audiencesUrl"]) == (None, None)
    assert shown["eventQueueUrl"] == queue_only.stack.event_queue
    assert (shown["eventQueue"], shown["summary"]) == ({"messages": 0, "deadLetters": 0}, "No change was accepted.")
    assert NO_API.casefold() in queue_only.printed(show).err.casefold()


def test_status_shows_events_in_the_queue_and_among_its_dead_letters_with_what_to_do(queue_only: Deployment) -> None:
    queue_only.stack.local = None
    for name in ["EventsQueue"] * 12 + ["EventsDeadLetterQueue"] * 3:
        queue_only.send(name, "{")
    shown = queue_only.json(status)
    assert (shown["eventQueue"], len(shown["needs"])) == ({"messages": 12, "deadLetters": 3}, 1)
    told = queue_only.printed(status).out
    assert "event queue         12 messages" in told
    assert "the event queue holds 12 messages (if it does not empty, see OldestEventAge in docs/runbook.md)." in told
    assert "3 dead letters of the event queue: `audience-sync parked list`." in told


def test_status_of_a_stack_without_an_event_queue_does_not_mention_one(deployment: Deployment) -> None:
    deployment.stack.local = None
    assert deployment.json(status)["eventQueue"] is None
    assert "event queue" not in deployment.printed(status).out
