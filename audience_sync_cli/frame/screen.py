"""Output and questions: sentences and tables for people, one JSON document for scripts, progress."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from audience_sync.members.envelope import MAX_TIME, MIN_TIME
from audience_sync_cli.frame import tables
from audience_sync_cli.frame.errors import NotConfirmed, OperatorError
from audience_sync_cli.frame.terminal_text import escaped, escaped_json, escaped_styled, on_one_line

BROKEN_PIPE = 141  # exit code, as a shell gives it to a command that SIGPIPE has ended
PLAIN_WIDTH = 110  # columns of text if the output is not a terminal but a file or a pipe
ROW_WIDTH = 100_000  # columns of a table there: other programs read a row as one line


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """End the command as SIGPIPE ends others, because the reader of the output has ended; Rich exits with 1."""
        with suppress(SystemExit):
            super().on_broken_pipe()
        raise SystemExit(BROKEN_PIPE)


class Screen:
    """Writes results to standard output, and everything else to standard error: questions, notes, progress.

    Input may come from outside: no control character reaches the terminal.
    """

    def __init__(
        self, *, as_json: bool = False, assume_yes: bool = False, answers: Callable[[str], str] | None = None
    ) -> None:
        """Apply the options; tests pass a function that answers questions."""
        self.as_json = as_json
        self._assume_yes = assume_yes
        self._answers = answers
        self._out = _Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
        self._rows = self._out if sys.stdout.isatty() else _Console(highlight=False, width=ROW_WIDTH)
        self._err: Console = Console(highlight=False, stderr=True, width=None if sys.stderr.isatty() else PLAIN_WIDTH)
        if sys.stdout.isatty() and sys.stderr.isatty():
            self._err = self._out  # a console keeps only its own lines clear of its progress

    @property
    def asks(self) -> bool:
        """Whether `confirm` asks."""
        return not self._assume_yes

    def result(self, document: Any, *, indent: int | None = 2) -> None:
        """Print the JSON document, with --json; without `indent` on one line, as one of several."""
        if self.as_json:
            self._write(json.dumps(document, indent=indent, ensure_ascii=False))

    def say(self, text: str, *, style: str = "") -> None:
        """Print a line for people."""
        if not self.as_json:
            self._out.print(Text(escaped(text), style=style), soft_wrap=True)

    def note(self, text: str, *, style: str = "") -> None:
        """Print a line that is not part of the result."""
        self._err.print(Text(escaped(text), style=style), soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Print a table for people; each row as facts if the terminal is too narrow for ids."""
        if self.as_json:
            return
        for part in tables.laid_out(
            [on_one_line(each) for each in columns], [[_text(each) for each in row] for row in rows], self._rows.width
        ):
            self._rows.print(part)

    def facts(self, facts: Mapping[str, Any]) -> None:
        """Print names and values, one per line."""
        if self.as_json:
            return
        self._out.print(tables.facts({on_one_line(name): _text(value) for name, value in facts.items()}))

    def confirm(self, question: str) -> None:
        """Ask before an action that cannot be undone. Raises NotConfirmed."""
        if not self._assume_yes and self._answer(f"{question} [y/N] ", "give --yes").lower() not in ("y", "yes"):
            raise NotConfirmed("Nothing was changed.")

    def confirm_by_typing(self, question: str, words: str) -> None:
        """Ask the operator to type `words`; a quick `y` is not enough. Raises NotConfirmed."""
        if self._answer(f"{question}\nTo agree, type: {words}\n> ", f"use --confirm {words!r}") != words:
            raise NotConfirmed("The text does not match. Nothing was changed.", f"To agree, type: {words}")

    def ask(self, question: str, *, hidden: bool = False, instead: str) -> str:
        """Ask for a string. `instead` is the way without a terminal. Raises NotConfirmed."""
        return self._answer(f"{question}: ", instead, hidden=hidden)

    def fail(self, error: OperatorError) -> None:
        """Print an error: one sentence and a remedy."""
        if self.as_json:
            document = {"message": str(error), "remedy": error.remedy, "exitCode": error.exit_code}
            document |= {"faults": list(error.faults)} if error.faults else {}
            self._write(json.dumps({"error": document}, indent=2, ensure_ascii=False))
            return
        self.note(str(error), style="red")
        if error.remedy:
            self.note(error.remedy)

    @contextmanager
    def progress(self, label: str, total: int | None = None, *, unit: str = "") -> Iterator["Bar"]:
        """Show progress if standard error is a terminal; with a unit also the rate and the time left."""
        columns: tuple[ProgressColumn, ...] = (
            (SpinnerColumn(), _description(), TimeElapsedColumn())
            if total is None
            else (_description(), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        )
        if unit:
            columns = (*columns, _RateColumn(unit), *((TimeRemainingColumn(),) if total else ()))
        with Progress(
            *columns,
            console=self._err,
            transient=True,
            disable=self.as_json or not self._err.is_terminal,
            redirect_stdout=self._out.is_terminal,  # results for a file or a pipe must not reach the terminal
        ) as progress:
            task = progress.add_task(escaped(label), total=total)
            yield Bar(
                partial(progress.advance, task),
                lambda text: progress.update(task, description=escaped(text)),
                lambda steps: progress.update(task, completed=steps),
            )

    def _write(self, line: str) -> None:
        try:
            sys.stdout.write(f"{escaped_json(line)}\n")
            sys.stdout.flush()
        except BrokenPipeError:
            self._out.on_broken_pipe()

    def _answer(self, question: str, instead: str, *, hidden: bool = False) -> str:
        question = escaped(question)
        if self._answers is not None:
            return self._answers(question)
        if self.as_json or not sys.stdin.isatty():
            raise NotConfirmed("This needs an answer, but there is no terminal.", f"Use a terminal, or {instead}.")
        return self._err.input(Text(question), password=hidden).strip()


def _description() -> TextColumn:
    return TextColumn("{task.description}", markup=False)


class _RateColumn(ProgressColumn):
    """Steps a second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f} {self._unit}/s" if speed else "")


class Bar(NamedTuple):
    """A progress bar."""

    advance: Callable[..., None]  # by one step, or as many as given
    describe: Callable[[str], None]
    move_to: Callable[[int], None]  # a number of steps

    def count_down(self, label: str, seconds: float) -> None:
        """Show the time left: 4:59."""
        self.describe(f"{label}, {int(seconds) // 60}:{int(seconds) % 60:02} left")


def _text(value: Any) -> Text:
    return escaped_styled(value) if isinstance(value, Text) else Text(on_one_line(display(value)))


def display(value: Any) -> str:
    """Format a value for people."""
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case _:
            return str(value)


def counted(number: int, noun: str) -> str:
    """Format a count with its noun: 1 message, 2 messages."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def iso_time(milliseconds: float | None) -> str | None:
    """Format an epoch time for JSON output: ISO 8601, UTC, with milliseconds."""
    if milliseconds is None:
        return None
    return _utc(milliseconds).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def camel_case(name: str) -> str:
    """Return a name for JSON output: eventsAccepted for events_accepted, leftSince for "left since"."""
    first, *others = name.replace("_", " ").split()
    return "".join([first, *(word.capitalize() for word in others)])


def moment(milliseconds: float | None) -> str:
    """Format an epoch time for people: UTC, to the second."""
    return "-" if milliseconds is None else f"{_utc(milliseconds):%Y-%m-%d %H:%M:%S}Z"


def _utc(milliseconds: float) -> datetime:
    """Return an epoch time, at most one that can be printed: a row may hold any number."""
    return datetime.fromtimestamp(min(max(milliseconds, MIN_TIME), MAX_TIME) / 1000, UTC)
