"""Members are recorded and sent in groups that fill whole uploads: an upload costs the same, full or not."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync.amazon_ads.advertiser_audiences.records import encode_record, frame_of
from audience_sync.amazon_ads.upload import Target, cut_uploads
from audience_sync.delivery.context import Message, ParsedMessage
from audience_sync.delivery.groups import groups
from audience_sync.delivery.pending import PendingMember
from audience_sync.delivery.uploads import Limits
from audience_sync.fields import IDENTIFIERS
from audience_sync.members.membership import Destination, Identity, MembershipChange
from audience_sync.members.messages import ChangeMessage
from tests.support import builders

TARGET = Target("418273650912345678")
LIMITS = Limits()
SOURCE = ParsedMessage(Message("m", "h", "", 1, 0), ChangeMessage(TARGET.audience_id, Destination(), []))
DIGESTS = [field.amazon_name for field in IDENTIFIERS]


def change(number: int, identifiers: int) -> MembershipChange:
    identity = Identity(1, dict.fromkeys(DIGESTS[:identifiers], f"{number:064x}"))
    return builders.change(f"cust_{number:08d}", identities=(identity,), country="US")


def pending(*changes: MembershipChange) -> PendingMember:
    return PendingMember([*changes], False, SOURCE, set())


def uploads_of(members: Sequence[PendingMember], limits: Limits = LIMITS) -> int:
    encoded = [encode_record(each.newest) for each in members]
    return len(list(cut_uploads(TARGET, frame_of(TARGET), encoded, limits.size(TARGET.destination))))


@pytest.mark.parametrize(
    ("members", "identifiers", "fewest"),
    [
        pytest.param(7_600, 8, 6, id="as many as fit into an invocation, with all identifiers"),
        pytest.param(6_000, 1, 1, id="one upload of small records"),
        pytest.param(12_000, 1, 2, id="two uploads of small records"),
        pytest.param(1, 8, 1, id="one member"),
    ],
)
def test_groups_take_no_more_uploads_than_all_members_together(members: int, identifiers: int, fewest: int) -> None:
    all_of_them = [pending(change(number, identifiers)) for number in range(members)]
    cut = list(groups(TARGET, all_of_them, LIMITS))
    assert sum(map(uploads_of, cut)) == uploads_of(all_of_them) == fewest


@given(
    st.lists(st.integers(1, 8), max_size=30),
    st.builds(Limits, max_records=st.integers(1, 9), max_bytes=st.integers(200, 5_000)),
)
def test_groups_keep_the_order_of_members_and_are_bounded(identifiers: list[int], limits: Limits) -> None:
    members = [pending(change(number, 8), change(number, some)) for number, some in enumerate(identifiers)]
    cut = list(groups(TARGET, members, limits))
    assert [each for group in cut for each in group] == members
    assert all(0 < len(group) < 2 * limits.max_records for group in cut)
    assert all(len(group) >= limits.max_records for group in cut[:-1])
