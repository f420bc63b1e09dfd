"""The operator's commands behind the page: a deployed and a local stack answer alike."""

from collections.abc import Callable, Mapping
from typing import Any, Self

from audience_sync_cli import stack as stacks
from audience_sync_cli.dashboard.finding import find
from audience_sync_cli.errors import TryLater
from audience_sync_cli.explanation import explained
from audience_sync_cli.operator_log import OperatorLog
from audience_sync_cli.parked.acknowledged import Acknowledgement, Acknowledgements, checked
from audience_sync_cli.screen import Screen
from audience_sync_cli.session import Session
from audience_sync_cli.stack import Stack
from audience_sync_cli.state.blockers import Blocker, paused, token_failure, waiting

type Blockers = tuple[Blocker, ...]
type Known = tuple[Acknowledgement, ...]  # newest first


def sentence_of(error: Exception) -> str:
    """Return what went wrong and the remedy, for the page: no value that a service or a user has sent."""
    failure = explained(error)
    return f"{failure} {failure.remedy}".strip()


class Operator:
    """Does for the page what commands do, and prints nothing."""

    def __init__(self, find: Callable[[], Stack], now: Callable[[], float]) -> None:
        """Take what finds the stack, and the clock in epoch seconds."""
        self._session = Session(Screen(), find, now)

    @classmethod
    def of_local(cls, api: Callable[[], str], now: Callable[[], float]) -> Self:
        """Return that of the local stack at this address, which is asked for on first use."""
        return cls(lambda: stacks.local(api()), now)

    def blockers(self, *, waits: bool) -> Blockers:
        """Return why changes wait; if none does, what will hold up the next one. Raises TryLater if nothing is known.

        Old failures say nothing about an empty queue: what they deferred has been delivered or parked since.
        """
        if not waits:
            return (*paused(self._session.stack), *token_failure(self._session.stack, self._session.now()))
        found = waiting(self._session)
        if found.unknown and not found.blockers:
            raise TryLater(found.unknown[0])
        return tuple(found.blockers)

    def acknowledgements(self) -> Known:
        """Return which dead letters operators have acknowledged, newest first. Raises Unavailable."""
        return Acknowledgements.of(self._session.stack).read()

    def acknowledge(self, told: Mapping[str, str]) -> list[str]:
        """Note that somebody knows of dead letters: reason, audienceId, note. Raises OperatorError."""
        stack, notes = self._session.stack, list[str]()
        reason, audience_id = told.get("reason", ""), told.get("audienceId", "")
        note = checked(reason, audience_id, told.get("note", ""))
        about = {"audienceId": audience_id} if audience_id else {}
        log = OperatorLog(stack, notes.append, self._session.now)
        with log.line("dashboard acknowledge", **about):
            done = Acknowledgement(reason, audience_id, note, log.caller(), self._session.now())
            Acknowledgements.of(stack).add(done)
        return ["Acknowledged. Dead letters that are parked from now on are not.", *notes]

    def find(self, told: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return what is stored under an id of a member or a message: title and facts of each. Raises OperatorError."""
        return [each._asdict() for each in find(self._session, told.get("id", "").strip())]
