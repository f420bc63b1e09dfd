"""The persons that the text of a dead event names, by exact words. Pure.

A sender may have encoded a text in any way, and nothing here undoes that: an event that is not plain text, or that may
hide an address, counts as one that cannot be searched. Whoever may write to the event queue also chooses how much work
an event is. So characters and words are counted, and each expression below reads a character a fixed number of times.
"""

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from itertools import accumulate, takewhile
from typing import NamedTuple

from audience_sync.amazon_ads.normalize import identifier
from audience_sync.quick_json import read_json
from audience_sync_cli.frame.plain_text import plain

MAX_TEXT = 4 * 2**20  # characters of one event, JSON in strings counted again; SQS takes 1 MiB
MAX_NAMES = 100_000  # strings and addresses of one event, and half of the groups of digits; Segment's have fewer
SHORTEST_NUMBER = 7  # digits of a phone number; with fewer, it is an external user id
LONGEST_NUMBER = 18  # digits: fifteen, and what is dialled before
SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_MAX_ADDRESS = 320  # characters
_KINDS = ("type", "event")  # fields that hold no id, but words such as track
_APART = "\n" * 6  # between the parts of a text: no number goes on after it
_STRING = re.compile(r'"((?:[^"\\]|\\.)*+)(?:"|\\?\Z)(\s*+:)?', re.DOTALL)  # of JSON, closed or not; or a field's name
_WORD = re.compile(r"[0-9a-zA-Z_-]+")  # an external user id is one
# What ends an address: some of the second kind may be in one, but mostly separate it from others.
_BETWEEN_ADDRESSES = re.compile(r"[\s\"'<>,;:()\[\]{}\\/]+"), re.compile(r"[\s\"'<>,;:()\[\]{}\\/=&|?]+")
_NUMBERS = re.compile(r"[0-9]+(?:[^0-9A-Za-z]{1,5}[0-9]+)*+")
_DIGITS = re.compile(r"[0-9]+")
_AROUND_AT = re.compile(r"\s{0,3}@\s{0,3}")
_NO_TEXT = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\ufffd]")
_HIDDEN_AT = re.compile(  # the @ of an address, as other formats write it
    r"%(?:25)*+40|\\(?:x40|u0040|u\{40\}|100)|&#(?:0{0,9}64|x0{0,9}40)\b|&commat;|=40(?=[a-z])|\+AEA-|[(\[{]at[)\]}]",
    re.IGNORECASE,
)
_BYTES = re.compile(r"(?:\b[0-9]{1,3},\s?){12}")  # a buffer as an array
# Base64 or hexadecimal; no hash, no consent string (TCF begins with a version and two times), no id in parts.
_LONG_WORD = re.compile(r"[0-9A-Za-z+/_-]{33,}")
_SHORTEST_ENCODED = 28  # characters without a sign between; a message id of Segment has 27
_CONSENT = re.compile(r"C[O-S][\w-]{5}[O-S]")
_HASH = re.compile(r"(?:[0-9a-fA-F]{8}){3,16}")
_SIGNATURE = "Signature"  # in the envelope of SNS: long, and no text


class Named(NamedTuple):
    """The persons that an event names. In plain text: for comparing only."""

    ids: set[str]  # what may be an external user id: strings of JSON, words of other text
    words: set[str]  # every word
    hashes: set[str]  # SHA-256 in lower case: as sent, and of ids, e-mail addresses and numbers
    numbers: set[str]  # of digits, without a zero in front
    is_whole: bool  # False if it cannot be searched, or not all of it


@lru_cache(maxsize=4)  # a message is asked about several times in a row
def named_in(body: str) -> Named:
    """Read the body of a message."""
    named = Named(set(), set(), set(), set(), is_whole=True)
    is_whole, size, is_of_json, waiting = True, 0, is_json(body), [body]
    has_names = is_of_json  # of fields or persons; a text without any may be anything
    while waiting:
        text = plain(waiting.pop())
        size += len(text)
        if size > MAX_TEXT:
            return named._replace(is_whole=False)
        values, others, inner = _parts(text)
        waiting += inner
        rest = _STRING.sub(_APART, text)
        may_be_ids = rest if is_of_json else _APART.join([*values, rest])
        ids = {each.strip() for each in values} | {*_WORD.findall(may_be_ids)}
        joined = _APART.join([*values, *others, rest])
        words = {*_WORD.findall(joined)}
        addresses, digits = _addresses(joined), len(_DIGITS.findall(joined))
        if len(named.ids) + len(ids) + len(addresses) > MAX_NAMES or digits > 2 * MAX_NAMES:
            return named._replace(is_whole=False)
        has_names = has_names or bool(others or addresses) or any(map(SHA256.fullmatch, words))
        named.ids.update(ids)
        named.words.update(words)
        named.numbers.update(numbers := _numbers(joined))
        named.hashes.update(_hashes(words, ids, addresses, numbers))
        is_whole = is_whole and not (_HIDDEN_AT.search(joined) or _NO_TEXT.search(joined) or _BYTES.search(rest))
        is_whole = is_whole and not any(map(_is_opaque, _LONG_WORD.findall(joined)))
    return named._replace(is_whole=is_whole and has_names)


def _parts(text: str) -> tuple[list[str], list[str], list[str]]:
    """Return the strings in a text that may be ids, those that are none, and those that hold strings themselves."""
    values: list[str] = []
    others: list[str] = []
    inner: list[str] = []
    field = ""
    for string, is_field in _STRING.findall(text):
        value = string
        if "\\" in string:
            try:
                value = plain(str(json.loads(f'"{string}"', strict=False)))
            except ValueError:
                value = string
        if is_field:
            field = value
            others.append(value)
        elif '"' in value:  # JSON in a string, as in the envelope of SNS
            inner.append(value)
        elif field != _SIGNATURE:
            (others if field in _KINDS else values).append(value)
    return values, others, inner


def _addresses(text: str) -> set[str]:
    """Return what may be addresses, in lower case; also with space around the @."""
    pieces = {
        piece
        for each in {text, _AROUND_AT.sub("@", text)}
        for between in _BETWEEN_ADDRESSES
        for piece in between.split(each)
    }
    return {each.strip(".").lower() for each in pieces if "@" in each[1:-1] and len(each) <= _MAX_ADDRESS}


def _numbers(text: str) -> set[str]:
    """Return what may be numbers, however their digits are grouped, without a zero in front."""
    found: set[str] = set()
    for run in _NUMBERS.findall(text):
        groups = _DIGITS.findall(run)
        for first in range(len(groups)):
            joined = accumulate(groups[first : first + LONGEST_NUMBER])
            numbers = takewhile(lambda each: len(each) <= LONGEST_NUMBER, joined)
            found.update(each.lstrip("0") for each in numbers if len(each) >= SHORTEST_NUMBER)
    return {each for each in found if len(each) >= SHORTEST_NUMBER}


def _hashes(words: set[str], ids: set[str], addresses: set[str], numbers: set[str]) -> Iterator[str]:
    yield from (each.lower() for each in words if len(each) == 64 and SHA256.fullmatch(each))
    for text in ids:
        yield from (_hash(text), _hash(text.lower()))
    for address in addresses:
        yield from (_hash(address), identifier("email", address, None) or "")
    for number in numbers:
        yield from (_hash(number), _hash(f"+{number}"))


def _is_opaque(word: str) -> bool:
    """Return whether a long word may encode a text."""
    longest = max(re.split(r"[-_/+]+", word), key=len)
    is_mixed = any(map(str.isdigit, longest)) and any(map(str.isalpha, longest))
    return len(longest) >= _SHORTEST_ENCODED and is_mixed and not (_HASH.fullmatch(longest) or _CONSENT.match(word))


def _hash(text: str) -> str:
    return sha256(text.encode(errors="ignore")).hexdigest()


def is_json(body: str) -> bool:
    """Return whether a text is an object or an array of JSON."""
    try:
        return isinstance(read_json(body.encode(errors="surrogatepass")), dict | list)
    except (ValueError, RecursionError):
        return False
