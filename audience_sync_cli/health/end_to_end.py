"""`audience-sync test --end-to-end`: a made-up member enters and exits an audience; both are followed to Amazon."""

import json
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from audience_sync.members.membership import Audience, Destination
from audience_sync_cli.audiences.creation import CREATE_WAIT, use_case
from audience_sync_cli.audiences.datasets import is_dataset
from audience_sync_cli.audiences.datasets import use_case as datasets
from audience_sync_cli.audiences.listed import find, same_key
from audience_sync_cli.audiences.presentation import target_label
from audience_sync_cli.errors import NotThere, WrongUsage
from audience_sync_cli.members.erasing import queue_deletion_notices
from audience_sync_cli.session import Session
from audience_sync_cli.watch.posting import stated
from audience_sync_cli.watch.samples import sample
from audience_sync_cli.watch.sent import Sent

KEPT_NAME, KEPT_ID = "Audience Sync test", "audience-sync-test"  # name and external id of the audience kept for tests


class WholeWay:
    """One test: an enter, an exit, and the result of each."""

    def __init__(self, session: Session, audience: str, timeout: float, sleep: Callable[[float], None]) -> None:
        """Prepare a test of this audience, or of the one kept for tests. `timeout` holds for enter and exit each."""
        self.sent: dict[str, Sent] = {}  # "entered" and "left"
        self._session = session
        self._audience = audience
        self._timeout = timeout
        self._sleep = sleep
        self._member = f"audience-sync-test-{uuid4().hex[:8]}"  # new each time, so that no row exists for it
        self._target: Audience | None = None

    def run(self) -> None:
        """Send the enter and the exit, and erase the member in any case.

        Raises:
            OperatorError: there is no audience for the test, or the stack does not accept the event.
            NotConfirmed: the operator does not want an audience created.
        """
        session = self._session
        self._target = target = find(session, self._audience) if self._audience else kept_audience(session)
        with session.log.line("test --end-to-end", audienceId=target.audience_id):
            self._enter_and_exit(target)
        self._report()

    def _enter_and_exit(self, target: Audience) -> None:
        session, members = self._session, set[str]()
        name = target.name or target.audience_id
        try:
            for label, what, enters in (("entered", "enters", True), ("left", "exits", False)):
                session.screen.say(f"\n{self._member} {what} {name}", style="bold")
                body = self._body(target, enters=enters)
                # Custom mappings may give the member another id.
                members |= {change.member[1] for change in stated(session, body).changes}
                earlier = {job for sent in self.sent.values() for job in sent.jobs}
                self.sent[label] = sent = Sent.post(session, body)
                sent.follow(self._timeout, self._sleep, earlier)
                if not sent.is_good:
                    break
        finally:
            if self._is_kept_of:
                for member in members:
                    queue_deletion_notices(session, [member])

    def as_json(self) -> dict[str, Any]:
        """The test for scripts."""
        return {
            "ok": self.is_good,
            "audienceId": self._target.audience_id if self._target else None,
            "member": self._member,
            **{name: self.sent[name].as_json() if name in self.sent else None for name in ("entered", "left")},
        }

    @property
    def is_good(self) -> bool:
        """Whether the member has entered and left at Amazon."""
        return len(self.sent) == 2 and all(sent.is_good for sent in self.sent.values())

    @property
    def _is_kept_of(self) -> bool:
        """Whether anything is stored of the member. Without OrderingGuard, a deletion notice would be parked."""
        is_guarded = self._session.stack.keeps_rows
        return is_guarded and any(sent.is_accepted for sent in self.sent.values())

    def raise_unless_good(self) -> None:
        """Set the exit code. Raises AlreadyReported, ReportedAsUnfinished."""
        for sent in self.sent.values():
            sent.raise_unless_good()

    def _body(self, target: Audience, *, enters: bool) -> bytes:
        message_id = f"audience-sync-{uuid4().hex}"
        at = self._session.now()
        others = same_key(target, self._session.audiences.all())
        event = sample("track", target, others, enters=enters, at=at, message_id=message_id, member=self._member)
        return json.dumps(event, ensure_ascii=False).encode()

    def _report(self) -> None:
        screen = self._session.screen
        if self.is_good:
            has_jobs = self._target is not None and not is_dataset(self._target)
            what = "the member has entered and left at Amazon" if has_jobs else "Amazon has accepted both changes"
            screen.say(f"\nThe whole way works: {what}.", style="green")
        else:
            screen.say("\nThe test got stuck: see the last lines above.", style="red")
        if self._is_kept_of:
            screen.say(f"{self._member} is being erased.")


def kept_audience(session: Session) -> Audience:
    """Return the audience kept for tests; create it if the operator agrees.

    Raises:
        NotThere, WrongUsage: it cannot be created without more options.
        NotConfirmed: the operator does not agree.
    """
    listed = session.audiences.all()
    found = [each for each in listed if each.external_audience_id == KEPT_ID]
    if found:
        return found[0]
    create = f'Or create one: `audience-sync audiences create "{KEPT_NAME}" --external-id {KEPT_ID} ...`.'
    if not listed:
        raise NotThere(
            "There is no listed audience to test with.", f"Link one with `audience-sync audiences link`. {create}"
        )
    destinations = {each.destination for each in listed}
    if len(destinations) > 1 or destinations == {Destination()}:
        raise WrongUsage(
            "The listed audiences do not share one target.", f"Choose an audience with --audience. {create}"
        )
    model = listed[0]
    session.screen.confirm(
        f'Create the audience "{KEPT_NAME}" at Amazon, for {target_label(model)}? It stays, empty, for the next test.'
    )
    extras = {
        "audienceName": KEPT_NAME,
        **model.destination.fields,
        "countryCode": next((each.country for each in listed if each.country), "US"),
        "externalAudienceId": KEPT_ID,
    }
    creating = datasets if is_dataset(model) else use_case
    with session.log.line("audiences create") as line, session.screen.progress("creating"):
        made = creating(session).create(extras, deadline=time.monotonic() + CREATE_WAIT)
        line["audienceId"] = made.audience_id
        return made.listed
