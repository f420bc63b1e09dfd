"""Functions run in processes of their own, and fail as Lambda's do."""

import asyncio
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.functions import LONGEST_LINE, FunctionError, Functions
from local.template import Function

HANDLER = """
import os, signal, sys, time

print("imported")


def lambda_handler(event, context):
    match event["do"]:
        case "report":
            return {"pid": os.getpid(), "event": event, "environment": dict(os.environ), "id": context.aws_request_id,
                    "milliseconds": context.get_remaining_time_in_millis(), "arn": context.invoked_function_arn}
        case "print":
            print(event["text"])
            print("an error line", file=sys.stderr, flush=True)
        case "sleep":
            time.sleep(event["seconds"])
        case "raise":
            raise ValueError("a text that is not for the caller")
        case "return nonsense":
            return {1, 2}
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            sys.exit(3)
    return os.getpid()
"""
TIMEOUT = 30.0


class Started:
    """A function `F`, the lines that it has printed, and the loop that it runs in."""

    def __init__(self, folder: Path, runner: asyncio.Runner) -> None:
        self.lines: list[str] = []
        self.folder = folder
        self.run = runner.run
        self.start()

    def start(self, timeout: float = TIMEOUT, handler: str = "handler.lambda_handler") -> None:
        function = Function("F", self.folder, handler, timeout, {})
        environment = {"F": {"COLOUR": "blue"}}
        self.functions = Functions({"F": function}, environment, lambda _, line: self.lines.append(line))

    def invoke(self, do: str, **event: Any) -> Any:
        return self.run(self.functions.invoke("F", {"do": do} | event))

    def until(self, holds: Callable[[], bool]) -> None:
        async def wait() -> None:
            async with asyncio.timeout(30):
                while not holds():
                    await asyncio.sleep(0.01)

        self.run(wait())


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    (tmp_path / "handler.py").write_text(HANDLER)
    (tmp_path / "broken.py").write_text("import no_such_module")
    with asyncio.Runner() as runner:
        started = Started(tmp_path, runner)
        try:
            yield started
        finally:
            runner.run(started.functions.close())
        assert asyncio.all_tasks(runner.get_loop()) == set()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_handler_gets_event_environment_and_context(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the developer's own")
    event = {"text": "Zoë", "big": "x" * 3_000_000}
    first, second = [started.invoke("report", **event) for _ in range(2)]
    assert first["event"] == {"do": "report"} | event
    assert first["environment"]["COLOUR"] == "blue"
    assert "AWS_SECRET_ACCESS_KEY" not in first["environment"]
    assert TIMEOUT * 1000 / 2 < second["milliseconds"] <= TIMEOUT * 1000
    assert first["id"] != second["id"]
    assert first["arn"].startswith("arn:aws:lambda:us-east-1:123456789012:function:")
    assert first["pid"] == second["pid"] != os.getpid()


def test_the_output_of_a_handler_is_forwarded_line_by_line(started: Started) -> None:
    started.invoke("print", text="one\ntwo")
    started.until(lambda: {"imported", "one", "two", "an error line"} <= set(started.lines))


def test_start_and_end_of_an_invocation_are_logged_as_lambda_logs_them(started: Started) -> None:
    request_id = started.invoke("report")["id"]
    with pytest.raises(FunctionError):
        started.invoke("raise")
    logged = [json.loads(line) for line in started.lines if "platform" in line]
    assert [each["type"] for each in logged] == ["platform.start", "platform.report"] * 2
    assert [each["record"]["requestId"] == request_id for each in logged] == [True, True, False, False]
    assert [each["record"].get("status") for each in logged] == [None, "success", None, "failure"]


def test_an_endless_line_does_not_stop_the_others(started: Started) -> None:
    for _ in range(3):
        started.invoke("print", text="x" * (LONGEST_LINE + 10))
    started.invoke("print", text="after it")
    started.until(lambda: "after it" in started.lines)


@pytest.mark.parametrize(("do", "error"), [("raise", "ValueError"), ("return nonsense", "TypeError")])
def test_an_exception_is_reported_by_name_and_the_process_is_reused(started: Started, do: str, error: str) -> None:
    pid = started.invoke("pid")
    with pytest.raises(FunctionError, match=f"^raised {error}$"):
        started.invoke(do)
    assert started.invoke("pid") == pid
    started.until(lambda: any(line.startswith("Traceback") for line in started.lines))


@pytest.mark.parametrize("do", ["die", "exit"])
def test_a_process_that_ends_fails_its_invocation_and_the_next_gets_a_new_one(started: Started, do: str) -> None:
    pid = started.invoke("pid")
    with pytest.raises(FunctionError, match="the process ended"):
        started.invoke(do)
    assert started.invoke("pid") != pid


def test_a_process_that_ended_while_idle_costs_no_invocation(started: Started) -> None:
    pid = started.invoke("pid")
    os.kill(pid, signal.SIGKILL)
    started.until(lambda: not started.functions._idle["F"][0].is_alive)
    assert started.invoke("pid") != pid


def test_a_timeout_ends_the_process_and_the_next_invocation_gets_a_new_one(started: Started) -> None:
    started.start(timeout=1.5)
    pid = started.invoke("pid")
    with pytest.raises(FunctionError, match=r"timed out after 1.5 s"):
        started.invoke("sleep", seconds=20)
    assert started.invoke("pid") != pid
    started.until(lambda: not is_running(pid))


def test_invocations_at_once_get_a_process_each_and_the_processes_are_used_again(started: Started) -> None:
    async def at_once() -> list[int]:
        await started.functions.warm("F", 3)
        sleeping = [started.functions.invoke("F", {"do": "sleep", "seconds": 0.2}) for _ in range(3)]
        return list(await asyncio.gather(*sleeping))

    pids = started.run(at_once())
    assert len(set(pids)) == 3
    assert {started.invoke("pid") for _ in range(5)} <= set(pids)
    assert started.functions.running == 0


def test_an_invocation_runs_on_when_its_caller_hangs_up_and_no_other_gets_its_answer(started: Started) -> None:
    async def hang_up() -> None:
        await started.functions.warm("F")
        leaving = asyncio.create_task(started.functions.invoke("F", {"do": "sleep", "seconds": 2}))
        await asyncio.sleep(0.1)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)

    started.run(hang_up())
    assert started.functions.running == 1
    assert started.invoke("report")["event"] == {"do": "report"}
    started.until(lambda: started.functions.running == 0)
    assert len(started.functions._idle["F"]) == 2


def test_closing_ends_busy_and_idle_processes(started: Started) -> None:
    async def close_at_work() -> list[int]:
        await started.functions.warm("F", 2)
        pids = [pid for environment in started.functions._idle["F"] if (pid := environment.process.pid)]
        at_work = asyncio.create_task(started.functions.invoke("F", {"do": "sleep", "seconds": 20}))
        await asyncio.sleep(0.1)
        async with asyncio.timeout(10):
            await started.functions.close()
        await asyncio.gather(at_work, return_exceptions=True)
        return pids

    assert not any(map(is_running, started.run(close_at_work())))


def test_a_handler_that_cannot_be_imported_is_reported_and_leaves_no_process(started: Started) -> None:
    started.start(handler="broken.lambda_handler")
    for _ in range(2):
        with pytest.raises(FunctionError, match="cannot be imported"):
            started.invoke("pid")
    assert "ModuleNotFoundError: No module named 'no_such_module'" in started.lines
    assert (started.functions.running, started.functions._idle["F"]) == (0, [])
