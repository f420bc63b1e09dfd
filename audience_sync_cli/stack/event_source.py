"""Event sources in Lambda: whether the worker's is enabled, who disabled it, how to change it; and any filters."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from audience_sync_cli.frame.errors import OperatorError, TryLater
from audience_sync_cli.frame.operator_log import NAME, OperatorLog
from audience_sync_cli.frame.screen import moment
from audience_sync_cli.frame.session import Session
from audience_sync_cli.frame.stacks import Stack
from audience_sync_cli.frame.times import DAY
from audience_sync_cli.stack.function_logs import FunctionLogs

PAUSE, RESUME = "pause", "resume"  # commands; the page's begin with "dashboard "
DEPLOY_TO_RESUME = "make deploy ARGS='--parameter-overrides Enabled=yes'"
LIMIT = 180  # seconds until Lambda has enabled or disabled an event source; it takes up to a minute
POLL = 1.0  # seconds
_FINAL = ("Enabled", "Disabled")  # otherwise Enabling, Disabling, Creating, Updating
_STOPPING = ("Disabling", "Disabled")
_KEPT = 400 * DAY  # seconds, the operator log's


class Paused(NamedTuple):
    """The line of the operator log about a pause. All are empty if there is none."""

    by: str = ""  # the end of an ARN
    at: int | None = None  # epoch milliseconds
    note: str = ""

    def __str__(self) -> str:
        by = f" by {self.by} at {moment(self.at)}" if self.at else ""
        return by + (f": {self.note}" if self.note else "")


def states(stack: Stack) -> dict[str, str]:
    """Return Lambda's state of each event source of the worker, by UUID."""
    return {each["UUID"]: each["State"] for each in _sources(stack, "WorkerFunction")}


def filtered(stack: Stack) -> dict[str, str]:
    """Return the functions whose event source has a filter, each with its UUID. The template sets none."""
    polling = ["WorkerFunction", "JobsFunction", *(["EventsFunction"] if stack.event_queue else [])]
    sources = {name: _sources(stack, name) for name in polling if name in stack}  # an outdated stack may lack one
    return {name: each["UUID"] for name, found in sources.items() for each in found if _has_filter(each)}


def _has_filter(source: dict[str, Any]) -> bool:
    # Instead of a filter that is encrypted with a key of its own, Lambda may return only an error.
    return bool(source.get("FilterCriteria", {}).get("Filters") or source.get("FilterCriteriaError"))


def _sources(stack: Stack, function: str) -> list[dict[str, Any]]:
    answer = stack.service("lambda").list_event_source_mappings(FunctionName=stack[function])
    return [dict(each) for each in answer["EventSourceMappings"]]


def is_paused(stack: Stack) -> bool:
    """Return whether the worker does not receive from the change queue."""
    found = states(stack).values()
    return bool(found) and all(state in _STOPPING for state in found)


def is_paused_by_deployment(stack: Stack) -> bool:
    """Return whether the stack was deployed with Enabled=no."""
    return stack.parameters.get("Enabled") == "no"


def paused_by(stack: Stack, now: float) -> Paused:
    """Return who has paused delivery. Raises Unavailable, NotThere."""
    newest, pattern = Paused(), f'{{ $.command = "*{PAUSE}" || $.command = "*{RESUME}" }}'
    for line in sorted(FunctionLogs(stack).matching(NAME, pattern, now - _KEPT), key=lambda line: line.at):
        command = str(line.fields.get("command")).removeprefix("dashboard ")
        if command == PAUSE:
            newest = Paused(str(line.fields.get("who")).rpartition(":")[2], line.at, str(line.fields.get("note", "")))
        elif command == RESUME:
            newest = Paused()
    return newest


def switch(
    session: Session, log: OperatorLog, command: str, *, note: str = "", on_state: Callable[[str], None]
) -> bool:
    """Pause or resume delivery, and wait until Lambda has done it. Returns whether there was anything to do.

    `on_state` is called with Lambda's state while it changes. Raises OperatorError if only a deployment can resume it,
    TryLater if Lambda takes longer than LIMIT.
    """
    aim = "Enabled" if command.endswith(RESUME) else "Disabled"
    if aim == "Enabled" and is_paused_by_deployment(session.stack):
        raise OperatorError("Delivery is paused by the stack's parameter Enabled=no.", f"Deploy: `{DEPLOY_TO_RESUME}`.")
    before = _settled(session, on_state)  # Lambda refuses a change while it makes another
    if all(state == aim for state in before.values()):
        return False
    with log.line(command, **({"note": note} if note else {})):
        for uuid in before:
            session.stack.service("lambda").update_event_source_mapping(UUID=uuid, Enabled=aim == "Enabled")
    _settled(session, on_state, aim)
    return True


def _settled(session: Session, on_state: Callable[[str], None], aim: str = "") -> dict[str, str]:
    """Wait until no event source is changing, or until all are as `aim` says, and return their states."""
    until = session.now() + LIMIT
    while unsettled := set(_unsettled(found := states(session.stack), aim)):
        if session.now() >= until:
            raise TryLater(
                f"Lambda still reports {', '.join(sorted(unsettled))} after {LIMIT} seconds.",
                "`audience-sync status` says whether delivery is paused; run the command again.",
            )
        on_state(", ".join(sorted(unsettled)))
        session.sleep(POLL)
    return found


def _unsettled(found: dict[str, str], aim: str) -> Iterator[str]:
    yield from (state for state in found.values() if state not in _FINAL or (aim and state != aim))
