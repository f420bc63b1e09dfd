"""The operator's commands behind the page."""

from collections.abc import Callable, Mapping
from typing import Any

from audience_sync_cli.dashboard.search import find
from audience_sync_cli.frame.errors import TryLater
from audience_sync_cli.frame.explanation import explained
from audience_sync_cli.frame.operator_log import OperatorLog, checked_note
from audience_sync_cli.frame.screen import Screen
from audience_sync_cli.frame.session import Session
from audience_sync_cli.frame.stacks import Stack
from audience_sync_cli.stack.blockers import Blocker, event_sources, token_failure, waiting
from audience_sync_cli.stack.dead_letters import DeadLetters
from audience_sync_cli.stack.event_source import switch
from audience_sync_cli.stack.redrive import Redrive, process_dead_letters

type Blockers = tuple[Blocker, ...]


def sentence_of(error: Exception) -> str:
    """Return error and remedy for the page, without values from a service or a user."""
    failure = explained(error)
    return f"{failure} {failure.remedy}".strip()


class Operator:
    """Runs commands for the page, and prints nothing."""

    def __init__(self, stack: Stack, now: Callable[[], float]) -> None:
        """`now` is in epoch seconds."""
        self._session = Session(Screen(), lambda: stack, now)

    def blockers(self, *, waits: bool) -> Blockers:
        """Return why changes wait; if none does, why the next one will. Raises TryLater if nothing is known.

        Old failures do not matter for an empty queue: the changes they deferred have been delivered or parked since.
        """
        if not waits:
            stack, now = self._session.stack, self._session.now()
            return (*event_sources(stack, now), *token_failure(stack, now))
        found = waiting(self._session)
        if found.unknown and not found.blockers:
            raise TryLater(found.unknown[0])
        return tuple(found.blockers)

    def redrive(self, reason: str) -> list[str]:
        """Redrive dead letters with this reason, or all if it is empty. Returns sentences."""
        log, notes = self._log()
        action = Redrive(self._session.queue, lambda message: reason in ("", message.reason))
        with log.line("dashboard redrive", deadLetters=0) as line:
            stopped = process_dead_letters(DeadLetters.of(self._session.stack), action, line)
        return [action.result, *action.left(), *filter(None, [stopped]), *notes]

    def switch(self, action: str, fields: Mapping[str, str]) -> list[str]:
        """Pause or resume delivery: note. Returns sentences. Raises OperatorError."""
        log, notes = self._log()
        note = checked_note(fields["note"]) if fields.get("note") else ""
        switch(self._session, log, f"dashboard {action}", note=note, on_state=lambda _: None)
        return [f"Delivery is {action}d.", *notes]

    def find(self, fields: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return everything stored under a member id or a message id: title and facts of each. Raises OperatorError."""
        with self._log()[0].line("dashboard search"):
            return [each._asdict() for each in find(self._session, fields.get("id", "").strip())]

    def _log(self) -> tuple[OperatorLog, list[str]]:
        """Return the operator log, and a list to which it adds its notes."""
        notes: list[str] = []
        return OperatorLog(self._session.stack, notes.append, self._session.now), notes
