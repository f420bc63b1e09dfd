"""Checks the deletions that Amazon was asked for, and whether an erasure that reads closed has left nothing behind."""

from collections.abc import Iterator
from itertools import pairwise

from audience_sync.aws.membership_rows import member_of, state_from_row
from audience_sync.members.erasure.status import is_due_later
from audience_sync.members.erasure_steps import StepKind
from audience_sync.members.membership import EVERY_AUDIENCE
from tests.soak.clock import EPOCH
from tests.soak.erasure import held_in, to_erase
from tests.soak.finding import Finding
from tests.soak.held import Member
from tests.soak.simulation import Simulation


def of_deletions(simulation: Simulation, parked: set[Member]) -> Iterator[Finding]:
    """Yield what is wrong with the deletions of each person."""
    datasets, spare = simulation.amazon.datasets, simulation.profile.spare_deletions
    yield from datasets.found
    for person in sorted({user for _, user in simulation.traffic.stated}):
        member = (EVERY_AUDIENCE, person)
        stated = [change for each, some in simulation.traffic.stated.items() if each[1] == person for change in some]
        notices = {each.version: each for each in stated if each.erase}
        redriven = sum(whom == member for _, whom in simulation.dead_letters.redrives)
        deletions = datasets.deletions.get(person, [])
        enters = [at for (_, user), some in datasets.accepted.items() if user == person for at in some]
        if deletions and not notices:
            yield Finding("deleted for nothing", "without a notice", member)
        elif len(deletions) > len(notices) + spare + redriven:
            yield Finding("asked too often", f"{len(deletions)} for {len(notices)}", member)
        for last, at in pairwise([0.0, *deletions]):
            if not spare and not any(last < enter <= at for enter in enters):
                yield Finding("deleted for nothing", "without an enter since the last deletion", member)
        if notices and not any(whom[1] == person for whom in parked):
            newest, last = notices[max(notices)], max([0.0, *deletions])
            noticed = simulation.accepted_at[newest]
            known = max(each.version for each in stated if simulation.accepted_at[each] <= noticed)
            if known == newest.version and any(last < enter < noticed for enter in enters):
                yield Finding("undeleted", f"noticed at {noticed - EPOCH:.0f} s", member)


def of_proofs(simulation: Simulation, parked: set[Member]) -> Iterator[Finding]:
    """Yield the erasures whose state in the table contradicts what is left at Amazon and in the table."""
    rows = [row for row in simulation.stack.members.rows.values() if row.get("member")]
    people = [state_from_row(row) for row in rows if member_of(row)[0] == EVERY_AUDIENCE]
    known = {user for (_, user), held in simulation.amazon.audiences.items() if held}
    for state in people:
        if state.plan and not state.plan.known_in:  # nobody knew the id, so nothing is proven
            continue
        person = state.member[1]
        concerned = {
            place: to_erase(changes) for place, changes in simulation.traffic.stated.items() if place[1] == person
        }
        left = [place for place, identities in concerned.items() if simulation.amazon.held_by(place) & identities]
        in_rows = any(held_in(simulation.stack.members, place, each) for place, each in concerned.items())
        if state.erasure and state.erasure[-1].kind in (StepKind.CLOSED, StepKind.WAITING):
            yield from (Finding("false proof", "reads closed", place) for place in left)
        elif is_due_later(state, simulation.clock.now):  # the check has not run yet
            continue
        elif person in known and not (left or in_rows or any(whom[1] == person for whom in parked)):
            yield Finding("left open", "at rest", state.member)
