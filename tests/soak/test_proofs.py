"""The soak finds each way in which an erasure, a deletion or its proof can be wrong."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from audience_sync.aws.membership_rows import member_of, row_of, state_from_row
from audience_sync.members.membership import EVERY_AUDIENCE
from tests.soak.checks import findings
from tests.soak.clock import EPOCH
from tests.soak.datasets import DELETIONS, MEMBERS_TYPE
from tests.soak.events import audiences_of, identity_of
from tests.soak.held import Held
from tests.soak.script import MINUTE, Scenario, ScriptedSimulation, Sent

AUDIENCE, DATASET = (each.audience_id for each in audiences_of(1)[1:])
EMAIL = "a@example.com"
STORY = Scenario(
    "checked",
    (
        Sent(0.0, "enter", EMAIL, "erased"),
        Sent(0.0, "enter", EMAIL, "stays", to=2),
        Sent(20 * MINUTE, "notice", user="erased"),
    ),
    lambda _: 5 * MINUTE,
    datasets=1,
)


def delete(simulation: ScriptedSimulation, *entries: dict[str, object]) -> None:
    """Ask Amazon for a deletion."""
    simulation.amazon.datasets.answer(DELETIONS, "", {"targetIdentities": [*entries]})


def remove(simulation: ScriptedSimulation, consent: dict[str, str]) -> None:
    """Send a removal to the dataset."""
    identity = {"hashedPiis": [{"em": "0" * 64}]}
    member = {"externalUserId": "stays", "action": "DELETE", "userIdentity": identity}
    member["userConsent"] = {"consent": {"amzn": consent}}
    simulation.amazon.datasets.answer(f"/adm/datasets/{DATASET}/members", MEMBERS_TYPE, {"members": [member]})


def hold(simulation: ScriptedSimulation, audience_id: str, person: str) -> None:
    simulation.amazon.audiences[audience_id, person] = {identity_of(EMAIL): Held(is_in=True)}


def reopen(simulation: ScriptedSimulation) -> None:
    """Drop the last step of the erasure from the table."""
    rows = simulation.stack.members.rows
    for key, row in rows.items():
        if row.get("member") and member_of(row)[0] == EVERY_AUDIENCE:
            state = state_from_row(row)
            keys = {name: row[name] for name in simulation.stack.members.keys}
            rows[key] = row_of(replace(state, erasure=state.erasure[:-1]), keys, 1)


def undelete(run: ScriptedSimulation) -> None:
    """Pretend that a dataset was sent the person who was erased, and that nobody has asked for the deletion."""
    run.amazon.datasets.adopt((DATASET, "erased"), [EPOCH + MINUTE])
    run.amazon.datasets.deletions.clear()


WRONG: dict[str, Callable[[ScriptedSimulation], None]] = {
    "by hash": lambda run: delete(run, {"identity": {"hashedPiis": [{"em": "0" * 64}]}}),
    "deleted for nothing": lambda run: delete(run, {"externalUserId": "stays"}),
    "asked too often": lambda run: delete(run, {"externalUserId": "erased"}, {"externalUserId": "erased"}),
    "undeleted": undelete,
    "denied removal": lambda run: remove(run, {"amznUserData": "DENIED"}),
    "missing": lambda run: run.amazon.audiences[DATASET, "stays"][identity_of(EMAIL)].remove(),
    "stale": lambda run: hold(run, "an audience of which no event stated anything", "stays"),
    "false proof": lambda run: hold(run, AUDIENCE, "erased"),
    "left open": reopen,
}


@pytest.mark.parametrize("kind", WRONG)
def test_the_soak_finds_each_kind_of_wrong_deletion(kind: str) -> None:
    simulation = ScriptedSimulation(STORY)
    simulation.run()
    assert not findings(simulation)
    WRONG[kind](simulation)
    assert kind in {each.kind for each in findings(simulation)}
