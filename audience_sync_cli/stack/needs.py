"""Problems that need a person, the most urgent first: checks of `status` and the page, on what they have read. Pure."""

from typing import TYPE_CHECKING

from audience_sync.operations.rejections import are_many
from audience_sync_cli.frame.finding import Finding
from audience_sync_cli.frame.screen import counted
from audience_sync_cli.stack.counts import Counts, EventQueueDepth

if TYPE_CHECKING:
    from collections.abc import Iterable

    from audience_sync_cli.stack.blockers import Blocker


def needs(
    counts: Counts,
    dead_letters: int,
    blockers: "Iterable[Blocker]" = (),
    *,
    overdue_erasures: int = 0,
    event_queue: EventQueueDepth | None = None,
) -> list[Finding]:
    """Return problems that stay until a person acts: each a sentence with the command or the page that helps.

    Delivery stopped, changes lost, erasures overdue, changes parked, events kept as dead letters, events rejected.

    Args:
        counts: of the stack.
        dead_letters: messages in the dead letter queue.
        blockers: why changes wait; only blockers that need a person count.
        overdue_erasures: people whose erasure is not done in time.
        event_queue: of a stack that has one.
    """
    needed = [each for each in blockers if each.needs_person]
    found = {each.reason: each.text if each.since else f"{each.sentence} {each.remedy}".strip() for each in needed}
    if counts.unaccounted:
        lost = f"{counted(counts.unaccounted, 'change')} unaccounted for"
        found["unaccounted"] = f"{lost}: see UnaccountedChanges in docs/runbook.md."
    if overdue_erasures:
        overdue = f"{counted(overdue_erasures, 'erasure')} overdue"
        found["erasures_overdue"] = f"{overdue}: `audience-sync member erasure`."
    if dead_letters:
        verb = "needs" if dead_letters == 1 else "need"
        found["dead_letters"] = f"{counted(dead_letters, 'dead letter')} {verb} you: `audience-sync parked list`."
    if event_queue and event_queue.dead_letters:
        kept = f"{counted(event_queue.dead_letters, 'dead letter')} of the event queue"
        found["event_dead_letters"] = f"{kept}: `audience-sync parked list`."
    events = counts.events_accepted + counts.events_ignored + counts.events_rejected
    if are_many(counts.events_rejected, events):
        rejected = f"{counted(counts.events_rejected, 'event')} of {events:,} rejected"
        found["rejections"] = f"{rejected}: `audience-sync rejections`."
    return [Finding("problem", text, name=reason) for reason, text in found.items()]


def needs_json(needed: "Iterable[Finding]") -> list[dict[str, str]]:
    """Return what needs a person, for scripts and the page."""
    return [{"reason": each.name, "text": each.found} for each in needed]
