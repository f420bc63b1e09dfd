"""Runs the template's functions, each in processes of its own: as many as there are invocations at once."""

import asyncio
import contextlib
import json
import os
import socket
import struct
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from local.template import ROOT, Function

MAX_ENVIRONMENTS = 10  # processes of one function; a laptop is not a region

Tell = Callable[[str, str], None]  # function name, line


class FunctionError(Exception):
    """The handler raised, the process ended, or time ran out. Names which."""


class Environment:
    """One process with one handler. Runs one invocation at a time."""

    def __init__(
        self, process: asyncio.subprocess.Process, channel: socket.socket, tell: Callable[[str], None]
    ) -> None:
        self.process = process
        self._channel = channel
        self._tell = tell
        self._logs = asyncio.create_task(self._forward())
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    @classmethod
    async def start(
        cls, function: Function, variables: Mapping[str, str], tell: Callable[[str], None]
    ) -> "Environment":
        """Start the process and wait until the handler is imported."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", _BOOT, str(theirs.fileno()), str(function.code), function.handler),
                cwd=ROOT,
                env=_inherited() | dict(variables),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                limit=2**20,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # an interrupt at the terminal is ours to handle
            )
        environment = cls(process, ours, tell)
        environment._streams = await asyncio.open_connection(sock=ours)
        await environment._receive()
        return environment

    async def invoke(self, event: dict[str, Any], timeout: float) -> Any:
        """Run the handler on `event`.

        Raises:
            FunctionError: it raised, ended or ran into its timeout. In the latter two cases this environment is gone.
        """
        assert self._streams is not None  # noqa: S101 - set by start
        frame = json.dumps({"id": str(uuid4()), "event": event, "deadline": time.time() + timeout}).encode()
        try:
            self._streams[1].write(struct.pack(">I", len(frame)) + frame)
            answer = await asyncio.wait_for(self._receive(), timeout)
        except TimeoutError:
            self.kill()
            raise FunctionError(f"timed out after {timeout:g} s") from None
        except (asyncio.IncompleteReadError, ConnectionError):
            self.kill()
            raise FunctionError("the process ended") from None
        if "error" in answer:
            raise FunctionError(f"raised {answer['error']}")
        return answer["result"]

    @property
    def is_alive(self) -> bool:
        """Whether the process can take another invocation."""
        return self.process.returncode is None

    def kill(self) -> None:
        """End the process at once, as Lambda does after a timeout."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    async def close(self) -> None:
        """End the process and wait for its last lines."""
        self.kill()
        await self.process.wait()
        await self._logs
        if self._streams:
            self._streams[1].close()
            with contextlib.suppress(ConnectionError):
                await self._streams[1].wait_closed()

    async def _receive(self) -> dict[str, Any]:
        assert self._streams is not None  # noqa: S101 - set by start
        header = await self._streams[0].readexactly(4)
        answer: dict[str, Any] = json.loads(await self._streams[0].readexactly(struct.unpack(">I", header)[0]))
        return answer

    async def _forward(self) -> None:
        assert self.process.stdout is not None  # noqa: S101 - a pipe, see start
        while line := await self.process.stdout.readline():
            self._tell(line.decode(errors="replace").rstrip("\n"))


class Functions:
    """All functions of the stack."""

    def __init__(
        self, functions: Mapping[str, Function], variables: Mapping[str, Mapping[str, str]], tell: Tell
    ) -> None:
        self._functions = functions
        self._variables = variables
        self._tell = tell
        self._idle: dict[str, list[Environment]] = {name: [] for name in functions}
        self._slots = {name: asyncio.Semaphore(MAX_ENVIRONMENTS) for name in functions}
        self._closing: set[asyncio.Task[None]] = set()
        self.running = 0  # invocations at the moment

    async def warm(self, name: str, count: int = 1) -> None:
        """Start environments ahead of the first invocation."""
        started = await asyncio.gather(*(self._start(name) for _ in range(count)))
        self._idle[name] += started

    async def invoke(self, name: str, event: dict[str, Any]) -> Any:
        """Run one invocation, in an idle environment or a new one. Raises FunctionError."""
        async with self._slots[name]:
            self.running += 1
            try:
                environment = self._idle[name].pop() if self._idle[name] else await self._start(name)
                try:
                    return await environment.invoke(event, self._functions[name].timeout)
                finally:
                    self._release(name, environment)
            finally:
                self.running -= 1

    def environments(self, name: str) -> list[Environment]:
        """Return the idle environments of one function."""
        return list(self._idle[name])

    async def close(self) -> None:
        """End all processes."""
        idle = [environment for environments in self._idle.values() for environment in environments]
        await asyncio.gather(*(environment.close() for environment in idle), *self._closing)

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
                self._functions[name], self._variables[name], lambda line: self._tell(name, line)
            )
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise FunctionError("the handler cannot be imported") from error


# The socket keeps whatever number it has here; local.environment expects number 3.
_BOOT = (
    "import os, runpy, sys; channel = int(sys.argv.pop(1)); "
    "channel == 3 or (os.dup2(channel, 3), os.close(channel)); sys.argv[0] = 'local.environment'; "
    "runpy.run_module('local.environment', run_name='__main__')"
)


def _inherited() -> dict[str, str]:
    """What a child needs of our own environment; never our AWS settings."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "VIRTUAL_ENV")
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(ROOT, "layers", "shared"))])
    }
