"""Street addresses: split into words, words abbreviated by the country's table, joined again without separators.

The split at dots and `west` as a compass word follow AMC Uploader from AWS rather than Amazon's address SDK. Two of
their steps are not copied: splitting at dots before the lookup, which loses `P.zza` and `Av.`, and overlooking dashes
and `#` late in a line.
"""

import re

from audience_sync.amazon_ads.normalization.word_tables import ADDRESS_WORDS, OTHER_ADDRESS_WORDS

SEPARATORS = ",![]{}()"
_CARE_OF = re.compile(r"\bC/O\b")
# "APT#5" but not "ÉT#5": Amazon's tool knows only A-Z here, and loses the letters before in other cases.
_NUMBER_SIGN = re.compile(r"([A-Z]*)#([0-9A-Z/-]*)")


def normalize_address(text: str, country: str | None) -> str:
    """Abbreviate and join one street line; city, state, postal code and country are not part of it.

    Args:
        text: cleaned text.
        country: ISO 3166-1 alpha-2; chooses the table.

    Returns:
        Lower case, without white space. Characters outside the rules stay, other scripts included. May be empty.
    """
    words = ADDRESS_WORDS.get(country or "", OTHER_ADDRESS_WORDS)
    upper = text.upper()  # not only for the patterns: it turns ß into SS
    if "C/O" in upper:
        upper = _CARE_OF.sub(" ", upper)
    for separator in SEPARATORS:  # 20 times faster than str.translate, which looks up every character
        if separator in upper:
            upper = upper.replace(separator, " ")
    if "-" not in upper and "#" not in upper:
        return "".join([_abbreviate(word, words) for word in upper.lower().split()])
    parts: list[str] = []
    for token in upper.split():
        if "-" in token or "#" in token:
            parts.extend(_abbreviate(piece.lower(), words) for piece in _split(token))
        else:
            parts.append(_abbreviate(token.lower(), words))
    return "".join(parts)


def _split(token: str) -> list[str]:
    """Split "12-A" into 12 and A, and "APT#5" into APT, # and 5. "12-14" and "SAINT-HONORÉ" stay whole."""
    before, _, after = token.rpartition("-")
    halves = [before, after] if before.isdecimal() and after and not after.isdecimal() else [token]
    pieces: list[str] = []
    for half in halves:
        numbered = _NUMBER_SIGN.fullmatch(half)
        pieces.extend([numbered[1], "#", numbered[2]] if numbered else [half])
    return pieces


def _abbreviate(word: str, words: dict[str, str]) -> str:
    """Look up a lower-case word whole, dots included ("p.zza", "av."), then part by part between its dots."""
    if word in words:
        return words[word]
    if "." in word:
        return "".join(words.get(piece, piece) for piece in word.split("."))
    return word
