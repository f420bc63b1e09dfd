"""Shows the result of bench_ingest.py: a chart, and the tables of docs/development/performance.md."""

from collections.abc import Iterator
from typing import Any

_LABELS = {"ours": "Audience Sync", "segment": "Segment's own code", "floor": "floor"}
# Apart from each other also for the colour-blind (Okabe and Ito), and darker than the page in print.
_COLOURS = ("#0072b2", "#56b4e9", "#009e73", "#e69f00", "#d55e00", "#cc79a7", "#999999")
_LEFT, _WIDTH, _BAR, _GAP = 150, 560, 26, 14  # pixels


def plot(result: dict[str, Any]) -> str:
    """Return an SVG with a bar for each part, at 1,000 events of 21 countries."""
    measured = result["21 countries"]
    medians = {name: figures["median"] for name, figures in measured["microseconds"]["1000"].items()}
    scale = _WIDTH / max(medians.values())
    lines: list[str] = []
    y = 44
    for name in [name for name in _LABELS if name in medians]:
        parts = measured["shares"] if name == "ours" else {name: {"median": medians[name]}}
        lines += _bar(name, medians[name], parts, scale, y)
        y += _BAR + _GAP
    lines += _legend(measured["shares"], y + 4)
    height = y + 44
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 {height}" font-family="sans-serif" font-size="13">\n'
        f'<rect width="800" height="{height}" fill="#fff"/>\n'
        '<text x="10" y="22" font-size="15">Microseconds for one event: from the request body to messages, '
        "1,000 events of 21 countries</text>\n" + "\n".join(lines) + "\n</svg>\n"
    )


def _bar(name: str, total: float, parts: dict[str, Any], scale: float, y: int) -> Iterator[str]:
    yield f'<text x="{_LEFT - 8}" y="{y + 18}" text-anchor="end">{_LABELS[name]}</text>'
    # Measured one by one, the steps are drawn as shares of the whole.
    whole = sum(figures["median"] for figures in parts.values())
    x = float(_LEFT)
    for colour, figures in zip(_COLOURS if name == "ours" else ("#666666",), parts.values(), strict=False):
        width = figures["median"] / whole * total * scale
        yield f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_BAR}" fill="{colour}"/>'
        x += width
    yield f'<text x="{x + 6:.1f}" y="{y + 18}">{total:.1f} µs</text>'


def _legend(shares: dict[str, Any], y: int) -> Iterator[str]:
    x = 10
    for colour, share in zip(_COLOURS, shares, strict=True):
        yield f'<rect x="{x}" y="{y}" width="11" height="11" fill="{colour}"/>'
        yield f'<text x="{x + 15}" y="{y + 10}">{share}</text>'
        x += 38 + 7 * len(share)


def tables(result: dict[str, Any]) -> str:
    """Return the tables of docs/development/performance.md: medians, with the quartiles of ours; then the steps."""
    head = "| countries | events | Audience Sync, µs | quartiles | Segment's code, µs | floor, µs "
    lines = [head + "| Segment's by ours | ours by floor |", "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for countries in ("21 countries", "US"):
        for events, parts in result[countries]["microseconds"].items():
            ours, segment, floor = (parts[name]["median"] for name in ("ours", "segment", "floor"))
            label = countries.removesuffix(" countries")
            quartiles = f"{parts['ours']['low']:.1f} to {parts['ours']['high']:.1f}"
            lines.append(
                f"| {label} | {int(events):,} | {ours:.1f} | {quartiles} | {segment:.1f} "
                f"| {floor:.1f} | {segment / ours:.2f} | {ours / floor:.1f} |"
            )
    lines += ["", "| step | 21 countries, µs | US, µs |", "| --- | --- | --- |"]
    for step, measured in result["21 countries"]["shares"].items():
        lines.append(f"| {step} | {measured['median']:.1f} | {result['US']['shares'][step]['median']:.1f} |")
    return "\n".join(lines) + "\n"
