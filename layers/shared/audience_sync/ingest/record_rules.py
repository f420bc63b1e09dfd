"""Validation rules for one Amazon record, shared by ingest and file import."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from audience_sync.amazon_ads.consent import ConsentPolicy, consent_of_exit, require_no_denial, user_consent
from audience_sync.amazon_ads.countries import NAMING_A_COUNTRY, NO_COUNTRY, accepted_country
from audience_sync.amazon_ads.destination import MAX_IN_DATASET, destination_of_changes, max_identities, needs_consent
from audience_sync.amazon_ads.ids import audience_id
from audience_sync.amazon_ads.placeholders import is_placeholder
from audience_sync.errors import RejectedEvent
from audience_sync.ingest.unknown_audience import unknown_audience
from audience_sync.members.membership import (
    EVERY_AUDIENCE,
    Audience,
    Consent,
    Destination,
    Identity,
    MembershipChange,
    Version,
    may_share_a_key,
)
from audience_sync.reasons import Reason

# Milliseconds. An exit is remembered for 40 days (aws/membership_rows.py), and the change queue holds an addition for 7
# at most: an addition accepted before this age cannot arrive after a later exit is forgotten.
MAX_ENTER_AGE = 33 * 86_400_000


class AudienceLookup(Protocol):
    """The audiences that events may reach."""

    def by_id(self, audience_id: str) -> Sequence[Audience]:
        """Return the audiences that an event with Amazon's id reaches: itself, and those that share its key."""

    def by_computation_key(self, key: str) -> Sequence[Audience]:
        """Return the audiences linked to Segment's computation key, whether or not they may share it."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The operator's choices that shape records, and what the event queue requires."""

    consent: ConsentPolicy = "require"
    max_enter_age: int | None = None  # milliseconds; older additions are rejected. None accepts any
    needs_time: bool = False  # of their own in events: dated when it is read, one that waited would seem newer


def listed_audiences(mapped: Any, computation_key: str | None, audiences: AudienceLookup) -> Sequence[Audience]:
    """Return the listed audiences that an event reaches, by the mapped id or else by its computation key."""
    if mapped not in (None, ""):
        named = audience_id(mapped)
        return audiences.by_id(named) if named else []
    return audiences.by_computation_key(computation_key) if computation_key else []


def find_audiences(mapped: Any, computation_key: str | None, audiences: AudienceLookup) -> Sequence[Audience]:
    """Return the audiences that an event is about: one, or all that share its computation key on purpose.

    Args:
        mapped: the field audience_id, whatever it is.
        computation_key: of the event; used if no audience id is mapped.
        audiences: the possible destinations.

    Raises:
        RejectedEvent: the event names no audience, an unlisted one, or several that do not share their key on purpose.
    """
    if mapped in (None, "") and not computation_key:
        raise RejectedEvent(Reason.AUDIENCE_MISSING)
    found = listed_audiences(mapped, computation_key, audiences)
    if not found:
        raise unknown_audience(mapped, computation_key)
    if len(found) > 1 and not may_share_a_key(found):  # none is chosen: it could be the wrong one
        raise RejectedEvent(Reason.AUDIENCE_AMBIGUOUS)
    return found


def checked_change(
    audience: Audience,
    member: str,
    version: Version,
    country: str | None,
    identities: list[dict[str, str]],
    signals: list[Any],
    policy: Policy,
) -> MembershipChange:
    """Build the change of one member, with consent.

    Args:
        audience: of the change.
        member: a valid external user id.
        version: of the change.
        country: from `first_country`.
        identities: hashed. The change has the first of them, as many as Amazon takes.
        signals: of consent, as for `user_consent`.
        policy: consent options.

    Raises:
        RejectedEvent: consent is denied, or the member enters without an identifier or the required consent.
    """
    destination, (at, exits, message_id) = destination_of_changes(audience), version
    if len(identities) > MAX_IN_DATASET:
        identities = identities[: max_identities(destination)]
    if exits:  # needs no consent, but may deny it
        if not is_placeholder(member):
            require_no_denial(signals)
        consent = consent_of_exit({}, destination)
    elif identities:
        consent = user_consent(signals, country, policy.consent, everywhere=needs_consent(destination))
    else:
        raise RejectedEvent(Reason.NO_IDENTIFIER)
    named = tuple([Identity(at, each) for each in identities])
    return MembershipChange(
        audience.audience_id, member, destination, at, message_id, exits, named, country or None, consent
    )


def first_country(values: Iterable[Any], *, exits: bool) -> str | None:
    """Return the first named country. Raises RejectedEvent if a member enters with a country that Amazon refuses."""
    for value in values:
        if type(value) is str and value in NAMING_A_COUNTRY:  # as nearly all events have it
            return value
        if value is None or value == "":
            continue
        code = accepted_country(value)
        if code is None and not exits:
            raise RejectedEvent(Reason.COUNTRY_INVALID, field="country")
        if code and code not in NO_COUNTRY:
            return code
    return None


def erasing_exit(member: str, at: int, message_id: str, *, denies_consent: bool = False) -> MembershipChange:
    """Return the exit from every audience of a person to erase.

    Args:
        member: a valid external user id.
        at: epoch milliseconds.
        message_id: of the event.
        denies_consent: the reason is denied consent, which the record states; else a deletion notice.
    """
    consent: Consent = {"consent": {"amzn": {"amznUserData": "DENIED"}}} if denies_consent else {}
    return MembershipChange(EVERY_AUDIENCE, member, Destination(), at, message_id, True, consent=consent, erase=True)
