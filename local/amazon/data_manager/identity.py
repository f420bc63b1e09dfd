"""Identities in members and deletions, under the field names of the first API, so that one reader serves both."""

import re
from typing import Any

from local.amazon.records import Identity
from local.amazon.refusals import Refusal, only_fields

MAX_SETS = 10  # of each kind
HASHED = {
    "em": "email",
    "ph": "phone",
    "fn": "firstname",
    "ln": "lastname",
    "ad": "address",
    "cty": "city",
    "st": "state",
    "zip": "postal",
}
_EXTERNAL = frozenset("experianId kantarId liveRampId maId merkleId neustarId realId sambaTvId".split())
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHA256_OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class BrokenRule(Refusal):
    """A value breaks a rule that Amazon states in words only. It costs one member, not the request."""


def read_identity(value: Any, field: str) -> tuple[Identity, ...]:
    """Read an identity. Raises Refusal, or BrokenRule."""
    identity = only_fields(value, {"hashedPiis", "externalIdentities"}, field)
    hashed = _sets(identity, "hashedPiis", HASHED.keys(), field)
    external = _sets(identity, "externalIdentities", _EXTERNAL, field)
    if not hashed and not external:
        raise BrokenRule(f"{field} needs a hashed or an external identity")
    if not all(hashed) or not all(external):
        raise BrokenRule(f"{field} has an empty entry")
    for entry in hashed:
        for key, digest in entry.items():
            if not _SHA256.fullmatch(digest) or digest == _SHA256_OF_NOTHING:
                raise BrokenRule(f"{field}.hashedPiis.{key} is not the lowercase SHA-256 of a value")
    if not all(given for entry in external for given in entry.values()):
        raise BrokenRule(f"{field}.externalIdentities has an empty value")
    named = [tuple([(HASHED[key], digest) for key, digest in entry.items()]) for entry in hashed]
    return tuple(named + [tuple(entry.items()) for entry in external])


def _sets(identity: dict[str, Any], name: str, keys: Any, field: str) -> list[dict[str, str]]:
    listed = identity.get(name, [])
    if type(listed) is not list or len(listed) > MAX_SETS:
        raise Refusal(f"{field}.{name} must hold at most {MAX_SETS} entries")
    for entry in listed:
        if type(entry) is not dict or not entry.keys() <= keys:
            raise Refusal(f"{field}.{name} entry has an unknown property")
        if any(type(given) is not str for given in entry.values()):
            raise Refusal(f"{field}.{name} entry must hold strings")
    return listed
