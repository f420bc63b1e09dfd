"""Errors of SQS. Each class is one error shape of its API, so that boto3 raises the exception of the same name.

The service once used XML, and still has the error codes of that time: they travel in the header `x-amzn-query-error`,
and boto3 shows them as `Error.Code`. The shape's own name selects the exception class.

Messages name the parameter at fault and the rule. They never hold a value: message bodies can be personal data.
"""


class SqsError(Exception):
    """Root of the tree. `query_code` is the older code of the same error; `shape` the name on the wire."""

    query_code = "InternalError"
    shape = "com.amazonaws.sqs#InternalError"

    def __init_subclass__(cls, *, code: str | None = None, namespace: str = "com.amazonaws.sqs") -> None:
        cls.query_code = code or f"AWS.SimpleQueueService.{cls.__name__}"
        cls.shape = f"{namespace}#{cls.__name__}"


class QueueDoesNotExist(SqsError, code="AWS.SimpleQueueService.NonExistentQueue"):
    """No queue of this name."""

    def __init__(self) -> None:
        super().__init__("The specified queue does not exist.")


class QueueNameExists(SqsError, code="QueueAlreadyExists"):
    """The queue exists."""


class EmptyBatchRequest(SqsError):
    """A batch without entries."""


class TooManyEntriesInBatchRequest(SqsError):
    """More than 10 entries."""


class BatchEntryIdsNotDistinct(SqsError):
    """Two entries share an id."""


class InvalidBatchEntryId(SqsError):
    """Ids are up to 80 letters, digits, hyphens and underscores."""


class BatchRequestTooLong(SqsError):
    """The entries together are larger than one request may be."""


class MessageNotInflight(SqsError):
    """The message is visible, so it has no visibility timeout to change."""


class ReceiptHandleIsInvalid(SqsError, code="ReceiptHandleIsInvalid"):
    """Not a handle of this queue."""


class InvalidMessageContents(SqsError, code="InvalidMessageContents"):
    """A character that XML 1.0 does not allow."""


class InvalidAttributeName(SqsError, code="InvalidAttributeName"):
    """A queue attribute that is unknown to SQS, or to this server."""


class InvalidAttributeValue(SqsError, code="InvalidAttributeValue"):
    """A redrive policy that names no queue."""


class OverLimit(SqsError, code="OverLimit"):
    """Too many messages are in flight."""


class InvalidParameterValueException(SqsError, code="InvalidParameterValue", namespace="com.amazon.coral.service"):
    """A parameter out of its range. Not modelled: boto3 raises ClientError."""


class MissingRequiredParameterException(SqsError, code="MissingParameter", namespace="com.amazon.coral.service"):
    """A required parameter is absent or empty. Not modelled: boto3 raises ClientError."""


class UnknownOperationException(SqsError, code="InvalidAction", namespace="com.amazon.coral.service"):
    """An operation unknown to SQS, or to this server."""
