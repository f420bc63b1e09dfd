"""Redacts Amazon's messages: they go into logs, answers and dead letters, and may quote what was sent."""

import re

MAX_QUOTED = 200  # characters
# An e-mail address with everything up to the next white space, a token, a digest, an IP address.
_PRIVATE = re.compile(r"(?<!\S)\S+@\S+|Atz[ar]\|\S+|[0-9A-Fa-f]{32,}|\b\d{1,3}(?:\.\d{1,3}){3}\b")


def redact(message: str) -> str:
    """Return Amazon's message on one line, shortened, with "…" for what may be personal or secret."""
    return " ".join(_PRIVATE.sub("…", message).split())[:MAX_QUOTED]
