"""The persons that the text of a dead event names, in whatever form its sender has written it. Pure.

JSON, CSV, XML and any other text; inside it, and to any depth, percent-encoding, entities, base64, hexadecimal, gzip.
"""

import html
import json
import re
import zlib
from base64 import b64decode
from binascii import Error
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import unquote

from audience_sync.amazon_ads.normalize import identifier
from audience_sync.quick_json import read_json

MAX_TEXT = 8_000_000  # characters of all forms of one event; one that unpacks to more counts as unread
SHORTEST_NUMBER = 7  # digits of a phone number; with fewer, it is an external user id
SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_KINDS = ("type", "event")  # fields that hold no id, but words such as track
# A JSON string, closed or not, and whether it is the name of a field; or a number or a word outside of strings.
_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*+)(?:"|\\?\Z)(\s*+:)?|([0-9a-zA-Z_-]+)', re.DOTALL)
_WORD = re.compile(r"[0-9a-zA-Z_-]+")  # an external user id is one
_ESCAPE = re.compile(r"\\+(?:u([0-9a-fA-F]{4})|([nrt/]))")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "/": "/"}
# What ends an address: some of the second kind may be in one, but mostly separate it from others.
_BETWEEN_ADDRESSES = re.compile(r"[\s\"'<>,;:()\[\]{}\\/]+"), re.compile(r"[\s\"'<>,;:()\[\]{}\\/=&|?]+")
_NUMBERS = re.compile(r"\+?\(?\d[\d ().\-/]{5,}\d")
_LETTERS = "[A-Za-z0-9+/_-]"
# Base64 or hexadecimal; in lines, if they are as long as encoders make them.
_ENCODED = re.compile(rf"{_LETTERS}{{48,}}(?:\r?\n{_LETTERS}+)*={{0,2}}|{_LETTERS}{{16,}}={{0,2}}")
_HEXADECIMAL = re.compile(r"(?:[0-9a-fA-F]{2})+")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
# An encrypted event, if it is most of a message; else a consent string or a signature. A shorter one is an id.
_OPAQUE = re.compile(r"(?=.*[A-Za-z])(?=.*[0-9]).{48,}", re.DOTALL)


class Named(NamedTuple):
    """The persons that an event names. In plain text: for comparing only."""

    ids: set[str]  # what may be an external user id: strings of JSON, words of other text
    words: set[str]  # every word
    hashes: set[str]  # SHA-256 in lower case: as sent, and of ids, e-mail addresses and numbers
    numbers: set[str]  # of digits, without a zero in front
    is_whole: bool  # False if most of it cannot be read


@lru_cache(maxsize=4)  # a message is asked about several times in a row
def named_in(body: str) -> Named:
    """Read the body of a message."""
    named = Named(set(), set(), set(), set(), is_whole=True)
    is_whole, size, seen, waiting = True, 0, {body}, [body]
    while waiting:
        text = waiting.pop()
        _add(text, named)
        opaque = 0
        for encoded, forms in _decoded(text):
            opaque += 0 if forms else len(encoded)
            size += sum(map(len, forms))
            if size > MAX_TEXT:
                return named._replace(is_whole=False)
            waiting += {*forms} - seen
            seen.update(forms)
        is_whole = is_whole and opaque * 2 <= len(text)
    return named._replace(is_whole=is_whole)


def _decoded(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the parts of a text that encode something, and their other forms: none if they cannot be read."""
    if "\\" in text:
        yield text, [_ESCAPE.sub(lambda escape: _ESCAPED[escape[2]] if escape[2] else chr(int(escape[1], 16)), text)]
    for sign, decode in (("&", html.unescape), ("%", unquote)):
        if sign in text:
            yield text, [decode(text)]
    for encoded in _ENCODED.findall(text):
        found = [*_texts_of(encoded)]
        if found or (_OPAQUE.fullmatch(encoded) and not _HEXADECIMAL.fullmatch(re.sub(r"[\s-]", "", encoded))):
            yield encoded, found


def _texts_of(encoded: str) -> Iterator[str]:
    """Yield what a word is in base64 or hexadecimal, if that is text."""
    joined = "".join(encoded.split()).rstrip("=").replace("-", "+").replace("_", "/")
    raw = []
    with suppress(Error, ValueError):
        raw.append(b64decode(joined + "=" * (-len(joined) % 4)))
    if _HEXADECIMAL.fullmatch(joined):
        raw.append(bytes.fromhex(joined))
    for each in raw:
        yield from filter(None, map(_text, (each, *_unpacked(each))))


def _unpacked(raw: bytes) -> Iterator[bytes]:
    for kind in (47, -15):  # gzip or zlib by their heads; deflate without one
        with suppress(zlib.error):
            yield zlib.decompressobj(kind).decompress(raw, MAX_TEXT + 1)


def _text(raw: bytes) -> str:
    """Return text; empty if it is none. Old encodings differ in letters only, not in what is searched for."""
    half = len(raw) // 2
    wide = [name for name, start in (("utf-16-le", 1), ("utf-16-be", 0)) if raw[start::2].count(0) * 2 > half]
    for encoding in wide or ("utf-8", "latin-1"):
        with suppress(UnicodeDecodeError):
            text = raw.decode(encoding).removeprefix("\ufeff")
            is_text = encoding != "latin-1" or len(text.encode("ascii", "ignore")) * 10 > len(text) * 9
            return text if is_text and not _CONTROL.search(text) else ""
    return ""


def _add(text: str, named: Named) -> None:
    named.ids.update(ids := {each.strip() for each in _ids(text, is_json(text))})
    named.words.update(words := {*_WORD.findall(text)})
    named.hashes.update(each.lower() for each in words if len(each) == 64 and SHA256.fullmatch(each))
    named.hashes.update(_hash(form) for each in ids for form in (each, each.lower()))
    for between in _BETWEEN_ADDRESSES:
        for address in (each.strip(".").lower() for each in between.split(text) if "@" in each):
            named.hashes.update((_hash(address), identifier("email", address, None) or ""))
    for number in _NUMBERS.findall(text):
        digits = "".join(filter(str.isdigit, number)).lstrip("0")  # 00, or the zero of a national number
        if len(digits) >= SHORTEST_NUMBER:
            named.numbers.add(digits)
            named.hashes.update((_hash(digits), _hash(f"+{digits}")))


def _hash(text: str) -> str:
    return sha256(text.encode(errors="ignore")).hexdigest()


def is_json(body: str) -> bool:
    """Return whether a text is an object or an array of JSON."""
    try:
        return isinstance(read_json(body.encode(errors="surrogatepass")), dict | list)
    except (ValueError, RecursionError):
        return False


def _ids(text: str, is_json: bool) -> Iterator[str]:
    """Yield what may be an id: strings, but no names of fields, and numbers; words too, if the text is not JSON."""
    field = ""
    for string, is_field, word in _TOKEN.findall(text):
        value = word or string
        if "\\" in value:
            with suppress(ValueError):
                value = str(json.loads(f'"{string}"', strict=False))
        if is_field:
            field = value
        elif field not in _KINDS:
            yield value
            if '"' in value:  # JSON in a string, as in the envelope of SNS
                yield from _ids(value, is_json)
            elif not is_json:
                yield from _WORD.findall(value)
