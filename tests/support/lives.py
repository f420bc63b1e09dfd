"""Four lives of a member, as docs/delivery.md shows them: what arrives, and what is sent because of it."""

from typing import NamedTuple

from audience_sync.members.member_state import LONGEST_JOB
from audience_sync.members.membership import MembershipChange
from tests.support.member_changes import enter, leave, names, notice
from tests.support.one_member import OneMember

MINUTE = 60  # seconds
LAST = 17 + LONGEST_JOB // MINUTE  # minute of a notice's last removal: an enter's job may be one that is not known


class Life(NamedTuple):
    """Times in minutes since the first change. Names stand for addresses."""

    name: str
    arrives: tuple[tuple[int, MembershipChange], ...]
    sent: list[str]
    lost: frozenset[int] = frozenset()  # numbers of uploads whose answer is lost, the first is 0

    def live(self) -> OneMember:
        """Return the member at the end."""
        member = OneMember(lost=self.lost)
        for minute, each in self.arrives:
            member.receive(minute * MINUTE, each)
        return member.run()

    @property
    def arrivals(self) -> list[str]:
        """Each change: minute, kind and names."""
        return [f"{minute} {_kind(each)} {' '.join(names(each))}".strip() for minute, each in self.arrives]


def sent(member: OneMember) -> list[str]:
    """Each upload: minute, action and names."""
    return [f"{second // MINUTE} {action} {' '.join(named)}" for second, action, named in member.uploads]


def _kind(each: MembershipChange) -> str:
    return "notice" if each.erase else "exit" if each.exits else "enter"


LIVES = (
    Life(
        "leaves at a quiet time, and is back a minute later",
        ((0, enter(1, "a")), (20, leave(2)), (21, enter(3, "b"))),
        ["0 CREATE a", "20 DELETE a", "37 CREATE b"],
    ),
    Life(
        "leaves two minutes after entering, and is back two minutes later",
        ((0, enter(1, "a")), (2, leave(2)), (4, enter(3, "b"))),
        ["0 CREATE a", "2 DELETE a", "17 DELETE a", "34 CREATE b"],
    ),
    Life(
        "is back while the removal has no answer, with the same address",
        ((0, enter(1, "a")), (60, leave(2)), (62, enter(3, "a"))),
        ["0 CREATE a", *(f"{minute} DELETE a" for minute in range(60, 77)), "77 CREATE a", "94 CREATE a"],
        lost=frozenset(range(1, 18)),
    ),
    Life(
        "is back two minutes after a deletion notice",
        ((0, enter(1, "a")), (5, notice(2)), (7, enter(3, "b"))),
        [
            *("0 CREATE a", "5 DELETE a", "17 DELETE a", "34 CREATE b"),
            *(f"{LAST} DELETE a", f"{LAST + 17} CREATE b"),
        ],
    ),
)
