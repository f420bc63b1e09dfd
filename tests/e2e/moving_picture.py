"""Draws the moving picture of the README: the demo in one terminal, and an event that is followed in a second one.

`make docs` takes it from a real run if the commands print other lines than it shows (test_moving_picture.py), and
`python -m tests.e2e.moving_picture` in any case. Waits are shortened. In the file, all moments stand on one film, which
passes behind the window: one animation, and no script.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from html import escape, unescape
from itertools import accumulate, batched, groupby
from typing import NamedTuple

from tests.e2e.conftest import ROOT
from tests.e2e.terminal import COLUMNS, Cell, Moment, recorded, text_of

MOVING, STILL = (ROOT / "docs" / "images" / f"terminal{name}.svg" for name in ("", "-still"))
DEMO = "make demo KEEP=1"
HERE = "export AUDIENCE_SYNC_LOCAL=http://127.0.0.1:8080"
SEND = "audience-sync send --sample track --audience lapsed_premium_buyers --wait"

WAIT, STEP, READ = 1.5, 0.15, 3.0  # seconds: of a wait at most, of a moment at least, and to read what a command says
ROWS, WIDE, HIGH, EDGE, BAR = 18, 9, 18, 16, 32  # rows, and pixels: of a character, of the edge and of the title bar
WIDTH, HEIGHT = COLUMNS * WIDE + 2 * EDGE, BAR + ROWS * HIGH + EDGE
COLOURS = {"32": "good", "33": "time", "38;5;197": "done", "38;5;237": "rest", "38;5;70": "good"}
STRIPES = {"━": (0, 1.0), "╸": (0, 0.5), "╺": (0.5, 0.5)}  # of progress bars: where in its cell, and how much of it
_TURNING = re.compile(r"[━╸╺⠀-⣿]|\d+:\d\d:\d\d")  # what moves while a command waits
STYLE = """
    svg { --page: #ffffff; --title: #eaeef2; --edge: #d1d9e0; --ink: #1f2328; --quiet: #59636e;
          --good: #1a7f37; --time: #7d4e00; --done: #bf3989; --rest: #d1d9e0; }
    @media (prefers-color-scheme: dark) {
      svg { --page: #0d1117; --title: #151b23; --edge: #3d444d; --ink: #f0f6fc; --quiet: #9198a1;
            --good: #3fb950; --time: #d29922; --done: #db61a2; --rest: #3d444d; }
    }
    text { font: 15px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
    text { fill: var(--ink); white-space: pre; }
    .window { fill: var(--page); stroke: var(--edge); }
    .title { fill: var(--title); } text.title { fill: var(--quiet); }
    .good { fill: var(--good); } .time { fill: var(--time); }
    .done { fill: var(--done); } .rest { fill: var(--rest); }"""


class Scene(NamedTuple):
    """What one terminal shows."""

    title: str
    moments: list[Moment]

    def text(self) -> list[str]:
        return [text_of(line).rstrip() for line in self.moments[-1].lines]


def take(*demo: str) -> list[Scene]:
    """Run both commands, the demo with these options."""
    ports = ("--port", "0", "--amazon-port", "0")
    with recorded([sys.executable, "-m", "local.demo", "--keep", *ports, *demo], "Ctrl-C ends it.") as moments:
        printed = "\n".join(map(text_of, moments[-1].lines))
        stack = printed.partition("Status page: ")[2].partition("/status")[0]
        send = [sys.executable, "-m", "audience_sync_cli", *SEND.split()[1:]]
        with recorded(send, "--exit removes it.", AUDIENCE_SYNC_LOCAL=stack) as sent:
            return [
                Scene("first terminal", _typed(map(_up_to_the_result, moments), DEMO)),
                Scene("second terminal", _typed(sent, HERE, SEND)),
            ]


def _up_to_the_result(moment: Moment) -> Moment:
    """Leave out what KEEP=1 prints below an empty line: addresses and a key of this stack."""
    lines = moment.lines
    return moment._replace(lines=lines[: lines.index(())] if () in lines[:-1] else lines)


def _typed(moments: Iterable[Moment], *commands: str) -> list[Moment]:
    typed = [tuple(map(Cell, f"$ {command}")) for command in commands]
    return [
        *(Moment(0.7, (*typed[:count], tuple(map(Cell, "$ ")))) for count in range(len(typed))),
        *(Moment(seconds, (*typed, *lines)) for seconds, lines in moments),
    ]


def paced(moments: list[Moment]) -> Iterator[Moment]:
    """Shorten waits, join moments that are too short to be seen, and leave time to read the last one."""
    passed = 0.0
    for _, group in groupby(moments[:-1], key=lambda each: _TURNING.sub("", "\n".join(map(text_of, each.lines)))):
        wait = list(group)
        pace = min(1.0, WAIT / sum(each.seconds for each in wait))
        for each in wait:
            passed += each.seconds * pace
            if passed >= STEP:
                yield Moment(passed, each.lines)
                passed = 0.0
    yield Moment(READ, moments[-1].lines)


def draw(scenes: Sequence[Scene], *, still: bool = False) -> str:
    """Return the picture as SVG; `still` is its last moment."""
    shown = [(scene.title, each) for scene in scenes for each in paced(scene.moments)][-1 if still else 0 :]
    pieces: dict[str, str] = {}  # the drawing of each row, once, with its name
    frames = []
    for number, (title, moment) in enumerate(shown):
        rows = [row for line in moment.lines for row in list(batched(line, COLUMNS)) or [()]]
        drawn = [("".join(_runs(row)), BAR + EDGE // 2 + place * HIGH) for place, row in enumerate(rows[-ROWS:])]
        drawn.append((f'<text class="title" x="{WIDTH / 2 - EDGE:g}" y="-10" text-anchor="middle">{title}</text>', BAR))
        uses = (f'<use href="#{pieces.setdefault(d, f"r{len(pieces)}")}" y="{y}"/>' for d, y in drawn if d)
        frames.append(f'<g transform="translate({EDGE} {number * HEIGHT})">{"".join(uses)}</g>')
    total = sum(moment.seconds for _, moment in shown)
    starts = accumulate((moment.seconds for _, moment in shown[:-1]), initial=0.0)
    stops = " ".join(
        f"{start / total:.2%} {{ transform: translateY({-number * HEIGHT}px); }}" for number, start in enumerate(starts)
    )
    moves = f"""
    .film {{ transform: translateY({(1 - len(shown)) * HEIGHT}px); }}
    @keyframes film {{ {stops} }}
    @media (prefers-reduced-motion: no-preference) {{ .film {{ animation: film {total:.1f}s step-end infinite; }} }}"""
    size = f'width="{WIDTH}" height="{HEIGHT}"'
    about = "\n".join(line for scene in scenes for line in scene.text() if line)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {size} role="img">',
        f"  <title>The demo, and an event on its way to Amazon</title>\n  <desc>{escape(about)}</desc>",
        f"  <style>{STYLE}{'' if still else moves}\n  </style>\n  <defs>",
        *(f'    <g id="{name}">{piece}</g>' for piece, name in pieces.items()),
        "  </defs>",
        f'  <rect class="window" x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="8"/>',
        f'  <path class="title" d="M1 {BAR} V8 q0 -7 7 -7 H{WIDTH - 8} q7 0 7 7 V{BAR} z"/>',
        f'  <svg {size}><g class="film">\n    {"\n    ".join(frames)}\n  </g></svg>',
        "</svg>\n",
    ]
    return "\n".join(lines)


def _runs(row: Sequence[Cell]) -> Iterator[str]:
    """Draw each run of one colour at its width, whatever the font is, and progress bars as rectangles."""
    column = 0
    for (style, is_bar), group in groupby(row, key=lambda cell: (cell.style, cell.character in STRIPES)):
        text = "".join(cell.character for cell in group)
        colour = f' class="{COLOURS[style]}"' if style in COLOURS else ""
        begin, width = column * WIDE, len(text) * WIDE
        column += len(text)
        if is_bar:
            begin += int(STRIPES[text[0]][0] * WIDE)
            width = int(sum(STRIPES[each][1] for each in text) * WIDE)
            yield f'<rect{colour} x="{begin}" y="7" width="{width}" height="4"/>'
        elif text.strip():
            yield f'<text{colour} x="{begin}" y="14" textLength="{width}">{escape(text, quote=False)}</text>'


def lines_of(picture: str) -> list[str]:
    """The lines that the scenes of a picture show at their ends."""
    about = re.search(r"<desc>(.*?)</desc>", picture, re.DOTALL)
    return unescape(about[1]).splitlines() if about else []


def main() -> None:
    """Take the picture, and its still."""
    scenes = take()
    MOVING.write_text(draw(scenes), encoding="utf-8")
    STILL.write_text(draw(scenes, still=True), encoding="utf-8")


if __name__ == "__main__":
    main()
