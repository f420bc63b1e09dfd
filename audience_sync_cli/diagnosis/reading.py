"""Reads the facts about an audience: from the stack, its tables, queues and metrics, and from Amazon."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from audience_sync.amazon_ads.advertiser_audiences.audience import AudienceReport
from audience_sync.amazon_ads.destination import connection_of
from audience_sync.aws.cloudwatch import MetricStore
from audience_sync.clock import Clock
from audience_sync.errors import AccessDenied, AudienceSyncError, AuthorizationRefused, NotConnected, RequestRejected
from audience_sync.members.membership import Audience
from audience_sync.operations.dataset_reports import DatasetReport, read_report
from audience_sync.reasons import Reason
from audience_sync_cli.audiences.datasets import is_dataset
from audience_sync_cli.audiences.denial import denial
from audience_sync_cli.audiences.listed import find, similar
from audience_sync_cli.diagnosis.counts import RecentCounts
from audience_sync_cli.diagnosis.facts import Facts
from audience_sync_cli.errors import NotThere, OperatorError
from audience_sync_cli.explanation import explained
from audience_sync_cli.health.stack_checks import stack_findings
from audience_sync_cli.members.counts import MemberCount, member_counts
from audience_sync_cli.parked.peeking import peek
from audience_sync_cli.session import Session
from audience_sync_cli.state.blockers import Blocker, waiting
from audience_sync_cli.state.counts import depth

REPORT_TIMEOUT = 60.0  # seconds for all answers about a dataset
PARTS = ("ingest secret", "Amazon credentials", "access token", "mappings")  # checks of `test` that concern an audience


class _Reader:
    """Reads facts one by one: one that fails does not hide the others."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}
        self.unread: dict[str, OperatorError] = {}

    def take(self, field: str, source: Callable[[], Any]) -> None:
        try:
            self.facts[field] = source()
        except Exception as error:  # noqa: BLE001 - any error becomes this fact's value
            self.unread[field] = explained(error)


def read_facts(session: Session, name: str, *, days: int, counts_members: bool) -> Facts:
    """Read all facts that can explain an empty or small audience, found by Amazon's id, computation key or external id.

    CloudWatch lists no metrics from before 14 days. Counting the members reads all their rows.

    Raises:
        NotThere: there is no such stack.
        WrongUsage: several audiences have that key or external id.
    """
    is_recorded = session.stack.keeps_rows
    (known, similar), reader = _listed(session, name), _Reader()
    store = MetricStore(session.stack.service("cloudwatch"))
    counts = RecentCounts(store, session.stack.name, now=session.now(), days=days)
    with session.screen.progress("reading the stack and asking Amazon"):
        reader.take("parts", lambda: {each.part: each for each in stack_findings(session, PARTS)})
        reader.take("traffic", counts.traffic)
        reader.take("rejections", counts.rejections)
        reader.take("queued", lambda: depth(session.stack, "ChangeQueue").total)
        reader.take("blockers", lambda: _blockers(session, known))
        if known:
            reader.take("lowest_processed", lambda: counts.lowest_processed(known.audience_id))
            _ask_amazon(reader, session, known)
    if known:  # outside: each of these shows its own progress
        reader.take("parked", lambda: _parked(session, known.audience_id))
        if is_recorded and counts_members:
            reader.take("members", lambda: _members(session, known))
    return Facts(
        session.now(),
        days,
        known or Audience(name),
        f"{session.stack.api}/v1/events",
        is_listed=known is not None,
        similar=similar,
        delivers=session.stack.parameters.get("Enabled", "yes") == "yes",
        is_recorded=is_recorded,
        unread=reader.unread,
        **reader.facts,
    )


def _listed(session: Session, name: str) -> tuple[Audience | None, str]:
    """Return the audience, otherwise a suggestion of a similar one."""
    try:
        return find(session, name), ""
    except NotThere:
        return None, similar(name, session.audiences.all())


def _blockers(session: Session, known: Audience | None) -> list[Blocker]:
    """Return blockers of this audience or of all. A missing connection to Amazon has its own check."""
    why = waiting(session)
    if why.unknown and not why.blockers:
        raise OperatorError(why.unknown[0])
    own = [each for each in why.blockers if each.reason != Reason.NOT_CONNECTED]
    return [each for each in own if not each.audience_ids or (known and known.audience_id in each.audience_ids)]


def _ask_amazon(reader: _Reader, session: Session, known: Audience) -> None:
    reader.take("report", lambda: _report(session, known))
    if connection_of(known.destination):
        reader.take(
            "connections", lambda: frozenset(str(each.get("connectionId")) for each in session.amazon.connections())
        )
        reader.take("terms_accepted", lambda: session.amazon.terms().accepted)


def _report(session: Session, known: Audience) -> AudienceReport | DatasetReport | AudienceSyncError | OperatorError:
    try:
        if is_dataset(known):
            session.data_manager.dataset(known.audience_id)  # refused as a whole if it is unknown, or terms are missing
            clock = Clock(session.now)
            return read_report(
                session.data_manager, known.audience_id, clock, deadline=clock.monotonic() + REPORT_TIMEOUT
            )
        return session.amazon.read_audience(known.audience_id)
    except AccessDenied as refusal:
        return denial(session.data_manager) if is_dataset(known) else refusal
    except (RequestRejected, NotConnected, AuthorizationRefused) as refusal:  # a fact, like a report
        return refusal


def _parked(session: Session, audience_id: str) -> Mapping[str, int]:
    found, _ = peek(session, lambda message: message.audience_id == audience_id)
    return Counter(message.reason for message in found)


def _members(session: Session, known: Audience) -> MemberCount:
    with session.screen.progress("counting members") as bar:
        (count,) = member_counts(session.member_scan, [known], bar.advance)
    return count
