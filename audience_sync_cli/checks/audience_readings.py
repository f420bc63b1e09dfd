"""Readings for the checks of an audience: from the stack, its tables, queues and metrics, and from Amazon."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Self

from audience_sync.amazon_ads.advertiser_audiences.audience import AudienceReport
from audience_sync.amazon_ads.job import Sizes
from audience_sync.aws.cloudwatch import MetricStore
from audience_sync.clock import Clock
from audience_sync.errors import AudienceSyncError, AuthorizationRefused, NotConnected, RequestRejected
from audience_sync.members.membership import Audience
from audience_sync.operations.audience_trends import SHRINK_PERCENT, Trend, trend_of
from audience_sync.operations.dataset_reports import DatasetReport, read_report
from audience_sync.reasons import Reason
from audience_sync.runtime import audience_history
from audience_sync_cli.checks.readings import Reading, StackReadings
from audience_sync_cli.frame.errors import NotThere, OperatorError
from audience_sync_cli.frame.screen import counted
from audience_sync_cli.frame.session import Session
from audience_sync_cli.frame.times import DAY
from audience_sync_cli.stack.blockers import Blocker
from audience_sync_cli.stack.dataset_facts import is_dataset
from audience_sync_cli.stack.denial import explaining_denial
from audience_sync_cli.stack.listed import find, similar
from audience_sync_cli.stack.member_counts import MemberCount, member_counts
from audience_sync_cli.stack.peeking import peek
from audience_sync_cli.stack.stack_metrics import StackMetrics, Traffic

REPORT_TIMEOUT = 60.0  # seconds for all answers about a dataset
type Described = AudienceReport | DatasetReport | AudienceSyncError | OperatorError  # or why Amazon describes nothing


class AudienceReadings(StackReadings):
    """Readings for the checks of an audience."""

    def __init__(
        self,
        session: Session,
        audience: Audience,
        days: int,
        *,
        is_listed: bool = True,
        similar: str = "",
        known: Mapping[str, Any] | None = None,
    ) -> None:
        """Look back on some days; CloudWatch lists no metrics from before 14 days.

        Of an audience that is not listed, only the id as typed is given, and a suggestion of a `similar` one.
        """
        super().__init__(session, known)
        self.audience = audience
        self.days = days
        self.is_listed = is_listed
        self.similar = similar

    @classmethod
    def of(cls, session: Session, name: str, days: int, *, counts_members: bool) -> Self:
        """Find an audience by Amazon's id, computation key or external id. Counting its members reads all their rows.

        Raises:
            NotThere: there is no such stack.
            WrongUsage: several audiences have that key or external id.
        """
        uncounted = {} if counts_members else {"members": None}
        try:
            return cls(session, find(session, name), days, known=uncounted)
        except NotThere:
            suggestion = similar(name, session.audiences.all())
        return cls(session, Audience(name), days, is_listed=False, similar=suggestion, known={"members": None})

    @property
    def name(self) -> str:
        """The audience's name for commands."""
        return (None if self.audience.also else self.audience.computation_key) or self.audience.audience_id

    @property
    def period(self) -> str:
        """The period of the counts, for a sentence."""
        return f"in the last {counted(self.days, 'day')}"

    @property
    def described(self) -> AudienceReport | DatasetReport | None:
        """Amazon's report; None if Amazon does not describe the audience."""
        return self.report if isinstance(self.report, AudienceReport | DatasetReport) else None

    @property
    def sizes(self) -> Sizes:
        """The sizes that Amazon reports; all unknown if it reports none."""
        return self.described.sizes if self.described else Sizes()

    @property
    def match_rate(self) -> float | None:
        """The percentage of records that Amazon matches. A dataset's own: its matched records are rounded."""
        return self.described.match_rate if isinstance(self.described, DatasetReport) else self.sizes.match_rate

    @Reading
    def events_url(self) -> str:
        """The address for Segment."""
        return self.session.stack.events_url or str(self.session.stack.event_queue)

    @Reading
    def delivers(self) -> bool:
        """The parameter Enabled."""
        return self.session.stack.parameters.get("Enabled", "yes") == "yes"

    @Reading
    def traffic(self) -> Traffic:
        """Counts of events, requests and uploads."""
        return Traffic.read(StackMetrics(self.session.stack), self.now, self.days)

    @Reading
    def rejections(self) -> Mapping[str, int]:
        """Rejected events by reason, of all audiences."""
        since = self.now - self.days * DAY
        return StackMetrics(self.session.stack).rejected_by_reason(since, self.now + 60)

    @Reading
    def blockers(self) -> Sequence[Blocker]:
        """Blockers of this audience or of all. A missing connection to Amazon has its own check."""
        why = self.waiting
        if why.unknown and not why.blockers:
            raise OperatorError(why.unknown[0])
        own = [each for each in why.blockers if each.reason != Reason.NOT_CONNECTED]
        audience_id = self.audience.audience_id
        return [each for each in own if not each.audience_ids or (self.is_listed and audience_id in each.audience_ids)]

    @Reading
    def parked(self) -> Mapping[str, int]:
        """Dead letters of this audience, by reason."""
        found, _ = peek(self.session, lambda message: message.audience_id == self.audience.audience_id)
        return Counter(message.reason for message in found)

    @Reading
    def members(self) -> MemberCount | None:
        """The members in the membership table; None if they are not counted."""
        with self.session.screen.progress("counting members") as bar:
            (count,) = member_counts(self.session.member_scan, [self.audience], bar.advance)
        return count

    @Reading
    def lowest_processed(self) -> float | None:
        """The lowest percentage of its records that a job of the audience processed; None if no job ended."""
        since = self.now - self.days * DAY
        return StackMetrics(self.session.stack).lowest_processed(self.audience.audience_id, since, self.now + 60)

    @Reading
    def trend(self) -> Trend:
        """The audience's state against its own last weeks, as the audit compares it once a day."""
        stack, audience = self.session.stack, self.audience
        store = MetricStore(stack.service("cloudwatch"))
        history = audience_history.read(store, stack.name, [audience], self.now)[audience.audience_id]
        shrink_percent = float(stack.parameters.get("ShrinkPercent", SHRINK_PERCENT))  # an older stack has none
        return trend_of(history, audience_history.last_day(self.now), shrink_percent)

    @Reading
    def connections(self) -> frozenset[str]:
        """The ids of connections at Amazon."""
        return frozenset(str(each.get("connectionId")) for each in self.session.amazon.connections())

    @Reading
    def terms_accepted(self) -> bool:
        """Whether the terms of AMC are accepted."""
        return self.session.amazon.terms().accepted

    @Reading
    def report(self) -> Described | None:
        """Amazon's report on the audience, or why there is none; None if the audience is not listed."""
        if not self.is_listed:
            return None
        try:
            return self._dataset_report() if is_dataset(self.audience) else self._audience_report()
        except (RequestRejected, NotConnected, AuthorizationRefused) as refusal:  # a fact, like a report
            return refusal

    def _audience_report(self) -> AudienceReport:
        return self.session.amazon.read_audience(self.audience.audience_id)

    def _dataset_report(self) -> DatasetReport | OperatorError:
        manager, audience_id = self.session.data_manager, self.audience.audience_id
        clock = Clock(self.session.now)
        try:
            with explaining_denial(self.session):
                manager.dataset(audience_id)  # refused as a whole if it is unknown, or terms or data room are missing
                return read_report(manager, audience_id, clock, deadline=clock.monotonic() + REPORT_TIMEOUT)
        except OperatorError as missing:
            return missing
