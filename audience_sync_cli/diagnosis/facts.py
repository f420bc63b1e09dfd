"""What is known of one audience and of its stack, and the result of a check of it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from audience_sync.amazon_ads.audience import AudienceReport
from audience_sync.amazon_ads.job import Sizes
from audience_sync.errors import AudienceSyncError
from audience_sync.membership import Audience
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
    found: str  # one sentence or two
    next: str = ""  # the command that comes next; empty where nothing is to do


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known. A field that could not be read keeps its default, and `unread` says why."""

    now: float  # epoch seconds
    days: int  # how far counts go back
    audience: Audience  # nothing but the id, as typed, where it is not listed
    events_url: str = ""  # that Segment sends to
    is_listed: bool = True  # in the audience table
    similar: str = ""  # the question whether a similar audience was meant, where it is not listed
    parts: Mapping[str, Part] = field(default_factory=dict)  # findings of `audience-sync test`, by part
    delivers: bool = True  # parameter Enabled
    is_recorded: bool = True  # parameter OrderingGuard; otherwise there are no rows of members
    traffic: Traffic = field(default_factory=Traffic)
    rejections: Mapping[str, int] = field(default_factory=dict)  # events by reason, of all audiences
    blockers: Sequence[Blocker] = ()  # why changes of this audience wait, unless Amazon is not connected
    queued: int = 0  # messages in the change queue, of all audiences
    parked: Mapping[str, int] = field(default_factory=dict)  # dead letters of this audience, by reason
    members: MemberCount | None = None  # None where they were not counted
    report: AudienceReport | AudienceSyncError | None = None  # Amazon's, or why it gives none
    connections: frozenset[str] = frozenset()  # ids at Amazon; read only where the audience has one
    terms_accepted: bool = True  # of AMC; read only where the audience has a connection
    lowest_processed: float | None = None  # percent of its records that the worst recent job processed
    unread: Mapping[str, OperatorError] = field(default_factory=dict)  # by field

    @property
    def name(self) -> str:
        """The audience as a command takes it."""
        return self.audience.computation_key or self.audience.audience_id

    @property
    def sizes(self) -> Sizes:
        """The sizes that Amazon reports; all unknown where it reports none."""
        return self.report.sizes if isinstance(self.report, AudienceReport) else Sizes()

    @property
    def period(self) -> str:
        """How far counts go back, for a sentence."""
        return f"in the last {counted(self.days, 'day')}"
