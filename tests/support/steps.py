"""Counts the lines of Python that a block runs: a measure of work that does not depend on the machine."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType

_TOOL = 4  # of six; coverage.py, profilers and debuggers use others


@dataclass
class Steps:
    """Lines that have run so far. What C code does, such as a regular expression, is none."""

    lines: int = 0


@contextmanager
def counted_steps(*, threads: bool = False) -> Iterator[Steps]:
    """Count the lines that the block runs in this thread, or in all threads; those of libraries included."""
    steps, own = Steps(), threading.get_ident()

    def ran(_code: CodeType, _line: int) -> None:
        if threads or threading.get_ident() == own:
            steps.lines += 1

    monitoring = sys.monitoring
    monitoring.use_tool_id(_TOOL, "tests")
    try:
        monitoring.register_callback(_TOOL, monitoring.events.LINE, ran)
        monitoring.set_events(_TOOL, monitoring.events.LINE)
        yield steps
    finally:
        # Python 3.13 and older do not do this when they free the id: every later line of the process would be counted.
        monitoring.set_events(_TOOL, monitoring.events.NO_EVENTS)
        monitoring.register_callback(_TOOL, monitoring.events.LINE, None)
        monitoring.free_tool_id(_TOOL)
