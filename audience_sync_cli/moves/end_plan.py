"""What ending an audience means for its events, and for the audiences that share its key."""

from dataclasses import dataclass, replace

from audience_sync.members.membership import Audience, after_moves
from audience_sync_cli.frame.errors import NotThere
from audience_sync_cli.frame.session import Session
from audience_sync_cli.stack.listed import same_key
from audience_sync_cli.stack.unlinking import take_off_list


@dataclass(frozen=True, slots=True)
class EndPlan:
    """The end of an audience."""

    audience: Audience
    target: Audience | None  # that events for it reach from then on: it was moved there, or from there
    takes_back: bool  # the audience is the target of a move, which this takes back
    others: tuple[Audience, ...]  # that share its key

    @property
    def effects(self) -> str:
        """The effects on events, as sentences."""
        known = self.audience
        if self.target:
            back = f"The move is taken back: {_label(self.target)} is current. " if self.takes_back else ""
            return f"{back}Events for {_label(known)} go on to {_label(self.target)}."
        if self.others:
            others = ", ".join(map(_label, self.others))
            return f"Events by key go on to {others}. Events by its id are rejected as audience_unknown."
        return "Events for it are rejected as audience_unknown, also of people who enter."


def planned_end(session: Session, known: Audience) -> EndPlan:
    """Plan the end of an audience, listed or unlinked already. Raises NotThere, Unavailable."""
    audiences = session.audiences.with_unlinked()
    by_id = {each.audience_id: each for each in audiences}
    others = tuple(same_key(known, [each for each in audiences if each.unlinked_at is None]))
    if known.unlinked_at is not None or known.moved_to:
        return EndPlan(known, _listed_target(known, by_id), takes_back=False, others=others)
    back = next((each for each in others if each.moved_to == known.audience_id), None)
    return EndPlan(known, back, takes_back=back is not None, others=others)


def _listed_target(known: Audience, by_id: dict[str, Audience]) -> Audience | None:
    """Follow moves to the audience that is listed. Raises NotThere if the first one is gone, with members lost."""
    if not known.moved_to:
        return None
    if known.moved_to not in by_id:
        raise NotThere(
            f"{known.audience_id} was moved to {known.moved_to}, which is not listed.",
            "Link that audience again, or first move this one to an audience that is listed.",
        )
    found = after_moves(by_id[known.moved_to], by_id.get)
    return None if found == known else found


def take_off(session: Session, plan: EndPlan) -> EndPlan:
    """Take the audience off the list, and leave a main audience on its key. Returns the plan with it as it is then.

    The audiences of the key are declared to share it all the time. Raises Unavailable, TryLater.
    """
    known, table, others = plan.audience, session.audiences, plan.others
    moved_to = plan.target.audience_id if plan.takes_back and plan.target else known.moved_to
    replacement = plan.target if plan.target in others else others[0] if len(others) == 1 else None
    if replacement:
        table.mark(known.audience_id, also=True, moved_to=moved_to)
        has_main = any(not each.also for each in others if each != replacement)
        back = None if replacement.moved_to == known.audience_id else replacement.moved_to
        table.mark(replacement.audience_id, also=has_main, moved_to=back)
    now = take_off_list(session, known, replacement or plan.target)
    return replace(plan, audience=replace(known, unlinked_at=now, moved_to=moved_to))


def _label(audience: Audience) -> str:
    return f"{audience.name or audience.audience_id} ({audience.audience_id})"
