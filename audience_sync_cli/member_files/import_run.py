"""Runs over the rows of a file: each becomes a change to send, or is counted and listed as left out."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from audience_sync.members.membership import MembershipChange
from audience_sync_cli.frame.unusable import Unusable
from audience_sync_cli.member_files.consent_words import known_word
from audience_sync_cli.member_files.repeated_ids import Repeated, RepeatedIds
from audience_sync_cli.member_files.row_changes import LeftOut, RowChanges, Values
from audience_sync_cli.member_files.unusable_values import UnusableValue
from audience_sync_cli.stack.change_sender import Send

PREVIEWED = 5  # rows
type Reject = Callable[[LeftOut | UnusableValue], None]


class Previewed(NamedTuple):
    """One of the first rows, for the preview. Holds plain text."""

    row: int
    values: Values
    outcome: MembershipChange | LeftOut
    unusable: Sequence[UnusableValue]


@dataclass
class Report:
    """Results for the rows of a file."""

    rows: int = 0
    changes: int = 0  # of the audience
    denied: int = 0  # rows that deny consent: these members leave every audience
    left_out: Counter[str] = field(default_factory=Counter)  # rows, by reason
    unusable: Counter[tuple[str, Unusable]] = field(default_factory=Counter)  # values, by field and reason
    identifiers: Counter[str] = field(default_factory=Counter)  # changes that have one, by Amazon's name
    consents: Counter[str] = field(default_factory=Counter)  # rows, by what the consent column says
    repeated: Repeated | None = None  # member ids in more than one of the changes; None if they could not be counted
    first: list[Previewed] = field(default_factory=list)


def run(rows: Iterable[Values], changes: RowChanges, send: Send, reject: Reject, *, after: int = 0) -> Report:
    """Turn rows into changes to send, and list the rows that are left out and the values that are not used.

    `rows` are the values of the fields of `changes`, None if unreadable. Rows up to `after` are skipped: an earlier run
    has sent them.
    """
    report = Report()
    with RepeatedIds() as ids:
        for row, values, outcome in changes.outcomes(rows, after=after):
            report.rows += 1
            if values and "amzn_user_data" in changes.fields:
                report.consents[known_word(values[changes.fields.index("amzn_user_data")])] += 1
            unusable = changes.unusable(row, values, outcome)
            if report.rows <= PREVIEWED:
                report.first.append(Previewed(row, values, outcome, unusable))
            if isinstance(outcome, LeftOut):
                if outcome.exit:
                    report.denied += 1
                else:
                    report.left_out[outcome.reason] += 1
                reject(outcome)
                send(row, outcome.exit)
            else:
                report.changes += 1
                ids.add(outcome.member_id, [each.digests for each in outcome.identities])
                for name in {name for each in outcome.identities for name in each.digests}:
                    report.identifiers[name] += 1
                send(row, outcome)
            for value in unusable:
                report.unusable[value.field, value.reason] += 1
                reject(value)
        report.repeated = ids.count()
    return report
