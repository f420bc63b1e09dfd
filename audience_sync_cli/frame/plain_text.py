"""Text as it reads: what was typed or pasted may hold characters that only look usual, or cannot be seen. Pure."""

from unicodedata import category, normalize


class _Plain(dict[int, str]):
    """Characters as Unicode's compatible ones, such as @ for a wide one; invisible ones as nothing."""

    def __missing__(self, code: int) -> str:
        self[code] = plain = "" if category(chr(code)) == "Cf" else normalize("NFKC", chr(code))
        return plain


_PLAIN = _Plain()


def plain(text: str) -> str:
    """Return a text in which a character that only looks different is the usual one, in time that grows with it."""
    return text if text.isascii() else text.translate(_PLAIN)
