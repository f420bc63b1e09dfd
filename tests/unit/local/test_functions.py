"""Functions run in processes of their own, and fail as Lambda's do."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
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
Test = Callable[[Functions, list[str]], Coroutine[Any, Any, None]]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., None]:
    """Run a test with a function `F` and the lines it has printed."""
    (tmp_path / "handler.py").write_text(HANDLER)
    (tmp_path / "broken.py").write_text("import no_such_module")

    def start(test: Test, *, timeout: float = TIMEOUT, handler: str = "handler.lambda_handler") -> None:
        async def all_of_it() -> None:
            lines: list[str] = []
            function = Function("F", tmp_path, handler, timeout, {})
            functions = Functions({"F": function}, {"F": {"COLOUR": "blue"}}, lambda _, line: lines.append(line))
            try:
                await test(functions, lines)
            finally:
                await functions.close()
            assert len(asyncio.all_tasks()) == 1

        asyncio.run(all_of_it())

    return start


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_handler_gets_event_environment_and_context(
    run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the developer's own")

    async def test(functions: Functions, _: list[str]) -> None:
        event = {"do": "report", "text": "Zoë", "big": "x" * 3_000_000}
        first, second = [await functions.invoke("F", event) for _ in range(2)]
        assert first["event"] == event
        assert first["environment"]["COLOUR"] == "blue"
        assert "AWS_SECRET_ACCESS_KEY" not in first["environment"]
        assert TIMEOUT * 1000 / 2 < second["milliseconds"] <= TIMEOUT * 1000
        assert first["id"] != second["id"]
        assert first["arn"].startswith("arn:aws:lambda:us-east-1:123456789012:function:")
        assert first["pid"] == second["pid"] != os.getpid()

    run(test)


def test_what_a_handler_prints_is_forwarded_line_by_line(run: Callable[..., None]) -> None:
    async def test(functions: Functions, lines: list[str]) -> None:
        await functions.invoke("F", {"do": "print", "text": "one\ntwo"})
        await until(lambda: {"imported", "one", "two", "an error line"} <= set(lines))

    run(test)


def test_an_endless_line_does_not_stop_the_others(run: Callable[..., None]) -> None:
    async def test(functions: Functions, lines: list[str]) -> None:
        for _ in range(3):
            await functions.invoke("F", {"do": "print", "text": "x" * (LONGEST_LINE + 10)})
        await functions.invoke("F", {"do": "print", "text": "after it"})
        await until(lambda: "after it" in lines)

    run(test)


@pytest.mark.parametrize(("do", "error"), [("raise", "ValueError"), ("return nonsense", "TypeError")])
def test_an_exception_is_reported_by_name_and_the_process_lives_on(
    run: Callable[..., None], do: str, error: str
) -> None:
    async def test(functions: Functions, lines: list[str]) -> None:
        pid = await functions.invoke("F", {"do": "pid"})
        with pytest.raises(FunctionError, match=f"^raised {error}$"):
            await functions.invoke("F", {"do": do})
        assert await functions.invoke("F", {"do": "pid"}) == pid
        await until(lambda: any(line.startswith("Traceback") for line in lines))

    run(test)


@pytest.mark.parametrize("do", ["die", "exit"])
def test_a_process_that_ends_fails_its_invocation_and_the_next_gets_a_new_one(
    run: Callable[..., None], do: str
) -> None:
    async def test(functions: Functions, _: list[str]) -> None:
        pid = await functions.invoke("F", {"do": "pid"})
        with pytest.raises(FunctionError, match="the process ended"):
            await functions.invoke("F", {"do": do})
        assert await functions.invoke("F", {"do": "pid"}) != pid

    run(test)


def test_a_process_that_ended_while_idle_costs_no_invocation(run: Callable[..., None]) -> None:
    async def test(functions: Functions, _: list[str]) -> None:
        pid = await functions.invoke("F", {"do": "pid"})
        os.kill(pid, signal.SIGKILL)
        await until(lambda: not functions._idle["F"][0].is_alive)
        assert await functions.invoke("F", {"do": "pid"}) != pid

    run(test)


def test_a_timeout_ends_the_process_and_the_next_invocation_gets_a_new_one(run: Callable[..., None]) -> None:
    async def test(functions: Functions, _: list[str]) -> None:
        pid = await functions.invoke("F", {"do": "pid"})
        with pytest.raises(FunctionError, match=r"timed out after 1.5 s"):
            await functions.invoke("F", {"do": "sleep", "seconds": 20})
        assert await functions.invoke("F", {"do": "pid"}) != pid
        await until(lambda: not is_running(pid))

    run(test, timeout=1.5)


def test_invocations_at_once_get_a_process_each_and_the_processes_are_used_again(run: Callable[..., None]) -> None:
    async def test(functions: Functions, _: list[str]) -> None:
        await functions.warm("F", 3)
        waiting = [functions.invoke("F", {"do": "sleep", "seconds": 0.2}) for _ in range(3)]
        pids = await asyncio.gather(*waiting)
        assert len(set(pids)) == 3
        assert {await functions.invoke("F", {"do": "pid"}) for _ in range(5)} <= set(pids)
        assert functions.running == 0

    run(test)


def test_an_invocation_runs_on_when_its_caller_hangs_up_and_no_other_gets_its_answer(
    run: Callable[..., None],
) -> None:
    async def test(functions: Functions, _: list[str]) -> None:
        await functions.warm("F")
        leaving = asyncio.create_task(functions.invoke("F", {"do": "sleep", "seconds": 2}))
        await asyncio.sleep(0.1)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        assert functions.running == 1
        answer = await functions.invoke("F", {"do": "report"})
        assert answer["event"] == {"do": "report"}
        await until(lambda: functions.running == 0)
        assert len(functions._idle["F"]) == 2

    run(test)


def test_closing_ends_every_process_also_those_at_work(run: Callable[..., None]) -> None:
    async def test(functions: Functions, _: list[str]) -> None:
        await functions.warm("F", 2)
        pids = [environment.process.pid for environment in functions._idle["F"]]
        at_work = asyncio.create_task(functions.invoke("F", {"do": "sleep", "seconds": 20}))
        await asyncio.sleep(0.1)
        async with asyncio.timeout(10):
            await functions.close()
        await asyncio.gather(at_work, return_exceptions=True)
        assert not any(map(is_running, pids))

    run(test, timeout=30)


def test_a_handler_that_cannot_be_imported_is_reported_and_leaves_no_process(run: Callable[..., None]) -> None:
    async def test(functions: Functions, lines: list[str]) -> None:
        for _ in range(2):
            with pytest.raises(FunctionError, match="cannot be imported"):
                await functions.invoke("F", {"do": "pid"})
        assert "ModuleNotFoundError: No module named 'no_such_module'" in lines
        assert (functions.running, functions._idle["F"]) == (0, [])

    run(test, handler="broken.lambda_handler")
