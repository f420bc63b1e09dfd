"""Every error we raise on purpose. The type says whether trying again can help.

AudienceSyncError
  PermanentError                trying again gives the same answer
    InvalidRequest              an HTTP request that we cannot use
      Unauthorized              no valid credential
        CredentialMissing       no credential at all
      TooLarge                  more bytes or events than we take
      UnsupportedMediaType      not JSON
      InvalidAudience           settings that no audience can have; carries every fault
      AudienceNotListed         the audience table does not list it
    RejectedEvent               one event that states no valid change; carries a reason code
    NoIdentifier                a change of a member for whom no identifier is known
    WaitedTooLong               a change that could not be delivered for seven days
    InvalidMapping              a mapping that is wrong whatever the event
    InvalidTrigger              a trigger without a plain meaning
    InvalidMessage              a queue message that we cannot read
    InvalidSettings             environment or stored settings that we cannot run with
    MisplacedRow                rows of members that are not where the number of shards puts them
    RequestRejected             Amazon refuses the request and will keep refusing it
      RequestTooLarge           it would take a smaller one
      AccessDenied              until a person acts: authorization, advertiser, terms
      NotFound                  Amazon does not know the audience or job
  TransientError                the same call can succeed later; may carry retry_after, seconds
    OutOfTime                   not begun: too little time is left before Lambda stops the function
    MovedOn                     the member changed while this change was being sent
    JobRunning                  an upload that says the opposite may still take effect
    CreationUnderWay            another request is creating the audience
    Unavailable                 a service of ours (queue, secret, table) failed or did not answer
      SecretUnusable            no stored credential of the kind is good enough to check a request with
      CreationOvertaken         another request has taken over the creation of the audience
    Throttled                   Amazon asks us to slow down
    ServiceUnavailable          Amazon failed before it took the request
    OutcomeUnknown              the request was sent and no usable answer came: it may have been applied
    CircuitOpen                 not sent: Amazon has failed several times in a row
      CircuitHalfOpen           another worker is just trying whether Amazon answers again
    RetryBudgetUsedUp           not sent: too many uploads had to be repeated
    TokenUnavailable            no access token at the moment
      NotConnected              Amazon is not connected yet
      AuthorizationRefused      revoked or never valid: a person must connect Amazon again

Decisions depend on the class. `reason` is for logs, metrics, answers and dead letters only.

Messages name the field or service at fault and the remedy. They never hold a value, a token or a secret.
"""

from collections.abc import Sequence
from typing import NamedTuple


class AudienceSyncError(Exception):
    """Root of the tree. `reason` is the stable code that metrics, answers and dead letters carry."""

    reason = "error"

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        if reason is not None:
            self.reason = reason


class PermanentError(AudienceSyncError):
    """Trying again gives the same answer."""

    reason = "permanent"


class InvalidRequest(PermanentError):
    """An HTTP request that we cannot use."""

    reason = "invalid_request"


class Unauthorized(InvalidRequest):
    """No valid credential. Says no more than that, whatever the cause."""

    reason = "unauthorized"


class CredentialMissing(Unauthorized):
    """The request carries no credential at all, as those of internet scanners. The answer is that of Unauthorized."""

    reason = "credential_missing"


class SourceNotAllowed(CredentialMissing):
    """From an address that the operator does not allow. Whatever credential it carries is not looked at."""

    reason = "source_not_allowed"


class TooLarge(InvalidRequest):
    """More bytes or events than one request may hold."""

    reason = "too_large"


class UnsupportedMediaType(InvalidRequest):
    """A content type or encoding other than plain JSON."""

    reason = "unsupported_media_type"


class SettingFault(NamedTuple):
    """What is wrong with one setting of an audience."""

    field: str
    allowed: str  # what the field may hold
    remedy: str

    def as_json(self) -> dict[str, str]:
        """The fault as an answer shows it."""
        return self._asdict()


class InvalidAudience(InvalidRequest):
    """Settings that no audience can have, or a change of one that Amazon does not make."""

    reason = "invalid_audience"

    def __init__(self, faults: Sequence[SettingFault]) -> None:
        super().__init__(f"these settings need attention: {', '.join(fault.field for fault in faults)}")
        self.faults = tuple(faults)


class AudienceNotListed(InvalidRequest):
    """The audience table does not list the audience."""

    reason = "audience_unknown"


class RejectedEvent(PermanentError):
    """One event that should change an audience but states no valid change. `field` is the mapped field at fault."""

    def __init__(self, reason: str, detail: str, *, field: str | None = None) -> None:
        super().__init__(detail, reason=reason)
        self.field = field

    @property
    def detail(self) -> str:
        """The field at fault and the remedy, never a value that may be personal data."""
        return str(self)


class NoIdentifier(PermanentError):
    """A change of a member for whom no identifier is known: Amazon could not find the person."""

    reason = "no_identifier"


class WaitedTooLong(PermanentError):
    """A change that could not be delivered within the time for which a queue keeps it."""

    reason = "waited_too_long"


class InvalidMapping(PermanentError):
    """Mappings that are wrong whatever the event. `faults` has a sentence for each fault, without a full stop."""

    reason = "invalid_mapping"

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class InvalidTrigger(PermanentError):
    """A trigger without a plain meaning. `position` counts characters from 0."""

    reason = "invalid_trigger"

    def __init__(self, message: str, *, position: int) -> None:
        super().__init__(f"{message} (at character {position})")
        self.position = position


class InvalidMessage(PermanentError):
    """A queue message that we cannot read."""

    reason = "invalid_message"


class InvalidSettings(PermanentError):
    """Environment variables or stored settings that we cannot run with."""

    reason = "invalid_settings"


class MisplacedRow(PermanentError):
    """Rows of members that are not where the number of shards puts them: they were written with another number."""


class RequestRejected(PermanentError):
    """Amazon refuses the request and will keep refusing it. `status` is its HTTP status."""

    reason = "request_rejected"

    def __init__(self, message: str, *, status: int, request_id: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.request_id = request_id


class RequestTooLarge(RequestRejected):
    """A smaller request would be taken."""

    reason = "request_too_large"


class AccessDenied(RequestRejected):
    """Refused until a person acts: authorization, access to the advertiser, terms."""

    reason = "access_denied"


class NotFound(RequestRejected):
    """Amazon does not know the audience or job, or does not show it to us."""

    reason = "not_found"


class TransientError(AudienceSyncError):
    """The same call can succeed later. `retry_after` is in seconds, None where it is not known."""

    reason = "transient"

    def __init__(self, message: str, *, retry_after: float | None = None, reason: str | None = None) -> None:
        super().__init__(message, reason=reason)
        self.retry_after = retry_after


class OutOfTime(TransientError):
    """Not begun: too little time is left before Lambda stops the function. By default it can be tried again at once."""

    reason = "out_of_time"

    def __init__(self, message: str, *, retry_after: float | None = 0.0) -> None:
        super().__init__(message, retry_after=retry_after)


class MovedOn(TransientError):
    """The member changed while this change was being sent."""

    reason = "moved_on"


class JobRunning(TransientError):
    """An upload that says the opposite of this change may still take effect at Amazon."""

    reason = "job_running"


class CreationUnderWay(TransientError):
    """Another request is creating the audience, or was stopped while it did."""

    reason = "creation_under_way"


class Unavailable(TransientError):
    """A service of ours (queue, secret store, table) failed or did not answer."""

    reason = "unavailable"


class SecretUnusable(Unavailable):
    """No stored credential of the kind is good enough to check a request with."""

    reason = "secret_unusable"


class CreationOvertaken(Unavailable):
    """Another request has taken over the creation of the audience."""

    reason = "creation_overtaken"


class Throttled(TransientError):
    """Amazon asks us to slow down."""

    reason = "throttled"


class ServiceUnavailable(TransientError):
    """Amazon failed before it took the request."""

    reason = "service_unavailable"


class OutcomeUnknown(TransientError):
    """The request was sent and no usable answer came: it may have been applied, or may still be."""

    reason = "outcome_unknown"


class CircuitOpen(TransientError):
    """Not sent: Amazon has failed several times in a row."""

    reason = "circuit_open"


class CircuitHalfOpen(CircuitOpen):
    """Not sent: another worker is trying whether Amazon answers again. That is known soon: it needs no backoff."""


class RetryBudgetUsedUp(TransientError):
    """Not sent: too many uploads had to be repeated, because no usable answer came."""

    reason = "retry_budget"


class TokenUnavailable(TransientError):
    """No access token at the moment."""

    reason = "token_unavailable"


class NotConnected(TokenUnavailable):
    """Amazon is not connected yet."""

    reason = "not_connected"


class AuthorizationRefused(TokenUnavailable):
    """The stored authorization is revoked or was never valid: a person must connect Amazon again."""

    reason = "authorization_refused"
