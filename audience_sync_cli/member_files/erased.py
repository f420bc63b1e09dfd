"""The members of a file whom a deletion notice or denied consent has erased. The stack remembers them for 40 days."""

from collections.abc import Callable, Collection, Mapping

from audience_sync.clock import EpochMilliseconds
from audience_sync.members.member_state import MemberState
from audience_sync.members.membership import Audience
from audience_sync_cli.frame.session import Session

type Erased = Mapping[str, EpochMilliseconds]  # by external user id: the time of the newest notice or denial
type ErasedAmong = Callable[[Collection[str]], Collection[str]]  # returns those of some members who are erased


def erased_people(session: Session) -> Erased:
    """Read everybody whom a notice or denial names. Raises Unavailable."""
    pages = session.member_scan.deletion_notices()
    return {each.state.newest.member[1]: each.state.newest.at for page in pages for each in page}


def is_erased(member: str, state: MemberState | None, erased: Erased) -> bool:
    """Return whether a member is erased, and has not entered the audience since. `state` is the row there, if any."""
    at = erased.get(member)
    return at is not None and (state is None or state.newest.exits or state.newest.at <= at)


def erased_among(session: Session, audience: Audience) -> ErasedAmong:
    """Read all notices, once; of the audience, only the rows of members whom one names. Raises Unavailable."""
    erased = erased_people(session)

    def among(members: Collection[str]) -> Collection[str]:
        named = [(audience.audience_id, member) for member in erased.keys() & members]
        rows = session.members.read(named) if named else {}
        return {each[1] for each in named if is_erased(each[1], rows.get(each), erased)}

    return among
