"""One execution environment: a process that imports one handler and runs it on one event after another, as in Lambda.

`channel` carries lines of JSON. In: {"id", "event", "deadline" (epoch seconds)}. Out: {"result"} or {"error"}.
The handler's own output goes to `output`.
"""

import importlib
import json
import os
import socket
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass

from local.template import REGION, ROOT, Function


@dataclass(frozen=True, slots=True)
class LocalContext:
    """The context that Lambda passes to a handler."""

    aws_request_id: str
    function_name: str
    deadline: float  # epoch seconds
    memory_limit_in_mb: int = 1024
    function_version: str = "$LATEST"

    @property
    def invoked_function_arn(self) -> str:
        """An ARN of the right shape."""
        return f"arn:aws:lambda:{REGION}:123456789012:function:{self.function_name}"

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function is stopped."""
        return max(0, round((self.deadline - time.time()) * 1000))


def serve(function: Function, variables: Mapping[str, str], channel: socket.socket, output: socket.socket) -> None:
    """Serve invocations, in a process just forked, until the channel closes."""
    os.setsid()  # the stack handles interrupts at the terminal
    for descriptor in (sys.stdout.fileno(), sys.stderr.fileno()):
        os.dup2(output.fileno(), descriptor)
    output.close()
    os.environ.clear()
    os.environ.update(variables)
    os.environ["AWS_LAMBDA_FUNCTION_NAME"] = function.name
    sys.path[:0] = [str(function.code), str(ROOT / "layers" / "shared")]
    module, _, name = function.handler.rpartition(".")
    lambda_handler = getattr(importlib.import_module(module), name)
    with channel, channel.makefile("rb") as invocations:
        channel.sendall(b'{"ready": true}\n')
        for line in invocations:
            invocation = json.loads(line)
            context = LocalContext(invocation["id"], function.name, invocation["deadline"])
            try:
                answer = json.dumps({"result": lambda_handler(invocation["event"], context)})
            except Exception as error:  # noqa: BLE001 - as Lambda does: report the error and continue with the next invocation
                traceback.print_exc()
                answer = json.dumps({"error": type(error).__name__})
            sys.stdout.flush()
            channel.sendall(answer.encode() + b"\n")
