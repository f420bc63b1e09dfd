"""What can go wrong for an operator: one sentence, a remedy, and an exit code that scripts can use.

0 done   1 failed, and repeating will not help   2 wrong usage   3 not found or not connected   4 not confirmed
5 failed for the moment, try again   130 interrupted
"""

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

from audience_sync.errors import (
    AccessDenied,
    AudienceSyncError,
    InvalidAudience,
    NotFound,
    TokenUnavailable,
    TransientError,
)

FAILED, USAGE, NOT_THERE, NOT_CONFIRMED, TRY_LATER, INTERRUPTED = 1, 2, 3, 4, 5, 130

_CONNECT = "Run `audience-sync connect`."
_PROFILE = "Choose a profile (AWS_PROFILE) or log in to AWS, for instance with `aws sso login`."
_ABSENT = ("ResourceNotFoundException", "AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")
_BUSY = ("ThrottlingException", "Throttling", "RequestLimitExceeded", "ProvisionedThroughputExceededException")
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException")


class OperatorError(Exception):
    """Something that the operator can act on."""

    exit_code = FAILED

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class WrongUsage(OperatorError):
    """An argument that makes no sense."""

    exit_code = USAGE


class NotThere(OperatorError):
    """A stack, audience, member or authorization that does not exist."""

    exit_code = NOT_THERE


class NotConfirmed(OperatorError):
    """The operator said no, or nobody was there to ask."""

    exit_code = NOT_CONFIRMED


class TryLater(OperatorError):
    """A service that does not answer at the moment."""

    exit_code = TRY_LATER


class AlreadyReported(Exception):
    """The screen has shown what is wrong; only the exit code is left to give."""

    exit_code = FAILED


def explained(error: Exception) -> OperatorError:
    """Say an error in the operator's terms. Holds no value that a service or a user has sent."""
    match error:
        case OperatorError():
            return error
        case InvalidAudience():
            remedies = [f"{each.field}: must be {each.allowed}; {each.remedy}." for each in error.faults]
            return WrongUsage("These settings make no audience.", "\n".join(remedies))
        case AudienceSyncError():
            return _of_ours(error)
        case ClientError():
            return _refusal(error)
        case BotoCoreError():
            return _of_aws(error)
        case _:
            return OperatorError(f"Something unforeseen happened: {type(error).__name__}.", _report(error))


def _of_ours(error: AudienceSyncError) -> OperatorError:
    sentence = f"{str(error)[:1].upper()}{str(error)[1:]}."
    match error:
        case TokenUnavailable() if error.reason == "not_connected":
            return NotThere("Amazon is not connected yet.", _CONNECT)
        case TokenUnavailable() if error.reason == "authorization_refused":
            return NotThere("Amazon no longer takes the stored authorization.", _CONNECT)
        case NotFound():
            return NotThere(sentence, "Check the id; the number that the DSP console shows is another one.")
        case AccessDenied():
            return OperatorError(sentence, "`audience-sync terms show` and `audience-sync test` tell more.")
        case TransientError():
            return TryLater(sentence, "Try again in a minute.")
        case _:
            return OperatorError(sentence)


def _of_aws(error: BotoCoreError) -> OperatorError:
    match error:
        case NoCredentialsError() | PartialCredentialsError() | ProfileNotFound() | SSOError() | TokenRetrievalError():
            return NotThere("There are no AWS credentials to use.", _PROFILE)
        case NoRegionError():
            return NotThere("No AWS region is chosen.", "Set AWS_REGION to the region of the stack.")
        case EndpointConnectionError():
            return TryLater("AWS cannot be reached.", "Check the network and the region.")
        case _:
            return TryLater(f"The call to AWS failed: {type(error).__name__}.", "Try again in a minute.")


def _refusal(error: ClientError) -> OperatorError:
    code = str(error.response.get("Error", {}).get("Code", "ClientError"))
    call = error.operation_name
    if code in _ABSENT:
        return NotThere(f"AWS does not know what {call} asks for.", "Was the stack deleted? Check --stack and region.")
    if code in _EXPIRED:
        return NotThere("AWS does not accept these credentials (any more).", _PROFILE)
    if code.startswith("AccessDenied") or code == "UnauthorizedOperation":
        return OperatorError(f"AWS does not allow you to call {call}.", "Ask for that permission, or change profile.")
    if code in _BUSY:
        return TryLater(f"AWS is throttling {call}.", "Try again in a minute.")
    return OperatorError(f"AWS refuses {call}: {code}.")


def _report(error: Exception) -> str:
    """Point at the line, since a whole traceback could show secrets among its source lines' values."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f"{frame.tb_frame.f_globals.get('__name__', '?')}:{frame.tb_lineno}" if frame else "?"
    return f"Please report it, with this place: {place}."
