"""Which identities a deletion notice concerns, whatever has happened since."""

import pytest

from tests.soak.erasure import to_erase
from tests.soak.events import StatedChange, Version

MEMBER = ("audience", "user")


def stated(*events: str) -> list[StatedChange]:
    """Build one change a second from texts like "enter a"; the identities are letters."""
    changes = []
    for at, event in enumerate(events):
        kind, *identities = event.split()
        version = Version(at, kind != "enter", f"event-{at}")
        changes.append(StatedChange(MEMBER, version, frozenset(identities), erase=kind == "notice"))
    return changes


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param(stated("enter a", "exit b"), set(), id="without a notice nothing"),
        pytest.param(stated("enter a", "exit b", "notice"), {"a", "b"}, id="all that was named before"),
        pytest.param(stated("enter a", "notice", "enter b"), {"a"}, id="also where the member is back"),
        pytest.param(stated("enter a", "notice", "enter a"), set(), id="not what a later enter named again"),
        pytest.param(stated("enter a", "notice", "exit a", "enter b"), set(), id="nor what a later exit named again"),
        pytest.param(stated("notice", "exit a"), {"a"}, id="an exit's as long as nobody is back"),
        pytest.param(stated("enter a", "notice", "enter b", "notice", "enter c"), {"a", "b"}, id="of several notices"),
        pytest.param(stated("enter a", "notice", "enter b")[::-1], {"a"}, id="in whatever order events arrive"),
    ],
)
def test_a_notice_concerns_identities_that_no_later_event_names(
    changes: list[StatedChange], expected: set[str]
) -> None:
    assert to_erase(changes) == expected
