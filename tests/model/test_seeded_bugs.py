"""The state machine finds bugs that only an order of events shows. Mutation tests cover the rest of the core."""

from typing import Any

import pytest
from hypothesis import Phase

from audience_sync.delivery import member_delivery as members
from audience_sync.delivery.batch import Delivery
from audience_sync.delivery.outcomes import Outcomes
from audience_sync.delivery.uploads import Limits
from audience_sync.members import member_step, membership
from audience_sync.members.member_state import Due, MemberState
from audience_sync.members.membership import Destination, MembershipChange, Version
from audience_sync.members.messages import pack
from audience_sync.operations import job_tracking, people_deletion, renewal
from tests.model.test_protocol import OnTwoDatasets, Protocol, search

EXAMPLES = 3000  # at most; the search finds most of these bugs within 400, whichever modules are loaded beside it
RULES = ("webhook", "deliver", "end_job", "pass_time")  # of Undisturbed

_due, _timing_of = MemberState.removal_due, Limits.timing_of


def _repeated_at_once(state: MemberState, timing: Any) -> Due | None:
    return Due(0.0, removes=True) if _due(state, timing) else None


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
    "let a message go that is not due yet": (Delivery, "_unread", lambda _, each: (each, [])),
    "take an accepted upload for the end of its job": (job_tracking, "is_concerned", lambda *_: False),
    "merge ids that differ in case": (
        MembershipChange,
        "member",
        property(lambda change: (change.audience_id, change.record["externalUserId"].lower())),
    ),
    "renew with new changes instead of replays": (renewal, "pack", lambda changes, _: pack(changes)),
}

DATASET_BUGS: dict[str, tuple[object, str, object]] = {
    "let identities travel into a newer life": (membership, "_lives", lambda same: [membership._merged(same)]),
    "wait for an upload to a dataset as long as for a job": (
        Limits,
        "timing_of",
        lambda limits, _: _timing_of(limits, Destination()),
    ),
    "let a removal from a dataset have no consent": (member_step, "left_with", lambda change, _: change),
    "delete nobody": (people_deletion, "next_request", lambda *_: None),
    "enter nobody again after a late deletion": (people_deletion, "entered_again", lambda state, *_: state),
}


class Undisturbed(OnTwoDatasets):
    """Only what the bugs above need: among all the faults, the search for them would be longer."""

    @classmethod
    def rules(cls) -> Any:  # type: ignore[override]  # Hypothesis declares no types for it
        return [each for each in super().rules() if each.function.__name__ in RULES]  # type: ignore[operator]


@pytest.mark.parametrize(
    ("machine", "owner", "name", "bug"),
    [
        pytest.param(machine, *bug, id=what)
        for machine, bugs in ((Protocol, BUGS), (Undisturbed, DATASET_BUGS))
        for what, bug in bugs.items()
    ],
)
def test_the_state_machine_finds(
    machine: type[Protocol], owner: object, name: str, bug: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, bug)
    with pytest.raises(AssertionError):
        search(machine, EXAMPLES, phases=[Phase.generate])
