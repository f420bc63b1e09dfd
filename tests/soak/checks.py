"""What must hold at the end of a simulation, and what did not."""

from collections.abc import Iterator
from dataclasses import dataclass

from audience_sync.amazon_ads.apis import has_jobs, max_identities
from audience_sync.aws.membership_rows import member_of, state_from_row
from audience_sync.membership import MAX_IDENTITIES
from audience_sync.runtime.metric_names import CHANGES_ACCEPTED, CHANGES_COMPLETED
from tests.soak.erasure import held_in, to_erase
from tests.soak.events import MOVED, StatedChange, Version, audiences_of
from tests.soak.held import Identity, Member
from tests.soak.profiles import EFFECTIVE
from tests.soak.simulation import Simulation
from tests.soak.uploads import uploads_by_member

LONGEST_REST = 5 * 86_400.0  # seconds; jobs are tracked for 36 hours each, and a member may wait for two or three
NEVER = Version(-(2**63), False, "")

# What a finding is called, and what it means.
KINDS = {
    "lost": "an accepted enter that is neither at Amazon nor in the dead letters",
    "stale": "the newest change is an exit, and the member is in the audience",
    "resurrected": "an identity of before the last exit came back after it",
    "left over": "an identity of before the last exit was never removed, since an enter superseded the exit",
    "unerased": "the membership table holds identities that a deletion notice concerns",
    "undeleted": "identities of a dataset that a deletion notice concerns, whose deletion was never requested",
    "deleted late": "missing from a dataset: a notice's deletion was made or redriven hours later for another one",
    "kept": "identities that a deletion notice concerns stay until the row expires: too many for one upload, "
    "or the check of a late job was repeated, failed and never came back",
    "crashes": "an invocation raised",
    "timeouts": "an invocation ran into its function's timeout",
    "accounting": "fewer changes completed than accepted",
    "no reason": "a dead letter without a reason",
    "misparked": "a dead letter names a job that did not reject the change in it",
    "not empty": "an audience that was moved and ended has a member",
    "needless": "a dead letter of an exit for which no identifier is known",
    "dropped": "an invocation that Lambda refused as part of a recursive loop",
    "failed runs": "a scheduled function did not get an answer, and its next run is the retry",
    "stuck": "a dead letter that comes back however often it is redriven",
    "refused": "an upload that Amazon may not be sent",
    "repeated": "Amazon received more records about a member than its changes explain",
    "not drained": "something was still under way ten days after the last fault, or Amazon was flooded after it",
    "slow rest": "something was still under way five days after the last fault, change or redrive",
    "sent at rest": "an upload after everything had come to rest",
}
TOLERATED = ("kept", "deleted late", "timeouts", "failed runs")  # counted, but no failure


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not hold."""

    kind: str
    detail: str
    member: Member | None = None


def findings(simulation: Simulation) -> list[Finding]:
    """Return everything that does not hold at the end."""
    found: list[Finding] = []
    parked = _parked(simulation)
    for member, stated in sorted(simulation.traffic.stated.items()):
        found += _of_member(simulation, simulation.placed(member), stated, is_parked=member in parked)
        for former in simulation.moves.formerly(member) if simulation.moves else ():
            found += _of_former(simulation, former, stated)
    found += [Finding("crashes", text) for text in simulation.functions.crashes.elements()]
    found += [Finding("failed runs", text) for text in simulation.functions.failed_runs.elements()]
    found += [Finding("needless", "dead letter", member) for member in simulation.dead_letters.needless]
    found += [Finding("misparked", text, member) for member, text in simulation.dead_letters.misparked]
    found += [Finding("timeouts", text) for text in simulation.functions.timeouts.elements()]
    found += [Finding("dropped", function) for function in sorted(simulation.functions.dropped)]
    found += [Finding("no reason", "dead letter")] * simulation.dead_letters.unexplained
    found += [Finding("refused", text) for text in simulation.amazon.violations]
    found += [
        Finding("repeated", f"{each.records} for {each.changes} changes, {each.after_last} after the last", each.member)
        for each in uploads_by_member(simulation)
        if each.is_repeated
    ]
    found += _accounting(simulation)
    found += _rest(simulation)
    refused = {
        change.member
        for changes in simulation.traffic.stated.values()
        for change in changes
        if change.identities & simulation.traffic.refused_identities
    }
    for member in sorted(parked - refused):
        found.append(Finding("stuck", "in the dead letters at the end", member))
    return found


def _of_member(
    simulation: Simulation, member: Member, stated: list[StatedChange], *, is_parked: bool
) -> Iterator[Finding]:
    newest = max(stated, key=lambda change: change.version)
    held = simulation.amazon.held_by(member)
    last_exit = max((change for change in stated if change.exits), key=lambda change: change.version, default=None)
    exit_version = last_exit.version if last_exit else NEVER
    if newest.exits:
        if held and not is_parked:
            yield Finding("stale", f"after {'a notice' if newest.erase else 'a plain exit'}", member)
    else:
        of_moment = [change for change in stated if not change.exits and change.version.at == newest.version.at]
        wanted = frozenset[Identity]().union(*(change.identities for change in of_moment))
        destinations = {each.audience_id: each.destination for each in audiences_of(simulation.profile.datasets)}
        destination = destinations.get(member[0], MOVED.destination)
        if len(wanted - held) > max(0, len(wanted) - max_identities(destination)) and not is_parked:
            is_late = not has_jobs(destination) and _is_deleted_late(simulation, member, stated)
            kind = "deleted late" if is_late else "lost"
            yield Finding(kind, f"{len(wanted - held)} of {len(wanted)} identities are missing", member)
        since = [change for change in stated if not change.exits and change.version > exit_version]
        older = held.difference(*(change.identities for change in since))
        if older and last_exit is not None:
            accepted = simulation.accepted_at.get(last_exit, 0.0)
            known = simulation.amazon.audiences[member]
            back = {each for each in older if known[each].came_back or known[each].sent_at > accepted}
            if back:
                was_sent = any(known[each].sent_at > accepted for each in back)
                how = "sent again" if was_sent else "by the order of jobs"
                yield Finding("resurrected", f"{how}, after {_removal(stated, back)}", member)
            if older - back:
                yield Finding("left over", f"after {_removal(stated, older - back)}", member)
    left = held_in(simulation.stack.members, member, to_erase(stated))
    if left and not is_parked:
        yield Finding("kept" if _expires_only(simulation, member) else "unerased", f"{len(left)} identities", member)
    datasets = simulation.amazon.datasets
    undeleted = to_erase(stated) & datasets.accepted.get(member, set()) - datasets.deleted
    if undeleted and not is_parked:
        yield Finding("undeleted", f"{len(undeleted)} identities", member)


def _of_former(simulation: Simulation, former: Member, stated: list[StatedChange]) -> Iterator[Finding]:
    """Yield what is left of a member in an audience that was moved and ended."""
    if former in simulation.dead_letters.members():
        return
    if simulation.amazon.held_by(former):
        yield Finding("not empty", "after its end", former)
    if held_in(simulation.stack.members, former, to_erase(stated)):
        yield Finding("kept" if _expires_only(simulation, former) else "unerased", "after its end", former)


def _is_deleted_late(simulation: Simulation, member: Member, stated: list[StatedChange]) -> bool:
    """Return whether Amazon got a deletion of the person when enters waited no more for the last notice."""
    noticed = max((simulation.accepted_at[change] for change in stated if change.erase), default=0.0)
    last_sent = max(simulation.amazon.received.get(member, [0.0]))
    return simulation.amazon.datasets.last_deletion.get(member[1], 0.0) > max(noticed + 2 * EFFECTIVE, last_sent)


def _removal(stated: list[StatedChange], identities: set[Identity]) -> str:
    """Name what should have removed identities: a deletion notice, if there was one since they were last named."""
    named = max(change.version for change in stated if change.identities & identities and not change.exits)
    return "a notice" if any(change.erase and change.version > named for change in stated) else "a plain exit"


def _expires_only(simulation: Simulation, member: Member) -> bool:
    rows = [row for row in simulation.stack.members.rows.values() if row.get("member") and member_of(row) == member]
    states = [state_from_row(row) for row in rows]
    return any(state.late_jobs or len(state.to_remove) > MAX_IDENTITIES for state in states)


def _parked(simulation: Simulation) -> set[Member]:
    parked = simulation.dead_letters.members()
    return {member for member in simulation.traffic.stated if simulation.placed(member) in parked}


def _rest(simulation: Simulation) -> Iterator[Finding]:
    if not simulation.is_drained:
        yield Finding("not drained", "messages, jobs or requests were left")
    if simulation.rest > LONGEST_REST:
        yield Finding("slow rest", f"after {simulation.rest / 3600:.0f} hours")
    if simulation.sent_at_rest:
        yield Finding("sent at rest", f"{simulation.sent_at_rest} uploads")


def _accounting(simulation: Simulation) -> Iterator[Finding]:
    completed = simulation.cloudwatch.by_minute(CHANGES_COMPLETED)
    for minute, changes in sorted(simulation.cloudwatch.by_minute(CHANGES_ACCEPTED).items()):
        if completed[minute] < changes:
            yield Finding("accounting", f"{completed[minute]} of {changes} changes of minute {minute}")
