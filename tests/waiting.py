"""Waits for what must come about, for as long as a busy machine may take: only what never comes costs the time."""

import time
from collections.abc import Callable

LONG = 60.0  # seconds


def until[Seen](look: Callable[[], Seen], holds: Callable[[Seen], bool], seconds: float = LONG) -> Seen:
    """Look again and again until what is seen holds."""
    deadline = time.monotonic() + seconds
    while not holds(seen := look()):
        assert time.monotonic() < deadline, f"still: {seen}"
        time.sleep(0.05)
    return seen
