"""What reason codes mean and what to do about them: the short form of docs/runbook.md, Reason codes. Pure."""

from collections.abc import Mapping
from typing import NamedTuple


class Reason(NamedTuple):
    """One reason code, explained."""

    means: str  # the end of a sentence
    remedy: str = ""  # a sentence; empty where it passes without a person
    needs_person: bool = False  # it stays until the operator acts


RUNBOOK = "See Reason codes in docs/runbook.md."

REJECTED = {  # why an event is rejected
    "not_an_event": Reason("not a JSON object with a type", "Map data to the whole event, $."),
    "membership_undecided": Reason(
        "the event does not say whether the member enters or exits", "Narrow the trigger to events that say it."
    ),
    "membership_contradictory": Reason(
        "the event's name and its boolean disagree", "Send the event unchanged, as Segment created it."
    ),
    "member_id_missing": Reason("external_user_id or a part of it finds no value", "Map fields that every event has."),
    "member_id_invalid": Reason("external_user_id has characters that Amazon refuses", "Map it with @sha256."),
    "audience_missing": Reason("neither audience id nor computation key", "Map audience_id."),
    "audience_unknown": Reason("the audience is not listed", "Link it: `audience-sync audiences link`."),
    "audience_ambiguous": Reason(
        "two audiences share the computation key", "Unlink one: `audience-sync audiences unlink`."
    ),
    "no_identifier": Reason("an addition without a usable identifier", "Map at least e-mail or phone."),
    "country_invalid": Reason("Amazon does not accept the country code", "Correct the mapping of country."),
    "consent_missing": Reason(
        "an addition from the EEA, the UK or Switzerland without consent", "Map a consent field."
    ),
    "consent_denied": Reason("the person has refused consent", "Nothing: the rejection is correct."),
    "consent_invalid": Reason("the value is no TCF or GPP string", "Map the IAB string itself."),
    "mapping_too_costly": Reason("mappings take too many steps", "Make the event smaller, or the mappings simpler."),
    "time_unreadable": Reason("the time is not ISO 8601", "Send Segment's own timestamp."),
    "time_too_old": Reason(
        "an addition from more than 33 days ago, or a time before 1970",
        "Re-sync the audience in Segment. To replay an archive, set AcceptOldEvents.",
    ),
    "time_ahead": Reason("the time is more than five minutes ahead", "Correct the sender's clock."),
}

DEFERRED = {  # why an upload fails, or a change waits
    "throttled": Reason("Amazon asks the stack to slow down (429)"),
    "service_unavailable": Reason("Amazon answers with an error (5xx) or cannot be reached"),
    "outcome_unknown": Reason("uploads get no usable answer; they are sent again after 60 seconds"),
    "retry_budget": Reason("too many uploads got no usable answer, so one is tried each minute"),
    "circuit_open": Reason("Amazon has failed five times in a row, so uploads pause for a minute"),
    "token_unavailable": Reason(
        "there is no access token, or Amazon refuses it", "See TokenRefreshFailed in docs/runbook.md."
    ),
    "authorization_refused": Reason(
        "Amazon no longer takes the stored authorization", "Run `audience-sync connect`.", needs_person=True
    ),
    "not_connected": Reason("Amazon is not connected yet", "Run `audience-sync connect`.", needs_person=True),
    "moved_on": Reason("newer changes of the member keep arriving"),
    "job_running": Reason("an enter waits until the removal before it has taken effect at Amazon"),
    "row_unreadable": Reason(
        "a row of the membership table cannot be read", "See Restoring a table in docs/runbook.md."
    ),
    "unavailable": Reason("SQS, DynamoDB or Secrets Manager does not answer the stack", "Check AWS Health."),
    "invalid_settings": Reason(
        "an environment variable is missing, or a secret is no JSON", "Run `audience-sync test`.", needs_person=True
    ),
    "out_of_time": Reason("the worker had no time left for them; its next invocation continues"),
}

PARKED = {  # why a change is in the dead letter queue
    "request_rejected": Reason(
        "Amazon rejected the record (400, 422)",
        "The detail names the field. Correct the source, so that Segment sends a corrected event, then drop this one.",
    ),
    "request_too_large": Reason("the record alone is too large (413)", "Drop it, and check what the mapping sends."),
    "access_denied": Reason(
        "no access to the advertiser, or AMC terms not accepted (403)",
        "Check `audience-sync terms show` and the permissions at Amazon, then redrive.",
    ),
    "not_found": Reason(
        "Amazon does not know the audience",
        "Check the Region parameter. If the audience is gone, `audience-sync audiences unlink` it, then drop.",
    ),
    "waited_too_long": Reason("the change could not be delivered for seven days", "Fix the cause, then redrive."),
    "no_identifier": Reason(
        "an exit without identifiers, of a member of whom no row is stored",
        "Drop it. If the person is in the audience, remove them at Amazon.",
    ),
    "job_rejected": Reason(
        "Amazon accepted the upload, but its job rejected the record", "Correct the source. Redrive a removal."
    ),
    "job_failed": Reason(
        "Amazon's whole job failed: no record of the upload took effect",
        "Check the advertiser or AMC instance, then redrive.",
    ),
    "job_unknown": Reason("how Amazon's job ended is not known, and a deletion depends on it", "Redrive it."),
    "message_not_json": Reason("this stack did not send the message", "Drop it, and find out what else may send."),
    "message_version_unknown": Reason(
        "another version of this software sent the message", "Deploy that version, then redrive."
    ),
    "invalid_message": Reason("a field of the message is missing", "Deploy the version that sent it, then redrive."),
    "received_too_often": Reason(
        "the message crashed the worker 20 times", "See WorkerErrors in docs/runbook.md, then redrive."
    ),
    "unreadable": Reason("SQS moved the message, and it cannot be read", "Drop it."),
}


def deferred(reason: str) -> Reason:
    """Explain why changes wait. Any code is explained: a deployed stack may be newer than the command."""
    return DEFERRED.get(reason, Reason(f"the reason is {reason}", RUNBOOK))


def listed(counts: Mapping[str, int]) -> str:
    """Format counts by reason code, most first: 3 consent_missing, 1 country_invalid."""
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{number:,} {reason}" for reason, number in ordered)


def rejected(reason: str) -> Reason:
    """Explain why an event is rejected. Any code is explained."""
    return REJECTED.get(reason, Reason(f"the reason is {reason}", RUNBOOK))


def parked(reason: str) -> Reason:
    """Explain why a change is in the dead letter queue. Any code is explained."""
    return PARKED.get(reason, Reason(f"the reason is {reason}", RUNBOOK))
