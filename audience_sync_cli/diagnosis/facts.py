"""Facts about one audience and its stack, and the result of a check. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from audience_sync.amazon_ads.advertiser_audiences.audience import AudienceReport
from audience_sync.amazon_ads.job import Sizes
from audience_sync.errors import AudienceSyncError
from audience_sync.members.membership import Audience
from audience_sync.operations.dataset_reports import DatasetReport
from audience_sync_cli.diagnosis.counts import Traffic
from audience_sync_cli.errors import OperatorError
from audience_sync_cli.health.stack_checks import Finding as Part
from audience_sync_cli.members.counts import MemberCount
from audience_sync_cli.screen import counted
from audience_sync_cli.state.blockers import Blocker

type State = Literal["ok", "look", "problem"]


class Result(NamedTuple):
    """The result of one check."""

    state: State
    found: str  # one or two sentences
    next: str = ""  # the next command; empty if there is nothing to do


@dataclass(frozen=True, slots=True)
class Facts:
    """Known facts. A field that could not be read keeps its default, and `unread` says why."""

    now: float  # epoch seconds
    days: int  # period of the counts
    audience: Audience  # only the id as typed, if it is not listed
    events_url: str = ""  # for Segment
    is_listed: bool = True  # in the audience table
    similar: str = ""  # suggestion of a similar audience, if it is not listed
    parts: Mapping[str, Part] = field(default_factory=dict)  # findings of `audience-sync test`, by part
    delivers: bool = True  # parameter Enabled
    is_recorded: bool = True  # parameter OrderingGuard; without it there are no member rows
    traffic: Traffic = field(default_factory=Traffic)
    rejections: Mapping[str, int] = field(default_factory=dict)  # events by reason, of all audiences
    blockers: Sequence[Blocker] = ()  # why changes of this audience wait, unless Amazon is not connected
    queued: int = 0  # messages in the change queue, of all audiences
    parked: Mapping[str, int] = field(default_factory=dict)  # dead letters of this audience, by reason
    members: MemberCount | None = None  # None if not counted
    report: AudienceReport | DatasetReport | AudienceSyncError | OperatorError | None = None  # or why there is none
    connections: frozenset[str] = frozenset()  # ids at Amazon; read only if the audience has one
    terms_accepted: bool = True  # of AMC; read only if the audience has a connection
    lowest_processed: float | None = None  # percent of its records that the worst recent job processed
    unread: Mapping[str, OperatorError] = field(default_factory=dict)  # by field

    @property
    def name(self) -> str:
        """The audience's name for commands."""
        return (None if self.audience.also else self.audience.computation_key) or self.audience.audience_id

    @property
    def sizes(self) -> Sizes:
        """The sizes that Amazon reports; all unknown if it reports none."""
        return self.report.sizes if isinstance(self.report, AudienceReport | DatasetReport) else Sizes()

    @property
    def match_rate(self) -> float | None:
        """The percentage of records that Amazon matches. A dataset's own: its matched records are rounded."""
        return self.report.match_rate if isinstance(self.report, DatasetReport) else self.sizes.match_rate

    @property
    def period(self) -> str:
        """The period of the counts, for a sentence."""
        return f"in the last {counted(self.days, 'day')}"
