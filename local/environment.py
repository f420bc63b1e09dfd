"""One execution environment: a process that imports one handler and runs it on one event after another, as in Lambda.

Started as `python -m local.environment CODE_FOLDER module.function` with a socket as file descriptor 3, which carries
lines of JSON. In: {"id", "event", "deadline" (epoch seconds), "trace"}. Out: {"result"} or {"error"}. The handler's
own output goes to standard output, as in Lambda.
"""

import importlib
import json
import os
import socket
import sys
import time
import traceback
from dataclasses import dataclass

CHANNEL = 3  # file descriptor
REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class Context:
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


def main() -> None:
    """Serve invocations until the channel closes."""
    folder, handler = sys.argv[1:3]
    sys.path.insert(0, folder)
    os.environ["AWS_LAMBDA_FUNCTION_NAME"] = _name(folder)  # makes botocore pass the trace on
    module, _, name = handler.rpartition(".")
    lambda_handler = getattr(importlib.import_module(module), name)
    with socket.socket(fileno=CHANNEL) as channel, channel.makefile("rb") as invocations:
        channel.sendall(b'{"ready": true}\n')
        for line in invocations:
            invocation = json.loads(line)
            os.environ["_X_AMZN_TRACE_ID"] = invocation["trace"]
            context = Context(invocation["id"], _name(folder), invocation["deadline"])
            try:
                answer = json.dumps({"result": lambda_handler(invocation["event"], context)})
            except Exception as error:  # noqa: BLE001 - as Lambda does: report the error and continue with the next invocation
                traceback.print_exc()
                answer = json.dumps({"error": type(error).__name__})
            sys.stdout.flush()
            channel.sendall(answer.encode() + b"\n")


def _name(folder: str) -> str:
    return folder.rstrip("/").rsplit("/", 1)[-1]


if __name__ == "__main__":
    main()
