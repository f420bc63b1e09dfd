"""Every error we raise on purpose. The type says whether trying again can help.

AudienceSyncError
  PermanentError                trying again gives the same answer
    InvalidRequest              an HTTP request that we cannot use
      Unauthorized              no valid credential
        CredentialMissing       no credential at all
          SourceNotAllowed      from an address that the operator does not allow
      TooLarge                  more bytes or events than we accept
      UnsupportedMediaType      not JSON
      InvalidAudience           settings that no audience can have; carries every fault
      AudienceNotListed         the audience table does not list it
    RejectedEvent               one event that states no valid change; carries a reason code
    NoIdentifier                a change of a member for whom no identifier is known
    WaitedTooLong               a change that could not be delivered for seven days
    InvalidMapping              a mapping that is wrong for any event
    InvalidTrigger              a trigger without a plain meaning
    InvalidMessage              a queue message that we cannot read
    InvalidSettings             environment or stored settings that we cannot run with
    MisplacedRow                rows of members written with another number of shards
    RequestRejected             Amazon refuses the request and will keep refusing it
      RequestTooLarge           it would accept a smaller one
      AccessDenied              until a person acts: authorization, advertiser, terms
      NotFound                  Amazon does not know the audience or job
  TransientError                the same call can succeed later; may carry retry_after, seconds
    OutOfTime                   not begun: too little time is left before Lambda stops the function
    MovedOn                     the member changed while this change was being sent
    NotDueYet                   an opposite upload may still take effect
    CreationUnderWay            another request is creating the audience
    Unavailable                 a service of ours (queue, secret, table) failed or did not answer
      RowUnreadable             a damaged row of a member, which holds back this member alone
      SecretUnusable            no stored credential of the kind is good enough to check a request with
      CreationOvertaken         another request has taken over the creation of the audience
    Throttled                   Amazon asks us to slow down
    ServiceUnavailable          Amazon failed before it accepted the request
    OutcomeUnknown              the request was sent without a usable answer: it may have been applied
    CircuitOpen                 not sent: Amazon has failed several times in a row
      CircuitHalfOpen           another worker is testing whether Amazon answers again
    RetryBudgetUsedUp           not sent: too many uploads had to be repeated
    TokenUnavailable            no access token at the moment
      NotConnected              Amazon is not connected yet
      AuthorizationRefused      revoked or never valid: a person must connect Amazon again

Decisions depend on the class. `reason` is for logs, metrics, answers and dead letters only.

Messages name the field or service at fault and the remedy. They never hold a value, a token or a secret.
"""

from collections.abc import Sequence
from typing import NamedTuple

from audience_sync.reasons import Reason


class AudienceSyncError(Exception):
    """Root of the tree. `reason` is the stable code that metrics, answers and dead letters carry."""

    reason = Reason.ERROR

    def __init__(self, message: str, *, reason: Reason | None = None) -> None:
        super().__init__(message)
        if reason is not None:
            self.reason = reason


class PermanentError(AudienceSyncError):
    """Trying again gives the same answer."""

    reason = Reason.PERMANENT


class InvalidRequest(PermanentError):
    """An HTTP request that we cannot use."""

    reason = Reason.INVALID_REQUEST


class Unauthorized(InvalidRequest):
    """No valid credential. The message is the same whatever the cause."""

    reason = Reason.UNAUTHORIZED


class CredentialMissing(Unauthorized):
    """The request carries no credential at all, like requests from internet scanners. Answered like Unauthorized."""

    reason = Reason.CREDENTIAL_MISSING


class SourceNotAllowed(CredentialMissing):
    """The request comes from an address that the operator does not allow. Its credential is not checked."""

    reason = Reason.SOURCE_NOT_ALLOWED


class TooLarge(InvalidRequest):
    """More bytes or events than one request may hold."""

    reason = Reason.TOO_LARGE


class UnsupportedMediaType(InvalidRequest):
    """A content type or encoding other than plain JSON."""

    reason = Reason.UNSUPPORTED_MEDIA_TYPE


class SettingFault(NamedTuple):
    """A fault in one setting of an audience."""

    field: str
    allowed: str  # values of the field
    remedy: str

    def as_json(self) -> dict[str, str]:
        """The fault as shown in an answer."""
        return self._asdict()


class InvalidAudience(InvalidRequest):
    """Settings that no audience can have, or a change that Amazon does not make."""

    reason = Reason.INVALID_AUDIENCE

    def __init__(self, faults: Sequence[SettingFault]) -> None:
        super().__init__(f"these settings need attention: {', '.join(fault.field for fault in faults)}")
        self.faults = tuple(faults)


class AudienceNotListed(InvalidRequest):
    """The audience table does not list the audience."""

    reason = Reason.AUDIENCE_UNKNOWN


class RejectedEvent(PermanentError):
    """One event that should change an audience but states no valid change. `field` is the mapped field at fault."""

    def __init__(self, reason: Reason, detail: str = "", *, field: str | None = None) -> None:
        super().__init__(detail or f"{reason.means}; {reason.remedy}", reason=reason)
        self.field = field

    @property
    def detail(self) -> str:
        """The field at fault and the remedy, never a value that may be personal data."""
        return str(self)


class NoIdentifier(PermanentError):
    """A change of a member for whom no identifier is known: Amazon could not find the person."""

    reason = Reason.NO_IDENTIFIER


class WaitedTooLong(PermanentError):
    """A change that could not be delivered in the time a queue keeps it."""

    reason = Reason.WAITED_TOO_LONG


class InvalidMapping(PermanentError):
    """Mappings that are wrong for any event. `faults` has a sentence for each fault, without a full stop."""

    reason = Reason.INVALID_MAPPING

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class InvalidTrigger(PermanentError):
    """A trigger without a plain meaning. `position` counts characters from 0."""

    reason = Reason.INVALID_TRIGGER

    def __init__(self, message: str, *, position: int) -> None:
        super().__init__(f"{message} (at character {position})")
        self.position = position


class InvalidMessage(PermanentError):
    """A queue message that we cannot read."""

    reason = Reason.INVALID_MESSAGE


class InvalidSettings(PermanentError):
    """Environment variables or stored settings that we cannot run with."""

    reason = Reason.INVALID_SETTINGS


class MisplacedRow(PermanentError):
    """Rows of members written with another number of shards."""


class RequestRejected(PermanentError):
    """Amazon refuses the request and will keep refusing it. `status` is its HTTP status."""

    reason = Reason.REQUEST_REJECTED

    def __init__(self, message: str, *, status: int, request_id: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.request_id = request_id


class RequestTooLarge(RequestRejected):
    """Amazon would accept a smaller request."""

    reason = Reason.REQUEST_TOO_LARGE


class AccessDenied(RequestRejected):
    """Refused until a person acts: authorization, access to the advertiser, terms."""

    reason = Reason.ACCESS_DENIED


class NotFound(RequestRejected):
    """Amazon does not know the audience or job, or hides it from us."""

    reason = Reason.NOT_FOUND


class TransientError(AudienceSyncError):
    """The same call can succeed later. `retry_after` is in seconds, None if unknown."""

    reason = Reason.TRANSIENT

    def __init__(self, message: str, *, retry_after: float | None = None, reason: Reason | None = None) -> None:
        super().__init__(message, reason=reason)
        self.retry_after = retry_after


class OutOfTime(TransientError):
    """Not begun: too little time is left before Lambda stops the function. By default, it can be retried at once."""

    reason = Reason.OUT_OF_TIME

    def __init__(self, message: str, *, retry_after: float | None = 0.0) -> None:
        super().__init__(message, retry_after=retry_after)


class MovedOn(TransientError):
    """The member changed while this change was being sent."""

    reason = Reason.MOVED_ON


class NotDueYet(TransientError):
    """The change waits for something of our own: until an opposite upload has taken effect, or changes come first."""

    reason = Reason.JOB_RUNNING


class CreationUnderWay(TransientError):
    """Another request is creating the audience, or was interrupted."""

    reason = Reason.CREATION_UNDER_WAY


class Unavailable(TransientError):
    """A service of ours (queue, secret store, table) failed or did not answer."""

    reason = Reason.UNAVAILABLE


class RowKey(NamedTuple):
    """The key of a member's row. Both may be logged."""

    partition: str
    external_user_id: str


class RowUnreadable(Unavailable):
    """A row of the membership table has other content than the stack writes: only its own member waits.

    It has the row's key: the partition, which names the audience and the shard, and the external user id.
    """

    reason = Reason.ROW_UNREADABLE

    def __init__(self, key: RowKey) -> None:
        audience_id = key.partition.partition("#")[0]
        super().__init__(
            f"the row of {key.external_user_id} in audience {audience_id} (partition {key.partition}) cannot be read"
        )
        self.key = key


class SecretUnusable(Unavailable):
    """No stored credential of the kind is good enough to check a request with."""

    reason = Reason.SECRET_UNUSABLE


class CreationOvertaken(Unavailable):
    """Another request has taken over the creation of the audience."""

    reason = Reason.CREATION_OVERTAKEN


class Throttled(TransientError):
    """Amazon asks us to slow down."""

    reason = Reason.THROTTLED


class ServiceUnavailable(TransientError):
    """Amazon failed before it accepted the request."""

    reason = Reason.SERVICE_UNAVAILABLE


class OutcomeUnknown(TransientError):
    """The request was sent without a usable answer: it may have been applied, or may still be."""

    reason = Reason.OUTCOME_UNKNOWN


class CircuitOpen(TransientError):
    """Not sent: Amazon has failed several times in a row."""

    reason = Reason.CIRCUIT_OPEN


class CircuitHalfOpen(CircuitOpen):
    """Not sent: another worker is testing whether Amazon answers again. The result comes soon, so no backoff."""


class RetryBudgetUsedUp(TransientError):
    """Not sent: too many uploads had to be repeated, because no usable answer came."""

    reason = Reason.RETRY_BUDGET


class TokenUnavailable(TransientError):
    """No access token at the moment."""

    reason = Reason.TOKEN_UNAVAILABLE


class NotConnected(TokenUnavailable):
    """Amazon is not connected yet."""

    reason = Reason.NOT_CONNECTED


class AuthorizationRefused(TokenUnavailable):
    """The stored authorization is revoked or was never valid: a person must connect Amazon again."""

    reason = Reason.AUTHORIZATION_REFUSED
