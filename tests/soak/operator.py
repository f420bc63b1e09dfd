"""An operator who runs commands while traffic goes on: import, compare --repair, unlink, link and restore-members.

These are the real commands. Each runs as an invocation does, up to its next call to AWS, so calls fail as the
functions' do. A terminal that shows progress slowly lets time pass within a command. A run may be interrupted or
killed there, and is repeated some minutes later.

An import states its rows: all of them have to arrive. A comparison states that the one stranger in its file enters,
and else the changes that it puts into the queue.
"""

import csv
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from unittest.mock import patch

from audience_sync.amazon_ads.destination import Api, api_of
from audience_sync.amazon_ads.regions import HOSTS
from audience_sync.errors import AudienceSyncError
from audience_sync.members.membership import EVERY_AUDIENCE, Audience
from audience_sync_cli.audiences.notices import queue_due_exits
from audience_sync_cli.frame.errors import NotThere
from audience_sync_cli.frame.screen import Bar, Screen
from audience_sync_cli.frame.session import Session
from audience_sync_cli.frame.stacks import CALLS, Stack
from audience_sync_cli.member_files.compare import compare
from audience_sync_cli.member_files.import_members import import_members
from audience_sync_cli.member_files.import_plan import ImportOptions
from audience_sync_cli.member_files.member_file import MemberFile
from audience_sync_cli.member_files.repair import RepairOptions
from audience_sync_cli.members.restore_members import restore_members
from audience_sync_cli.moves.waiting import LISTING
from audience_sync_cli.stack import change_sender
from audience_sync_cli.stack.listed import find
from audience_sync_cli.stack.unlinking import take_off_list
from local.sqs.message import SqsMessage
from tests.soak.calls import Invocation, current
from tests.soak.events import CONSENT, StatedChange, Version, deletion_notice, identity_of
from tests.soak.held import as_identity
from tests.soak.recounts import Recounts
from tests.soak.scheduler import Killed

if TYPE_CHECKING:
    from tests.soak.simulation import Simulation
    from tests.support.doubles.expressions import Row

OFTEN = 0.5  # commands for each request
GROUP = 3  # changes that the commands send together; so a small file is several requests
IN_FLIGHT = 2  # requests; what is in flight when a run is killed is sent again
LONGEST_STEP = 20.0  # seconds in which the terminal shows no progress
CUT = 0.25  # share of such moments at which a run ends
MAX_CUTS = 3  # of one command
AGAIN = (60.0, 900.0)  # seconds until a command is repeated
WAIT = 30.0  # seconds between two checks of what has to end before a command may begin
FILE_AGES = (10_000, 7_200_000)  # milliseconds since a file was written, at most
HEAD = ("user_id", "email", "amzn_user_data", "amzn_ad_storage")
COPY = "RestoredTable"
LOST = 1 / 3  # of the members' rows
DAMAGED = 0.15  # share of the rows
UNREADABLE = b"{}"
_NAMES = ("ChangeQueue", "DeadLetterQueue", "JobQueue", "AudienceTable", "MembershipTable")

type Run = Callable[[Session], None]


class _Terminal(Screen):
    """Shows nothing, confirms every question, and takes its time with progress."""

    def __init__(self, show: Callable[[int], None]) -> None:
        super().__init__(assume_yes=True)
        self._show = show

    def say(self, text: str, *, style: str = "") -> None:
        """Print nothing."""

    def note(self, text: str, *, style: str = "") -> None:
        """Print nothing."""

    def facts(self, facts: Mapping[str, Any]) -> None:
        """Print nothing."""

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Print nothing."""

    @contextmanager
    def progress(self, label: str, total: int | None = None, *, unit: str = "") -> Iterator[Bar]:
        """Show progress."""
        del total, unit
        yield Bar(_ignore if label == "reading the file" else self._show, _ignore, self._show)


class _NoLog:
    """An operator log that keeps nothing."""

    @contextmanager
    def line(self, command: str, **details: Any) -> Iterator[dict[str, Any]]:
        """Forget a line."""
        del command
        yield details


@dataclass(eq=False)
class _Command:
    """One command, until it has run to its end."""

    name: str
    run: Run
    on_end: Callable[[], None]
    cuts: int = 0  # that may still come


class Operator:
    """Runs one command after the other."""

    def __init__(self, simulation: "Simulation", random: Random) -> None:
        self.ended: Counter[str] = Counter()  # runs, by command and how each ended
        self._simulation = simulation
        self._random = random
        self._audiences = simulation.listed
        self._unfinished = 0  # commands
        self._sound: dict[tuple[Any, ...], Row] = {}  # damaged rows, as they were
        self._uncounted = Recounts()  # changes sent by a run that may not have counted them when it ends
        self._files = 0
        self._stated: dict[tuple[str, str], list[StatedChange]] = {}  # by audience and user of a queued change
        self._queued: set[tuple[tuple[str, str], str]] = set()  # changes of comparisons; a later run numbers them anew
        self._patches = ExitStack()

    def __enter__(self) -> Self:
        self._folder = Path(self._patches.enter_context(TemporaryDirectory()))
        os.environ["XDG_STATE_HOME"] = str(self._folder / "state")  # until the simulation ends
        sizes = dict.fromkeys(("FIRST_GROUP", "SMALLEST_GROUP", "LARGEST_GROUP"), GROUP) | {"IN_FLIGHT": IN_FLIGHT}
        for name, size in sizes.items():
            self._patches.enter_context(patch.object(change_sender, name, size))
        self._simulation.stack.queue("ChangeQueue").on_put.append(self._put)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._patches.close()

    @property
    def is_over(self) -> bool:
        """Whether every command has ended."""
        return not self._unfinished

    def may_run(self) -> None:
        """Begin one of the profile's commands, or not."""
        commands = self._simulation.profile.commands
        if commands and not self._unfinished and self._random.random() < OFTEN:
            listed = [each for each in self._audiences if each is not self._simulation.traffic.unlisted]
            {"import": self._import, "compare": self._compare}[self._random.choice(commands)](
                self._random.choice(listed)
            )

    def perform(self, acts: Sequence[str], then: Callable[[], None]) -> None:
        """Do what begins a phase, and go on: at once, or when an audience is unlinked or linked."""
        if not acts:
            then()
            return
        act, left = acts[0], partial(self.perform, acts[1:], then)
        match act:
            case "unlink" | "link":
                self._when(
                    lambda: not (self._unfinished or self._simulation.waiting_requests),
                    partial(self._change_list, act, left),
                )
            case "lose":
                self._lose()
                left()
            case "damage" | "mend":
                self._damage() if act == "damage" else self._mend()
                left()
            case "restore":
                self._when(lambda: not self._unfinished, self._restore)
                left()
            case _:
                raise AssertionError(act)

    # Files

    def _import(self, audience: Audience) -> None:
        """Import a file of rows that enter, some without what they need and some that deny consent; or that leave."""
        exits = self._random.random() < 0.25
        rows = [*self._simulation.traffic.rows(audience, self._random.randint(4, 16), is_in=not exits)]
        path, at = self._file([(*row, *self._consent(exits=exits)) for row in rows])
        for number, (user, email, *signals) in enumerate(self._read(path), start=1):
            self._state_row(audience, at, f"import-{self._files}-{number:05d}", (user, email, *signals), exits=exits)

        def run(session: Session) -> None:
            resume = any(self._folder.glob("state/audience-sync/imports/*.json"))
            options = ImportOptions(exits=exits, resume=resume, include_erased=not exits)
            import_members(session, str(path), audience.audience_id, options)

        self._begin(_Command("import", run, self._complete, self._random.randint(0, MAX_CUTS)))

    def _state_row(self, audience: Audience, at: int, message_id: str, row: tuple[str, ...], *, exits: bool) -> None:
        user, email, *signals = row
        place = (audience.audience_id, user)
        if exits:
            stated = [StatedChange(place, Version(at, True, message_id), frozenset())]
        elif "DENIED" in signals:
            place = (EVERY_AUDIENCE, user)
            _, stated = deletion_notice(user, at, message_id)
        elif email and (signals[0] or api_of(audience.destination) is Api.AUDIENCES):
            stated = [StatedChange(place, Version(at, False, message_id), frozenset([identity_of(email)]))]
        else:  # left out
            return
        self._simulation.traffic.state(stated)
        self._stated.setdefault(place, []).extend(stated)

    def _consent(self, *, exits: bool) -> tuple[str, str]:
        chance = self._random.random()
        if exits or chance < 0.04:
            return "", ""
        if chance < 0.04 + self._simulation.profile.denials / 10:
            return "DENIED", CONSENT["amznAdStorage"]
        return CONSENT["amznUserData"], CONSENT["amznAdStorage"]

    def _compare(self, audience: Audience) -> None:
        """Repair an audience by a file that lacks some who are in, and has some who are not."""
        traffic = self._simulation.traffic
        known = [each for each in traffic.members(audience) if self._random.random() < 0.7]
        rows = [(user, email) for user, emails in known for email in emails[-2:]]
        rows += traffic.rows(audience, self._random.randint(1, 4), is_in=True)
        stranger = (f"compared_{self._files}", f"compared{self._files}@example.com")
        signals = [self._consent(exits=False) for _ in rows]
        granted = (CONSENT["amznUserData"], CONSENT["amznAdStorage"])
        path, at = self._file([*(row + each for row, each in zip(rows, signals, strict=True)), stranger + granted])
        self._state_row(audience, at, "compare", stranger + granted, exits=False)

        def run(session: Session) -> None:
            options = RepairOptions(repair="missing,surplus,denied")
            compare(session, str(path), audience.audience_id, options=options)

        self._begin(_Command("compare", run, self._complete, self._random.randint(0, MAX_CUTS)))

    def _file(self, rows: Sequence[tuple[str, ...]]) -> tuple[Path, int]:
        """Write a file; return it with the time at which it was written, in epoch milliseconds."""
        self._files += 1
        path = self._folder / f"members-{self._files}.csv"
        with path.open("w", newline="") as stream:
            csv.writer(stream).writerows([HEAD, *rows])
        at = self._simulation.clock.milliseconds() - self._random.randint(0, self._random.choice(FILE_AGES))
        os.utime(path, ns=(at * 1_000_000, at * 1_000_000))
        return path, MemberFile.named(str(path)).written_at() or 0

    @staticmethod
    def _read(path: Path) -> list[list[str]]:
        with path.open(newline="") as stream:
            return [*csv.reader(stream)][1:]

    def _put(self, message: SqsMessage) -> None:
        """Note when what a command states is in the queue; of a comparison, write it down now."""
        if '"import-' not in message.body and '"compare-' not in message.body:
            return
        body = json.loads(message.body)
        self._uncounted.add([message.body])
        for change in body["changes"] if isinstance(body.get("changes"), list) else ():
            place, message_id = (body["audienceId"], change["record"]["externalUserId"]), change["id"]
            stated = self._stated.get(place, [])
            if not stated and message_id.startswith("compare-") and (place, message_id) not in self._queued:
                self._queued.add((place, message_id))
                version = Version(change["at"], change["record"]["action"] == "DELETE", message_id)
                stated = [StatedChange(place, version, frozenset(map(as_identity, change["record"]["hashedPII"])))]
                self._simulation.traffic.state(stated)
            for each in stated:
                self._simulation.accepted_at.setdefault(each, self._simulation.clock.now)
                self._simulation.last_accepted[each.member] = self._simulation.clock.now

    def _complete(self) -> None:
        """Count what a complete command has stated as accepted, even if it is not in the queue: then it is lost."""
        for each in [change for changes in self._stated.values() for change in changes]:
            self._simulation.accepted_at.setdefault(each, self._simulation.clock.now)
            self._simulation.last_accepted.setdefault(each.member, self._simulation.clock.now)
        self._stated.clear()

    # The list of audiences

    def _change_list(self, act: str, then: Callable[[], None]) -> None:
        simulation = self._simulation
        audience = self._audiences[simulation.seed % len(self._audiences)]

        def unlink(session: Session) -> None:
            with suppress(NotThere):  # a run before has done so
                take_off_list(session, find(session, audience.audience_id))

        def link(session: Session) -> None:
            session.audiences.put(replace(audience, settings={}), created=0)
            queue_due_exits(session, audience)

        def listed() -> None:
            simulation.traffic.unlisted = audience if act == "unlink" else None
            then()

        on_end = partial(simulation.schedule.after, LISTING, listed)
        self._begin(_Command(act, unlink if act == "unlink" else link, on_end))

    # A table that has lost rows

    def _lose(self) -> None:
        """Copy the membership table, and lose some of its rows."""
        members = self._simulation.stack.members
        self._simulation.stack.copy_members(COPY)
        for key in [key for key in sorted(members.rows) if not key[0].startswith("#")]:
            if self._random.random() < LOST:
                members.put(None, key)
                self._simulation.amazon.datasets.forgotten.add((key[0].partition("#")[0], key[1]))

    def _damage(self) -> None:
        """Let some rows have other content than the product writes."""
        members = self._simulation.stack.members
        for key, row in [each for each in sorted(members.rows.items()) if "member" in each[1]]:
            if self._random.random() < DAMAGED:
                self._sound[key] = row
                members.put(row | {"member": {"B": UNREADABLE}}, key)

    def _mend(self) -> None:
        """Put back the rows that are still damaged: a worker that had read one before may have written it."""
        members = self._simulation.stack.members
        for key, row in self._sound.items():
            if members.rows[key]["member"] == {"B": UNREADABLE}:
                members.put(row, key)

    def _restore(self) -> None:
        """Copy the lost rows back, while delivery is paused."""
        functions = self._simulation.functions
        functions.pause("WorkerFunction", is_paused=True)
        run = partial(restore_members, source_table=COPY, since="1d")

        def resume() -> None:
            functions.pause("WorkerFunction", is_paused=False)
            self._simulation.amazon.datasets.forgotten.clear()

        command = _Command("restore-members", run, resume, self._random.randint(0, MAX_CUTS))
        self._unfinished += 1
        self._when(lambda: not functions.is_running("WorkerFunction"), partial(self._start, command))

    # Runs

    def _when(self, may_begin: Callable[[], bool], act: Callable[[], None]) -> None:
        if may_begin():
            act()
        else:
            self._simulation.schedule.after(WAIT, partial(self._when, may_begin, act))

    def _begin(self, command: _Command) -> None:
        self._unfinished += 1
        self._start(command)

    def _start(self, command: _Command) -> None:
        session = self._session(partial(self._show, command))
        self._uncounted = Recounts()

        def run(_event: dict[str, Any], _context: Any) -> dict[str, Any]:
            try:
                command.run(session)
            except KeyboardInterrupt:
                return {"outcome": "interrupted"}
            except AudienceSyncError as error:
                return {"outcome": type(error).__name__}
            return {"outcome": "done"}

        self._simulation.functions.run("Operator", run, partial(self._run_ended, command))

    def _run_ended(self, command: _Command, invocation: Invocation) -> None:
        outcome = (invocation.answer or {"outcome": "killed"})["outcome"]
        self.ended[f"{command.name}: {outcome}"] += 1
        if outcome != "done":
            self._simulation.network.recounts.changes += self._uncounted.changes
        if outcome == "done" or invocation.failure:  # a crash is a finding, and would come back
            self._unfinished -= 1
            command.on_end()
        else:
            self._simulation.schedule.after(self._random.uniform(*AGAIN), partial(self._start, command))

    def _show(self, command: _Command, _steps: int) -> None:
        """Let time pass while progress is shown; the run may end there."""
        if self._random.random() < 0.5:
            time.sleep(self._random.uniform(0.0, LONGEST_STEP))
        if command.cuts and self._random.random() < CUT:
            command.cuts -= 1
            invocation = current()
            assert invocation is not None
            if self._random.random() < 0.5:
                raise KeyboardInterrupt
            invocation.is_killed = True
            raise Killed

    def _session(self, show: Callable[[int], None]) -> Session:
        simulation = self._simulation
        names = {name: simulation.stack.ref(name) for name in _NAMES}
        stack = Stack("soak", self._client, "https://api.simulated", HOSTS["NA"], {}, 0.0, _names=names)
        session = Session(_Terminal(show), lambda: stack, simulation.clock.time, time.sleep)
        session.log = _NoLog()  # type: ignore[assignment]
        return session

    def _client(self, service: str) -> Any:
        simulation = self._simulation
        return simulation.cloudwatch if service == "cloudwatch" else simulation.stack.client(service, config=CALLS)


def _ignore(*_: Any) -> None:
    return None
