"""Runs simulations from the command line: `python -m tests.soak --seed 1 --events 2000 --profile all`."""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import groupby

from tests.soak.checks import findings
from tests.soak.clock import EPOCH
from tests.soak.events import StatedChange
from tests.soak.finding import KINDS, TOLERATED, Finding, failures
from tests.soak.profiles import PROFILES
from tests.soak.simulation import Simulation

SHOWN = 3  # members of one simulation whose history is printed
SHOWN_UPLOADS = 40  # of one member, what Amazon accepted and applied
_CLOCK = time.perf_counter


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


def fewest_events(seed: int, events: int, profile: str) -> int:
    """Halve the events of a simulation that fails, as long as it still does, and return how many are left."""
    while events > 1 and failures(run(seed, events // 2, profile)[1]):
        events //= 2
    return events


def repeat(seed: int, events: int, profile: str) -> str:
    """Return the command that runs a failed simulation again, and that of the shortest one found that fails too."""
    fewest = fewest_events(seed, events, profile)
    shorter = f"\n  shorter: {command(seed, fewest, profile)}" if fewest < events else ""
    return f"  again: {command(seed, events, profile)}{shorter}"


def describe(simulation: Simulation, found: list[Finding]) -> str:
    """Describe what does not hold, and what happened to the first few members."""
    datasets = simulation.amazon.datasets
    lines = [f"  removals find by {datasets.finds_by}; deletions reach what is {datasets.deletes}"]
    lines += [f"  {kind}: {count}" for kind, count in Counter(_summary(each) for each in found).items()]
    people = {each.member[1] for each in found if each.member and each.kind not in TOLERATED}
    for member in [each for each in simulation.traffic.stated if each[1] in people][:SHOWN]:
        lines.append(f"  {member[1]} in {member[0]}:")
        lines += _history(simulation, simulation.traffic.stated[member])
        ledger = simulation.amazon.ledger.get(member, [])
        lines += [f"    {line}" for line in ledger[:SHOWN_UPLOADS]]
        if len(ledger) > SHOWN_UPLOADS:
            lines.append(f"    and {len(ledger) - SHOWN_UPLOADS} more lines")
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
    counts: Counter[str] = Counter()
    is_failed = False
    for profile in options.profile.split(",") if options.profile else PROFILES:
        for seed in range(options.seed, options.seed + options.seeds):
            begun = _CLOCK()
            simulation, found = run(seed, options.events, profile, is_traced=options.trace)
            counts.update(each.kind for each in found)
            outcome = "FAILED" if failures(found) else "ok"
            done = f"{simulation.network.calls.total()} calls, {_CLOCK() - begun:.1f} s"
            digest = simulation.network.digest.hexdigest()[:12]
            print(f"{profile} seed {seed}: {outcome}, {done}, {digest}", flush=True)  # noqa: T201
            if failures(found):
                is_failed = True
                print(f"{describe(simulation, found)}\n{repeat(seed, options.events, profile)}", flush=True)  # noqa: T201
    for kind, count in counts.items():
        print(f"{count} {kind}: {KINDS[kind]}")  # noqa: T201
    return int(is_failed)


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # sets have the same order in every run
        again = [sys.executable, "-m", "tests.soak", *sys.argv[1:]]
        os.execve(sys.executable, again, os.environ | {"PYTHONHASHSEED": "0"})  # noqa: S606 - this program again
    sys.exit(main())
