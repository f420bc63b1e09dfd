"""What the demo shows at its end, and whether all of it is as it must be."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from local.demo_traffic import BATCH, Sent
from local.hard_cases import Groups
from local.sample_profiles import Person


class Outcome(NamedTuple):
    """What a run has sent, and what it has led to."""

    sent: Sent
    state: dict[str, Any]  # of the stack
    seconds: float
    staying: Sequence[Person]  # the expected members
    held: dict[str, Any]  # the audience at Amazon
    groups: Groups
    naive: dict[str, Any]  # the naive handler's audience


def report(outcome: Outcome, console: Console) -> int:
    """Print the figures and what is wrong. Returns 0 exactly if the right members are in, and each case was hard."""
    members, beside, table = outcome.held["members"], outcome.naive.get("members", {}), _table(outcome)
    problems = differences(members, outcome.staying)
    if outcome.groups:
        table.add_section()
        table.add_row("left, and still in the audience", "Audience Sync", "naive handler")
    for case, people in outcome.groups.items():
        left = {person.user_id for person in people}
        here, there = (f"{len(left & still_in)} of {len(left)}" for still_in in (members.keys(), beside.keys()))
        table.add_row(case, here, there)
        if left & members.keys() or left - beside.keys():  # or the case was not hard
            problems.append(f"{here} who left {case} are still in, and {there} with the naive handler")
    console.print(table)
    for problem in problems:
        console.print(f"[red]{problem}[/red]")
    if not problems:
        console.print("[green]The audience at Amazon holds exactly the members it should.[/green]")
    return 1 if problems else 0


def differences(members: dict[str, Any], expected: Sequence[Person]) -> list[str]:
    """Compare the members at Amazon with the expected ones, by digests computed without the product's code."""
    wanted = {person.user_id: person.email_digest for person in expected}
    problems = []
    if missing := wanted.keys() - members.keys():
        problems.append(f"{len(missing)} members are missing at Amazon, for example {min(missing)}")
    if surplus := members.keys() - wanted.keys():
        problems.append(f"{len(surplus)} members should not be at Amazon, for example {min(surplus)}")
    both = wanted.keys() & members.keys()
    if wrong := [name for name in both if members[name]["identifiers"].get("email") != [wanted[name]]]:
        problems.append(f"{len(wrong)} members have a wrong e-mail digest at Amazon, for example {min(wrong)}")
    return problems


def _table(outcome: Outcome) -> Table:
    sent, held = outcome.sent, outcome.held
    table = Table(title="Segment to Amazon Ads", show_header=False)
    table.add_row("events accepted", f"{sent.accepted:,}")
    table.add_row(f"slowest answer to a batch of {BATCH}", f"{sent.slowest * 1000:,.0f} ms")
    if sent.repeated:
        table.add_row("requests sent again", f"{sent.repeated:,}")
    for name in ("delivered", "superseded", "parked", "uploads"):
        label = {"uploads": "uploads to Amazon"}.get(name, f"changes {name}")
        table.add_row(label, f"{outcome.state[name]:,}")
    table.add_row("audience size (expected)", f"{held['size']:,} ({len(outcome.staying):,})")
    for share in held.get("shares", ()):
        table.add_row(f"shared with {share['destinationAccountId']}", f"{share['size']:,}")
    table.add_row("seconds", f"{outcome.seconds:.1f}")
    return table
