"""The row of a member in the membership table: how a change is written into one and read back. Pure.

One row a member: `version` and `change` are the newest change, `identities` everything that was ever sent for the
member, `entered` and `exited` when an enter and an exit were last sent (epoch seconds), `expiresAt` when it expires.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from audience_sync.membership import MAX_IDENTITIES, Member, MembershipChange, Version, canonical_json

KEEP_ACTIVE = 34_300_800  # seconds; 397 days, the longest Amazon keeps a member
KEEP_EXIT = 30 * 86_400  # seconds; longer than any retry, queue or dead letter can hold back an older enter

# Enters and exits are dated apart: a change of the other kind must know the date, however often this kind was sent.
LAST_SENT = {"CREATE": "entered", "DELETE": "exited"}


class Update(NamedTuple):
    """What an UpdateItem changes, whatever its condition. `:version` is the change's own."""

    expression: str
    names: dict[str, str]
    values: dict[str, Any]


def record_update(change: MembershipChange, now: int, *, is_full: bool = False) -> Update:
    """Make a change the newest of its row, sent at `now` (epoch seconds). What was sent before stays known.

    A row that is full begins anew, with the identities of this change.
    """
    expression, names, values = touch_update(change, now)
    expression += ", version = :version, #change = :change"
    values |= {":change": {"S": _as_text(change)}}
    identities = sorted({canonical_json(identity) for identity in change.record["hashedPII"]})
    if identities:
        expression += ", identities = :identities" if is_full else " ADD identities :identities"
        values |= {":identities": {"SS": identities}}
    elif is_full:
        expression += " REMOVE identities"
    return Update(expression, names | {"#change": "change"}, values)


def touch_update(change: MembershipChange, now: int) -> Update:
    """Record that the change of a row is sent at `now`, in epoch seconds. The row outlives the member at Amazon."""
    expires = now + (KEEP_EXIT if change.exits else KEEP_ACTIVE)
    return Update(
        "SET #last_sent = :now, expiresAt = :expires",
        {"#last_sent": LAST_SENT[change.record["action"]]},
        {
            ":version": {"S": version_text(change.version)},
            ":now": {"N": str(now)},
            ":expires": {"N": str(expires)},
        },
    )


def erase_update(change: MembershipChange) -> Update:
    """Drop every identifier from the row of a change."""
    bare = replace(change, record=change.record | {"hashedPII": []})
    return Update(
        "SET #change = :change REMOVE identities",
        {"#change": "change"},
        {":change": {"S": _as_text(bare)}, ":version": {"S": version_text(change.version)}},
    )


def version_text(version: Version) -> str:
    """Write a version so that texts compare as versions do."""
    return f"{version.at:016d}#{int(version.exits)}#{version.message_id}"


def key_of(change: MembershipChange) -> dict[str, Any]:
    """Return the key of the row of a change's member."""
    return {"audienceId": {"S": change.member[0]}, "externalUserId": {"S": change.member[1]}}


def member_of(row: Mapping[str, Any]) -> Member:
    """Return the member of a row."""
    return row["audienceId"]["S"], row["externalUserId"]["S"]


def change_from_row(row: Mapping[str, Any]) -> MembershipChange:
    """Read a row's change as it should be sent; an exit carries every identifier ever sent for the member."""
    fields = json.loads(row["change"]["S"])
    change = MembershipChange(
        row["audienceId"]["S"],
        fields["connectionId"],
        fields["at"],
        fields["id"],
        fields["record"],
        fields.get("erase", False),
        tuple(fields.get("targetTypes", ())),
    )
    return merged(change, _identities(row)) if change.exits else change


def with_identities_of(change: MembershipChange, before: Mapping[str, Any]) -> MembershipChange:
    """Add what the row before a change knew: to an exit everything, to an enter what was sent for the same moment."""
    if change.exits:
        return merged(change, _identities(before))
    held = change_from_row(before)
    if held.at == change.at and not held.exits:
        return merged(change, held.record["hashedPII"])
    return change


def merged(change: MembershipChange, identities: Iterable[dict[str, str]]) -> MembershipChange:
    """Add identities to a change, its own first. Returns the change itself where there are none to add."""
    own = {canonical_json(identity): identity for identity in change.record["hashedPII"]}
    added = {text: identity for identity in identities if (text := canonical_json(identity)) not in own}
    if not added:
        return change
    kept = [*own.values(), *(added[text] for text in sorted(added))][:MAX_IDENTITIES]
    return replace(change, record=change.record | {"hashedPII": kept})


def _as_text(change: MembershipChange) -> str:
    """Write a change together with where it goes: a row has no envelope."""
    fields = {
        "at": change.at,
        "id": change.message_id,
        "record": change.record,
        "connectionId": change.connection_id,
        "targetTypes": change.target_types,
    }
    return json.dumps(fields | ({"erase": True} if change.erase else {}), separators=(",", ":"))


def _identities(row: Mapping[str, Any]) -> list[dict[str, str]]:
    return [json.loads(text) for text in row.get("identities", {}).get("SS", [])]


@dataclass(frozen=True, slots=True)
class MemberRow:
    """What a row says about its member."""

    action: str  # of the newest change: CREATE or DELETE
    at: int  # of the newest change, epoch milliseconds
    message_id: str  # of the newest change
    erase: bool  # the newest change is a deletion notice: the row keeps no identities after it is delivered
    last_sent: int  # epoch seconds at which the newest change was last sent to Amazon
    identities: tuple[dict[str, str], ...]  # all that were ever sent for the member, in a fixed order


def read_row(row: Mapping[str, Any]) -> MemberRow:
    """Read a whole row of the membership table."""
    change = json.loads(row["change"]["S"])
    action = change["record"]["action"]
    return MemberRow(
        action,
        change["at"],
        change["id"],
        change.get("erase", False),
        int(row[LAST_SENT[action]]["N"]),
        tuple(json.loads(text) for text in sorted(row.get("identities", {}).get("SS", []))),
    )


def is_exit(text: str) -> bool:
    """Return whether a version, as `version_text` writes it, is that of an exit."""
    return text.split("#", 2)[1] == "1"
