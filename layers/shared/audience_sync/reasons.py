"""Reason codes of rejected events, refused requests, and deferred or parked changes.

Codes are stored in metrics, logs and dead letters, so they never change. `make docs` prints docs/runbook.md's tables.
"""

from enum import StrEnum, auto
from typing import Self

# The effects of a reason
NONE: frozenset[str] = frozenset()
REJECTED = frozenset({"rejected"})  # the event
REFUSED = frozenset({"refused"})  # the request: 4xx or 503
DEFERRED = frozenset({"deferred"})  # the change: it stays in the queue
PARKED = frozenset({"parked"})  # the change: it becomes a dead letter


class Reason(StrEnum):
    """A code, its effects, its meaning (the end of a sentence), and a remedy unless it resolves by itself."""

    effects: frozenset[str]
    means: str
    remedy: str

    def __new__(cls, code: str, effects: frozenset[str] = NONE, means: str = "", remedy: str = "") -> Self:
        """Make the code the member's value."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.effects, member.means, member.remedy = effects, means, remedy
        return member

    # Of classes whose subclasses are raised
    ERROR = auto(), NONE, "an error"
    PERMANENT = auto(), NONE, "another attempt gives the same answer"
    TRANSIENT = auto(), NONE, "another attempt can succeed later"

    # Events. The detail of a rejection repeats meaning and remedy unless it is more specific
    NOT_AN_EVENT = auto(), REJECTED, "an event is a JSON object with a type", "map data to the whole event"
    MEMBERSHIP_UNDECIDED = (
        auto(),
        REJECTED,
        "no boolean under properties[computation_key] or traits[computation_key]",
        "send events that state membership, name the values in the mapping, or narrow its trigger",
    )
    MEMBERSHIP_CONTRADICTORY = (
        auto(),
        REJECTED,
        "event and the boolean under the computation key disagree",
        "send the event as Segment made it",
    )
    MEMBER_ID_MISSING = (
        auto(),
        REJECTED,
        "external_user_id, or a part of it, is empty",
        "map fields that every event has",
    )
    MEMBER_ID_INVALID = (
        auto(),
        REJECTED,
        "external_user_id may hold 1 to 128 letters, digits, - and _",
        "for other ids map it with @sha256",
    )
    MEMBER_ID_PLACEHOLDER = (
        auto(),
        REJECTED,
        "external_user_id stands for nobody, such as undefined, null or 0, so unrelated people would share it",
        "send each person's own id",
    )
    GROUP_DELETION = (
        auto(),
        REJECTED,
        "a deletion notice names a group and no person; who belongs to a group is not stored",
        "send a notice with the userId of each person, or run `audience-sync member erase`",
    )
    AUDIENCE_MISSING = auto(), REJECTED, "neither an audience id nor a computation key", "map audience_id"
    AUDIENCE_UNKNOWN = (
        auto(),
        REJECTED,
        "the audience is not listed",
        (
            "link it: `audience-sync audiences link`; or, if the id is of an audience that another destination fills, "
            "leave `audience_id` out of the mapping, so that the key counts"
        ),
    )
    AUDIENCE_AMBIGUOUS = (
        auto(),
        REJECTED,
        "several audiences are linked to this computation key",
        "if all are meant, link all but one with `--also`; else give the event an audience id, or unlink one",
    )
    NO_IDENTIFIER = auto(), REJECTED | PARKED, "no mapped trait is a usable identifier", "map at least email or phone"
    COUNTRY_INVALID = (
        auto(),
        REJECTED,
        "country is neither an ISO 3166-1 code nor an English or German name of a country",
        "correct the mapping of country, or countryCode in the extras",
    )
    CONSENT_MISSING = (
        auto(),
        REJECTED,
        "additions from the UK, the EEA and Switzerland, and to a dataset, need a consent signal",
        "map amzn_user_data, tcf or gpp",
    )
    CONSENT_DENIED = (
        auto(),
        REJECTED,  # as it is counted; the event is accepted, and ends the person's memberships
        "the person has denied consent",
        "nothing: they leave every audience",
    )
    CONSENT_INVALID = (
        auto(),
        REJECTED,
        "a consent signal cannot be read",
        "map GRANTED or DENIED, or the IAB string itself",
    )
    MAPPING_TOO_COSTLY = (
        auto(),
        REJECTED,
        "the mappings and triggers take too many steps on this event",
        "shorten it, or let fewer of them read its long strings and lists",
    )
    TIME_MISSING = auto(), REJECTED, "an event in the event queue has no timestamp", "send the time of the change"
    TIME_UNREADABLE = auto(), REJECTED, "the time is not ISO 8601", "send Segment's own timestamp"
    TIME_TOO_OLD = (
        auto(),
        REJECTED,
        "an addition from more than 33 days ago, or a time before 1970",
        "re-sync the audience in Segment; to replay an archive, set AcceptOldEvents",
    )
    TIME_AHEAD = auto(), REJECTED | PARKED, "the time is more than five minutes ahead", "correct the sender's clock"

    # Requests
    UNAUTHORIZED = auto(), REFUSED, "a credential that does not match", "see RequestsUnauthorized in docs/runbook.md"
    CREDENTIAL_MISSING = (
        auto(),
        REFUSED,
        "no credential",
        "nothing, if Segment sends events with a key; else see RequestsUnauthorized in docs/runbook.md",
    )
    SOURCE_NOT_ALLOWED = auto(), REFUSED, "an address that AllowedSources does not list", "list it, if it is Segment's"
    INVALID_REQUEST = auto(), REFUSED, "the body is not JSON, or contains no event", "check the mapping's data"
    TOO_LARGE = auto(), REFUSED, "over the limit of bytes, events or steps", "lower the batch size in Segment"
    UNSUPPORTED_MEDIA_TYPE = auto(), REFUSED, "the body is not plain JSON in UTF-8", "remove that header in Segment"
    INVALID_AUDIENCE = auto(), REFUSED, "the extras do not describe a valid audience", "the response names each field"
    TOO_MANY_AUDIENCES = auto(), REFUSED, "over 100 audiences in a day (UTC)", "run `audience-sync audiences create`"
    SECRET_UNUSABLE = (
        auto(),
        REFUSED,
        "no usable key of that kind is stored",
        "run `audience-sync keys show`, then `audience-sync keys rotate`",
    )
    INVALID_MAPPING = (
        auto(),
        REFUSED,
        "the stored mappings are invalid",
        "`audience-sync mappings revert` lists the versions; go back to one that was valid",
    )
    INVALID_TRIGGER = (
        auto(),
        REFUSED,
        "a stored trigger is invalid",
        "`audience-sync mappings revert` lists the versions; go back to one that was valid",
    )
    CREATION_UNDER_WAY = auto(), REFUSED, "another request is creating this audience, or was interrupted"
    CREATION_OVERTAKEN = auto(), REFUSED, "another request created this audience first"

    # Changes that wait, and uploads that fail
    THROTTLED = auto(), DEFERRED, "Amazon asks the stack to slow down (429)"
    SERVICE_UNAVAILABLE = auto(), DEFERRED, "Amazon answers with an error (5xx) or cannot be reached"
    OUTCOME_UNKNOWN = auto(), DEFERRED, "uploads get no usable answer; they are sent again after 60 seconds"
    RETRY_BUDGET = auto(), DEFERRED, "too many uploads got no usable answer, so one is tried each minute"
    CIRCUIT_OPEN = auto(), DEFERRED, "Amazon has failed five times in a row, so uploads pause for a minute"
    TOKEN_UNAVAILABLE = auto(), DEFERRED, "there is no valid access token", "see TokenRefreshFailed in docs/runbook.md"
    AUTHORIZATION_REFUSED = (
        auto(),
        DEFERRED,
        "Amazon refuses the stored authorization (invalid_grant, invalid_client)",
        "run `audience-sync connect`",
    )
    NOT_CONNECTED = auto(), DEFERRED, "Amazon is not connected yet", "run `audience-sync connect`"
    MOVED_ON = auto(), DEFERRED, "newer changes of the member keep arriving"
    JOB_RUNNING = auto(), DEFERRED, "an enter waits until the removal before it has taken effect at Amazon"
    ROW_UNREADABLE = auto(), DEFERRED, "a membership row cannot be read", "see A damaged row in docs/runbook.md"
    UNAVAILABLE = auto(), REFUSED | DEFERRED, "SQS, DynamoDB or Secrets Manager does not answer", "check AWS Health"
    INVALID_SETTINGS = (
        auto(),
        REFUSED | DEFERRED,
        "an environment variable is missing, or a secret is not valid JSON",
        "run `make repair`, then `audience-sync test`",
    )
    OUT_OF_TIME = auto(), REFUSED | DEFERRED, "the worker had no time left for them; its next invocation continues"

    # Dead letters
    REQUEST_REJECTED = (
        auto(),
        REFUSED | PARKED,
        "Amazon rejected the record (400, 422)",
        "the detail names the field; correct the source, then drop enters and redrive exits",
    )
    REQUEST_TOO_LARGE = (
        auto(),
        PARKED,
        "the record alone is too large (413)",
        "drop it, and check what the mapping sends",
    )
    ACCESS_DENIED = (
        auto(),
        REFUSED | PARKED,
        "no access to the advertiser or account, or terms not accepted (403)",
        (
            "give the user who consented access to the advertiser or account, or accept the terms "
            "(`audience-sync terms show`), then redrive"
        ),
    )
    NOT_FOUND = (
        auto(),
        REFUSED | PARKED,
        "Amazon does not know the audience",
        "check the Region parameter; if the audience is gone, `audience-sync audiences unlink` it, then drop",
    )
    WAITED_TOO_LONG = auto(), PARKED, "the change could not be delivered for seven days", "fix the cause, then redrive"
    JOB_REJECTED = (
        auto(),
        PARKED,
        "Amazon accepted the upload, but its job rejected the record, twice",
        "correct the source, then drop enters and redrive exits",
    )
    MESSAGE_NOT_JSON = auto(), PARKED, "this stack did not send the message", "drop it, and find out who else sends"
    MESSAGE_VERSION_UNKNOWN = (
        auto(),
        PARKED,
        "another version of this software sent the message",
        "deploy that version, then redrive",
    )
    INVALID_MESSAGE = (
        auto(),
        PARKED,
        "a field of the message is missing",
        "deploy the version that sent it, then redrive",
    )
    RECEIVED_TOO_OFTEN = (
        auto(),
        PARKED,
        "the message crashed the worker 20 times",
        "see FunctionErrors in docs/runbook.md, then redrive",
    )
    UNREADABLE = auto(), PARKED, "SQS moved the message, and it cannot be read", "drop it"

    # Runs of the schedules
    FRESH = auto(), NONE, "the stored token is valid for long enough"
    QUEUE_BEHIND = auto(), NONE, "more than 10,000 messages wait in the change queue"
