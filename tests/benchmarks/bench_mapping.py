"""What mapping costs: microseconds an event, the default mapping interpreted and compiled, and some directives alone.

Run: .venv/bin/python tests/benchmarks/bench_mapping.py
"""

import json
import sys
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

from audience_sync.segment.budget import Budget
from audience_sync.segment.mapping import compile_directive, resolve
from audience_sync.segment.mapping_config import DEFAULT_MAPPING, CompiledMapping

EVENTS = Path(__file__).parents[2] / "events" / "segment"
DIRECTIVES: dict[str, Any] = {
    "@path": {"@path": "$.properties.email"},
    "@template": {"@template": "{{ properties.first_name }} {{ properties.last_name }}"},
    "@if": {"@if": {"blank": {"@path": "$.properties.phone"}, "then": {"@path": "$.properties.phone"}, "else": "none"}},
    "@case": {"@case": {"operator": "lower", "value": {"@path": "$.properties.email"}}},
    "@replace": {"@replace": {"pattern": "-", "value": {"@path": "$.properties.phone"}}},
    "@json": {"@json": {"mode": "encode", "value": {"@path": "$.properties"}}},
    "@flatten": {"@flatten": {"separator": "_", "value": {"@path": "$.context"}}},
    "@sha256": {"@sha256": {"@path": "$.properties.email"}},
}


def microseconds(call: Callable[[], object]) -> float:
    """The best of several runs, since everything else on the machine only adds."""
    number = max(1, int(0.05 / timeit.timeit(call, number=1)))
    return min(timeit.repeat(call, number=number, repeat=7)) / number * 1e6


def report(label: str, interpreted: float, compiled: float) -> None:
    ratio = interpreted / compiled
    sys.stdout.write(f"{label:<34}{interpreted:>9.2f} µs interpreted{compiled:>9.2f} µs compiled{ratio:>7.0f} x\n")


def main() -> None:
    fields = DEFAULT_MAPPING.fields
    compiled = CompiledMapping(DEFAULT_MAPPING, lambda *_: True)
    for name in ("01-track-entered-full-pii", "03-identify-true"):
        event = json.loads((EVENTS / f"{name}.json").read_text())
        report(
            f"default mapping, {name[3:18]}",
            microseconds(lambda event=event: {field: resolve(fields[field], event) for field in fields}),  # type: ignore[misc]
            microseconds(lambda event=event: compiled.fields_of(event, Budget())),  # type: ignore[misc]
        )
    event = json.loads((EVENTS / "01-track-entered-full-pii.json").read_text())
    for name, directive in DIRECTIVES.items():
        value_of = compile_directive(directive)
        report(
            f"{name} alone",
            microseconds(lambda directive=directive: resolve(directive, event)),  # type: ignore[misc]
            microseconds(lambda value_of=value_of: value_of(event)),  # type: ignore[misc]
        )


if __name__ == "__main__":
    main()
