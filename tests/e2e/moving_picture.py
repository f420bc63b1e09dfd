"""Draws the moving picture of the README: the demo in one terminal, and an event that is followed in a second one.

`make docs` takes it from a real run, with shorter waits, if the commands print other lines than it shows;
`python -m tests.e2e.moving_picture` does in any case. All moments stand on one film, which passes behind the window.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from html import escape, unescape
from itertools import batched, count, groupby, takewhile

from tests.e2e.conftest import ROOT
from tests.e2e.terminal import COLUMNS, Moment, coloured, plain, recorded

MOVING, STILL = (ROOT / "docs" / "images" / f"terminal{name}.svg" for name in ("", "-still"))
DEMO = "make demo KEEP=1"
HERE = "export AUDIENCE_SYNC_LOCAL=http://127.0.0.1:8080"
SEND = "audience-sync send --sample track --audience lapsed_premium_buyers --wait"

WAIT, STEP, READ = 1.5, 0.15, 3.5  # seconds: of a wait at most, of a moment at least, and to read what a command says
ROWS, WIDE, HIGH, EDGE, BAR = 18, 9, 18, 16, 32  # rows, and pixels: of a character, of the edge and of the title bar
WIDTH, HEIGHT = COLUMNS * WIDE + 2 * EDGE, BAR + ROWS * HIGH + EDGE
COLOURS = {"32": "good", "33": "time", "38;5;197": "done", "38;5;237": "rest", "38;5;70": "good"}
STRIPES = "━╸╺"  # progress bars
_TURNING = re.compile(rf"[{STRIPES}⠀-⣿]|\d+:\d\d:\d\d")  # what moves while a command waits
STYLE = """
    svg { --page: #ffffff; --edge: #d1d9e0; --ink: #1f2328; --good: #1a7f37; --time: #7d4e00; --done: #bf3989; }
    @media (prefers-color-scheme: dark) {
      svg { --page: #0d1117; --edge: #3d444d; --ink: #f0f6fc; --good: #3fb950; --time: #d29922; --done: #db61a2; }
    }
    text { font: 15px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: var(--ink); }
    text { white-space: pre; } .title { text-anchor: middle; opacity: 0.7; }
    .window { fill: var(--page); stroke: var(--edge); } .rest { fill: var(--edge); }
    .good { fill: var(--good); } .time { fill: var(--time); } .done { fill: var(--done); }"""


def take(*demo: str) -> dict[str, list[Moment]]:
    """Run both commands, the demo with these options, and return what each terminal shows."""
    ports = ("--port", "0", "--amazon-port", "0")
    with recorded([sys.executable, "-m", "local.demo", "--keep", *ports, *demo], "Ctrl-C ends it.") as moments:
        stack = plain("".join(moments[-1].lines)).partition("Status page: ")[2].partition("/status")[0]
        send = [sys.executable, "-m", "audience_sync_cli", *SEND.split()[1:]]
        with recorded(send, "--exit removes it.", AUDIENCE_SYNC_LOCAL=stack) as sent:
            # KEEP=1 prints addresses and a key of this stack below an empty line.
            demonstrated = [Moment(seconds, [f"$ {DEMO}", *takewhile(bool, lines)]) for seconds, lines in moments]
            followed = [Moment(seconds, [f"$ {HERE}", f"$ {SEND}", *lines]) for seconds, lines in sent]
            return {"first terminal": demonstrated, "second terminal": followed}


def paced(moments: list[Moment]) -> Iterator[Moment]:
    """Shorten waits, join moments that are too short to be seen, and leave time to read the last one."""
    passed = 0.0
    for _, group in groupby(moments[:-1], key=lambda each: _TURNING.sub("", plain("\n".join(each.lines)))):
        wait = list(group)
        pace = min(1.0, WAIT / sum(each.seconds for each in wait))
        for each in wait:
            passed += each.seconds * pace
            if passed >= STEP:
                yield Moment(passed, each.lines)
                passed = 0.0
    yield Moment(READ, moments[-1].lines)


def draw(scenes: dict[str, list[Moment]], *, still: bool = False) -> str:
    """Return the picture as SVG; `still` is its last moment."""
    shown = [(title, each) for title, moments in scenes.items() for each in paced(moments)][-1 if still else 0 :]
    pieces: dict[str, str] = {}  # the drawing of each row, once, with its name
    total, passed, frames, stops = sum(each.seconds for _, each in shown), 0.0, "", ""
    for top, (title, moment) in zip(count(0, HEIGHT), shown, strict=False):
        rows = [row for line in moment.lines for row in batched(coloured(line), COLUMNS)]
        drawn = [("".join(_runs(row)), BAR + EDGE // 2 + place * HIGH) for place, row in enumerate(rows[-ROWS:])]
        drawn.append((f'<text class="title" x="{WIDTH / 2 - EDGE:g}" y="-10">{title}</text>', BAR))
        uses = (f'<use href="#{pieces.setdefault(piece, f"r{len(pieces)}")}" y="{y}"/>' for piece, y in drawn)
        frames += f'    <g transform="translate({EDGE} {top})">{"".join(uses)}</g>\n'
        stops += f" {passed / total:.2%} {{ transform: translateY({-top}px); }}"
        passed += moment.seconds
    defined = "\n".join(f'    <g id="{name}">{piece}</g>' for piece, name in pieces.items())
    size = f'width="{WIDTH}" height="{HEIGHT}"'
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {size} role="img">
  <title>The demo, and an event on its way to Amazon</title>
  <desc>{escape("\n".join(ends(scenes)))}</desc>
  <style>{STYLE}
    .film {{ transform: translateY({-top}px); }}
    @keyframes film {{{stops} }}
    @media (prefers-reduced-motion: no-preference) {{ .film {{ animation: film {total:.1f}s step-end infinite; }} }}
  </style>
  <defs>
{defined}
  </defs>
  <rect class="window" x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="8"/>
  <rect class="rest" y="{BAR}" width="{WIDTH}" height="1"/>
  <svg {size}><g class="film">
{frames}  </g></svg>
</svg>
"""


def _runs(row: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Draw each run of one colour at its width, whatever the font is, and progress bars as rectangles."""
    column = 0
    for (colour, is_bar), run in groupby(row, key=lambda cell: (COLOURS.get(cell[1], ""), cell[0] in STRIPES)):
        text = "".join(character for character, _ in run)
        begin, width = column * WIDE, len(text) * WIDE
        column += len(text)
        if is_bar:
            yield f'<rect class="{colour}" x="{begin}" y="7" width="{width}" height="4"/>'
        elif text.strip():
            yield f'<text class="{colour}" x="{begin}" y="14" textLength="{width}">{escape(text, quote=False)}</text>'


def ends(scenes: dict[str, list[Moment]]) -> list[str]:
    """Return the lines that the terminals show at the end."""
    return [plain(line).rstrip() for moments in scenes.values() for line in moments[-1].lines if line]


def lines_of(picture: str) -> list[str]:
    """Return the lines that a picture was drawn from, as ends() does."""
    about = re.search(r"<desc>(.*?)</desc>", picture, re.DOTALL)
    return unescape(about[1]).splitlines() if about else []


def main() -> None:
    """Take the picture, and its still."""
    scenes = take()
    MOVING.write_text(draw(scenes), encoding="utf-8")
    STILL.write_text(draw(scenes, still=True), encoding="utf-8")


if __name__ == "__main__":
    main()
