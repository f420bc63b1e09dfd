"""The errors of boto3's clients, as botocore raises them."""

from collections.abc import Callable

from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

from tests.support.doubles.dynamodb import refusal


def errors_of(operation: str, throttled: str) -> Callable[[str], Exception]:
    """Return the errors of one operation by kind. `throttled` is the service's code for it."""

    def error(kind: str) -> Exception:
        if kind == "timeout":
            return ReadTimeoutError(endpoint_url="https://simulated")
        if kind == "reset":
            return ConnectionClosedError(endpoint_url="https://simulated")
        return refusal(throttled, operation)

    return error
