"""Runs simulations from the command line: `python -m tests.soak --seed 1 --events 2000 --profile all`."""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

from tests.soak.checks import KINDS, TOLERATED, Finding, findings
from tests.soak.clock import EPOCH
from tests.soak.profiles import PROFILES
from tests.soak.simulation import Simulation
from tests.soak.traffic import StatedChange

SHOWN = 3  # members of one simulation whose history is printed
_CLOCK = time.perf_counter


@dataclass
class Totals:
    """The sums of one profile."""

    seeds: int = 0
    events: int = 0
    calls: int = 0
    kills: int = 0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    failed: list[int] = field(default_factory=list)  # seeds


def run(seed: int, events: int, profile: str, *, is_traced: bool = False) -> tuple[Simulation, list[Finding]]:
    """Run one simulation, and return it with what does not hold at its end."""
    simulation = Simulation(seed, PROFILES[profile], events, is_traced=is_traced)
    try:
        simulation.run()
    except BaseException:
        print(f"stopped: {command(seed, events, profile)}", file=sys.stderr)  # noqa: T201 - a command line
        raise
    return simulation, findings(simulation)


def command(seed: int, events: int, profile: str) -> str:
    """Return the command that runs one simulation again."""
    return f"make soak SEED={seed} EVENTS={events} PROFILE={profile}"


def describe(simulation: Simulation, found: list[Finding]) -> str:
    """Describe what does not hold, and what happened to the first few members."""
    lines = [f"  {kind}: {count}" for kind, count in Counter(_summary(each) for each in found).items()]
    members = list(dict.fromkeys(each.member for each in found if each.member and each.kind not in TOLERATED))
    for member in members[:SHOWN]:
        lines.append(f"  {member[1]} in {member[0]}:")
        lines += _history(simulation, simulation.traffic.stated[member])
        lines += [f"    {line}" for line in simulation.amazon.ledger.get(member, [])]
    return "\n".join(lines)


def _history(simulation: Simulation, stated: list[StatedChange]) -> Iterator[str]:
    """Yield a line for each moment at which events stated something about a member."""
    ordered = sorted(stated, key=lambda change: change.version)
    for (at, exits), same in groupby(ordered, key=lambda change: change.version[:2]):
        changes = list(same)
        name = "notice" if any(change.erase for change in changes) else "exit" if exits else "enter"
        accepted = sorted({f"{simulation.accepted_at[change] - EPOCH:.3f}" for change in changes})
        emails = sorted(each.split('"')[3][:6] for change in changes for each in change.identities)
        yield f"    {at / 1000 - EPOCH:10.3f} {name} {' '.join(emails)} (accepted {' '.join(accepted)})"


def _summary(finding: Finding) -> str:
    is_counted = finding.member and finding.kind not in ("resurrected", "left over", "stale")
    return finding.kind if is_counted else f"{finding.kind} ({finding.detail})"


def table(totals: dict[str, Totals]) -> str:
    """Lay out the sums, one line for each profile."""
    kinds = [kind for kind in KINDS if any(each.kinds[kind] for each in totals.values())]
    always = ["lost", "stale", "resurrected", "unerased", "crashes"]
    columns = always + [kind for kind in kinds if kind not in always]
    rows = [["profile", "seeds", "events", "calls", "kills", "s/seed", *columns]]
    for name, each in totals.items():
        numbers = [each.seeds, each.events, each.calls, each.kills, f"{each.seconds / max(1, each.seeds):.1f}"]
        rows.append([name, *(str(number) for number in numbers), *(str(each.kinds[kind]) for kind in columns)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds")
    parser.add_argument("--events", type=int, default=2000, help="events in one simulation")
    parser.add_argument(
        "--profile", default="", help=f"one of {', '.join(PROFILES)}; several with commas; default: each"
    )
    parser.add_argument("--trace", action="store_true", help="print every call")
    options = parser.parse_args()
    totals: dict[str, Totals] = {}
    for profile in options.profile.split(",") if options.profile else PROFILES:
        total = totals[profile] = Totals()
        for seed in range(options.seed, options.seed + options.seeds):
            begun = _CLOCK()
            simulation, found = run(seed, options.events, profile, is_traced=options.trace)
            total.seeds += 1
            total.seconds += _CLOCK() - begun
            total.events += simulation.traffic.events
            total.calls += simulation.network.calls.total()
            total.kills += simulation.network.kills
            total.kinds.update(each.kind for each in found)
            is_failed = any(each.kind not in TOLERATED for each in found)
            outcome = "FAILED" if is_failed else "ok"
            digest = simulation.network.digest.hexdigest()[:12]
            print(f"{profile} seed {seed}: {outcome}, {_CLOCK() - begun:.1f} s, {digest}")  # noqa: T201
            if is_failed:
                total.failed.append(seed)
                print(describe(simulation, found))  # noqa: T201
                print(f"  again: {command(seed, options.events, profile)}", flush=True)  # noqa: T201
    print(f"\n{table(totals)}\n")  # noqa: T201
    for kind, meaning in KINDS.items():
        if any(total.kinds[kind] for total in totals.values()):
            print(f"{kind}: {meaning}")  # noqa: T201
    return 1 if any(total.failed for total in totals.values()) else 0


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets must be the same in each run
        arguments = [sys.executable, "-m", "tests.soak", *sys.argv[1:]]
        os.execve(sys.executable, arguments, os.environ | {"PYTHONHASHSEED": "0"})  # noqa: S606 - this program again
    sys.exit(main())
