"""Target of normalization: any trait, for any country."""

import hashlib
import re
from typing import Any

from audience_sync.amazon_ads.normalize import MAX_VALUES, identifier, identifiers, normalize
from audience_sync.fields import IDENTIFIERS, LISTED
from tests.fuzz.inputs import json_or_none

_DIGEST = re.compile(r"[0-9a-f]{64}")
_NOTHING = hashlib.sha256(b"").hexdigest()
_ONCE = frozenset({"phone", "address"})  # a second time they are read as another number, or street


def hash_traits(data: bytes) -> None:
    """Input: JSON with a `country`, and `traits` by name.

    A trait, or the first usable value of a list, is one lower-case digest of its normalized text, never of the empty
    text, or it is nothing. White space around it changes nothing; normalizing the result changes nothing more.
    """
    fields = json_or_none(data)
    if not isinstance(fields, dict):
        return
    given = fields.get("traits")
    traits: dict[str, Any] = given if isinstance(given, dict) else {}
    country = fields.get("country")
    country = country if isinstance(country, str) else None
    found: dict[str, str] = {}
    for field in IDENTIFIERS:
        values = traits.get(field.name)
        for value in values[:MAX_VALUES] if isinstance(values, list) and field in LISTED else [values]:
            text = normalize(field.name, value, country)
            digest = identifier(field.name, value, country)
            assert text != ""
            if digest is not None:
                assert _DIGEST.fullmatch(digest)
                assert digest != _NOTHING
                found.setdefault(field.amazon_name, digest)
            if text is not None:
                assert digest == hashlib.sha256(text.encode()).hexdigest()
                assert text == text.strip()
                if field.name not in _ONCE and not _DIGEST.fullmatch(text.lower()):  # a digest has no text
                    assert normalize(field.name, text, country) == text
            if isinstance(value, str) and len(value) < 1_000:
                assert identifier(field.name, f" {value}\t", country) == digest
    hashed = identifiers({field.name: traits.get(field.name) for field in IDENTIFIERS}, country)
    assert hashed[:1] == ([found] if found else [])
