"""Findings of the hourly audit: what a person must hear of, and what can wait until the morning. Pure.

One alarm tells all of them, because an alarm over a metric has one fixed text and does not ring for a second fault. The
audit sets its state, with the sentences of what is new as the reason. `status` and the page print all that are open.
docs/runbook.md, Findings, has a row for each name. What loses events or removals now has an alarm of its own.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, NamedTuple, Self

from audience_sync.members.membership import Audience
from audience_sync.operations.audience_trends import State, Trend

HOUR, DAY = 3600, 86_400  # seconds
MANY_AUDIENCES = 10  # created with the audience key within a day; the key may create a hundred
MANY_REQUESTS = 100  # without a credential in an hour: scanners know neither host nor routes, and stay far below it
REPEATED_PERCENT, MIN_REPEATED = 20, 100  # of an hour's records; fewer repetitions need nobody, whatever their share
REFRESH_SILENT, DATASETS_SILENT = 2 * HOUR, 3 * HOUR  # schedules: every 20 minutes, every hour
# One run of up to 15 minutes a day, and no second one: with the shortest TTL, one failed run is all that is harmless.
RENEWAL_OVERDUE = 26 * HOUR
MAX_REASON = 1_023  # characters of an alarm's reason; CloudWatch's limit
MAX_NAME = 40  # characters of an audience's name
AUDIENCE_SHRUNK = "audience_shrunk"
WHAT_TO_DO = "What to do: docs/runbook.md, Findings."

type Hours = Mapping[int, float]  # values, by the epoch second at which an hour begins
type AlarmState = Literal["INSUFFICIENT_DATA", "ALARM", "OK"]


class AuditFinding(NamedTuple):
    """One finding. It is told when it begins, and again when its level rises."""

    name: str  # of its row in the runbook
    sentence: str
    about: str = ""  # an audience's id, or a day; two findings of one name differ in it
    level: int = 1

    @property
    def key(self) -> tuple[str, str]:
        """What makes it the same finding as at the audit before."""
        return self.name, self.about


@dataclass(frozen=True, slots=True)
class Signs:
    """What the audit has read. Times are epoch seconds."""

    now: float
    series: Mapping[str, Hours]  # of the last day, by the names below; empty without a value
    watched: Mapping[
        str, float
    ]  # since when the audit waits for `refreshes` and `revoked`, of parts that the stack has
    renews: bool  # whether an audience has `renew`
    renewed: float  # when the last pass of the renewal was completed, or the audit first looked

    def total(self, name: str, hours: int = 24) -> float:
        """Return the sum of a series over the last hours."""
        return sum(self.since(name, hours * HOUR).values())

    def highest(self, name: str, hours: int = 24) -> float:
        """Return the highest value of an hour in the last hours."""
        return max(self.since(name, hours * HOUR).values(), default=0.0)

    def is_silent(self, name: str, seconds: float) -> bool:
        """Return whether a series without which a part does not work has had no value for so long, not even 0.

        Nothing is missing before it was due once: a stack may be new, and so may its account of Ads Data Manager.
        """
        is_due = name in self.watched and self.now - self.watched[name] >= seconds
        return is_due and not self.since(name, seconds)

    def repeated_percent(self, hour: int) -> float:
        """Return the percentage of an hour's records that were sent again; 0 if there were few."""
        repeated, delivered = (self.series[name].get(hour, 0.0) for name in ("repeated", "delivered"))
        return 100 * repeated / (repeated + delivered) if repeated >= MIN_REPEATED else 0.0

    def since(self, name: str, seconds: float) -> Hours:
        """Return the values of the last seconds, with the whole hour in which they begin."""
        begin = self.now - seconds
        return {hour: value for hour, value in self.series[name].items() if hour + HOUR > begin}


@dataclass(frozen=True, slots=True)
class Findings:
    """The open findings, and what is kept between two audits."""

    open: tuple[AuditFinding, ...] = ()
    watched: Mapping[str, float] = field(default_factory=dict)
    day: int | None = None  # on which audiences were compared, counted from 1970

    @classmethod
    def from_fields(cls, fields: Mapping[str, str]) -> Self:
        """Read the row of the audit; empty before the first one."""
        opened = (AuditFinding(*each[:4]) for each in json.loads(fields.get("open", "[]")))
        day = fields.get("day")
        return cls(tuple(opened), json.loads(fields.get("watched", "{}")), int(day) if day else None)

    @property
    def fields(self) -> dict[str, str]:
        """What `from_fields` reads."""
        kept = {"open": json.dumps(self.open), "watched": json.dumps(dict(self.watched))}
        return kept | ({} if self.day is None else {"day": str(self.day)})

    def new_in(self, now_open: Iterable[AuditFinding]) -> list[AuditFinding]:
        """Return the findings that are new, or have become worse."""
        before = {each.key: each.level for each in self.open}
        return [each for each in now_open if each.level > before.get(each.key, 0)]


def alarm_states(before: Findings, after: Findings) -> tuple[AlarmState, ...]:
    """Return the states to set the alarm to, one after the other: it notifies of a change, even while it is on.

    OK only when the last finding ends, and once a day: a state that was set by hand stays for the rest of it.
    """
    if before.new_in(after.open):
        return "INSUFFICIENT_DATA", "ALARM"
    return () if after.open or (after.day == before.day and not before.open) else ("OK",)


def reason(new: Sequence[AuditFinding], others: int) -> str:
    """Say what is new, as the alarm's reason; `others` are open already."""
    if not new:
        return "No finding is open."
    text = ""
    for number, finding in enumerate(new):
        line, left = f"{finding.name}: {_ascii(finding.sentence)}\n", len(new) - number + others
        if len(text) + len(line) + len(f"{left} more: audience-sync status. ") + len(WHAT_TO_DO) > MAX_REASON:
            return f"{text}{left} more: audience-sync status. {WHAT_TO_DO}"
        text += line
    return f"{text}{f'{others} more: audience-sync status. ' if others else ''}{WHAT_TO_DO}"


def of_the_stack(signs: Signs) -> Iterator[AuditFinding]:
    """Yield the findings that are not about one audience, the most urgent first, as in the runbook's table."""
    yield from _of_senders(signs)
    yield from _people_at_risk(signs)
    yield from _parts_at_risk(signs)


def _of_senders(signs: Signs) -> Iterator[AuditFinding]:
    if (strangers := signs.highest("strangers")) >= MANY_REQUESTS:
        sentence = f"{strangers:,.0f} requests within an hour carried no key and no signature."
        yield AuditFinding("requests_without_credential", sentence)
    if (created := signs.total("created")) >= MANY_AUDIENCES:
        yield AuditFinding("audiences_created", f"The audience key has created {created:,.0f} audiences within a day.")


def _people_at_risk(signs: Signs) -> Iterator[AuditFinding]:
    if signs.renews and (overdue := signs.now - signs.renewed) >= RENEWAL_OVERDUE:
        sentence = f"No pass of the daily renewal was completed for {overdue / HOUR:.0f} hours."
        yield AuditFinding("renewal_overdue", f"{sentence} Amazon will drop active members.")
    for day, jobs in _by_day(signs.since("unresolved", DAY)).items():  # so jobs of another day are told again
        sentence = f"Upload jobs of {day} that failed, or whose result Amazon did not report: {jobs:,.0f}."
        yield AuditFinding("jobs_unresolved", f"{sentence} Their members are sent again.", day)
    if rows := signs.highest("unreadable"):
        sentence = f"Damaged rows of the membership table: {rows:,.0f}. Nothing is sent for their members."
        yield AuditFinding("rows_unreadable", f"{sentence} The log has their keys.")
    if revoked := signs.highest("revoked", 3):
        sentence = f"Shares of datasets that were revoked in the last seven days: {revoked:.0f}."
        yield AuditFinding("shares_revoked", sentence)
    if signs.total("expiring"):
        yield AuditFinding("source_key_expiring", "A source sends with a key that expires within 14 days.")
    if signs.total("ending", 3):
        yield AuditFinding("consent_ending", "Amazon's consent ends within 30 days, or has ended.")


def _parts_at_risk(signs: Signs) -> Iterator[AuditFinding]:
    if signs.is_silent("refreshes", REFRESH_SILENT):
        yield AuditFinding("refresh_stopped", "The token refresh has not run for two hours. Workers log in themselves.")
    if signs.is_silent("revoked", DATASETS_SILENT):
        yield AuditFinding(
            "datasets_unread", "Datasets were not read for three hours: nobody hears of a revoked share."
        )
    hour = int(signs.now) // HOUR * HOUR
    if min(signs.repeated_percent(hour - HOUR), signs.repeated_percent(hour - 2 * HOUR)) > REPEATED_PERCENT:
        sentence = f"For two hours more than {REPEATED_PERCENT}% of the records were sent again. Nothing is lost."
        yield AuditFinding("records_repeated", sentence)


def about_audiences(opened: Iterable[AuditFinding]) -> list[AuditFinding]:
    """Return the findings about audiences, which are compared once a day."""
    return [each for each in opened if each.name == AUDIENCE_SHRUNK]


def of_audiences(
    trends: Mapping[str, Trend], audiences: Iterable[Audience], before: Sequence[AuditFinding]
) -> list[AuditFinding]:
    """Return the findings about the listed audiences, the most urgent first.

    A history that has become too short ends nothing, and neither does a milder state.
    """
    names = {each.audience_id: each.name for each in audiences}
    known = {each.about: each for each in before}
    worst = []
    for audience_id, trend in trends.items():
        sentence = f'"{names[audience_id][:MAX_NAME]}" ({audience_id}): {trend.sentence}'
        now = AuditFinding(AUDIENCE_SHRUNK, sentence, audience_id, trend.state.urgency)
        last = known.get(audience_id, now)
        if trend.state is not State.USUAL and max(now.level, last.level):
            worst.append(max(now, last, key=lambda each: each.level))
    return sorted(worst, key=lambda each: -each.level)


def _by_day(hours: Hours) -> dict[str, float]:
    found: dict[str, float] = {}
    for hour, value in sorted(hours.items()):
        day = datetime.fromtimestamp(hour, UTC).date().isoformat()
        found[day] = found.get(day, 0) + value
    return found


def _ascii(text: str) -> str:
    """A message to a phone or pager may show nothing but ASCII."""
    return text.encode("ascii", "replace").decode()
