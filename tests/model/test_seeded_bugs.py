"""The state machine finds bugs that only an order of events shows. Mutation tests cover the rest of the core."""

from typing import Any

import pytest
from hypothesis import Phase

from audience_sync import member_step, membership
from audience_sync.delivery import members
from audience_sync.delivery.outcomes import Outcomes
from audience_sync.member_state import Due, MemberState
from audience_sync.membership import MembershipChange, Version
from audience_sync.messages import pack
from audience_sync.operations import job_tracking, renewal
from tests.model.test_protocol import search

EXAMPLES = 1000  # at most; the search finds each of these bugs within some 250

_defer, _due = Outcomes.defer, MemberState.removal_due


def _repeated_at_once(state: MemberState, timing: Any) -> Due | None:
    return Due(0.0, removes=True) if _due(state, timing) else None


def _without_repetitions(outcomes: Outcomes, deferring: Any, *rest: Any, **options: Any) -> None:
    _defer(outcomes, [each for each in deferring if each not in outcomes.repetitions], *rest, **options)


BUGS: dict[str, tuple[object, str, object]] = {
    "acknowledge early": (Outcomes, "left_of", lambda *_: iter(())),
    "order by arrival in a batch": (membership, "_lives", lambda same: same[-1:]),
    "order by arrival in the table": (
        member_step,
        "_with_enter",
        lambda state, change, *_: member_step._with_new_enter(state, change),
    ),
    "let an enter win a tie": (
        MembershipChange,
        "version",
        property(lambda change: Version(change.at, not change.exits, change.message_id)),
    ),
    "queue no repetition": (members, "repetition_messages", lambda *_: ()),
    "repeat a removal before the enter's job has ended": (MemberState, "removal_due", _repeated_at_once),
    "overlook that an enter was sent recently": (MemberState, "owes_removal", lambda *_: False),
    "let a repetition go that is not due yet": (Outcomes, "defer", _without_repetitions),
    "take an accepted upload for the end of its job": (job_tracking, "is_concerned", lambda *_: False),
    "let identities travel into a newer life": (membership, "_lives", lambda same: [membership._merged(same)]),
    "merge ids that differ in case": (
        MembershipChange,
        "member",
        property(lambda change: (change.audience_id, change.record["externalUserId"].lower())),
    ),
    "renew with new changes instead of replays": (renewal, "pack", lambda changes, _: pack(changes)),
}


@pytest.mark.parametrize(("owner", "name", "bug"), BUGS.values(), ids=BUGS)
def test_the_state_machine_finds(owner: object, name: str, bug: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, name, bug)
    with pytest.raises(AssertionError):
        search(EXAMPLES, phases=[Phase.generate])
