"""What a trigger costs: microseconds an event when read once, when read for every event, and as `matches` is used.

Run: .venv/bin/python tests/benchmarks/bench_trigger.py
"""

import subprocess
import sys
import timeit
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

from audience_sync.segment.budget import Budget
from audience_sync.segment.trigger import compile_trigger, matches

EVENT: dict[str, Any] = {
    "type": "track",
    "event": "Audience Entered",
    "userId": "u-1",
    "properties": {"audience_key": "vip", "vip": True},
    "context": {"personas": {"computation_class": "audience", "computation_key": "vip"}, "traits": {"email": "a@b.co"}},
}
TRIGGERS = {
    "one condition": 'type = "track"',
    "a preset": '(type = "track" or type = "identify") and context.personas.computation_class = "audience"',
    "eight conditions, all tested": " and ".join(
        ['type = "track"', 'contains(event, "Audience")', "userId != null", "properties.vip = true"] * 2
    ),
    "4,096 characters": " and ".join(["properties.vip = true"] * 157) + " " * 4,
}


def microseconds(call: Callable[[], object]) -> float:
    """The best of several runs, since everything else on the machine only adds."""
    number = max(1, int(0.02 / timeit.timeit(call, number=1)))
    return min(timeit.repeat(call, number=number, repeat=7)) / number * 1e6


def import_milliseconds(statement: str) -> float:
    """The median of fresh interpreters, bytecode compiled before."""
    program = f"import time\nstart = time.perf_counter()\n{statement}\nprint((time.perf_counter() - start) * 1e3)"
    runs = [
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True) for _ in range(11)
    ]
    return median(float(run.stdout) for run in runs)


def read_and_match(trigger: str) -> bool:
    return compile_trigger.__wrapped__(trigger)(EVENT, Budget())


def main() -> None:
    sys.stdout.write(f"{'µs an event':<32}{'compiled':>10}{'matches':>10}{'read anew':>11}\n")
    for label, trigger in TRIGGERS.items():
        holds = compile_trigger(trigger)
        assert holds(EVENT, Budget())
        compiled = microseconds(partial(holds, EVENT, Budget(10**9)))
        cached = microseconds(partial(matches, trigger, EVENT))
        anew = microseconds(partial(read_and_match, trigger))
        sys.stdout.write(f"{label:<32}{compiled:>10.2f}{cached:>10.2f}{anew:>11.2f}\n")
    sys.stdout.write(f"import, ms: {import_milliseconds('import audience_sync.segment.trigger'):.1f}\n")


if __name__ == "__main__":
    main()
