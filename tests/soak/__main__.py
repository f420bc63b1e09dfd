"""Runs simulations from the command line: `python -m tests.soak --seed 1 --events 2000 --profile all`."""

import argparse
import math
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from statistics import median

from tests.soak.checks import findings
from tests.soak.clock import EPOCH
from tests.soak.events import StatedChange
from tests.soak.finding import KINDS, TOLERATED, Finding, failures
from tests.soak.profiles import PROFILES
from tests.soak.reproducible import fix_hashes
from tests.soak.simulation import Simulation
from tests.soak.uploads import uploads_by_member

HEADINGS = ["seeds", "events", "calls", "kills", "s/seed", "records/change", "after last", "rest h"]
SHOWN = 3  # members of one simulation whose history is printed
SHOWN_UPLOADS = 40  # of one member, what Amazon accepted and applied
_CLOCK = time.perf_counter


@dataclass
class Totals:
    """The sums of one profile."""

    seeds: int = 0
    events: int = 0
    calls: int = 0
    kills: int = 0
    seconds: float = 0.0
    per_change: list[float] = field(default_factory=list)  # records for each stated change, of each member
    after_last: int = 0  # the most records about a member after its last change
    rest: float = 0.0  # the longest, seconds
    kinds: Counter[str] = field(default_factory=Counter)
    failed: list[int] = field(default_factory=list)  # seeds

    def add(self, simulation: Simulation, found: list[Finding], seconds: float) -> None:
        """Add one simulation."""
        uploads = list(uploads_by_member(simulation))
        self.seeds += 1
        self.seconds += seconds
        self.events += simulation.traffic.events
        self.calls += simulation.network.calls.total()
        self.kills += simulation.network.kills
        self.per_change += [each.per_change for each in uploads]
        self.after_last = max([self.after_last, *(each.after_last for each in uploads)])
        self.rest = max(self.rest, simulation.rest if simulation.is_drained else math.inf)
        self.kinds.update(each.kind for each in found)

    def row(self, kinds: list[str]) -> list[str]:
        """Lay the sums out as cells; HEADINGS and then `kinds` name them."""
        ratio = f"{median(self.per_change or [0]):.1f}/{max(self.per_change, default=0):.1f}"
        sums = [self.seeds, self.events, self.calls, self.kills, f"{self.seconds / max(1, self.seeds):.1f}"]
        measured = [ratio, self.after_last, f"{self.rest / 3600:.1f}"]
        return [str(cell) for cell in [*sums, *measured, *(self.kinds[kind] for kind in kinds)]]


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
    named = (each.member for each in found if each.member and each.kind not in TOLERATED)
    members = dict.fromkeys(place for member in named for place in simulation.places(member))
    for member in [*members][:SHOWN]:
        lines.append(f"  {member[1]} in {member[0]}:")
        lines += _history(simulation, simulation.stated_of(member))
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


def table(totals: dict[str, Totals]) -> str:
    """Lay out the sums, one line for each profile."""
    kinds = [kind for kind in KINDS if any(each.kinds[kind] for each in totals.values())]
    always = ["lost", "stale", "resurrected", "unerased", "crashes"]
    columns = always + [kind for kind in kinds if kind not in always]
    rows = [["profile", *HEADINGS, *columns], *([name, *each.row(columns)] for name, each in totals.items())]
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
            total.add(simulation, found, _CLOCK() - begun)
            is_failed = bool(failures(found))
            outcome = "FAILED" if is_failed else "ok"
            digest = simulation.network.digest.hexdigest()[:12]
            print(f"{profile} seed {seed}: {outcome}, {_CLOCK() - begun:.1f} s, {digest}")  # noqa: T201
            if is_failed:
                total.failed.append(seed)
                print(describe(simulation, found))  # noqa: T201
                print(repeat(seed, options.events, profile), flush=True)  # noqa: T201
    print(f"\n{table(totals)}\n")  # noqa: T201
    print("records/change: of one member, median and maximum; after last: most records about a member after its last")  # noqa: T201
    print("change; rest h: the longest from the last fault, change or redrive until nothing was under way")  # noqa: T201
    for kind, meaning in KINDS.items():
        if any(total.kinds[kind] for total in totals.values()):
            print(f"{kind}: {meaning}")  # noqa: T201
    return 1 if any(total.failed for total in totals.values()) else 0


if __name__ == "__main__":
    fix_hashes("tests.soak")
    sys.exit(main())
