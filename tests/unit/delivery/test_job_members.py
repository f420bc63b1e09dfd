"""What a job's message says of each record of its upload."""

from dataclasses import replace

import pytest

from audience_sync.delivery.job_members import job_member, members_of_upload
from audience_sync.members.job_messages import JobMember
from audience_sync.members.member_state import MemberState
from audience_sync.members.membership import MAX_IDENTITIES, Identity, MembershipChange, Version
from tests.support import builders

LEFT, ENTERED = Version(2, True, "exit"), Version(4, False, "enter")
OLD, NEW = Identity(1, {"email": "old"}), Identity(3, {"email": "new"})


def change(*, exits: bool) -> MembershipChange:
    at, name = (2, "exit") if exits else (4, "enter")
    return builders.change(at=at, exits=exits, message_id=name, audience_id="1")


# A member who left at 2 and must be erased up to then, and who has entered again at 4.
STATE = MemberState(change(exits=False), (NEW, OLD), LEFT, erase_until=2)
MANY = tuple(Identity(1, {"email": f"{number}"}) for number in range(MAX_IDENTITIES))


@pytest.mark.parametrize(
    ("sent", "state", "expected"),
    [
        pytest.param(False, STATE, JobMember("m1", ENTERED.text, removes=False), id="the enter erases nothing"),
        pytest.param(
            True, STATE, JobMember("m1", LEFT.text, removes=True, erases=True, proves=True), id="the removal before it"
        ),
        pytest.param(
            True,
            replace(STATE, erase_until=0),
            JobMember("m1", LEFT.text, removes=True),
            id="a removal without a deletion notice",
        ),
        pytest.param(
            True,
            replace(STATE, identities=MANY),
            JobMember("m1", LEFT.text, removes=True, erases=True, proves=True),
            id="a removal of as many identities as one record holds",
        ),
        pytest.param(
            True,
            replace(STATE, identities=(*MANY, OLD)),
            JobMember("m1", LEFT.text, removes=True, proves=True),
            id="a removal in several records",
        ),
        pytest.param(
            True,
            MemberState(change(exits=True)),
            JobMember("m1", LEFT.text, removes=True),
            id="an exit of a member who was never in",
        ),
    ],
)
def test_a_job_member_has_the_version_and_flags_of_its_record(
    sent: bool, state: MemberState, expected: JobMember
) -> None:
    for was_counted in (False, True):
        described = job_member(change(exits=sent), state, was_counted=was_counted)
        assert described == expected._replace(was_counted=was_counted)


@pytest.mark.parametrize(
    ("changes", "removes", "version"),
    [
        pytest.param([True], True, LEFT, id="an exit"),
        pytest.param([False], False, ENTERED, id="an enter"),
        pytest.param([False, True], True, LEFT, id="the exit before an enter that waits"),
        pytest.param([False, True], False, ENTERED, id="the enter after an exit that is superseded"),
        pytest.param([False], True, ENTERED, id="a repeated removal; its message has the newest change only"),
    ],
)
def test_an_untracked_upload_has_one_job_member_for_each_member(
    changes: list[bool], removes: bool, version: Version
) -> None:
    described = members_of_upload([change(exits=exits) for exits in changes], removes=removes)
    assert described == [JobMember("m1", version.text, removes, was_counted=True)]
