"""Acknowledged dead letters: which kind, by whom, when, and a note. One row of the audience table holds them.

No function reads it. Dead letters of a kind that are parked later are not acknowledged.
"""

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from audience_sync.aws.audience_table import NOT_AN_AUDIENCE, audience_table_call
from audience_sync.members.membership import AUDIENCE_ID
from audience_sync_cli.errors import WrongUsage
from audience_sync_cli.operator_log import checked_note
from audience_sync_cli.parked.dead_letters import REASONS
from audience_sync_cli.screen import iso_time
from audience_sync_cli.times import DAY

if TYPE_CHECKING:
    from audience_sync_cli.operator_log import OperatorLog
    from audience_sync_cli.stack import Stack

KEPT = 14 * DAY  # seconds; as long as SQS keeps a dead letter
_KEY = {"audienceId": {"S": f"{NOT_AN_AUDIENCE}acknowledged"}}


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """An operator knows of the dead letters of a kind, up to a time."""

    reason: str  # code; empty for any
    audience_id: str  # empty for any
    note: str
    by: str  # ARN of the operator's credentials
    at: float  # epoch seconds

    def covers(self, reason: str, audience_id: str | None, parked_at: float) -> bool:
        """Whether the acknowledgement covers a dead letter; `parked_at` in epoch seconds."""
        is_kind = self.reason in ("", reason) and self.audience_id in ("", audience_id)
        return is_kind and parked_at <= self.at

    def as_json(self) -> dict[str, Any]:
        """The acknowledgement for scripts."""
        kind = {"reason": self.reason or None, "audienceId": self.audience_id or None}
        return kind | {"note": self.note, "by": self.by, "at": iso_time(self.at * 1000)}


def acknowledge(
    stack: "Stack", log: "OperatorLog", command: str, *, reason: str, audience_id: str, note: str, now: float
) -> Acknowledgement:
    """Store an acknowledgement, and log the command that made it. Raises WrongUsage, Unavailable."""
    # Before the line: a wrong id may be anything that was typed.
    if reason and reason not in REASONS:
        raise WrongUsage("Unknown reason code.", f"The codes: {', '.join(REASONS)}.")
    if audience_id and not AUDIENCE_ID.fullmatch(audience_id):
        raise WrongUsage("That is not an Amazon audience id.", "See `audience-sync audiences list`.")
    note = checked_note(note)
    with log.line(command, notify=False, **({"audienceId": audience_id} if audience_id else {})):
        done = Acknowledgement(reason, audience_id, note, log.caller(), now)
        Acknowledgements.of(stack).add(done)
    return done


class Acknowledgements:
    """The acknowledgements of a stack. All calls raise Unavailable if the audience table does not answer."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    @classmethod
    def of(cls, stack: "Stack") -> Self:
        """Return the acknowledgements of a stack."""
        return cls(stack.service("dynamodb"), stack["AudienceTable"])

    def read(self) -> tuple[Acknowledgement, ...]:
        """Return all, newest first."""
        with audience_table_call():
            answer = self._client.get_item(TableName=self._table, Key=_KEY, ConsistentRead=True)
        stored = [
            Acknowledgement(**json.loads(each["S"]))
            for name, each in answer.get("Item", {}).items()
            if name not in _KEY
        ]
        return tuple(sorted(stored, key=lambda each: -each.at))

    def add(self, new: Acknowledgement) -> None:
        """Store one, replacing an older one of the same kind. Removes those whose dead letters have expired."""
        old = {_attribute(each) for each in self.read() if each.at < new.at - KEPT} - {_attribute(new)}
        names = {"#new": _attribute(new)} | {f"#old{n}": each for n, each in enumerate(old)}
        removal = f" REMOVE {', '.join(names.keys() - {'#new'})}" if old else ""
        with audience_table_call():
            self._client.update_item(
                TableName=self._table,
                Key=_KEY,
                UpdateExpression=f"SET #new = :new{removal}",
                ExpressionAttributeNames=names,
                ExpressionAttributeValues={":new": {"S": json.dumps(asdict(new))}},
            )


def _attribute(each: Acknowledgement) -> str:
    return f"{each.reason or 'any'} {each.audience_id or 'any'}"
