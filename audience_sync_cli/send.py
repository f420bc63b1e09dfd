"""`audience-sync send`: post an event as Segment does, and follow it to the end of its job at Amazon."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import typer

from audience_sync.membership import Audience
from audience_sync_cli.audiences import find
from audience_sync_cli.blockers import Blocker
from audience_sync_cli.errors import AlreadyReported, NotThere, ReportedAsUnfinished, WrongUsage
from audience_sync_cli.following import Following
from audience_sync_cli.hops import End, Hop
from audience_sync_cli.posting import Answer, post, stated
from audience_sync_cli.samples import MEMBER, SAMPLES, sample
from audience_sync_cli.screen import counted
from audience_sync_cli.session import Session, command
from audience_sync_cli.status import depth

TIMEOUT = 1_200  # seconds; Amazon's jobs usually end within 15 minutes


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "send")(send)


def send(
    session: Session,
    file: Annotated[
        Path | None,
        typer.Argument(help="A request body from Segment: an event, or an array of them.", exists=True, dir_okay=False),
    ] = None,
    sample_name: Annotated[
        str,
        typer.Option(
            "--sample", help=f"Send a sample event of a made-up person: {', '.join(SAMPLES)}.", metavar="NAME"
        ),
    ] = "",
    audience: Annotated[
        str,
        typer.Option(
            help="With --sample: the audience, by Amazon's id, computation key or external id. "
            "May be left out where one is listed.",
            metavar="ID",
        ),
    ] = "",
    exits: Annotated[bool, typer.Option("--exit", help="With --sample: the person exits the audience.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the event until Amazon has applied it.")] = False,
    timeout: Annotated[int, typer.Option(help="With --wait: seconds to follow it.", min=1)] = TIMEOUT,
) -> None:
    """Send an event to the stack as Segment does, and print the answer.

    With --wait, the event is followed: change queue, membership table, upload, job. Why it waits is printed, such as a
    pause, a missing token or an open circuit breaker. Exit code 1 when the event is rejected or parked, 5 when it is
    still on its way after the timeout.
    """
    if bool(file) == bool(sample_name):
        raise WrongUsage("There must be one event to send.", "Give either a FILE or --sample.")
    if file and (audience or exits):
        raise WrongUsage("A file says itself who enters or exits what.", "Use --audience and --exit with --sample.")
    body = file.read_bytes() if file else _sample_body(session, sample_name, audience, exits=exits)
    posted_at = session.now()
    answer = post(session, body)
    sent = Sent(session, answer)
    sent.report_answer()
    if wait and answer.accepted:
        sent.follow(body, posted_at, timeout, time.sleep)
    if sample_name and answer.accepted and not exits and all(end.is_good for end in sent.ends):
        session.screen.note(f"{MEMBER}, a made-up person, enters the audience. --exit removes it.")
    session.screen.result(sent.as_json())
    sent.raise_unless_good()


class Sent:
    """A request that was posted, and what has become of it."""

    def __init__(self, session: Session, answer: Answer) -> None:
        self.ends: list[End] = []
        self._session = session
        self._answer = answer
        self._hops: list[Hop] = []
        self._blockers: dict[str, Blocker] = {}

    def report_answer(self) -> None:
        """Print what the stack answered."""
        answer, screen = self._answer, self._session.screen
        text = f"{answer.status}: {answer.accepted} accepted, {answer.ignored} ignored, {answer.rejected} rejected"
        self._on_hop(Hop("answer", answer.seconds, text, {"status": answer.status}))
        if answer.ignored:
            screen.say(
                "Ignored: the event states no membership, or no enabled mapping's trigger holds.", style="yellow"
            )
        if answer.rejections:
            screen.table(
                ("event", "message", "reason", "detail"),
                [(each["index"], each["messageId"], each["reason"], each["detail"]) for each in answer.rejections],
            )

    def follow(self, body: bytes, posted_at: float, timeout: float, sleep: Callable[[float], None]) -> None:
        """Follow the changes of a body, and print each place that they reach.

        Args:
            body: as posted.
            posted_at: epoch seconds.
            timeout: seconds.
            sleep: takes seconds.
        """
        session = self._session
        changes = stated(session, body).changes
        waiting = depth(session.stack, "ChangeQueue").total
        text = f"{counted(len(changes), 'change')} queued; the change queue holds {counted(waiting, 'message')}"
        self._on_hop(Hop("queue", session.now() - posted_at, text, {"changes": len(changes), "messages": waiting}))
        following = Following(
            session,
            changes,
            posted_at=posted_at,
            ahead=self._answer.ahead,
            on_hop=self._on_hop,
            on_blocker=self._on_blocker,
            sleep=sleep,
        )
        with session.screen.progress(following.hint) as bar:
            self.ends = following.run(timeout, lambda: bar.describe(following.hint))
        for end in self.ends:
            session.screen.say(end.text, style="green" if end.is_good else "yellow")
            if end.remedy:
                session.screen.say(end.remedy)

    def as_json(self) -> dict[str, Any]:
        """Everything for scripts."""
        answer = self._answer
        return {
            "status": answer.status,
            "accepted": answer.accepted,
            "ignored": answer.ignored,
            "rejected": answer.rejected,
            "rejections": answer.rejections,
            "hops": [each.as_json() for each in self._hops],
            "blockers": [each.as_json() for each in self._blockers.values()],
            "ends": [each.as_json() for each in self.ends],
        }

    def raise_unless_good(self) -> None:
        """Set the exit code.

        Raises:
            AlreadyReported: an event is rejected, or a change parked, rejected or blocked.
            ReportedAsUnfinished: a change is still on its way.
        """
        left = [end for end in self.ends if not end.is_good]
        if self._answer.rejected or any(end.ending != "timeout" for end in left):
            raise AlreadyReported
        if left:
            raise ReportedAsUnfinished

    def _on_hop(self, hop: Hop) -> None:
        self._hops.append(hop)
        self._session.screen.say(hop.line)

    def _on_blocker(self, blocker: Blocker) -> None:
        self._blockers[blocker.reason] = blocker
        self._session.screen.say(f"waits: {blocker.text}", style="yellow")


def _sample_body(session: Session, name: str, audience: str, *, exits: bool) -> bytes:
    if name not in SAMPLES:
        raise WrongUsage("There is no such sample.", f"Give one of: {', '.join(SAMPLES)}.")
    target = find(session, audience) if audience else the_only_audience(session)
    event = sample(name, target, enters=not exits, at=session.now(), message_id=f"audience-sync-{uuid4().hex}")
    return json.dumps(event, ensure_ascii=False).encode()


def the_only_audience(session: Session) -> Audience:
    """Return the audience where one is listed. Raises NotThere, WrongUsage."""
    listed = session.audiences.all()
    if not listed:
        raise NotThere(
            "No audience is listed.", "Link one with `audiences link`, or create one with `audiences create`."
        )
    if len(listed) > 1:
        raise WrongUsage(f"{len(listed):,} audiences are listed.", "Name one with --audience.")
    return listed[0]
