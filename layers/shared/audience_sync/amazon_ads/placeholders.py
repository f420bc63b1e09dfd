"""Strings that databases, programs and spreadsheets write in place of a missing value. Pure."""

from hashlib import sha256

_PLACEHOLDERS = ["", " ", "0", "-", *"null (null) none NaN N/A #N/A #NV \\N undefined unknown".split()]
_FORMS = (str, str.lower, str.upper, str.capitalize)
_FILLED = {"0" * 64, "f" * 64}

DIGESTS_OF_NOTHING = frozenset(
    _FILLED | {sha256(form(text).encode()).hexdigest() for text in (*_PLACEHOLDERS, "test") for form in _FORMS}
)
"""Digests that are never sent, since unrelated people would share them."""

# Ids that programs give to whoever is not logged in, and those that Segment's guide to identity resolution blocks. Not
# digests of traits: a name may be one of these.
_IDS_OF_NOBODY = "anonymous anon guest nobody void nil true false -1 test abc123".split()
_EMPTY_IN_MD5_AND_SHA1 = {"d41d8cd98f00b204e9800998ecf8427e", "da39a3ee5e6b4b0d3255bfef95601890afd80709"}
_IN_LOWER_CASE = (
    DIGESTS_OF_NOTHING
    | _EMPTY_IN_MD5_AND_SHA1
    | {text.strip().lower() for text in (*_PLACEHOLDERS, *_IDS_OF_NOBODY)}
    | {sha256(form(text).encode()).hexdigest() for text in _IDS_OF_NOBODY for form in _FORMS}
)


def is_placeholder(text: str) -> bool:
    """Return whether a string stands for nobody, in any case: NULL, guest, zeros, or the digest of such a string."""
    return (lower := text.strip().lower()) in _IN_LOWER_CASE or not lower.strip("0-_")
