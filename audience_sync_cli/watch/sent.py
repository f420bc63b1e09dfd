"""A request that was posted to the stack, and its result so far: printed on the way, and for scripts."""

from collections.abc import Callable, Collection
from math import ceil
from typing import TYPE_CHECKING, Any, Self

from audience_sync.aws.audience_listing import MAX_AGE
from audience_sync_cli.frame.errors import AlreadyReported, ReportedAsUnfinished
from audience_sync_cli.frame.reasons import rejection_table
from audience_sync_cli.frame.screen import counted
from audience_sync_cli.frame.session import Session
from audience_sync_cli.stack.blockers import Blocker
from audience_sync_cli.stack.counts import depth
from audience_sync_cli.stack.mapping_store import read
from audience_sync_cli.watch.following import Following
from audience_sync_cli.watch.hops import Hop
from audience_sync_cli.watch.posting import QUEUED, Answer, post, stated
from audience_sync_cli.watch.ways import Posted

if TYPE_CHECKING:
    from audience_sync_cli.stack.settling import End


class Sent:
    """A request that was posted, and its result so far."""

    def __init__(self, session: Session, body: bytes, posted_at: float, answer: Answer) -> None:
        self.ends: list[End] = []
        self._session = session
        self._body = body
        self._posted_at = posted_at
        self._answer = answer
        self._hops: list[Hop] = []
        self._blockers: dict[str, Blocker] = {}

    @classmethod
    def post(cls, session: Session, body: bytes) -> Self:
        """Post a body and print the stack's answer. Raises OperatorError, TryLater."""
        posted_at = session.now()
        sent = cls(session, body, posted_at, post(session, body))
        sent._report_answer()
        return sent

    @property
    def accepted(self) -> int:
        """Accepted events of the request."""
        return int(self._answer.counts["accepted"])

    @property
    def is_accepted(self) -> bool:
        """Whether any event of the request was accepted."""
        return self.accepted > 0

    def _report_answer(self) -> None:
        status, counts, screen = self._answer.status, self._answer.counts, self._session.screen
        where = "in the event queue" if status == QUEUED else status
        text = f"{where}: {counts['accepted']} accepted, {counts['ignored']} ignored, {counts['rejected']} rejected"
        text += f"; {denials} of the accepted with consent denied" if (denials := counts["consentDenied"]) else ""
        partly = counted(counts["partlyRejected"], "rejection")
        text += f"; {partly} by single audiences of the accepted" if counts["partlyRejected"] else ""
        self._on_hop(Hop("answer", self._answer.seconds, text, {"status": status}))
        if counts["ignored"]:
            screen.say("Ignored: the event states no membership, or no enabled trigger matches.", style="yellow")
            screen.say("Find out which with `audience-sync mappings try FILE --explain`.")
        if counts["rejections"]:
            screen.table(*rejection_table(counts["rejections"]))

    @property
    def jobs(self) -> set[str]:
        """The jobs of its changes."""
        return {str(hop.facts["jobId"]) for hop in self._hops if "jobId" in hop.facts}

    def follow(self, timeout: float, sleep: Callable[[float], None], earlier_jobs: Collection[str] = ()) -> None:
        """Follow the changes of the request, if any, for `timeout` seconds, and print each hop.

        `earlier_jobs` are ids of jobs known to be of other changes.
        """
        self._note_new_mappings()
        if not self.is_accepted:
            return
        session = self._session
        changes = stated(session, self._body).changes
        waiting = depth(session.stack, "ChangeQueue").total
        text = f"{counted(len(changes), 'change')} queued; the change queue holds {counted(waiting, 'message')}"
        self._on_hop(
            Hop("queue", session.now() - self._posted_at, text, {"changes": len(changes), "messages": waiting})
        )
        following = Following(
            session,
            changes,
            posted=Posted(self._posted_at, self._answer.ahead, earlier_jobs),
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

    def _note_new_mappings(self) -> None:
        """Print a note if mappings were stored so recently that ingest may have used the version before."""
        newest = next(iter(read(self._session).history), None)
        age = self._posted_at - newest.applied_at / 1000 if newest and newest.applied_at else MAX_AGE
        if newest and 0 <= age < MAX_AGE:
            self._session.screen.note(
                f"Version {newest.number} of the mappings was stored {counted(round(age), 'second')} ago: ingest may "
                f"have used the version before. Send the event again in {counted(ceil(MAX_AGE - age), 'second')}.",
                style="yellow",
            )

    def as_json(self) -> dict[str, Any]:
        """Everything for scripts."""
        return {
            "status": self._answer.status,
            **self._answer.counts,
            "hops": [each.as_json() for each in self._hops],
            "blockers": [each.as_json() for each in self._blockers.values()],
            "ends": [each.as_json() for each in self.ends],
        }

    @property
    def is_good(self) -> bool:
        """Whether every event was accepted, by all its audiences, and every followed change ended well."""
        return not self._is_rejected and self.is_accepted and all(end.is_good for end in self.ends)

    @property
    def _is_rejected(self) -> bool:
        return bool(self._answer.counts["rejected"] or self._answer.counts["partlyRejected"])

    def raise_unless_good(self) -> None:
        """Raise AlreadyReported if anything is rejected, parked or blocked, ReportedAsUnfinished if it is under way."""
        left = [end for end in self.ends if not end.is_good]
        if self._is_rejected or any(end.ending != "timeout" for end in left):
            raise AlreadyReported
        if left:
            raise ReportedAsUnfinished

    def _on_hop(self, hop: Hop) -> None:
        self._hops.append(hop)
        self._session.screen.say(hop.line)

    def _on_blocker(self, blocker: Blocker) -> None:
        self._blockers[blocker.reason] = blocker
        self._session.screen.say(blocker.text, style="yellow")
