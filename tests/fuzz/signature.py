"""Target of Segment's signature: what a stranger who has captured a signed request can make of it."""

import json
from typing import Any

from audience_sync.segment.signature import EXTRA_NAMES, is_signed, sign
from tests.fuzz.inputs import json_or_none

SECRET = "signing-secret-for-the-tests-2"


def extend_signed_event(data: bytes) -> None:
    """Input: the signed text of an event, an empty line, and what a stranger writes in place of its last brace.

    Where the signature still holds, for the event alone or as the first of an array, the event says the same as the
    signed text: its members are there, unchanged, and none but extras of an audience has been added.
    """
    text, _, added = data.partition(b"\n\n")
    signed = json_or_none(text)
    if not isinstance(signed, dict) or list(signed) == ["json"] or not text.rstrip().endswith(b"}"):
        return  # Segment signs an event, not its envelope
    signature = sign_bytes(text)
    assert is_signed(text, signature, [SECRET]), "a right signature is refused"
    assert not is_signed(text, signature, ["another-secret-for-the-tests-3"])
    start = text.rstrip()[:-1]
    for body in (start + added, added + text, start + added + b"}"):
        if is_signed(body, signature, [SECRET]):
            _check(signed, json_or_none(body), is_same=body == text)
    wrapped = b'[{"json":' + text + b"}"
    for body in (
        b"[" + start + added + b"}]",
        b"[" + text + added,
        added + text + b"]",
        wrapped + b"]",
        wrapped + added,
    ):
        if is_signed(body, signature, [SECRET], accept_first_event=True):
            parsed = json_or_none(body)
            assert isinstance(parsed, list) or not _is_json(body)
            if isinstance(parsed, list) and parsed:
                _check(signed, _unwrapped(parsed[0]), is_same=False)
        assert not is_signed(body, signature, [SECRET]) or body == text


def sign_bytes(text: bytes) -> str:
    return sign(text.decode("latin-1").encode("latin-1"), SECRET)


def _unwrapped(element: Any) -> Any:
    """Return the event in the Extensible Webhook's envelope, as it is read."""
    return element["json"] if isinstance(element, dict) and list(element) == ["json"] else element


def _check(signed: dict[str, Any], received: Any, *, is_same: bool) -> None:
    if received is None or is_same:
        return  # not JSON: it is refused when it is read
    assert isinstance(received, dict), "a signature of an event holds for something else"
    kept = {name: received.get(name) for name in signed}
    assert json.dumps(kept) == json.dumps(signed), "a signed member has changed"
    assert received.keys() - signed.keys() <= EXTRA_NAMES, "a member that is no extra was added behind the signed ones"


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True
