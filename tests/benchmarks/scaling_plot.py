"""Draws docs/images/scaling.svg from the model in docs/scaling.md."""

from collections.abc import Iterator
from math import log10
from typing import Any

from local.template import ROOT

DOCUMENT = ROOT / "docs/scaling.md"
PICTURE = ROOT / "docs/images/scaling.svg"
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 630, 40, 400  # pixels: the area between the axes
_WORKERS, _MEMBERS = (1, 50), (100, 40_000)  # the ends of both axes
_STYLE = """<style>
  svg { --page: #ffffff; --ink: #1f2328; --quiet: #59636e; --grid: #d1d9e0;
        --limit: #cf222e; --a: #0969da; --b: #1a7f37; --c: #9a6700; }
  @media (prefers-color-scheme: dark) {
    svg { --page: #0d1117; --ink: #f0f6fc; --quiet: #9198a1; --grid: #3d444d;
          --limit: #ff7b72; --a: #58a6ff; --b: #3fb950; --c: #d29922; }
  }
  text { font: 12px -apple-system, "Segoe UI", Helvetica, Arial, "DejaVu Sans", sans-serif; fill: var(--quiet); }
  .title { font-size: 14px; font-weight: 600; fill: var(--ink); }
  .middle { text-anchor: middle; } .end { text-anchor: end; }
  .page { fill: var(--page); } line { stroke: var(--grid); }
  .limit { stroke: var(--limit); stroke-dasharray: 6 4; } .of-limit { fill: var(--limit); }
  path { fill: none; stroke-width: 2.5; }
  .a { stroke: var(--a); } .b { stroke: var(--b); } .c { stroke: var(--c); }
  .of-a { fill: var(--a); } .of-b { fill: var(--b); } .of-c { fill: var(--c); }
</style>"""


def plot(names: dict[str, Any]) -> str:
    """Return an SVG: members a second against concurrent workers, both on logarithmic axes."""
    lines = [*_axes(), *_limits(names), *_curves(names)]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 450" width="900" height="450" role="img"'
        ' aria-labelledby="title">\n<title id="title">Members a second against concurrent workers</title>\n'
        f'{_STYLE}\n<rect class="page" width="900" height="450"/>\n' + "\n".join(lines) + "\n</svg>\n"
    )


def _x(workers: float) -> float:
    return _LEFT + (_RIGHT - _LEFT) * _share(workers, *_WORKERS)


def _y(members: float) -> float:
    return _BOTTOM - (_BOTTOM - _TOP) * _share(members, *_MEMBERS)


def _share(value: float, low: float, high: float) -> float:
    return log10(value / low) / log10(high / low)


def _axes() -> Iterator[str]:
    yield f'<text class="title" x="{_LEFT}" y="24">Members a second that the workers of one stack deliver</text>'
    for workers in (1, 2, 5, 10, 20, 50):
        yield f'<line x1="{_x(workers):.1f}" y1="{_TOP}" x2="{_x(workers):.1f}" y2="{_BOTTOM}"/>'
        yield f'<text class="middle" x="{_x(workers):.1f}" y="{_BOTTOM + 18}">{workers}</text>'
    for members in (100, 1_000, 10_000):
        yield f'<line x1="{_LEFT}" y1="{_y(members):.1f}" x2="{_RIGHT}" y2="{_y(members):.1f}"/>'
        yield f'<text class="end" x="{_LEFT - 8}" y="{_y(members) + 4:.1f}">{members:,}</text>'
    middle = (_LEFT + _RIGHT) / 2
    yield f'<text class="middle" x="{middle}" y="{_BOTTOM + 38}">concurrent workers (MaximumConcurrency)</text>'


def _limits(names: dict[str, Any]) -> Iterator[str]:
    limits = {
        "10 million changes a day": 10e6 / names["DAY"],
        "100 million changes a day": 100e6 / names["DAY"],
        "Amazon's limit: 360 million a day": names["AMAZON_AN_HOUR"] / names["HOUR"],
        f"one audience, {names['SHARDS']} shards": names["SHARDS"] * names["KEY_WRITES"],
        "reads, quota of one table": names["TABLE"] / names["READS"],
    }
    for name, members in limits.items():
        y = _y(members)
        yield f'<line class="limit" x1="{_LEFT}" y1="{y:.1f}" x2="{_RIGHT}" y2="{y:.1f}"/>'
        yield f'<text class="of-limit" x="{_RIGHT + 8}" y="{y + 4:.1f}">{name}</text>'


def _curves(names: dict[str, Any]) -> Iterator[str]:
    for place, answer in enumerate(names["ANSWERS"]):
        one, colour = names["worker"](answer), "abc"[place]
        first, last = _WORKERS
        yield f'<path class="{colour}" d="M{_x(first):.1f} {_y(one):.1f} L{_x(last):.1f} {_y(one * last):.1f}"/>'
        # Under the lines, to the right, where nothing else is written.
        y = _BOTTOM - 80 + 18 * place
        yield f'<path class="{colour}" d="M400 {y - 4} h24"/>'
        yield f'<text class="of-{colour}" x="432" y="{y}">Amazon answers within {answer} s</text>'
