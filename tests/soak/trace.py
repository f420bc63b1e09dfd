"""The trace header in which Lambda counts how often a chain of messages has invoked a function.

`Root=1-5759e988-bd862e3fe1be46a994272793;Lineage=1:68fd508a:5|1:c512fbe3:2`. Lambda sets it for each invocation,
botocore sends it along with each call, and SQS keeps it with the message.

Source: "Use Lambda recursive loop detection to prevent infinite loops", AWS Lambda Developer Guide.
"""

import re
import zlib
from collections.abc import Iterable
from uuid import uuid4

MAX_INVOCATIONS = 16  # of one function by one chain; Lambda says "approximately"

_LINEAGE = re.compile(r"Lineage=([^;]+)")


def next_invocation(traces: Iterable[str], function: str) -> tuple[str, int]:
    """Return the header for an invocation, and how often its chain has then invoked the function.

    AWS does not document how it counts the chains of a batch; here the longest one counts, as the worst case.
    """
    counts: dict[str, int] = {}
    for trace in set(traces):
        for entry in _lineage(trace):
            name, _, count = entry.rpartition(":")
            counts[name] = max(counts.get(name, 0), int(count))
    name = f"1:{zlib.crc32(function.encode()):08x}"
    counts[name] = counts.get(name, 0) + 1
    lineage = "|".join(f"{each}:{count}" for each, count in counts.items())
    return f"Root=1-{uuid4().hex[:8]}-{uuid4().hex[:24]};Lineage={lineage}", counts[name]


def _lineage(trace: str) -> list[str]:
    found = _LINEAGE.search(trace)
    return found[1].split("|") if found else []
