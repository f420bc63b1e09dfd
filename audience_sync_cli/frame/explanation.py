"""Turns any error into one that the operator can act on: a sentence, a remedy and an exit code."""

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

from audience_sync.aws.client_errors import error_code
from audience_sync.errors import (
    AccessDenied,
    AudienceSyncError,
    AuthorizationRefused,
    InvalidAudience,
    InvalidMapping,
    NotConnected,
    NotFound,
    RowUnreadable,
    TransientError,
    Unavailable,
)
from audience_sync_cli.frame import settings_faults
from audience_sync_cli.frame.errors import FaultyMappings, NotThere, OperatorError, TryLater, sentence
from audience_sync_cli.frame.usage import shown

_PROFILE = "Choose a profile (AWS_PROFILE) or log in to AWS, for instance with `aws sso login`."
_ABSENT = ("ResourceNotFoundException", "AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")
_BUSY = ("ThrottlingException", "Throttling", "RequestLimitExceeded", "ProvisionedThroughputExceededException")
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException")


def explained(error: Exception) -> OperatorError:
    """Turn any error into one for the operator, without values from a service or a user."""
    error = _aws_cause(error) or error
    match error:
        case OperatorError():
            return error
        case InvalidAudience():
            return settings_faults.wrong_usage(error)
        case AudienceSyncError():
            return FaultyMappings(error.faults) if isinstance(error, InvalidMapping) else _package_error(error)
        case ClientError():
            return _known_refusal(error) or OperatorError(f"AWS refuses {error.operation_name}: {error_code(error)}.")
        case BotoCoreError():
            return _aws_failure(error)
        case _:
            return OperatorError(f"Unexpected error: {type(error).__name__}.", _report(error))


def passes(error: Exception) -> bool:
    """Return whether an error may be temporary, so that following can continue."""
    return isinstance(explained(error), TryLater)


def _package_error(error: AudienceSyncError) -> OperatorError:
    message = sentence(str(error))
    match error:
        case NotConnected() | AuthorizationRefused():
            return NotThere(sentence(error.reason.means), sentence(error.reason.remedy))
        case NotFound():
            return NotThere(message, "Check the id; the number in the DSP console is a different one.")
        case AccessDenied():
            return OperatorError(message, "Run `audience-sync terms show` and `audience-sync test` to find the cause.")
        case RowUnreadable():
            return OperatorError(message, sentence(error.reason.remedy))
        case TransientError():
            return TryLater(message, "Try again in a minute.")
        case _:
            return OperatorError(message)


def _aws_cause(error: Exception) -> Exception | None:
    """Return the AWS error behind one of ours if it is more precise: waiting does not add a missing permission."""
    cause = error.__context__ if isinstance(error, Unavailable) else None
    if isinstance(cause, ClientError):
        return cause if _known_refusal(cause) else None
    return cause if isinstance(cause, BotoCoreError) else None


def _aws_failure(error: BotoCoreError) -> OperatorError:
    match error:
        case ProfileNotFound():
            # From the operator's own environment, and not a secret.
            name = shown(str(error.kwargs.get("profile", "")))
            return NotThere(
                f"AWS profile {name} does not exist.", "Correct AWS_PROFILE; `aws configure list-profiles` lists them."
            )
        case NoCredentialsError() | PartialCredentialsError() | SSOError() | TokenRetrievalError():
            return NotThere("No AWS credentials found.", _PROFILE)
        case NoRegionError():
            local = "For a local stack, set AUDIENCE_SYNC_LOCAL=http://127.0.0.1:8080."
            return NotThere("No AWS region is set.", f"Set AWS_REGION to the region of the stack. {local}")
        case EndpointConnectionError() if "//127.0.0.1:" in str(error.kwargs.get("endpoint_url")):
            return TryLater("The local stack does not answer.", "Start it: `.venv/bin/python -m local`.")
        case EndpointConnectionError():
            return TryLater("AWS cannot be reached.", "Check the network and the region.")
        case _:
            return TryLater(f"The call to AWS failed: {type(error).__name__}.", "Try again in a minute.")


def _known_refusal(error: ClientError) -> OperatorError | None:
    code, call = error_code(error), error.operation_name
    if code in _ABSENT:
        return NotThere(
            f"{call} found no such resource.", "Check --stack and the region; the stack may have been deleted."
        )
    if code in _EXPIRED:
        return NotThere("AWS does not accept these credentials; they may have expired.", _PROFILE)
    if code.startswith("AccessDenied") or code == "UnauthorizedOperation":
        return OperatorError(
            f"AWS does not allow you to call {call}.", "Ask for that permission, or use another profile."
        )
    if code in _BUSY:
        return TryLater(f"AWS is throttling {call}.", "Try again in a minute.")
    return None


def _report(error: Exception) -> str:
    """Name the line that raised. A full traceback could show secrets."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    location = f"{frame.tb_frame.f_globals.get('__name__', '?')}:{frame.tb_lineno}" if frame else "?"
    return f"This is a bug. Please report it with this location: {location}."
