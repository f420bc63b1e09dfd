"""What may be repeated of Amazon's words: they stand in logs, answers and dead letters, and may quote what was sent."""

import re

MAX_QUOTED = 200  # characters
# An e-mail address with all that hangs on it, a token, a digest, an IP address.
_PRIVATE = re.compile(r"(?<!\S)\S+@\S+|Atz[ar]\|\S+|[0-9A-Fa-f]{32,}|\b\d{1,3}(?:\.\d{1,3}){3}\b")


def redact(words: str) -> str:
    """Return Amazon's words on one line, shortened, with "…" for whatever may be a person's or a secret."""
    return " ".join(_PRIVATE.sub("…", words).split())[:MAX_QUOTED]
