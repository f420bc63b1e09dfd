"""The operator log: one line for each command that changed something, in a log group of the stack.

A line has operator, command, counts and outcome; never a value, an external user id or a secret. Operators write it
themselves, so it helps to find a cause, but proves nothing: CloudTrail does, with data events.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from audience_sync.aws.client_errors import error_code
from audience_sync_cli.frame.errors import WrongUsage
from audience_sync_cli.frame.explanation import explained

if TYPE_CHECKING:
    from audience_sync_cli.frame.stacks import Stack  # loads boto3, which completion must not

NAME = "Operator"  # the log group is OperatorLogGroup, named like the functions' groups
FIELDS = {  # optional details of a line, and their names for people
    "audienceId": "audience",
    "connectionId": "connection",
    "key": "key",
    "source": "source",
    "version": "version",
    "mappings": "mappings",
    "changes": "changes",
    "consent": "consent",
    "erased": "erased",
    "leftOut": "left out",
    "audiences": "audiences",
    "deadLetters": "dead letters",
    "rows": "rows",
    "events": "events",
    "note": "note",
}
UNWATCHED = 600  # seconds
_INTERRUPTED = "interrupted"  # so a person is there
LONGEST_NOTE = 200  # characters

type Line = dict[str, str | int | None]


class OperatorLog:
    """Writes operator log lines of one stack."""

    def __init__(self, stack: "Stack", note: Callable[[str], None], now: Callable[[], float]) -> None:
        """`note` is called if a line could not be written; `now` is in epoch seconds."""
        self._stack = stack
        self._note = note
        self._now = now

    @contextmanager
    def line(self, command: str, **details: str | int | None) -> Iterator[Line]:
        """Write a line at the end of a block that changes something, even if it fails.

        `command` is as typed, without minor options; `details` are some of FIELDS, to which the block may add results.
        """
        line: Line = dict(details)
        with self._ended(lambda outcome: self._write({"command": command, "outcome": outcome, **line})):
            yield line

    @contextmanager
    def published(self, command: str, line: Mapping[str, Any]) -> Iterator[None]:
        """Publish a line to the topic of the alarms at the end of a block, if it has taken longer than people watch."""
        began = self._now()

        def publish(outcome: str) -> None:
            if self._now() - began < UNWATCHED or outcome == _INTERRUPTED or "Alarms" not in self._stack:
                return
            what = "".join(f", {label} {line[name]}" for name, label in FIELDS.items() if name in line)
            text = f"audience-sync {command}: {outcome}. Stack {self._stack.name}{what}."
            try:
                sns = self._stack.service("sns")
                sns.publish(TopicArn=self._stack["Alarms"], Subject="Audience Sync", Message=text)
            except (ClientError, BotoCoreError) as error:
                self._note(f"Nothing was published to the topic of the alarms: {explained(error)}")

        with self._ended(publish):
            yield

    @contextmanager
    def _ended(self, tell: Callable[[str], None]) -> Iterator[None]:
        """Tell the outcome of a block."""
        outcome = "done"
        try:
            yield
        except (KeyboardInterrupt, EOFError):
            outcome = _INTERRUPTED
            raise
        except BaseException as error:
            outcome = f"failed: {type(error).__name__}"
            raise
        finally:
            tell(outcome)

    def caller(self) -> str:
        """Return the ARN of the operator's credentials, which needs no permission; if that fails, the profile."""
        try:
            return str(self._stack.service("sts").get_caller_identity()["Arn"])
        except (ClientError, BotoCoreError):
            return f"profile {os.environ.get('AWS_PROFILE', 'default')}"

    def _write(self, line: Line) -> None:
        """Write a line, or say that it could not be written: the command itself has succeeded."""
        try:
            at = round(self._now() * 1000)
            group, stream = self._stack[f"{NAME}LogGroup"], f"{datetime.fromtimestamp(at / 1000, UTC):%Y/%m/%d}"
            text = json.dumps({"who": self.caller(), **line})
            self._put(logGroupName=group, logStreamName=stream, logEvents=[{"timestamp": at, "message": text}])
        except Exception as error:  # noqa: BLE001 - the command's own outcome matters, whatever the error
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


def checked_note(text: str) -> str:
    """Return an operator's note as it is stored. Raises WrongUsage."""
    note = " ".join(text.split())
    if not 0 < len(note) <= LONGEST_NOTE or not note.isprintable():
        raise WrongUsage(
            f"The note must have 1 to {LONGEST_NOTE} characters.", "Describe the action taken, without personal data."
        )
    return note
