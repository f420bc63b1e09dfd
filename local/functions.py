"""Runs the template's functions, each in its own processes: one for each concurrent invocation."""

import asyncio
import contextlib
import json
import multiprocessing
import os
import socket
import time
from collections.abc import Callable, Mapping
from multiprocessing.context import ForkServerProcess
from typing import Any
from uuid import uuid4

from local import environment
from local.template import Function

MAX_ENVIRONMENTS = 10  # processes of one function
LONGEST_LINE = 2**20  # bytes that a function may print in one line
MAX_ANSWER = 2**24  # bytes; Lambda's limit is 6 MB

# Environments are forked from a process that has loaded these, and nothing of ours: most of the time of an import.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        *("aws_lambda_powertools.logging", "aws_lambda_powertools.metrics", "boto3", "orjson"),
        *("pydantic.json_schema", "pydantic.main", "requests", environment.__name__),
    ]
)

OnLine = Callable[[str, str], None]  # function name, line
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class FunctionError(Exception):
    """The handler raised, the process ended, or time ran out. The message says which."""


class Environment:
    """One process with one handler. Runs one invocation at a time."""

    def __init__(
        self, process: ForkServerProcess, channel: Stream, output: Stream, on_line: Callable[[str], None]
    ) -> None:
        self.process = process
        self._channel = channel
        self._output = output
        self._logs = asyncio.create_task(self._forward(on_line))
        self._is_killed = False

    @classmethod
    async def start(
        cls, function: Function, variables: Mapping[str, str], on_line: Callable[[str], None]
    ) -> "Environment":
        """Start the process and wait until the handler is imported."""
        (channel, their_channel), (output, their_output) = socket.socketpair(), socket.socketpair()
        with their_channel, their_output:
            process = _FORKS.Process(
                target=environment.serve,
                args=(function, _inherited() | dict(variables), their_channel, their_output),
            )
            await asyncio.to_thread(process.start)
        started = cls(
            process,
            await asyncio.open_connection(sock=channel, limit=MAX_ANSWER),
            await asyncio.open_connection(sock=output, limit=LONGEST_LINE),
            on_line,
        )
        try:
            await started._receive()
        except BaseException:
            await started.close()
            raise
        return started

    async def invoke(self, event: dict[str, Any], timeout: float, request_id: str = "") -> Any:
        """Run the handler on `event`.

        Raises:
            FunctionError: it raised, ended or ran into its timeout. In the latter two cases this environment is gone.
        """
        about = {"id": request_id or str(uuid4()), "deadline": time.time() + timeout}
        invocation = json.dumps(about | {"event": event})
        try:
            self._channel[1].write(invocation.encode() + b"\n")
            answer = await asyncio.wait_for(self._receive(), timeout)
        except TimeoutError:
            self.kill()
            raise FunctionError(f"timed out after {timeout:g} s") from None
        except (asyncio.IncompleteReadError, ConnectionError):
            self.kill()
            raise FunctionError("the process ended") from None
        except asyncio.LimitOverrunError:
            self.kill()
            raise FunctionError("the answer is too long") from None
        except asyncio.CancelledError:
            self.kill()  # otherwise its answer would count as the next invocation's
            raise
        if "error" in answer:
            raise FunctionError(f"raised {answer['error']}")
        return answer["result"]

    @property
    def is_alive(self) -> bool:
        """Whether the process can run another invocation."""
        return not self._is_killed and self.process.exitcode is None

    def kill(self) -> None:
        """End the process at once, as Lambda does after a timeout."""
        self._is_killed = True  # the return code arrives a moment later
        self.process.kill()

    async def close(self) -> None:
        """End the process and wait for its last lines."""
        self.kill()
        await asyncio.to_thread(self.process.join)
        await self._logs
        for _, writer in (self._channel, self._output):
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _receive(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(await self._channel[0].readuntil())
        return answer

    async def _forward(self, on_line: Callable[[str], None]) -> None:
        while True:
            try:
                line = await self._output[0].readline()
            except ValueError:  # over LONGEST_LINE; the reader has dropped its part of the line
                on_line("(a line too long to show)")
                continue
            if not line:
                return
            on_line(line.decode(errors="replace").rstrip("\n"))


class Functions:
    """All functions of the stack."""

    def __init__(
        self, functions: Mapping[str, Function], variables: Mapping[str, Mapping[str, str]], on_line: OnLine
    ) -> None:
        self._functions = functions
        self._variables = variables
        self._on_line = on_line
        self._idle: dict[str, list[Environment]] = {name: [] for name in functions}
        self._slots = {name: asyncio.Semaphore(MAX_ENVIRONMENTS) for name in functions}
        self._invocations: set[asyncio.Task[Any]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self.running = 0  # invocations at the moment

    def variables(self, name: str) -> Mapping[str, str]:
        """Return the environment variables of a function."""
        return self._variables[name]

    async def warm(self, name: str, count: int = 1) -> None:
        """Start environments ahead of the first invocation."""
        started = await asyncio.gather(*(self._start(name) for _ in range(count)))
        self._idle[name] += started

    async def invoke(self, name: str, event: dict[str, Any]) -> Any:
        """Run one invocation, in an idle environment or a new one. Raises FunctionError.

        As in Lambda, it runs to its end even if the caller hangs up.
        """
        invocation = asyncio.create_task(self._run(name, event), name=name)
        self._invocations.add(invocation)
        invocation.add_done_callback(self._invocations.discard)
        return await asyncio.shield(invocation)

    def kill(self, name: str) -> int:
        """End the running invocations of a function, with their processes. Returns how many there were."""
        return sum(each.cancel() for each in self._invocations if each.get_name() == name)

    async def _run(self, name: str, event: dict[str, Any]) -> Any:
        request_id, status = str(uuid4()), "failure"
        async with self._slots[name]:
            self.running += 1
            self._log(name, "start", requestId=request_id)
            try:
                environment = self._take(name) or await self._start(name)
                try:
                    answer = await environment.invoke(event, self._functions[name].timeout, request_id)
                    status = "success"
                    return answer
                finally:
                    self._release(name, environment)
            finally:
                self.running -= 1
                self._log(name, "report", requestId=request_id, status=status)

    def _log(self, name: str, what: str, **record: str) -> None:
        """Print a line of Lambda's own about an invocation."""
        self._on_line(name, json.dumps({"type": f"platform.{what}", "record": record}))

    async def close(self) -> None:
        """End all processes, busy or not."""
        for invocation in self._invocations:
            invocation.cancel()
        await asyncio.gather(*self._invocations, return_exceptions=True)
        idle = [environment for environments in self._idle.values() for environment in environments]
        await asyncio.gather(*(environment.close() for environment in idle), *self._closing)

    def _take(self, name: str) -> Environment | None:
        """Return an idle environment. Discards those that have ended."""
        while self._idle[name]:
            environment = self._idle[name].pop()
            if environment.is_alive:
                return environment
            self._release(name, environment)
        return None

    def _release(self, name: str, environment: Environment) -> None:
        if environment.is_alive:
            self._idle[name].append(environment)
            return
        task = asyncio.create_task(environment.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _start(self, name: str) -> Environment:
        try:
            return await Environment.start(
                self._functions[name], self._variables[name], lambda line: self._on_line(name, line)
            )
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise FunctionError("the handler cannot be imported") from error


def _inherited() -> dict[str, str]:
    """Return the part of our environment that a child needs; never our AWS settings."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "VIRTUAL_ENV")
    return {name: os.environ[name] for name in kept if name in os.environ}
