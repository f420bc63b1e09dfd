"""What must hold for every answer and every record, whatever came in."""

import ast
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import urllib3

from audience_sync.amazon_ads.advertiser_audiences.records import encode_record, frame_of
from audience_sync.amazon_ads.upload import Target, UploadSize, cut_uploads
from audience_sync.members.membership import MembershipChange
from audience_sync.reasons import Reason
from local.amazon import records
from local.amazon.refusals import Refusal, json_object

ROOT = Path(__file__).parents[2]
# Amazon's messages may be quoted; those of its stand-in hold no values either.
CODE = (ROOT / "layers" / "shared" / "audience_sync", ROOT / "local" / "amazon")
_SAFE_ID = re.compile(r"[A-Za-z0-9\-_.:]{1,100}")
_NAMED_KEY = re.compile(r'computation key "[a-z][a-z0-9_]{0,79}";')
_WORD = re.compile(r"[^\W_]+")


@cache
def our_words() -> frozenset[str]:
    """Every word in a text of our own code. A message within a message repeats what was sent."""
    found = {word for code in Reason for word in _WORD.findall(code)}
    found |= {*vars(urllib3.exceptions)}  # "does not answer: ProtocolError"
    for path in (path for folder in CODE for path in folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= set(_WORD.findall(node.value))
    return frozenset(found)


def assert_repeats_nothing(text: str) -> None:
    """A message to the sender, or in a log, is made of our own words and of numbers.

    It may name the computation key of an audience that is not linked, where it looks like one of Segment's.
    """
    text = _NAMED_KEY.sub("", text)
    strange = [word for word in _WORD.findall(text) if word not in our_words() and not word.isdecimal()]
    assert not strange, "a message holds words that are not our own"


def assert_is_safe_id(message_id: str) -> None:
    """A message id that is logged, stored and sent back is short and plain."""
    assert _SAFE_ID.fullmatch(message_id), "a message id is not plain"


def assert_log_repeats_nothing(log: Iterable[dict[str, Any]]) -> None:
    """The lines of a log, but for those of metrics, which are numbers, repeat nothing."""
    for line in (each for each in log if "_aws" not in each):
        assert_repeats_nothing(" ".join(str(line.get(name, "")) for name in ("message", "reason", "detail")))
        assert_is_safe_id(line.get("message_id", "none"))


def assert_amazon_takes(changes: Iterable[MembershipChange]) -> None:
    """Amazon's stand-in finds nothing wrong with the records of changes.

    An exit without identities is left out: the worker adds those that the person entered with, or sends nothing.
    """
    for change in changes:
        if change.exits and not change.identities:
            continue
        target = Target(change.audience_id, change.destination)
        for upload in cut_uploads(target, frame_of(target), [encode_record(change)], UploadSize(1, 1)):
            try:
                records.read_upload(json_object(upload.body()))
            except Refusal as refusal:
                raise AssertionError(f"Amazon would refuse a record: {refusal.message}") from None


def has_only_json(value: Any) -> bool:
    """Return whether a value is made of JSON's own types."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and has_only_json(inner) for key, inner in value.items())
    if isinstance(value, list):
        return all(map(has_only_json, value))
    return value is None or isinstance(value, str | int | float)
