"""What ingest costs for each event, beside Segment's own code: `make bench`, or `.venv/bin/python -m ...bench_ingest`.

From the bytes of a request body to finished messages: `intake.changes_from` and `messages.pack`. All parts run by
turns, so that what else happens on the machine meets all of them; the figures are medians, with the quartiles.
Segment's part is its published package under Node; it needs `node`, and its packages as tests/e2e/segment installs
them. The floor is what no way of doing it can leave out: parse, eight digests, serialize, by the fastest libraries.
"""

import argparse
import gc
import json
import platform
import shutil
import subprocess
import sys
import time
import tracemalloc
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from itertools import batched, islice
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

import orjson

from audience_sync.fields import IDENTIFIERS
from audience_sync.ingest import translation
from audience_sync.ingest.intake import changes_from, compiled
from audience_sync.ingest.record_rules import Policy
from audience_sync.ingest.translation import TOGETHER, Translator
from audience_sync.members.membership import MembershipChange, coalesce
from audience_sync.members.messages import pack
from audience_sync.segment.request_body import MAX_BODY, elements
from functions.ingest.handler import YOUNG_OBJECTS
from local.template import ROOT
from tests.support import node
from tests.support.sample_events import COUNTRIES, NOW, Audiences, body, events
from workshop.benchmarks.ingest_report import plot

LISTED = Audiences()
COUNTS = (1, 100, 1_000, 10_000)  # events
SCRIPT = Path(__file__).with_name("segment.cjs")
SEGMENT_PACKAGES = ROOT / "tests/e2e/segment"
RESULT = Path(__file__).with_name("ingest.json")
CHART = ROOT / "docs/images" / "ingest.svg"
_LARGEST_BATCH = 3_000  # events; as many of them stay below MAX_BODY
_TRAITS = tuple(field.name for field in IDENTIFIERS)


class Part(NamedTuple):
    """Something to be measured, with the number of events that one run handles."""

    name: str
    run: Callable[[], float]  # seconds
    events: int


def timed(call: Callable[[], object]) -> float:
    """Seconds of processor; the garbage of earlier parts is collected before."""
    gc.collect()
    started = time.process_time()
    call()
    return time.process_time() - started


def messages_of(bodies: list[bytes]) -> list[str]:
    """Do what ingest does with each body, but for the request and the queue."""
    made: list[str] = []
    for each in bodies:
        result = changes_from(each, mappings=compiled(None), audiences=LISTED, now=NOW)
        made += pack(result.changes)
    return made


def floor_of(bodies: list[bytes]) -> list[bytes]:
    """Parse, hash eight texts, and serialize the digests."""
    made: list[bytes] = []
    for each in bodies:
        for event in orjson.loads(each):
            traits = event["properties"]
            digests = {name: sha256(traits[name].encode()).hexdigest() for name in _TRAITS}
            made.append(orjson.dumps({"userId": event["userId"], "hashedPII": [digests]}))
    return made


class Segment:
    """Segment's code in a Node process that stays: compiled and warm, like ours."""

    def __init__(self) -> None:
        node.required(SEGMENT_PACKAGES)
        self._process = subprocess.Popen(
            [shutil.which("node") or "node", str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def seconds(self, bodies: list[bytes], times: int) -> float:
        """Handle the bodies so many times, and return the seconds for one time."""
        total = 0.0
        for each in bodies:
            self._asked({"body": each.decode()})
            total += self._asked({"times": times})["seconds"]
        return total / times

    def _asked(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@contextmanager
def segment_if_there(*, wanted: bool) -> Iterator[Segment | None]:
    """Start Segment's code where Node and its packages are."""
    if not wanted or not shutil.which("node"):
        yield None
        return
    segment = Segment()
    try:
        yield segment
    finally:
        segment._process.kill()
        segment._process.communicate()


def shares(one: bytes) -> dict[str, float]:
    """Run ingest step by step over all events of one body, as many together as it does; microseconds an event."""
    seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def share(name: str) -> Iterator[None]:
        started = time.process_time()
        yield
        seconds[name] += time.process_time() - started

    (mapping,) = compiled(None)
    translator = Translator((mapping,), LISTED, NOW, Policy())
    parsed = elements(one)
    changes: list[MembershipChange] = []
    count = 0
    gc.collect()
    while True:
        with share("parse"):
            some = list(islice(parsed, TOGETHER))
        if not some:
            break
        with share("read membership"):
            calls = [translator._read(each) for each in some]
        with share("map"):
            found = [translator._mapper.values_in(call, each) for call, each in zip(calls, some, strict=True)]
        events = [translation._Event(*each) for each in zip(some, calls, found, strict=True)]
        statements = [statement for event in events for statement in translator._statements(event)]
        with share("normalize and hash"):
            translator._identities(statements, repeats=False)
        with share("record"):
            translator._translate(events, lambda: True)
        changes += [change for event in events for change in event.changes]
        count += len(some)
    seconds["record"] -= seconds["normalize and hash"]
    with share("coalesce"):
        kept = coalesce(changes)
    with share("pack"):
        pack(kept)
    return {name: spent / count * 1e6 for name, spent in seconds.items()}


def peak_megabytes(bodies: list[bytes]) -> float:
    """The most memory that Python holds while the largest body is read, beside the body."""
    tracemalloc.start()
    messages_of([max(bodies, key=len)])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 1e6


def figures(microseconds: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, _, high = quantiles(microseconds, n=4) if len(microseconds) > 1 else microseconds * 3
    return {"median": round(median(microseconds), 2), "low": round(low, 2), "high": round(high, 2)}


def parts_of(count: int, bodies: list[bytes], segment: Segment | None) -> list[Part]:
    """What is measured with so many events. Small ones are repeated, about 300 events a run."""
    times = max(1, 300 // count)
    parts = [
        Part("ours", lambda: timed(lambda: [messages_of(bodies) for _ in range(times)]) / times, count),
        Part("floor", lambda: timed(lambda: [floor_of(bodies) for _ in range(times)]) / times, count),
    ]
    if segment:
        parts.append(Part("segment", lambda: segment.seconds(bodies, times), count))
    return parts


def measure(rounds: int, codes: tuple[str, ...], segment: Segment | None) -> dict[str, Any]:
    """Measure all parts by turns."""
    bodies = {count: [body(some) for some in batched(events(count, codes), _LARGEST_BATCH)] for count in COUNTS}
    assert all(len(each) <= MAX_BODY for some in bodies.values() for each in some)
    parts = [part for count in COUNTS for part in parts_of(count, bodies[count], segment)]
    found: dict[tuple[str, int], list[float]] = {(part.name, part.events): [] for part in parts}
    by_share: dict[str, list[float]] = {}
    for warm_up in [True, *[False] * rounds]:
        for part in parts:
            seconds = part.run()
            if not warm_up:
                found[part.name, part.events].append(seconds / part.events * 1e6)
        for name, spent in {} if warm_up else shares(bodies[1_000][0]).items():
            by_share.setdefault(name, []).append(spent)
    return {
        "bytesAnEvent": round(len(bodies[1_000][0]) / 1_000),
        "microseconds": {
            str(count): {name: figures(spent) for (name, of), spent in found.items() if of == count} for count in COUNTS
        },
        "shares": {name: figures(spent) for name, spent in by_share.items()},
        "peakMegabytes": {str(count): round(peak_megabytes(bodies[count]), 1) for count in COUNTS},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="What ingest costs for each event, beside Segment's own code.")
    parser.add_argument("--rounds", type=int, default=9, help="runs of each part (default 9)")
    parser.add_argument("--no-segment", action="store_true", help="leave Segment's code out")
    parser.add_argument("--record", action="store_true", help="keep the result and its chart, which the docs show")
    arguments = parser.parse_args()
    gc.set_threshold(YOUNG_OBJECTS)  # for all parts
    with segment_if_there(wanted=not arguments.no_segment) as segment:
        result = {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "rounds": arguments.rounds,
            "21 countries": measure(arguments.rounds, tuple(COUNTRIES), segment),
            "US": measure(arguments.rounds, ("US",), segment),
        }
    text = json.dumps(result, indent=1) + "\n"
    if arguments.record:
        RESULT.write_text(text)
        CHART.write_text(plot(result))
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
