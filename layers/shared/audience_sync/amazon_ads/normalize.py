"""Converts traits into the identifiers by which Amazon matches people.

Amazon compares digests. A digest of differently normalized text never matches, and no error is reported. So each rule
reproduces the digests of Amazon's own file preparation tool. Sources and measured match shares: docs/normalization.md.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from hashlib import sha256
from itertools import zip_longest

from audience_sync.amazon_ads.normalization.quick import MAX_LENGTH as MAX_QUICK
from audience_sync.amazon_ads.normalization.quick import RULES
from audience_sync.amazon_ads.placeholders import DIGESTS_OF_NOTHING
from audience_sync.fields import FIELDS, IDENTIFIERS, LISTED

type Normalize = Callable[[str, str | None], str | None]

COUNTRIES = frozenset("AE AU BE BR CA DE EG ES FR GB IN IT JP MX NL PL SA SE SG TR US".split())
"""Countries in which Amazon matches hashed identifiers. Others are also normalized, but expect no match."""

MAX_LENGTH = 1024  # characters: no identifier is longer, and no value may take noticeable time
MAX_VALUES = 100  # of a list; Amazon takes no more identities of one member
MAX_BITS = 256  # of an integer, so 78 digits: room for all-digit digests, and safe to print

_MAPPED_FIELDS = frozenset(field.name for field in FIELDS)
_NAMES = tuple(field.name for field in IDENTIFIERS)
_AMAZON_NAMES = tuple(field.amazon_name for field in IDENTIFIERS)
_LISTED = tuple(_NAMES.index(field.name) for field in LISTED)
_RULES = {  # by our name and Amazon's
    spelling: RULES[field.name].normalize for field in IDENTIFIERS for spelling in (field.name, field.amazon_name)
}

# Characters that stand for words. NFKC is ten times slower for them than for others, unless they are replaced first.
_WORDS = re.compile("[\u3300-\u33ff\ufdfa\ufdfb]")
_LONGEST = "\ufdfa"

_HEX_DIGITS = "0123456789abcdefABCDEF"


class _Lines(dict[str, str]):
    """A cache of strings read as one line. A string shared by several fields or people is read once."""

    def __missing__(self, text: str) -> str:
        line = self[text] = _line(text)
        return line


def normalize(field: str, value: object, country: str | None) -> str | None:
    """Normalize one trait to the string that Amazon hashes.

    Args:
        field: an identifier of fields.py, by our name or Amazon's: email, phone, first_name (or firstname), ...
        value: whatever Segment sent. Strings and integers are used; null, booleans, floats, lists and objects are not.
        country: ISO 3166-1 alpha-2 in any case, UK included. If it is None or unknown, the general rules apply.

    Returns:
        The string, never empty. None if nothing is left, for more than MAX_LENGTH characters, and for a SHA-256
        digest, which has no plain text; `identifier` passes it on.

    Raises:
        ValueError: an unknown field.
    """
    rule = _rule_of(field)
    text = _clean(value, _Lines())
    return None if not text or _is_digest(text) else rule(text, country_code(country)) or None


def identifier(field: str, value: object, country: str | None) -> str | None:
    """Normalize and hash one trait. A SHA-256 digest is kept, in lower case.

    Args:
        field: as for `normalize`.
        value: as for `normalize`.
        country: as for `normalize`.

    Returns:
        64 lower-case hex digits. None if `normalize` leaves nothing, and for DIGESTS_OF_NOTHING.

    Raises:
        ValueError: an unknown field.
    """
    rule = _rule_of(field)
    return _hashed(rule, _clean(value, _Lines()), country_code(country))


def identifiers(traits: Mapping[str, object], country: str | None) -> list[dict[str, str]]:
    """Build a record's hashedPII from the traits of one person. For several people, identifiers_of_all is faster.

    Args:
        traits: our field name in fields.py to value. Other fields are ignored.
        country: as for `normalize`.

    Returns:
        As `identifiers_of_all` for one person.

    Raises:
        ValueError: an unknown field.
    """
    if not _MAPPED_FIELDS.issuperset(traits):
        raise ValueError(f"no mapped field is named {next(name for name in traits if name not in _MAPPED_FIELDS)!r}")
    (found,) = identifiers_of_all([[traits.get(name)] for name in _NAMES], [country])
    return found


def identifiers_of_all(
    columns: Sequence[Sequence[object]],
    countries: Sequence[str | None],
    *,
    repeats: bool = False,
) -> list[list[dict[str, str]]]:
    """Build hashedPII for the records of several people.

    Args:
        columns: for each of fields.IDENTIFIERS, in that order, the value of each person; None if there is none. Fields
            of fields.LISTED may be lists, of which the first MAX_VALUES values are read.
        countries: as for `normalize`, one for each person.
        repeats: many people share values, so hash each value once. Does not change the result.

    Returns:
        For each person usually one object of digests under Amazon's field names. Empty when no trait is left. A list
        counts as its first usable value; each other usable one is an identity by itself, in the order of the lists, one
        of each list in turn.
    """
    codes = [country_code(country) for country in countries]
    lines, digests_of = _Lines(), _digests_of_distinct if repeats else _digests
    others: dict[int, list[dict[str, str]]] = {}
    if any(list in map(type, columns[place]) for place in _LISTED):
        columns, others = _without_lists(columns, codes, lines)
    digests = {
        amazon_name: digests_of(name, values, codes, lines)
        for name, amazon_name, values in zip(_NAMES, _AMAZON_NAMES, columns, strict=True)
        if values.count(None) < len(values)
    }
    found: list[dict[str, str]] = [{} for _ in codes]
    for name, column in digests.items():
        for identity, digest in zip(found, column, strict=True):
            if digest:
                identity[name] = digest
    people = [[identity] if identity else [] for identity in found]
    for person, identities in others.items():
        people[person] += identities
    return people


def _without_lists(
    columns: Sequence[Sequence[object]], countries: Sequence[str | None], lines: _Lines
) -> tuple[list[list[object]], dict[int, list[dict[str, str]]]]:
    """Put the first usable value in place of each list. Also returns the identities by the others, by person."""
    single: list[list[object]] = [[*column] for column in columns]
    listed: dict[int, list[list[dict[str, str]]]] = {}  # by person, for each list: the identities by its other values
    for place in _LISTED:
        rule, name = RULES[_NAMES[place]].normalize, _AMAZON_NAMES[place]
        for person, value in enumerate(columns[place]):
            if type(value) is not list:
                continue
            distinct: dict[str | None, object] = {}
            for each in value[:MAX_VALUES]:
                distinct.setdefault(_hashed(rule, _clean(each, lines), countries[person]), each)
            distinct.pop(None, None)
            single[place][person] = next(iter(distinct.values()), None)
            listed.setdefault(person, []).append([{name: digest} for digest in [*distinct][1:] if digest])
    return single, {
        person: [identity for turn in zip_longest(*lists) for identity in turn if identity]
        for person, lists in listed.items()
    }


def _digests_of_distinct(
    name: str, values: Sequence[object], countries: Sequence[str | None], lines: _Lines
) -> list[str | None]:
    """Hash one field of several people, each distinct value once; None for a person without a usable value."""
    known = RULES[name].countries
    if known is not None:
        countries = [country if country in known else None for country in countries]
    usable = [value if _may_be_usable(value) else None for value in values]
    pairs = [*zip(usable, countries, strict=True)]
    distinct = [*dict.fromkeys(pairs)]
    digests = _digests(name, [value for value, _ in distinct], [country for _, country in distinct], lines)
    found = dict(zip(distinct, digests, strict=True))
    return [found[pair] for pair in pairs]


def _may_be_usable(value: object) -> bool:
    return type(value) is int or (isinstance(value, str) and len(value) <= MAX_LENGTH)


def _digests(name: str, values: Sequence[object], countries: Sequence[str | None], lines: _Lines) -> list[str | None]:
    """Hash one field of several people; None for a person without a usable value."""
    rule = RULES[name]
    normalized = rule.normalize_ordinary(values, countries)
    digests = [sha256(text).hexdigest() if text else None for text in normalized]
    if None in normalized:
        for place, text in enumerate(normalized):
            if text is None:
                digests[place] = _hashed(rule.normalize, _clean(values[place], lines), countries[place])
    return digests


def country_code(value: object) -> str | None:
    """Read a country as ISO 3166-1 alpha-2: trimmed, upper case, GB for UK. None for anything else."""
    if not isinstance(value, str) or len(value) > MAX_LENGTH:
        return None
    if value in COUNTRIES:
        return value
    letters = value.strip()
    if len(letters) != 2 or not (letters.isascii() and letters.isalpha()):
        return None
    code = letters.upper()
    return "GB" if code == "UK" else code


def _rule_of(field: str) -> Normalize:
    found = _RULES.get(field)
    if found is None:
        raise ValueError(f"no identifier field is named {field!r}")
    return found


def _hashed(rule: Normalize, text: str, country: str | None) -> str | None:
    if _is_digest(text):
        digest = text.lower()
        return None if digest in DIGESTS_OF_NOTHING else digest
    normalized = rule(text, country) if text else None
    return sha256(normalized.encode()).hexdigest() if normalized else None


def _is_digest(text: str) -> bool:
    """Return whether the string is a SHA-256 digest; Amazon cannot use MD5 and SHA-1, so they count as text."""
    return len(text) == 64 and not text.strip(_HEX_DIGITS)


def _line(value: str) -> str:
    """Return a string as one line of composed characters without invisible ones; empty if nothing is left."""
    text = value if value.isascii() else _composed(value)
    if len(text) > MAX_LENGTH:
        return ""
    return (text if text.isprintable() else "".join(map(_visible, text))).strip()


def _clean(value: object, lines: _Lines) -> str:
    """Return a value as one clean line; empty if there is none."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= MAX_BITS:
        return str(value)
    return lines[value] if isinstance(value, str) and len(value) <= MAX_LENGTH else ""


def _composed(text: str) -> str:
    """Return the string in Unicode's form NFKC; empty if that is certainly longer than MAX_LENGTH."""
    if len(text) <= MAX_QUICK and unicodedata.is_normalized("NFKC", text):  # most names; the bound keeps it cheap
        return text
    if text.count(_LONGEST) * 18 > MAX_LENGTH:  # each becomes 18 characters that never combine
        return ""
    return unicodedata.normalize("NFKC", _WORDS.sub(_spelled_out, text))


def _spelled_out(word: re.Match[str]) -> str:
    return _words(word[0])


@cache
def _words(char: str) -> str:
    return unicodedata.normalize("NFKC", char)


def _visible(char: str) -> str:
    """Drop format characters, and lone surrogates: JSON can carry them, UTF-8 cannot. Control characters are spaces."""
    category = unicodedata.category(char)
    return "" if category in ("Cf", "Cs") else " " if category == "Cc" else char
