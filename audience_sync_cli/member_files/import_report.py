"""Output of an import: columns, a preview with masked values, and counts."""

from collections.abc import Sequence
from typing import Any

from audience_sync.fields import IDENTIFIERS
from audience_sync.members.membership import MembershipChange
from audience_sync_cli.frame.reasons import row_remedy
from audience_sync_cli.frame.screen import Screen, counted
from audience_sync_cli.member_files.consent_words import words_text
from audience_sync_cli.member_files.import_run import Previewed, Report
from audience_sync_cli.member_files.repeated_ids import show_repeated
from audience_sync_cli.member_files.row_changes import Reading, RowChanges
from audience_sync_cli.member_files.unusable_values import unusable_json, unusable_text

_NAMES = {field.name for field in IDENTIFIERS}
_DIGEST = 64  # characters


def show_columns(screen: Screen, columns: Sequence[str], reading: Reading) -> None:
    """Print the column used for each field, and the unused columns."""
    fields = {column: field for field, column in reading.columns.items()}
    screen.table(("column", "used as"), [(column, fields.get(column, "not used")) for column in columns])


def show_preview(screen: Screen, changes: RowChanges, first: Sequence[Previewed]) -> None:
    """Print the first rows with masked values, and the change or rejection of each."""
    screen.say("")
    screen.table(
        ("row", "member", "identifiers", "becomes"),
        [_preview(changes.fields, each) for each in first],
    )


def show_report(screen: Screen, report: Report, messages: int | None = None, *, is_listed: bool = False) -> None:
    """Print counts of changes and of the messages that held them, if they were sent; and of rows left out by reason.

    `is_listed` is whether the rows left out are in a list.
    """
    found = report.identifiers
    names = ", ".join(f"{found[each.amazon_name]:,} {each.name}" for each in IDENTIFIERS if found[each.amazon_name])
    left_out = report.left_out.total()
    denied = f"{counted(report.denied, 'exit')} from every audience, among these changes"
    sent = "" if messages is None else f" in {counted(messages, 'message')}"
    screen.say("")
    screen.facts(
        {
            "rows": report.rows,
            "changes": f"{report.changes + report.denied:,}{sent}",
            **({"consent column": words_text(report.consents)} if report.consents else {}),
            **({"consent denied": denied} if report.denied else {}),
            "left out": left_out,
            "identifiers": names,
            **({"not usable": unusable_text(report.unusable)} if report.unusable else {}),
        }
    )
    show_repeated(screen, report.repeated)
    if left_out:
        screen.say("")
        screen.table(
            ("left out because", "rows", "remedy"),
            [(reason, rows, row_remedy(reason)) for reason, rows in report.left_out.most_common()],
        )
    if not is_listed and (left_out or report.unusable):
        screen.say("--rejects FILE lists them by row, with remedies.")


def report_json(report: Report) -> dict[str, Any]:
    """Return the counts for the JSON output."""
    return {
        "rows": report.rows,
        "changes": report.changes,
        "leftOut": dict(report.left_out),
        "consentWords": dict(report.consents),
        "consentDenied": report.denied,
        "unusable": unusable_json(report.unusable),
        "repeatedMemberIds": report.repeated and report.repeated.ids,
        "identifiers": {each.amazon_name: report.identifiers[each.amazon_name] for each in IDENTIFIERS},
    }


def mask(value: Any) -> str:
    """Mask a value: recognizable to a person who knows it, and to no other."""
    text = str(value).strip()
    return "hashed" if len(text) == _DIGEST else f"{text[:1]}***"


def _preview(fields: Sequence[str], previewed: Previewed) -> tuple[int, str, str, str]:
    """Return the member's id as Amazon would receive it, an invalid one masked, since it may be an e-mail address."""
    outcome, pairs = previewed.outcome, zip(fields, previewed.values or (), strict=False)
    given = {name: mask(value) for name, value in pairs if value not in (None, "")}
    masked = ", ".join(f"{name} {value}" for name, value in given.items() if name in _NAMES)
    if isinstance(outcome, MembershipChange):
        found = sum(len(each.digests) for each in outcome.identities)
        becomes = "an exit" if outcome.exits else f"an enter with {counted(found, 'identifier')}"
        becomes += "".join(f"; {each.field} {each.reason.means}" for each in previewed.unusable)
        return previewed.row, outcome.member[1], masked, becomes
    becomes = "an exit from every audience: consent denied" if outcome.exit else f"left out: {outcome.reason}"
    return previewed.row, outcome.member or given.get("external_user_id", ""), masked, becomes
