"""The errors of boto3's clients, as botocore raises them."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError


def refusal(code: str, operation: str, **more: Any) -> ClientError:
    """Return the error of a call that the service has refused."""
    answer: Any = {"Error": {"Code": code, "Message": code}, **more}
    return ClientError(answer, operation)


def errors_of(operation: str, throttled: str) -> Callable[[str], Exception]:
    """Return the errors of one operation by kind. `throttled` is the service's code for it."""

    def error(kind: str) -> Exception:
        if kind == "timeout":
            return ReadTimeoutError(endpoint_url="https://simulated")
        if kind == "reset":
            return ConnectionClosedError(endpoint_url="https://simulated")
        return refusal(throttled, operation)

    return error
