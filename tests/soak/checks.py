"""What must hold at the end of a simulation, and what did not."""

from collections.abc import Iterator

from audience_sync.amazon_ads.apis import upload_rules
from audience_sync.aws.membership_rows import member_of, state_from_row
from audience_sync.members.membership import MAX_IDENTITIES
from audience_sync.runtime.metric_names import CHANGES_ACCEPTED, CHANGES_COMPLETED
from tests.soak.clock import EPOCH
from tests.soak.erasure import held_in, to_erase
from tests.soak.events import StatedChange, Version, audiences_of
from tests.soak.finding import Finding
from tests.soak.held import Identity, Member
from tests.soak.proofs import of_deletions, of_proofs
from tests.soak.simulation import Simulation
from tests.soak.uploads import AT_ONCE, uploads_by_member

LONGEST_REST = 5 * 86_400.0  # seconds; jobs are tracked for 36 hours each, and a member may wait for two or three
NEVER = Version(-(2**63), False, "")


def findings(simulation: Simulation) -> list[Finding]:
    """Return everything that does not hold at the end."""
    found: list[Finding] = []
    parked = simulation.dead_letters.members() & simulation.traffic.stated.keys()
    for member, stated in sorted(simulation.traffic.stated.items()):
        found += _of_member(simulation, member, stated, is_parked=member in parked)
    for member in sorted(simulation.amazon.audiences.keys() - simulation.traffic.stated.keys()):
        if simulation.amazon.held_by(member):
            found.append(Finding("stale", "of whom no event stated anything here", member))
    found += _dropped(simulation)
    found += of_deletions(simulation, parked)
    found += of_proofs(simulation, parked)
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
        since = [change for change in stated if not change.exits and change.version > exit_version]
        wanted = frozenset[Identity]().union(*(change.identities for change in since))
        destinations = {each.audience_id: each.destination for each in audiences_of(simulation.profile.datasets)}
        most = upload_rules(destinations[member[0]]).max_identities
        if len(wanted - held) > max(0, len(wanted) - most) and not is_parked:
            known = simulation.amazon.audiences.get(member, {})
            sent_at = max((known[each].sent_at for each in wanted - held if each in known), default=0.0)
            is_sent = sent_at > simulation.accepted_at[newest] - AT_ONCE
            if not (is_sent and simulation.amazon.datasets.may_have_deleted(member[1], sent_at)):
                missing = f"{len(wanted - held)} of {len(wanted)} identities"
                yield Finding("missing" if is_sent else "lost", missing, member)
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


def _removal(stated: list[StatedChange], identities: set[Identity]) -> str:
    """Name what should have removed identities: a deletion notice, if there was one since they were last named."""
    named = max(change.version for change in stated if change.identities & identities and not change.exits)
    return "a notice" if any(change.erase and change.version > named for change in stated) else "a plain exit"


def _expires_only(simulation: Simulation, member: Member) -> bool:
    rows = [row for row in simulation.stack.members.rows.values() if row.get("member") and member_of(row) == member]
    states = [state_from_row(row) for row in rows]
    return any(state.late_jobs or len(state.to_remove) > MAX_IDENTITIES for state in states)


def _dropped(simulation: Simulation) -> Iterator[Finding]:
    """Yield the members whose newest accepted change was an enter when Amazon dropped them."""
    for member, at in dict.fromkeys((member, at) for at, member in simulation.amazon.dropped):
        stated = [each for each in simulation.traffic.stated[member] if simulation.accepted_at[each] <= at]
        if not max(stated, key=lambda change: change.version).exits:
            yield Finding("dropped early", f"after {(at - EPOCH) / 86_400:.3f} days", member)


def _rest(simulation: Simulation) -> Iterator[Finding]:
    if not simulation.is_drained:
        yield Finding("not drained", "messages, jobs or requests were left")
    if simulation.rest > LONGEST_REST:
        yield Finding("slow rest", f"after {simulation.rest / 3600:.0f} hours")
    if simulation.sent_at_rest:
        yield Finding("sent at rest", f"{simulation.sent_at_rest} uploads")


def _accounting(simulation: Simulation) -> Iterator[Finding]:
    completed = simulation.cloudwatch.by_minute(CHANGES_COMPLETED)
    accepted = simulation.cloudwatch.by_minute(CHANGES_ACCEPTED)
    for minute, changes in sorted(accepted.items()):
        if completed[minute] < changes:
            yield Finding("accounting", f"{completed[minute]} of {changes} changes of minute {minute}")
    if (twice := (completed - accepted).total()) > (explained := simulation.network.recounts.changes):
        yield Finding("counted twice", f"{twice} changes, {explained} explained")
