"""Format of a member's row in the membership table: writes states and reads them back. Pure, and the only owner.

Attributes: the key (`audienceShard`, `externalUserId`), `version` of the newest change, `revision`, `entered` (epoch
seconds at which an enter was last sent, 0 if never), `expiresAt` (epoch seconds), and `member`, which packs the rest:
a header in JSON, and behind it every digest as 32 bytes. So a row with all eight identifiers fits one write unit.

One partition key supports 1,000 writes a second, so the members of an audience are spread over shards.
"""

import json
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from audience_sync.clock import to_seconds
from audience_sync.errors import MisplacedRow, RowKey, RowUnreadable
from audience_sync.fields import IDENTIFIERS
from audience_sync.members.erasure_steps import ErasurePlan, ErasureStep, StepKind
from audience_sync.members.member_state import LateJob, MemberState, RemovalProgress
from audience_sync.members.membership import Destination, Identity, Member, MembershipChange, Version

KEEP_ACTIVE = 34_300_800  # seconds; 397 days, the longest Amazon keeps a member
KEEP_EXIT = 40 * 86_400  # seconds; longer than any queue delays an older enter, and than point-in-time recovery reaches
SHARDS = 8
"""Shards of each audience. With another number, no row of an existing table is found.

They take 8,000 writes a second, nearly twice what Amazon takes for one audience.
"""

_SEPARATOR = b"\0"  # JSON never holds it
_SURROGATE = b"\\ud"  # begins every escape of one
_CODES = {field.amazon_name: field.code for field in IDENTIFIERS}
_STEP_CODES = dict(zip(StepKind, "ndricw", strict=True))
_STEP_KINDS = {code: kind for kind, code in _STEP_CODES.items()}
_FIELDS = {code: name for name, code in _CODES.items()}
_ACTIONS = {False: "CREATE", True: "DELETE"}
_EXITS = {action: exits for exits, action in _ACTIONS.items()}
# The letters of a row's header. These are fields of a state; the others are `r` the record, `c`, `t` and `g` the
# destination, `i` identities, `l` the last exit, `j` late jobs, `b` the progress of a removal, `p` the steps of an
# erasure, and `a` its plan.
_PLAIN = {
    "e": "erase_until",
    "x": "removal_sent",
    "f": "removal_owed",
    "u": "enter_owed",
    "d": "exit_recorded",
    "n": "enters_effective_by",
    "m": "removals_effective_by",
    "k": "keep_until",
    "h": "removal_grew",
    "q": "enter_retry_at",
    "s": "removal_retry_at",
    "y": "failed_jobs",
}
# Fields of a destination with codes of their own in the header: the original ones. Later fields are in `g`.
_DESTINATION_CODES = {"connectionId": "c", "targetTypes": "t"}


class StoredMember(NamedTuple):
    """A row as read from a table."""

    state: MemberState
    expires_at: int  # epoch seconds; DynamoDB deletes the row some time later


class Sharding:
    """The distribution of members' rows over shards."""

    def __init__(self, shards: int = SHARDS) -> None:
        """Set the number of shards."""
        self.shards = shards

    def key_of(self, member: Member) -> dict[str, Any]:
        """Return the key of a member's row."""
        audience_id, external_user_id = member
        shard = zlib.crc32(external_user_id.encode()) % self.shards
        return {"audienceShard": {"S": _name(audience_id, shard)}, "externalUserId": {"S": external_user_id}}

    def partitions(self, audience_id: str) -> list[str]:
        """Return the partition keys of an audience."""
        return [_name(audience_id, shard) for shard in range(self.shards)]

    def check(self, row: Mapping[str, Any]) -> None:
        """Check that a row has the key under which its member is read. Raises MisplacedRow."""
        if self.key_of(member_of(row))["audienceShard"] != row["audienceShard"]:
            raise MisplacedRow(f"the rows are not spread over {self.shards} shards but over another number")


def _name(audience_id: str, shard: int) -> str:
    return f"{audience_id}#{shard:02d}"


def expires_at(state: MemberState) -> int:
    """Return the epoch second after which DynamoDB deletes the row of a state.

    A deletion that Amazon has accepted is kept as long as an exit: longer than the 30 days that Amazon may take.
    """
    dated = max(state.enter_sent, state.removal_sent, state.exit_recorded)  # an exit whose removal is owed has no date
    sent = dated + (KEEP_EXIT if state.newest.exits else KEEP_ACTIVE)
    deleted = [int(to_seconds(step.at)) + KEEP_EXIT for step in state.erasure if step.kind is StepKind.DELETION]
    return max(sent, state.keep_until, *deleted)


def row_of(state: MemberState, key: Mapping[str, Any], revision: int) -> dict[str, Any]:
    """Build the row of a state.

    Args:
        state: the new state; its revision is the one read.
        key: of the row.
        revision: of the new row.
    """
    return {
        **key,
        "version": {"S": state.version.text},
        "revision": {"N": str(revision)},
        "entered": {"N": str(state.enter_sent)},
        "expiresAt": {"N": str(expires_at(state))},
        "member": {"B": _packed(state)},
    }


def state_from_row(row: Mapping[str, Any]) -> MemberState:
    """Read a whole row.

    Raises:
        RowUnreadable: it was not written by row_of. A misread value, such as a truncated digest, would be sent.
    """
    try:
        state = _state(row)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        state = None
    if state is None or not _is_sound(state):
        raise RowUnreadable(RowKey(row["audienceShard"]["S"], row["externalUserId"]["S"]))
    return state


def _state(row: Mapping[str, Any]) -> MemberState:
    packed = row["member"]["B"]
    header, _, digests = bytes(packed).partition(_SEPARATOR)
    fields = json.loads(header)
    if _SURROGATE in header.lower():  # half a pair can be written in JSON, but not be sent
        json.dumps(fields, ensure_ascii=False).encode()
    known = fields["r"]
    version = Version.from_text(row["version"]["S"])
    left = fields.get("l")
    return MemberState(
        newest=MembershipChange(
            *member_of(row),
            _destination(fields),
            version.at,
            version.message_id,
            exits=_EXITS[known["action"]],
            country=known.get("countryCode"),
            consent=known.get("userConsent", {}),
        ),
        identities=_identities(fields.get("i", []), digests),
        last_exit=Version(left[0], True, left[1]) if left else None,
        enter_sent=int(row["entered"]["N"]),
        late_jobs=tuple(_late_job(each, row) for each in _listed(fields.get("j", []))),
        removing=RemovalProgress(*fields["b"]) if "b" in fields else None,
        erasure=tuple(_erasure_step(*each) for each in _listed(fields.get("p", []))),
        plan=_plan(*fields["a"]) if "a" in fields else None,
        revision=int(row["revision"]["N"]),
        **{name: fields[letter] for letter, name in _PLAIN.items() if letter in fields},
    )


def stored_member(row: Mapping[str, Any]) -> StoredMember:
    """Read a whole row with its expiry."""
    return StoredMember(state_from_row(row), int(row["expiresAt"]["N"]))


def _is_sound(state: MemberState) -> bool:
    """Return whether every unpacked value has its type. JSON has no schema, and rows live for years."""
    newest, left = state.newest, state.last_exit
    texts = (
        "" if newest.country is None else newest.country,
        *(job.job_id for job in state.late_jobs),
        *(step.id for step in state.erasure),
        *(state.plan.known_in if state.plan else ()),
    )
    times = (
        *(
            state.exit_recorded,
            state.erase_until,
            state.removal_sent,
            state.enters_effective_by,
            state.removals_effective_by,
            state.keep_until,
            state.removal_grew,
            state.enter_retry_at,
            state.removal_retry_at,
            state.failed_jobs,
            *(state.removing or ()),
        ),
        *(state.plan[2:] if state.plan else ()),
        *(each.at for each in state.identities),
        *(time for job in state.late_jobs for time in (job.sent_at, job.at)),
        *(time for step in state.erasure for time in (step.at, step.ended)),
        *((left.at,) if left else ()),
    )
    return (
        isinstance(newest.consent, dict)
        and all(isinstance(each, str) for each in texts)
        and all(type(each) is int for each in times)
        and (left is None or isinstance(left.message_id, str))
        and isinstance(state.removal_owed, bool)
        and isinstance(state.enter_owed, bool)
        and all(isinstance(digest, str) for each in state.identities for digest in each.digests.values())
    )


def member_of(row: Mapping[str, Any]) -> Member:
    """Return the member of a row."""
    return row["audienceShard"]["S"].partition("#")[0], row["externalUserId"]["S"]


def _late_job(fields: Any, row: Mapping[str, Any]) -> LateJob:
    if isinstance(fields, str):  # until November 2026: an enter's job by its id alone
        return LateJob(fields, int(row["entered"]["N"]), Version.from_text(row["version"]["S"]).at)
    job_id, sent_at, at, removes = fields
    return LateJob(job_id, sent_at, at, bool(removes))


def _erasure_step(code: str, *fields: Any) -> ErasureStep:
    return ErasureStep(_STEP_KINDS[code], *fields)


def _plan(held_in: Any, also_in: Any, *times: int) -> ErasurePlan:
    return ErasurePlan(_listed(held_in), _listed(also_in), *times)


def _listed(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return tuple(value)


@lru_cache(maxsize=1_000)  # audiences
def _destination_codes(destination: Destination) -> dict[str, Any]:
    fields = destination.fields
    if not fields.keys() <= _DESTINATION_CODES.keys():
        return {"g": fields}
    return {code: fields.get(name) for name, code in _DESTINATION_CODES.items()}


def _destination(header: Mapping[str, Any]) -> Destination:
    """Read the destination of a header. Raises TypeError."""
    if "g" in header:
        return Destination.of({**header["g"]})
    connection_id, types = header.get("c"), _listed(header.get("t", []))
    if not isinstance(connection_id, str | None) or not all(isinstance(each, str) for each in types):
        raise TypeError("not strings")
    return _known_destination(connection_id, types)


@lru_cache(maxsize=1_000)  # audiences; asked for each row
def _known_destination(connection_id: str | None, types: tuple[str, ...]) -> Destination:
    return Destination.of({"connectionId": connection_id, "targetTypes": types})


def _packed(state: MemberState) -> bytes:
    newest = state.newest
    record = {"countryCode": newest.country, "action": _ACTIONS[newest.exits], "userConsent": newest.consent}
    header: dict[str, Any] = {"r": {name: value for name, value in record.items() if value}}
    optional = {
        **_destination_codes(newest.destination),
        "l": [state.last_exit.at, state.last_exit.message_id] if state.last_exit else None,
        **{letter: getattr(state, name) for letter, name in _PLAIN.items()},
        "p": [[_STEP_CODES[step.kind], *step[1:]] for step in state.erasure],
        "b": state.removing,
        "j": [[job.job_id, job.sent_at, job.at, int(job.removes)] for job in state.late_jobs],
        "a": state.plan,
    }
    header |= {name: value for name, value in optional.items() if value}
    names: list[Any] = []
    digests = b""
    for identity in state.identities:
        # Values that are not a SHA-256, or of fields new at Amazon, are kept as they are.
        raw = _raw(identity.digests) if identity.digests.keys() <= _CODES.keys() else None
        packs = raw is not None
        names.append([identity.at, "".join(_CODES[name] for name in identity.digests) if packs else identity.digests])
        digests += raw or b""
    if names:
        header["i"] = names
    return json.dumps(header, separators=(",", ":")).encode() + _SEPARATOR + digests


def _raw(digests: Mapping[str, str]) -> bytes | None:
    try:
        raw = b"".join(bytes.fromhex(digest) for digest in digests.values())
    except ValueError:
        return None
    lowercase = all(len(digest) == 64 and digest == digest.lower() and " " not in digest for digest in digests.values())
    return raw if lowercase else None


def _identities(names: list[Any], digests: bytes) -> tuple[Identity, ...]:
    found: list[Identity] = []
    start = 0
    for at, named in names:
        if isinstance(named, dict):
            found.append(Identity(at, named))
            continue
        hexes = [digests[start + 32 * index : start + 32 * index + 32].hex() for index in range(len(named))]
        found.append(Identity(at, {_FIELDS[code]: text for code, text in zip(named, hexes, strict=True)}))
        start += 32 * len(named)
    if start != len(digests):
        raise ValueError("there are more or fewer digests than the header names")
    return tuple(found)
