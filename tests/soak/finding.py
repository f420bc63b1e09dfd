"""One thing that does not hold in a simulation, and the names of all such kinds."""

from collections.abc import Iterable
from dataclasses import dataclass

from tests.soak.held import Member

# What a finding is called, and what it means.
KINDS = {
    "lost": "an accepted enter that is neither at Amazon nor in the dead letters",
    "missing": "Amazon accepted the newest enter, and has removed or deleted the member since",
    "dropped early": "Amazon dropped a member who was in, at the ttl of the audience",
    "stale": "the newest change is an exit, or there is none, and the member is in the audience",
    "resurrected": "an identity of before the last exit came back after it",
    "left over": "an identity of before the last exit was never removed, since an enter superseded the exit",
    "unerased": "the membership table holds identities that a deletion notice concerns",
    "undeleted": "a dataset got a person before a deletion notice, and no deletion was accepted after it",
    "asked too often": "more deletions of a person were accepted than the person's notices and denials explain",
    "deleted for nothing": "a person was deleted without a notice or denial, or without an enter to delete",
    "by hash": "Amazon was asked to delete a hash, which may be another person's",
    "denied removal": "a removal without the consent under which the member was added: Amazon ignores it",
    "false proof": "an erasure reads closed, and Amazon holds an identity that it concerns",
    "left open": "an erasure reads open at rest, and nothing that it concerns is left",
    "kept": "identities that a deletion notice concerns stay until the row expires: too many for one upload, "
    "or the check of a late job was repeated, failed and never came back",
    "crashes": "an invocation raised",
    "timeouts": "an invocation ran into its function's timeout",
    "accounting": "fewer changes completed than accepted",
    "counted twice": "more changes completed than accepted, and than messages were left or sent again",
    "no reason": "a dead letter without a reason",
    "misparked": "a dead letter names a job that did not reject the change in it",
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
TOLERATED = ("kept", "timeouts", "failed runs")  # counted, but no failure


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not hold."""

    kind: str
    detail: str
    member: Member | None = None


def failures(found: Iterable[Finding]) -> list[Finding]:
    """Return the findings that fail a simulation."""
    return [each for each in found if each.kind not in TOLERATED]
