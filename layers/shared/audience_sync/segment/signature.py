"""Segment's X-Signature: HMAC-SHA1 over the JSON text that Segment serialised, checked on the bytes received.

Three quirks of the sender shape this module:

- A batch is signed by its first element only, so elements 2..n are not authenticated. That lets no request in; beside a
  valid key, it tells whether Segment has the signing secret.
- Webhook Audiences adds the audience's extras after the signed text, so the signed bytes are the event less its last
  members. Those are not authenticated, so no other names are accepted there: a mapping might read them.
- Re-serialising would print some numbers and characters differently, so nothing here parses and dumps.
"""

import codecs
import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Sequence

# The settings of an audience in its extras (docs/segment-setup.md). Only countryCode is read from an event.
EXTRA_NAMES = frozenset(
    "advertiserId connectionId countryCode externalAudienceId description ttl dsp renew cpmCents currency "
    "computationKey api shares idRetention".split()
)
MAX_MEMBERS = 1_000  # of an event; Segment's have about 20, and an unauthenticated body must be cheap to check
# Bytes of an event with its extras. Segment accepts events of 32 KB; with escapes, they may be three times that, and
# Engage and the extras add the rest. A longer body is verified as a whole only, without parsing it.
MAX_EVENT = 131_072

_HEX_SHA1 = re.compile(r"[0-9a-f]{40}")
_WHITE_SPACE = " \t\r\n"


def is_signed(
    body: bytes, signature: str | None, secrets: Iterable[str | bytes], *, accept_first_event: bool = False
) -> bool:
    """Return whether `signature` signs `body` with one of `secrets`.

    Args:
        body: the request body, exactly as received.
        signature: the X-Signature header, 40 hexadecimal digits; anything else is refused.
        secrets: shared secrets that are currently valid; empty ones never verify.
        accept_first_event: also accept an array of which only the first element is signed, as Segment does today.
            The other elements are then not authenticated.

    Never raises, whatever the arguments.
    """
    if not isinstance(signature, str) or not _HEX_SHA1.fullmatch(candidate := signature.strip().lower()):
        return False
    keys = [secret.encode() if isinstance(secret, str) else secret for secret in secrets if secret]
    if not keys:
        return False
    return any(_matches(text, candidate, keys) for text in _signed_texts(body, accept_first_event=accept_first_event))


def sign(text: bytes, secret: str) -> str:
    """Return the signature Segment sends for `text`: 40 lowercase hexadecimal digits."""
    return hmac.new(secret.encode(), text, hashlib.sha1).hexdigest()


def _matches(text: bytes, candidate: str, keys: Sequence[bytes]) -> bool:
    # Every key is tried, so that timing does not reveal which one matched.
    results = [hmac.compare_digest(hmac.new(key, text, hashlib.sha1).hexdigest(), candidate) for key in keys]
    return any(results)


def _signed_texts(body: bytes, *, accept_first_event: bool) -> Iterable[bytes]:
    """Yield the candidates for the signed bytes: the whole body first, in case Segment starts to sign whole batches.

    The body is unauthenticated, so apart from the digest of the whole, only its first MAX_EVENT bytes are read.
    """
    yield body
    try:
        # Not final: the cut may split the last character.
        text = codecs.getincrementaldecoder("utf-8")().decode(body[:MAX_EVENT], final=False)
    except UnicodeDecodeError:
        return
    start = len(text) - len(text.lstrip(_WHITE_SPACE))
    if text[start : start + 1] == "{" and len(body) <= MAX_EVENT:
        yield from _without_extras(text[start:].rstrip(_WHITE_SPACE))
    elif text[start : start + 1] == "[" and accept_first_event:
        first = _first_element(text, start + 1)
        if first is not None:
            yield first.encode()
            yield from _without_extras(first)


def _first_element(text: str, start: int) -> str | None:
    """Cut the first element of an array out of the raw text; unwrap the Extensible Webhook's `{"json": event}`."""
    try:
        start = _skip_white_space(text, start)
        element, end = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, IndexError, RecursionError):
        return None
    first = text[start:end]
    if isinstance(element, dict) and list(element) == ["json"] and first.startswith('{"json":') and first[-1] == "}":
        return first[len('{"json":') : -1]
    return first


def _without_extras(text: str) -> Iterable[bytes]:
    """Yield the object `text` less its last 1, 2, ... members, as long as they are extras that occur once."""
    members = _members(text)
    if members is None:
        return
    names = [name for name, _ in members]
    for kept in range(len(members) - 1, 0, -1):
        extra = names[kept]
        if extra not in EXTRA_NAMES or names.count(extra) > 1:
            return
        end = members[kept - 1][1]
        yield (text[:end] + "}").encode()


def _members(text: str) -> list[tuple[str, int]] | None:
    """Return name and end of value of each top-level member of the object `text`; None if it is not an object."""
    decoder = json.JSONDecoder()
    members: list[tuple[str, int]] = []
    position = 1
    try:
        while True:
            position = _skip_white_space(text, position)
            name, position = decoder.raw_decode(text, position)
            position = _skip_white_space(text, position)
            if not isinstance(name, str) or text[position] != ":":
                return None
            _, position = decoder.raw_decode(text, _skip_white_space(text, position + 1))
            members.append((name, position))
            if len(members) > MAX_MEMBERS:
                return None
            position = _skip_white_space(text, position)
            if text[position] == "}":
                return members if position == len(text) - 1 else None
            if text[position] != ",":
                return None
            position += 1
    except (ValueError, IndexError, RecursionError):
        return None


def _skip_white_space(text: str, position: int) -> int:
    while text[position] in _WHITE_SPACE:
        position += 1
    return position
