"""The vocabulary of the report: checks, their findings, and what each view says and does about them.

A view is a command, or the page. Each has its own checks, and its own word for a state:

    view      checks               a problem is                an unread thing is
    test      stack_checks.py      exit code 1                 a problem
    diagnose  audience_checks.py   exit code 1                 `look`; a problem if `test` checks it as well
    status    needs.py             a sentence, exit code 0, 1  a note; the command's error for queues and counts
    the page  needs.py             a sentence, the heading     named, and the last value stays
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from rich.text import Text

from audience_sync_cli.frame.explanation import explained

_COMMAND = re.compile(r"[A-Z][a-z ]+:? `([^`]+)`\.")  # such as Run `audience-sync connect`.

type State = Literal["ok", "note", "problem", "unread"]


class Finding(NamedTuple):
    """The result of one check."""

    state: State
    found: str
    remedy: str = ""  # the next command, or a sentence; empty if there is nothing to do
    name: str = ""  # of what was checked; by default the check's own


def problem(sentence: str, remedy: str, otherwise: str) -> Finding:
    """Return a problem whose next command is the remedy; a remedy that says more is a part of the finding."""
    command = _COMMAND.fullmatch(remedy)
    return (
        Finding("problem", sentence, command[1])
        if command
        else Finding("problem", f"{sentence} {remedy}".strip(), otherwise)
    )


class View(NamedTuple):
    """A command's words for the parts of findings and for their four states."""

    name: str  # of what was checked
    remedy: str
    words: Mapping[State, str]

    def word(self, finding: Finding) -> str:
        """Return its word for a finding's state. One that is a `problem` makes the exit code 1."""
        return self.words[finding.state]

    def style(self, finding: Finding) -> str:
        """Return the color of a finding."""
        return {"ok": "green", "problem": "red"}.get(self.word(finding), "yellow")

    def row(self, finding: Finding) -> tuple[str, Text, str]:
        """Return a finding for a table: name, state, and what was found."""
        return finding.name, Text(self.word(finding), self.style(finding)), finding.found

    def as_json(self, finding: Finding) -> dict[str, object]:
        """Return a finding for scripts."""
        about = {self.name: finding.name, "state": self.word(finding), "found": finding.found}
        return about | {self.remedy: finding.remedy, "unread": finding.state == "unread"}


TEST = View("part", "remedy", {"ok": "ok", "note": "note", "problem": "problem", "unread": "problem"})
DIAGNOSE = View("check", "next", {"ok": "ok", "note": "look", "problem": "problem", "unread": "look"})


class Check[R](NamedTuple):
    """One check."""

    name: str
    find: Callable[[R], Finding | Iterator[Finding]]  # its readings are what it asks R for
    scope: Literal["stack", "audience"] = "stack"
    follows_from: tuple[str, ...] = ()  # checks whose problem explains this one's


def run[R](checks: Iterable[Check[R]], readings: R) -> Iterator[Finding]:
    """Yield the findings of some checks, each with its name. What cannot be read is one, and hides no other."""
    for check in checks:
        try:
            found = check.find(readings)
            for each in [found] if isinstance(found, Finding) else found:
                yield each._replace(name=each.name or check.name)
        except Exception as error:  # noqa: BLE001 - any error is the finding of this check
            failure = explained(error)
            yield Finding("unread", str(failure), failure.remedy, check.name)
