"""The operator log: one line for each command that changed something, in a log group of the stack's own.

A line says who, which command, how many and how it ended; never a value, an external user id or a secret. Operators
write it themselves, so it helps to find out what happened, and proves nothing: CloudTrail does, with data events.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from audience_sync.aws.errors import error_code
from audience_sync_cli.explanation import explained
from audience_sync_cli.stack import Stack

NAME = "Operator"  # the log group is OperatorLogGroup, as those of functions are called
FIELDS = {  # details that a line may have, and their names for people
    "audienceId": "audience",
    "connectionId": "connection",
    "key": "key",
    "source": "source",
    "version": "version",
    "mappings": "mappings",
    "changes": "changes",
    "audiences": "audiences",
    "deadLetters": "dead letters",
    "rows": "rows",
    "events": "events",
}

type Line = dict[str, str | int | None]


class OperatorLog:
    """Writes the lines of one stack."""

    def __init__(self, stack: Stack, note: Callable[[str], None], now: Callable[[], float]) -> None:
        """Take the stack, what notes that a line could not be written, and the clock in epoch seconds."""
        self._stack = stack
        self._note = note
        self._now = now

    @contextmanager
    def line(self, command: str, **details: str | int | None) -> Iterator[Line]:
        """Write a line at the end of a block that changes something, also where it fails.

        Args:
            command: as it is typed, without options that do not change what it is.
            details: some of FIELDS. The block may add to the yielded line what it learns.
        """
        line: Line = dict(details)
        outcome = "done"
        try:
            yield line
        except (KeyboardInterrupt, EOFError):
            outcome = "interrupted"
            raise
        except BaseException as error:
            outcome = f"failed: {type(error).__name__}"
            raise
        finally:
            self._write({"command": command, "outcome": outcome, **line})

    def caller(self) -> str:
        """Return the ARN of the operator's credentials, which needs no permission; without an answer, the profile."""
        try:
            return str(self._stack.service("sts").get_caller_identity()["Arn"])
        except (ClientError, BotoCoreError):
            return f"profile {os.environ.get('AWS_PROFILE', 'default')}"

    def _write(self, line: Line) -> None:
        """Write a line, or say that it could not be written: the command itself has done its work."""
        try:
            at = round(self._now() * 1000)
            group, stream = self._stack[f"{NAME}LogGroup"], f"{datetime.fromtimestamp(at / 1000, UTC):%Y/%m/%d}"
            text = json.dumps({"who": self.caller(), **line})
            self._put(logGroupName=group, logStreamName=stream, logEvents=[{"timestamp": at, "message": text}])
        except Exception as error:  # noqa: BLE001 - whatever it is, the command's own outcome is the one to report
            self._note(f"The operator log has no line about this command: {explained(error)}")

    def _put(self, **arguments: Any) -> None:
        logs = self._stack.service("logs")
        try:
            logs.put_log_events(**arguments)
        except ClientError as error:
            if error_code(error) != "ResourceNotFoundException":
                raise
            with suppress(logs.exceptions.ResourceAlreadyExistsException):  # another operator was faster
                logs.create_log_stream(**{name: arguments[name] for name in ("logGroupName", "logStreamName")})
            logs.put_log_events(**arguments)
