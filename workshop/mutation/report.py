"""The score of each module: how many of its mutants are killed by a test."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from workshop.mutation.modules import ROOT
from workshop.mutation.run import Mutant

ENOUGH = 0.95  # of the mutants of a module that change something
EQUIVALENTS = ROOT / "workshop/mutation/equivalents.txt"
COUNTED = ("killed", "survived", "untested", "untried", "equivalent", "wording")
_TEXT = re.compile(r'f?"[^"]*"')


def report(console: Console, mutants: Sequence[Mutant]) -> int:
    """Show what survived and the score of each module. Returns 1 where one is too low, or where nothing was tried."""
    known, counts, seconds = _equivalents(), defaultdict[str, Counter[str]](Counter), Counter[str]()
    untested: set[str] = set()
    for mutant in mutants:
        outcome = mutant.outcome
        if outcome == "untested":
            untested.add(f"{mutant.module} {mutant.function}")
        if outcome == "survived":
            change = mutant.change()
            outcome = outcome_of(mutant, change, known)
            if outcome == mutant.outcome:
                console.print(escape(" ¦ ".join((mutant.module, *change))), soft_wrap=True)
        counts[mutant.module][outcome] += 1
        seconds[mutant.module] += round(mutant.seconds)
    for function in sorted(untested):
        console.print(f"no test reaches {function}")
    table = Table("module", *COUNTED, "score", "seconds")
    low = []
    for module, found in sorted(counts.items()):
        tried = found["killed"] + found["survived"] + found["untested"]
        score = found["killed"] / tried if tried else 1.0
        low += [module] if score < ENOUGH else []
        table.add_row(
            module, *(str(found[column]) for column in COUNTED), f"{score:.1%}" if tried else "", str(seconds[module])
        )
    console.print(table)
    if low:
        console.print(f"below {ENOUGH:.0%}: {', '.join(low)}")
    is_tried = not mutants or any(found.total() > found["untried"] for found in counts.values())
    return 1 if low or not is_tried else 0


def outcome_of(mutant: Mutant, change: tuple[str, str], known: set[tuple[str, ...]]) -> str:
    """Return the outcome of a mutant that no test killed: `equivalent` or `wording` where none has to."""
    if (mutant.module, *change) in known:
        return "equivalent"
    # A text for people, the assertion that two sequences are equally long, or another spelling of a codec.
    before, after = (_without_assertion(line).replace('"UTF-8"', '"utf-8"') for line in change)
    is_wording = _without_prose(before) in (_without_prose(after), re.sub(r"\bNone\b", "PROSE", after))
    return "wording" if is_wording else mutant.outcome


def _without_assertion(line: str) -> str:
    return re.sub(r"(, )?strict=\w+,?", "", line).replace(", )", ")").strip()


def _without_prose(line: str) -> str:
    """Replace what is for people: texts with a space in them."""
    return _TEXT.sub(lambda found: "PROSE" if " " in found[0] else found[0], line)


def _equivalents() -> set[tuple[str, ...]]:
    """Read the mutants that change nothing: module, before, after. Each line ends with the reason."""
    lines = [line for line in EQUIVALENTS.read_text().splitlines() if line and not line.startswith("#")]
    return {tuple(part.strip() for part in line.split(" ¦ ", 3)[:3]) for line in lines}
