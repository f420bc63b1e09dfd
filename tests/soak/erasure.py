"""Which identities deletion notices concern, and which of a member's identities the membership table holds."""

import base64
import json
import pickle
from collections.abc import Iterable, Iterator

from tests.soak.dynamodb import Table
from tests.soak.events import StatedChange, Version
from tests.soak.held import Identity, Member


def to_erase(stated: Iterable[StatedChange]) -> set[Identity]:
    """Return the identities of a member that a deletion notice concerns: those that no event has named since.

    As long as the member has not entered again, exits name nobody who is back: their identities have to go, too.
    """
    changes = list(stated)
    notice = max((change.version for change in changes if change.erase), default=None)
    if notice is None:
        return set()
    is_back = any(change.version > notice and not change.exits for change in changes)
    named: dict[Identity, Version] = {}  # when last
    for change in changes:
        for identity in change.identities:
            named[identity] = max(change.version, named.get(identity, change.version))
    return {identity for identity, version in named.items() if version < notice or not is_back}


def held_in(members: Table, member: Member, identities: Iterable[Identity]) -> set[Identity]:
    """Return the identities of which a row that names the member holds a digest, in whatever form."""
    rows = [
        pickle.dumps(row)  # which has every string and every byte string as it is
        for key, row in members.rows.items()
        if any(part == member[1] for part in key) and any(member[0] in part for part in key)
    ]
    joined = b"\n".join(rows)
    return {identity for identity in identities if any(digest in joined for digest in _forms(identity))}


def _forms(identity: Identity) -> Iterator[bytes]:
    for value in json.loads(identity).values():
        raw = bytes.fromhex(value)
        yield from (value.encode(), raw, base64.b64encode(raw))
