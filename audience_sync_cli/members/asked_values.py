"""The values that a person is asked about by, and every form in which the stack may hold each. Pure.

No value leaves this module: what is printed and stored names the number of its line.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

from audience_sync.amazon_ads.normalize import identifier, normalize
from audience_sync_cli.frame.plain_text import plain
from audience_sync_cli.members.id_list import is_id
from audience_sync_cli.stack.dead_event_text import SHA256, SHORTEST_NUMBER, Named

EMAIL, PHONE, HASH, ID = "e-mail address", "phone number", "SHA-256", "external user id"  # kinds of values
NORMALIZED, LOWER_CASE, GOOGLE, PLUS, MADE = "", "lower case", "Google's form", "with +", "made of it"  # forms
_MAX_LINE = 1_000  # characters
_AROUND = " \t.,;:\"'<>"  # a value, where it was copied from
_AROUND_AT = re.compile(r"\s?@\s?")
_ADDRESS = re.compile(r"[^\s\"'<>,;:()\[\]{}|\\?@]+@[\w-]+(?:\.[\w-]+)+")
_ASSIGNED = re.compile(r"[=&/]+")  # may be in an address, but mostly stands before or after one
_BETWEEN = re.compile(r"[\s\"'<>,;:()\[\]{}|\\?]+")
_BETWEEN_FIELDS = re.compile(r"[\"'<>,;:|\\?\t]+")
_APART = "\n" * 4  # between fields: no number goes on after it
_NUMBER = re.compile(r"\+?(?:[^\w+,;|\t]|[0-9_])+")  # and nothing else
_NUMBERS = re.compile(r"\+?\(?[0-9](?:[^0-9A-Za-z+]{0,3}[0-9])*+")  # each to the next +


class Asked(NamedTuple):
    """A value: its forms by digest, and by the external user ids that it is, or that are made of it."""

    line: int
    kind: str
    digests: dict[str, str]
    ids: dict[str, str]
    number: str = ""  # digits with the calling code
    part: str = ""  # where it is in its line, if that holds more, which is not searched


class Match(NamedTuple):
    """A place in a row or a change that holds a value."""

    line: int
    field: str  # Amazon's name, or ID
    form: str


def asked(lines: Iterable[str], country: str | None) -> tuple[list[Asked], dict[int, str]]:
    """Read values, one a line. Returns also why a line cannot be searched, by its number; empty lines are left out."""
    read = {line: _asked(line, text, country) for line, text in enumerate(map(str.strip, lines), 1) if text}
    refused = {line: each for line, each in read.items() if isinstance(each, str)}
    return [each for each in read.values() if isinstance(each, Asked)], refused


def _asked(line: int, typed: str, country: str | None) -> Asked | str:
    """Return the value that a line is, or the one address, number or SHA-256 in it; or why it has none."""
    if len(typed) > _MAX_LINE:
        return f"longer than {_MAX_LINE:,} characters"
    text = _AROUND_AT.sub("@", plain(typed)).strip(_AROUND)
    whole = _value(line, text, country)
    if isinstance(whole, Asked):
        return whole
    words = [each.strip(".") for each in _BETWEEN.split(text)]
    rest = _APART.join("" if "@" in each or SHA256.fullmatch(each) else each for each in _BETWEEN_FIELDS.split(text))
    numbers = [each for each in _NUMBERS.findall(rest) if sum(map(str.isdigit, each)) >= SHORTEST_NUMBER]
    within = [each for each in words if "@" in each or SHA256.fullmatch(each)] + numbers
    read = [_value(line, each, country) for each in dict.fromkeys(within)]
    values = [each for each in read if isinstance(each, Asked)]
    if len(values) > 1:
        return f"it holds {len(values)} values; write one a line"
    if not values:
        return next((each for each in read if isinstance(each, str)), whole)
    (value,) = values
    part = next(each for each, found in zip(dict.fromkeys(within), read, strict=True) if found is value)
    begin = text.find(part) + 1
    return value._replace(part=f"characters {begin} to {begin + len(part) - 1}")


def _value(line: int, text: str, country: str | None) -> Asked | str:
    """Return a value with its forms, or why a text is none."""
    own_id = {text: NORMALIZED} if is_id(text) else {}
    if SHA256.fullmatch(text):
        digest = {text.lower(): NORMALIZED}
        return Asked(line, HASH, digest, own_id | digest)
    if "@" in text:
        pieces = dict.fromkeys((text, *_ASSIGNED.split(text)))
        addresses = [each for each in pieces if _ADDRESS.fullmatch(each) and identifier("email", each, None)]
        spellings = [each for address in addresses for each in _spellings(address)]
        digests = {_hash(spelling): form for form, spelling in reversed(spellings)}
        return Asked(line, EMAIL, digests, dict.fromkeys(digests, MADE)) if addresses else "not an e-mail address"
    if _NUMBER.fullmatch(text) and sum(map(str.isdigit, text)) >= SHORTEST_NUMBER:
        if country is None and not text.startswith(("+", "00")):
            return "a number without + needs --country; `audience-sync member show` finds an external user id"
        if number := normalize("phone", text, country):
            digests = {_hash(number): NORMALIZED, _hash(f"+{number}"): PLUS}
            return Asked(line, PHONE, digests, dict.fromkeys((*digests, number), MADE) | own_id, number)
        return "too short or too long for a number of its country"
    return Asked(line, ID, {}, own_id) if own_id else "not an e-mail address, phone number, SHA-256 or external user id"


def _spellings(address: str) -> Iterator[tuple[str, str]]:
    """Yield what the stack hashes, then what senders hash who do so themselves, each with its form."""
    yield NORMALIZED, normalize("email", address, None) or ""
    lower = address.lower()
    yield LOWER_CASE, lower
    name, _, domain = lower.rpartition("@")
    if domain in ("gmail.com", "googlemail.com"):  # points mean nothing there, and what follows a plus is a tag
        name = name.replace(".", "")
        yield from ((GOOGLE, f"{each}@{domain}") for each in (name, name.partition("+")[0]))


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()


class Wanted:
    """Compares what is stored with many values at a time."""

    def __init__(self, values: Sequence[Asked]) -> None:
        self.found: defaultdict[str, set[Match]] = defaultdict(set)  # by external user id
        self._digests: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
        self._ids: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
        self._numbers: defaultdict[str, list[int]] = defaultdict(list)  # by each of their ends: without calling code
        self._lengths = {len(each.number) for each in values if each.number}
        for each in values:
            for forms, found in (each.digests, self._digests), (each.ids, self._ids):
                for text, form in forms.items():
                    found[text].append((each.line, form))
            for start in range(len(each.number) - SHORTEST_NUMBER + 1):
                self._numbers[each.number[start:]].append(each.line)

    def compare(self, member: str, identities: Iterable[tuple[int, dict[str, str]]] = ()) -> None:
        """Add to `found` what matches in a row of a member, or in a change, by its id and identities."""
        found = {Match(line, ID, form) for line, form in self._ids.get(member, ())}
        for name, digest in (pair for _, digests in identities for pair in digests.items()):
            found |= {Match(line, name, form) for line, form in self._digests.get(digest.lower(), ())}
        if found:
            self.found[member] |= found

    def lines_in(self, named: Named) -> list[int]:
        """Return the lines of the values that an event holds: typed or hashed, with or without the calling code.

        Before a number, there may be digits to dial.
        """
        found = {line for digest in named.hashes & self._digests.keys() for line, _ in self._digests[digest]}
        found |= {line for member in (named.ids | named.words) & self._ids.keys() for line, _ in self._ids[member]}
        for number in named.numbers:
            ends = {number, *(number[-length:] for length in self._lengths if length < len(number))}
            found |= {line for end in ends for line in self._numbers.get(end, ())}
        return sorted(found)
