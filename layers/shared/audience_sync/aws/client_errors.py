"""Turns AWS's errors into ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from audience_sync.errors import Unavailable


class ConditionFailed(Exception):
    """DynamoDB refused a write because its condition does not hold. `row` is the one in the way, if requested."""

    def __init__(self, row: dict[str, Any] | None = None) -> None:
        super().__init__("the condition of the write does not hold")
        self.row = row


def error_code(error: Exception) -> str:
    """Return the code of an AWS failure, without its message, which may repeat the request."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "ClientError"))
    return type(error).__name__


@contextmanager
def unavailable(message: str, *, retry_after: float | None = None) -> Iterator[None]:
    """Raise Unavailable if AWS or the connection to it fails, and ConditionFailed if a condition does not hold.

    Args:
        message: describes the failure, such as "the queue does not answer"; the code is added.
        retry_after: seconds.
    """
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        response: Any = error.response if isinstance(error, ClientError) else {}
        reasons = [reason.get("Code") for reason in response.get("CancellationReasons", ())]  # of a transaction
        if error_code(error) == "ConditionalCheckFailedException" or "ConditionalCheckFailed" in reasons:
            raise ConditionFailed(response.get("Item")) from None
        raise Unavailable(f"{message}: {error_code(error)}", retry_after=retry_after) from None
