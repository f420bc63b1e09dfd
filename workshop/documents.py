"""Writes the documents and pictures that are generated: `make docs`.

The transcripts of commands are the other generated part: tests/e2e/transcript.py compares and writes them.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from math import ceil
from pathlib import Path

from audience_sync.reasons import DEFERRED, PARKED, REFUSED, REJECTED, Reason
from audience_sync_cli.frame import reasons
from local.template import ROOT
from scripts.cost_model import month, month_by_queue, others, total
from scripts.delivery_model import DAY, MONTH, WORKER, Traffic, limits, needs
from tests.support.lives import LIVES
from workshop.benchmarks import bench_ingest, ingest_report

ARCHITECTURE, COST, DELIVERY, RUNBOOK, SCALING = (
    ROOT / f"docs/{name}.md" for name in ("architecture", "cost", "delivery", "runbook", "scaling")
)
PERFORMANCE = ROOT / "docs/development/performance.md"
MILLIONS, A_DAY = (1, 10, 100), (10, 100, 1_000)
BATCHES = {1_000: "batched", 1: "single"}
AUDIENCES, LONG_WINDOW = (1, 5, 20, 50, 200), 300


def dollars(amount: float) -> str:
    """Format dollars of a month."""
    return "under 1" if amount < 1 else f"{amount:,.0f}"


def _months() -> Iterator[Sequence[str]]:
    months = [month(Traffic(millions * 1e6, batch)) for batch in BATCHES for millions in MILLIONS]
    months.append(month_by_queue(Traffic(MILLIONS[-1] * 1e6, 1)))
    names = [f"{millions} million, {name}" for name in BATCHES.values() for millions in MILLIONS]
    yield "events a month", *names, f"{MILLIONS[-1]} million, single, by the [event queue](queue.md)"
    yield "**in total**", *(f"**{dollars(sum(each.values()))}**" for each in months)
    yield from ([name, *(dollars(each[name]) for each in months)] for name in months[0])


def _audiences() -> Iterator[Sequence[str]]:
    yield "audiences that change at the same time", *map(str, AUDIENCES)
    for batch, name in BATCHES.items():
        for millions in MILLIONS:
            yield f"{millions} million, {name}", *_of_audiences(Traffic(millions * 1e6, batch))
        yield f"the same, `BatchWindow={LONG_WINDOW}`", *_of_audiences(Traffic(1e8, batch, window=LONG_WINDOW))
        yield "100 million, Amazon answers in 0.5 s", *_of_audiences(Traffic(1e8, batch, answer=0.5))


def _of_audiences(traffic: Traffic) -> Iterator[str]:
    for audiences in AUDIENCES:
        each = replace(traffic, audiences=audiences)
        workers = ceil(each.starts().seconds / MONTH)
        yield dollars(total(each)) + (f" ({workers})" if workers > WORKER.concurrency else "")


def _others() -> Iterator[Sequence[str]]:
    yield "what", "dollars"
    yield from ([name, f"{cost:.2f}" if cost >= 0.1 else f"{cost:.3f}"] for name, cost in others().items())


def _needs() -> Iterator[Sequence[str]]:
    days = [needs(millions * 1e6, batch) for batch in BATCHES for millions in A_DAY]
    yield "changes a day", *(f"{each:,} million, {name}" for name in BATCHES.values() for each in A_DAY)
    yield from ([name, *(_number(each[name]) for each in days)] for name in days[0])


def _limits() -> Iterator[Sequence[str]]:
    yield "limit", "million changes a day"
    yield from ([name, _number(each * DAY / 1e6)] for name, each in limits().items())


def _folders() -> Iterator[Sequence[str]]:
    yield "folder", "holds"
    for root in (ROOT / "layers/shared/audience_sync", ROOT / "audience_sync_cli"):
        for path in sorted(root.glob("*/__init__.py")):
            yield f"`{path.parent.relative_to(root.parent)}/`", re.split('"""|\n', path.read_text(encoding="utf-8"))[1]


def _lives() -> Iterator[Sequence[str]]:
    yield "a person who", "arrives, at minute", "is sent, at minute"
    for life in LIVES:
        yield life.name, "<br>".join(life.arrivals), "<br>".join(_runs(life.sent))


def _runs(uploads: Sequence[str]) -> Iterator[str]:
    """Join equal uploads that follow one another: those before the last had no answer."""
    for what, some in groupby(uploads, lambda each: each.split(" ", 1)[1]):
        minutes = [each.split(" ", 1)[0] for each in some]
        if len(minutes) > 2:
            yield f"{minutes[0]} to {minutes[-1]} `{what}`, {len(minutes)} times without an answer"
        else:
            yield from (f"{minute} `{what}`" for minute in minutes)


def _reasons(codes: Iterable[Reason], explained: Callable[[str], reasons.Explained]) -> Iterator[Sequence[str]]:
    """Yield each code with its meaning and remedy; a remedy that names a section of the runbook links to it."""
    yield "reason", "means", "do"
    for code in codes:
        means, remedy = explained(code)
        yield f"`{code}`", means, _SECTION.sub(_link, remedy) or "Nothing: it passes."


_SECTION = re.compile(r"([Ss]ee) ([A-Z][\w ]+) in docs/runbook\.md")


def _link(section: re.Match[str]) -> str:
    return f"{section[1]} [{section[2]}](#{section[2].lower().replace(' ', '-')})"


def _with(effect: frozenset[str]) -> Iterable[Reason]:
    return (code for code in Reason if effect <= code.effects)


def _rejected() -> Iterator[Sequence[str]]:
    return _reasons(_with(REJECTED), reasons.explained)


def _refused() -> Iterator[Sequence[str]]:
    """Yield the codes that only requests have: the others are also of waiting or parked changes."""
    return _reasons((code for code in _with(REFUSED) if code.effects == REFUSED), reasons.explained)


def _deferred() -> Iterator[Sequence[str]]:
    return _reasons([*_with(DEFERRED), Reason.FRESH], reasons.explained)


def _parked() -> Iterator[Sequence[str]]:
    return _reasons(_with(PARKED), reasons.parked)


def _number(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 or number == int(number) else f"{number:.1f}"


def with_tables(path: Path, *tables: Callable[[], Iterator[Sequence[str]]]) -> str:
    """Return a document with each table after the comment that names it, up to the next empty line."""
    text = path.read_text(encoding="utf-8")
    for table in tables:
        head, *rows = table()
        before, after = re.split(rf"(?<=<!-- make docs:{table.__name__} -->\n\n)".replace("_", " ", 1), text)
        lines = ("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows))
        text = before + "\n".join(lines) + "\n\n" + after.split("\n\n", 1)[1]
    return text


def with_recorded_run() -> str:
    """Return performance.md with its tables, in their order, from the recorded run of the benchmark."""
    made = iter(ingest_report.tables(json.loads(bench_ingest.RESULT.read_text(encoding="utf-8"))).split("\n\n"))
    return re.sub(r"(?m)(?:^\|.*\n)+", lambda _: f"{next(made).strip()}\n", PERFORMANCE.read_text(encoding="utf-8"))


GENERATED: dict[Path, Callable[[], str]] = {
    ARCHITECTURE: lambda: with_tables(ARCHITECTURE, _folders),
    DELIVERY: lambda: with_tables(DELIVERY, _lives),
    RUNBOOK: lambda: with_tables(RUNBOOK, _rejected, _refused, _deferred, _parked),
    COST: lambda: with_tables(COST, _months, _audiences, _others),
    SCALING: lambda: with_tables(SCALING, _needs, _limits),
    PERFORMANCE: with_recorded_run,
    bench_ingest.CHART: lambda: ingest_report.plot(json.loads(bench_ingest.RESULT.read_text(encoding="utf-8"))),
}


def main() -> None:
    """Write every generated file."""
    for path, make in GENERATED.items():
        path.write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
