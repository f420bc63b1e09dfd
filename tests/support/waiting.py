"""Waits for a condition, with a limit that leaves room for a busy machine: only a test that fails takes that long."""

import time
from collections.abc import Callable

LONG = 60.0  # seconds


def wait_until[T](read: Callable[[], T], holds: Callable[[T], bool], seconds: float = LONG) -> T:
    """Read a value again and again until the condition holds for it. Returns that value."""
    deadline = time.monotonic() + seconds
    while not holds(value := read()):
        assert time.monotonic() < deadline, f"still: {value}"
        time.sleep(0.05)
    return value
