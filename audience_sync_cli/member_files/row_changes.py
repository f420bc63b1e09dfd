"""Converts rows of a file: each becomes one member's enter or exit, or the reason for leaving the row out.

The rules are the same as in ingest: ids, countries, identifiers and consent. Personal data is hashed here.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import batched, islice
from typing import Any, NamedTuple

from audience_sync.amazon_ads.consent import SIGNALS, require_no_denial
from audience_sync.amazon_ads.ids import external_user_id
from audience_sync.amazon_ads.normalize import identifier, identifiers_of_all
from audience_sync.errors import RejectedEvent
from audience_sync.fields import IDENTIFIERS, LISTED
from audience_sync.ingest.record_rules import Policy, checked_change, erasing_exit, first_country
from audience_sync.ingest.translation import TOGETHER
from audience_sync.members.membership import Audience, Identity, MembershipChange, Version
from audience_sync.members.messages import record_as_json
from audience_sync.quick_json import compact_json
from audience_sync.reasons import Reason
from audience_sync.segment.separators import Split, split_at
from audience_sync_cli.frame.reasons import RowReason
from audience_sync_cli.frame.unusable import EMPTY, OVER_LIMIT, Unusable, why_unusable
from audience_sync_cli.member_files.consent_words import consent_of
from audience_sync_cli.member_files.erased import ErasedAmong
from audience_sync_cli.member_files.member_ids import mistaken_id
from audience_sync_cli.member_files.unusable_values import UnusableValue

_IDENTIFIERS = tuple(each.name for each in IDENTIFIERS)
_AMAZON_NAMES = {each.name: each.amazon_name for each in IDENTIFIERS}
_LISTED = frozenset(each.name for each in LISTED)
_NO_VALUE: tuple[Any, ...] = (None, "")
_CONSENTS = frozenset(SIGNALS) - {"ip"}
_IN_WORDS = ("amzn_user_data", "amzn_ad_storage")  # the others are IAB strings
_STATED = SIGNALS.index("amzn_user_data")  # the signal that a consent for the whole file gives


@dataclass(frozen=True, slots=True)
class Reading:
    """Options for reading rows."""

    columns: Mapping[str, str]  # column by field
    named: Collection[str] = ()  # fields whose column the operator has named, or said to be none
    country: str | None = None  # of rows that name none
    consent: str | None = None  # of rows without a signal, as the operator states it
    exits: bool = False  # the members leave
    hash_ids: bool = False  # as a mapping with @sha256 does
    separators: Mapping[str, str] = field(default_factory=dict)  # between several values in a cell, by field
    erased_among: ErasedAmong = lambda _: ()  # of some members, those to leave out as erased

    @property
    def stated(self) -> dict[str, str]:
        """What the operator states of the whole file, for the operator log."""
        return {"consent": self.consent} if self.consent else {}

    def digest(self, content: str) -> str:
        """Return a digest of everything that decides the changes, except the audience and the time."""
        decisive = [
            content,
            dict(self.columns),
            self.country,
            self.exits,
            self.hash_ids,
            self.consent,
            dict(self.separators),
        ]
        return hashlib.sha256(compact_json(decisive).encode()).hexdigest()


class LeftOut(NamedTuple):
    """The reason why a row makes no change. Of its values, holds at most a valid member id."""

    row: int  # the first below the names of the columns is 1
    reason: str
    member: str | None = None  # external user id; None if the row has no valid one
    exit: MembershipChange | None = None  # from every audience, if the row denies consent; for import only


type Values = Sequence[Any] | None
type RowOutcome = MembershipChange | LeftOut
type MessageId = Callable[[int, MembershipChange], str]  # by number of a row, and its change still without an id


class _Subject(NamedTuple):
    """The person of a row."""

    fields: dict[str, Any]
    member: str  # external user id
    country: str | None


class RowChanges:
    """Turns rows into changes of one audience, some at a time, as events are."""

    def __init__(self, reading: Reading, audience: Audience, policy: Policy, message_id: MessageId, *, at: int) -> None:
        self.fields = tuple(reading.columns)
        self._reading = reading
        self._audience = audience
        self._policy = policy
        self._message_id = message_id
        self._at = at
        self._countries = (reading.country, audience.country)
        self._names = [name for name in self.fields if name in _AMAZON_NAMES]
        found = ((name, split_at(characters)) for name, characters in reading.separators.items())
        self._consents = [name for name in _IN_WORDS if name in reading.columns]
        self._splits: dict[str, Split] = {name: split for name, split in found if split}

    def outcomes(self, rows: Iterable[Values], *, after: int = 0) -> Iterator[tuple[int, Values, RowOutcome]]:
        """Yield the number, the values, and the change or rejection of each row below the first `after` ones.

        `rows` are the values of `fields`, in their order; None for a row that cannot be read.
        """
        for some in batched(islice(enumerate(rows, start=1), after, None), TOGETHER):
            subjects = [self._subject(row, values) for row, values in some]
            usable = [each for each in subjects if isinstance(each, _Subject)]
            found, erased = iter(self._identities(usable)), self._reading.erased_among([each.member for each in usable])
            for (row, values), subject in zip(some, subjects, strict=True):
                if isinstance(subject, LeftOut):
                    yield row, values, subject
                else:
                    outcome = self._outcome(row, subject, next(found))
                    if subject.member in erased and isinstance(outcome, MembershipChange):
                        outcome = LeftOut(row, RowReason.ERASED, subject.member)
                    yield row, values, outcome

    def unusable(self, row: int, values: Values, outcome: RowOutcome) -> list[UnusableValue]:
        """Return the identifiers of a row that normalization drops; none if the row is left out for another reason."""
        identities: Sequence[Identity] = [Identity(0, {})]
        if isinstance(outcome, MembershipChange) and not outcome.exits:
            identities = outcome.identities
            is_plain = not self._splits and list not in map(type, values or ())
            if is_plain and len(identities[0].digests) == len(self._names):  # as in most rows
                return []
        elif isinstance(outcome, MembershipChange) or outcome.reason != Reason.NO_IDENTIFIER:
            return []
        fields = self._fields(values or ())
        dropped = [
            (name, each)
            for name in self._names
            if isinstance(value := fields[name], list) or _AMAZON_NAMES[name] not in identities[0].digests
            for each in (value if isinstance(value, list) and name in _LISTED else [value])
            if each not in _NO_VALUE
        ]
        if not dropped:
            return []
        country = first_country((fields.get("country"), *self._countries), exits=True)
        sent = {digest for identity in identities for digest in identity.digests.values()}
        found = [(name, _why_not_sent(name, value, country, sent)) for name, value in dropped]
        return [UnusableValue(row, name, why) for name, why in found if why and why != EMPTY]

    def _subject(self, row: int, values: Values) -> _Subject | LeftOut:
        if values is None:
            return LeftOut(row, Reason.ROW_UNREADABLE)
        fields = self._fields(values)
        is_hashed, exits = self._reading.hash_ids, self._reading.exits
        if mistaken := mistaken_id(fields.get("external_user_id"), is_hashed=is_hashed, exits=exits):
            return LeftOut(row, mistaken)
        countries = (fields.get("country"), *self._countries)
        member = None
        try:
            member = external_user_id(self._id(fields.get("external_user_id")))
            return _Subject(fields, member, first_country(countries, exits=exits))
        except RejectedEvent as error:
            return self._left_out(row, error.reason, member, fields)

    def _fields(self, values: Sequence[Any]) -> dict[str, Any]:
        fields = dict(zip(self.fields, values, strict=True))
        for name, split in self._splits.items():
            fields[name] = split(fields[name])
        for name in self._consents:
            fields[name] = consent_of(fields[name])
        return fields

    def _identities(self, subjects: Sequence[_Subject]) -> list[list[dict[str, str]]]:
        columns = [[each.fields.get(name) for each in subjects] for name in _IDENTIFIERS]
        countries = [each.country for each in subjects]
        return identifiers_of_all(columns, countries)

    def _outcome(self, row: int, subject: _Subject, identities: list[dict[str, str]]) -> RowOutcome:
        fields, member, country = subject
        exits = self._reading.exits
        try:
            version, signals = Version(self._at, exits, ""), self._signals(fields)
            change = checked_change(self._audience, member, version, country, identities, signals, self._policy)
        except RejectedEvent as error:
            return self._left_out(row, error.reason, member, fields)
        change.message_id = self._message_id(row, change)
        return change

    def _signals(self, fields: Mapping[str, Any]) -> list[Any]:
        signals = [fields.get(name) for name in SIGNALS]
        if self._reading.consent and all(fields.get(name) in (None, "") for name in _CONSENTS):
            signals[_STATED] = self._reading.consent
        return signals

    def _left_out(self, row: int, reason: str, member: str | None, fields: Mapping[str, Any]) -> LeftOut:
        if member:
            try:
                require_no_denial([fields.get(name) for name in SIGNALS])
            except RejectedEvent as denial:  # outweighs any other reason
                leaves = erasing_exit(member, self._at, "", denies_consent=True)
                leaves = replace(leaves, message_id=self._message_id(row, leaves))
                return LeftOut(row, denial.reason, member, leaves)
        return LeftOut(row, reason, member)

    def _id(self, value: Any) -> Any:
        if isinstance(value, str):
            value = value.strip()
        if not self._reading.hash_ids or value in (None, "") or not isinstance(value, str | int):
            return value
        return hashlib.sha256(str(value).encode("utf-8", "ignore")).hexdigest()


def _why_not_sent(name: str, value: Any, country: str | None, sent: Collection[str]) -> Unusable | None:
    if why := why_unusable(name, value, country):
        return why.reason
    return None if identifier(name, value, country) in sent else OVER_LIMIT


def numbered_ids(prefix: str) -> MessageId:
    """Number messages by row. Between changes of one time the larger id wins, so the last row decides."""
    return lambda row, _: f"{prefix}-{row:09d}"


def ids_of_file(digest: str) -> MessageId:
    """Number the messages of a file with this digest: reading the same rows in the same way gives the same ids."""
    return numbered_ids(f"import-{digest[:24]}")


def ids_of_records(row: int, change: MembershipChange) -> str:
    """Name the messages of a stream by the content of each record: a stream has no digest before its end."""
    text = compact_json(record_as_json(change))
    return f"import-{row:09d}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"
