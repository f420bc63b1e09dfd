"""The values that the mappings find in events, and the work that this may take."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any

from audience_sync.amazon_ads.ids import external_user_id
from audience_sync.amazon_ads.normalization.phone import MAX_LENGTH as MAX_PHONE
from audience_sync.amazon_ads.normalize import MAX_VALUES
from audience_sync.errors import RejectedEvent, TooLarge
from audience_sync.fields import FIELDS, LISTED
from audience_sync.ingest.outcome import Rejected
from audience_sync.ingest.record_rules import AudienceLookup, listed_audiences
from audience_sync.reasons import Reason
from audience_sync.segment.budget import MAX_STEPS, Budget
from audience_sync.segment.compiled_mapping import CompiledMapping
from audience_sync.segment.event import AudienceCall, EventKind, read_row

MAX_WORK = 15_000_000  # steps of all mappings on the events of one request; a step takes a tenth of a microsecond
STEPS_A_CHANGE = 600  # to normalize and hash mapped values and build the record
STEPS_A_LISTED_EMAIL = 100  # of a list that makes several identities: to normalize, hash and send it
STEPS_A_LISTED_PHONE = 400  # 40 µs in the phone library, unless it is of a common form
STEPS_AN_AUDIENCE = 200  # for each further audience of an event: a third, as measured
LONG_PHONE = 20  # characters; for a longer number, the phone library takes a microsecond a character and country
STEPS_A_PHONE_CHARACTER = 10

_UNSTATED = (
    "the event names a listed audience, but not who enters or leaves; send track events named Audience Entered or "
    "Audience Exited, add membership to the mapping, or narrow its trigger"
)
_NO_NAMED_VALUE = "membership has none of the values that the mapping names; add the value to enter or exit"
_CONTRADICTS = "membership and the event disagree on who enters or leaves; narrow the mapping's trigger"


type Values = list[Any]
"""The mapped value of each of FIELDS."""

type Found = list[tuple[AudienceCall, Values]] | Rejected
"""The call and the values that each applicable mapping finds in an event."""


_EMAIL, _PHONE = _LISTED = [FIELDS.index(field) for field in LISTED]
_listed = itemgetter(*_LISTED)


class Mapper:
    """Applies the mappings of one request to its events."""

    def __init__(
        self, mappings: Sequence[CompiledMapping], audiences: AudienceLookup, now: int, *, needs_time: bool
    ) -> None:
        self._mappings = mappings
        self._audiences = audiences
        self._now = now
        self._needs_time = needs_time
        self.identities_left_out = 0  # so far, beyond those that are read
        self._budget = Budget()  # of the event that is read
        self._work = 0  # steps so far
        self._steps_of_triggers = sum(mapping.steps_of_trigger for mapping in mappings)
        self._enabled = [mapping for mapping in mappings if mapping.is_enabled]
        self._of_rows = [mapping for mapping in self._enabled if mapping.membership]
        self._steps_of_audiences = sum(mapping.steps_of_audience for mapping in self._enabled)

    def values_in(self, call: AudienceCall, event: Any) -> Found:
        """Return the values that each applicable mapping finds. Raises TooLarge if all took over MAX_WORK steps."""
        budget = self._budget
        self._work += MAX_STEPS - budget.steps_left  # of the event before
        budget.steps_left = MAX_STEPS
        if self._work > MAX_WORK:
            raise TooLarge(f"mappings take over {MAX_WORK} steps on the events; lower the batch size in Segment")
        if call.kind is EventKind.IGNORE:
            return Rejected(*call.rejection) if call.rejection else []
        if call.kind is EventKind.ERASE:
            return []
        try:
            return self._mapped(call, event)
        except RejectedEvent as error:  # a used-up budget rejects the event, whatever its values
            return Rejected.of(error)

    def members_in(self, notice: dict[str, Any]) -> Iterable[str] | Rejected:
        """Return each id that the mappings give the person of a deletion notice, or the rejection if none is valid.

        Disabled mappings also count: their members are still in the audience. Without mappings, userId counts.
        """
        budget = Budget()
        self._work += sum(mapping.steps_of_member for mapping in self._mappings)
        try:
            values = [mapping.member_of(notice, budget) for mapping in self._mappings]
        except RejectedEvent as error:
            return Rejected.of(error)
        return valid_members(values or [notice.get("userId")])

    def add_audiences(self, count: int, values: Values) -> None:
        """Add the work for further audiences of an event."""
        self._work += count * (STEPS_AN_AUDIENCE + _steps_of_phone(values[_PHONE]) + _steps_of_lists(values))

    def _mapped(self, call: AudienceCall, event: Any) -> Found:
        if self._of_rows and (by_mappings := self._decided(call, event)) is not None:
            return by_mappings
        if call.kind is EventKind.UNSTATED:
            return self._unstated(call, event)
        self._work += self._steps_of_triggers
        applying = [each for each in self._mappings if each.applies_to(event, self._budget)]
        if applying and call.rejection:
            return Rejected(*call.rejection)
        return self._values([(call, mapping) for mapping in applying], event)

    def _values(self, applying: Sequence[tuple[AudienceCall, CompiledMapping]], event: Any) -> Found:
        for _, mapping in applying:
            self._work += STEPS_A_CHANGE + mapping.steps
        found = [(call, mapping.values_of(event, self._budget)) for call, mapping in applying]
        for _, values in found:
            if type(values[_EMAIL]) is list or type(values[_PHONE]) is list:
                lists = [value for value in _listed(values) if type(value) is list]
                self.identities_left_out += sum(max(0, len(each) - MAX_VALUES) for each in lists)
                self._budget.spend(_steps_of_lists(values))
        if len(found) > 1:
            self._work += sum(_steps_of_phone(values[_PHONE]) for _, values in found)
        return found

    def _decided(self, call: AudienceCall, event: Any) -> Found | None:
        """Let the mappings with `membership` decide an event. None if no such mapping applies, or Engage decides alike.

        Each decides for its own audience, so they may disagree. A mapping without `membership` gives no change.
        """
        budget = self._budget
        self._work += sum(mapping.steps_of_trigger for mapping in self._of_rows)
        applying = [mapping for mapping in self._of_rows if mapping.applies_to(event, budget)]
        decided = [(mapping.membership.kind_of(event, budget), mapping) for mapping in applying if mapping.membership]
        if not decided:
            return None
        if not is_undecided(call):
            contradicts = not call.rejection and any(kind not in (None, call.kind) for kind, _ in decided)
            return Rejected(Reason.MEMBERSHIP_CONTRADICTORY, _CONTRADICTS, "membership") if contradicts else None
        if not any(kind for kind, _ in decided):
            return Rejected(Reason.MEMBERSHIP_UNDECIDED, _NO_NAMED_VALUE, "membership")
        row = read_row(event, self._now, needs_time=self._needs_time)
        return self._values([(replace(row, kind=kind), mapping) for kind, mapping in decided if kind], event)

    def _unstated(self, call: AudienceCall, event: Any) -> Found:
        """Reject an event in which a mapping finds a listed audience. Any other is ignored, even a costly one."""
        self._work += self._steps_of_audiences
        budget, key = self._budget, call.computation_key
        try:
            for mapping in self._enabled:
                (mapped,) = mapping.read_audience(event, budget)
                if not key and mapped in (None, ""):  # as in nearly every event not about an audience
                    continue
                self._work += mapping.steps_of_trigger
                if mapping.applies_to(event, budget) and listed_audiences(mapped, key, self._audiences):
                    return Rejected(Reason.MEMBERSHIP_UNDECIDED, _UNSTATED)
        except RejectedEvent:  # the budget is used up
            pass
        return []


def valid_members(values: Iterable[Any], valid: Callable[[Any], str] = external_user_id) -> Iterable[str] | Rejected:
    """Return the distinct ids among values of external_user_id, or the last one's rejection if none is valid."""
    members: dict[str, None] = {}
    rejected: Rejected | None = None
    for value in values:
        try:
            members[valid(value)] = None
        except RejectedEvent as error:
            rejected = Rejected.of(error)
    return rejected if rejected and not members else members


def is_undecided(call: AudienceCall) -> bool:
    """Return whether a mapping's `membership` may decide an event, because Engage's part of it does not."""
    why = call.rejection[0] if call.rejection else None
    return call.kind is EventKind.UNSTATED or why is Reason.MEMBERSHIP_UNDECIDED


def _steps_of_lists(values: Values) -> int:
    emails, phones = [value[:MAX_VALUES] if type(value) is list else [] for value in _listed(values)]
    return STEPS_A_LISTED_EMAIL * len(emails) + sum([STEPS_A_LISTED_PHONE + _steps_of_phone(each) for each in phones])


def _steps_of_phone(value: Any) -> int:
    if type(value) is not str or len(value) <= LONG_PHONE:
        return 0
    return STEPS_A_PHONE_CHARACTER * min(len(value), MAX_PHONE)
