"""What goes wrong in a simulation, and how often: a profile for each kind of trouble, and one with all of them."""

from dataclasses import dataclass, field, replace

JOB_SECONDS = 900.0  # as in the template: Amazon normally ends a job within this time
LONGEST_JOB = 72_000.0  # seconds; twenty hours
EFFECTIVE = 7200.0  # seconds; as in the template: Amazon applies an upload to a dataset within this time
LATE_ARRIVAL = 60.0  # seconds after a lost answer within which a request may still arrive at Amazon


@dataclass(frozen=True, slots=True)
class Rates:
    """How the calls of one kind end, as shares of all; the rest succeeds."""

    refused: float = 0.0  # not applied, and the client knows at once
    lost: float = 0.0  # applied, but the answer is lost
    late: float = 0.0  # the client gives up, and then it is applied
    hang: float = 0.0  # not applied, and the client waits until its timeout

    @property
    def total(self) -> float:
        """The share of calls that do not simply succeed."""
        return self.refused + self.lost + self.late + self.hang


@dataclass(frozen=True, slots=True)
class Refusals:
    """How often Amazon refuses requests, as shares of all."""

    throttled: float = 0.0  # 429
    unavailable: float = 0.0  # 5xx
    token: float = 0.0  # all tokens are revoked
    login: float = 0.0  # the login fails
    record: float = 0.0  # share of the identities that Amazon refuses with 400
    repeated: float = 0.0  # 5xx, of the uploads that enter or remove a member with identities all sent so before


@dataclass(frozen=True, slots=True)
class Jobs:
    """How jobs end, as shares of all."""

    failed: float = 0.0
    rejected: float = 0.0  # of the records of a job that has not failed
    late: float = 0.0
    late_seconds: tuple[float, float] = (JOB_SECONDS, 3 * JOB_SECONDS)  # how long the late ones take, from and to
    hours: float = 0.0  # share of the late ones that take up to LONGEST_JOB instead
    unknown: float = 0.0  # Amazon does not know them any more some time after their end


NONE = Rates()


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the events."""

    pause: float = 0.0  # seconds before it
    notices: float = 0.08  # and denials, as a share of its events
    exits: float = 0.42  # plain ones, likewise, of members who are in. 1: only they are concerned; 0: only others
    fails: tuple[str, ...] = ()  # one of these fails altogether until the next phase: see Simulation.fail
    acts: tuple[str, ...] = ()  # of an operator at its beginning: see Operator.perform


@dataclass(frozen=True, slots=True)
class Profile:
    """What goes wrong."""

    name: str
    datasets: int = 0  # of the audiences, the last ones; the others belong to the audience API
    shared_key: bool = False  # the last audience shares the computation key of the first
    queues: Rates = NONE
    job_queue: Rates = NONE  # sending to it
    tables: Rates = NONE
    circuit_store: Rates = NONE  # writing the state of the circuit breakers
    secrets: Rates = NONE
    uploads: Rates = NONE
    checks: Rates = NONE  # of jobs, and logins
    partly: float = 0.0  # share of the entries, statements and keys of a batch that fail by themselves
    refusals: Refusals = field(default_factory=Refusals)
    jobs: Jobs = field(default_factory=Jobs)
    outages: tuple[
        str, ...
    ] = ()  # what fails altogether, for minutes: "uploads", "circuit_store", "job_queue", "tables"
    longest_outage: float = 900.0  # seconds
    kills: float = 0.0  # for each call
    duplicates: float = 0.0  # messages delivered to several consumers, and requests sent twice
    copies: int = 2  # deliveries of such a message
    batch_size: int = 0  # messages that the worker takes at once, without a batching window; 0: as in the template
    clock_offset: float = 0.0  # seconds by which the clock of an execution environment is fast or slow, at most
    delay: float = 2.0  # seconds; the longest that a request takes to arrive
    denials: float = 0.0  # of consent, as a share of the deletion notices in place of which they are sent
    old_events: float = 0.0  # share of events that are minutes or hours old
    identities: int = 1  # new ones in one event, at most
    is_apart: bool = False  # the events of one enter are in requests of their own, seconds apart
    slow: float = 0.03  # share of calls that take up to nine tenths of their timeout
    commands: tuple[
        str, ...
    ] = ()  # "import", "compare": an operator runs one for some requests, tests/soak/operator.py
    ttls: tuple[float, ...] = ()  # seconds; one of them is the ttl of all audiences, which are renewed once a day
    phases: tuple[Phase, ...] = (Phase(),)  # of equally many events
    share: float = 1.0  # of the events that are asked for: in days of waiting, each takes hundreds of calls
    events_of_member: int = 14  # on average
    shared: float = 0.03  # share of enters that have an address of another person
    deletes: str = ""  # one of datasets.REACHES; empty: drawn from the seed
    lasts: float = 0.0  # seconds from the last event until nothing fails any more
    is_redriven: bool = True  # dead letters, from time to time; otherwise after the last fault only
    event_queue: float = 0.0  # share of the requests that come through the event queue instead of HTTP
    by_hand: float = 0.0  # messages that a person puts into the change queue, for each request
    spare_records: int = 5  # about a member, beyond what its changes need: see tests/soak/uploads.py
    spare_deletions: int = 0  # of a person, beyond one for each notice or denial: what faults and copies add


CALM = Profile("calm")
_USUAL = replace(CALM, duplicates=0.02, spare_records=20)
_TROUBLED = Rates(refused=0.02, lost=0.01, late=0.005, hang=0.005)
_UPLOADS = Rates(refused=0.02, lost=0.04, late=0.04, hang=0.02)
_LOST = Rates(lost=0.1)

_DISORDER = replace(CALM, name="disorder", delay=1200.0, old_events=0.1)
_COPIES = replace(_DISORDER, name="copies", duplicates=0.1, copies=3, spare_records=12)
_SEPARATE = [
    CALM,
    _DISORDER,
    _COPIES,
    replace(
        _USUAL,
        name="amazon-errors",
        uploads=_UPLOADS,
        checks=_TROUBLED,
        refusals=Refusals(throttled=0.05, unavailable=0.08, token=0.01, login=0.05, record=0.01),
        outages=("uploads",),
        delay=60.0,
    ),
    replace(_USUAL, name="jobs-fail", jobs=Jobs(failed=0.1, rejected=0.1, unknown=0.1), delay=60.0),
    replace(CALM, name="jobs-late", jobs=Jobs(late=0.2, unknown=0.2), delay=60.0),
    replace(CALM, name="jobs-slow", jobs=Jobs(late=1.0, late_seconds=(1500.0, 1500.0)), delay=60.0),
    # What is owed fails, as a rule: enters and removals that are sent again.
    replace(
        CALM,
        name="repetitions-fail",
        datasets=1,
        delay=300.0,
        old_events=0.2,
        refusals=Refusals(unavailable=0.05, repeated=0.6),
        phases=(Phase(notices=0.02, exits=0.9),),
        share=1.25,
        events_of_member=3,
        spare_records=30,
        spare_deletions=4,
    ),
    replace(CALM, name="jobs-hours", jobs=Jobs(late=0.2, hours=0.1), delay=60.0),
    replace(CALM, name="single-messages", batch_size=1, delay=60.0, spare_records=12),  # each enter that waits is one
    replace(CALM, name="clocks", clock_offset=2.0, delay=60.0),
    replace(_USUAL, name="kills", kills=0.004, delay=60.0),
    replace(
        _USUAL,
        name="tables",
        tables=Rates(refused=0.03, lost=0.02, late=0.01, hang=0.005),
        partly=0.03,
        outages=("tables",),
        delay=60.0,
    ),
    replace(
        _USUAL,
        name="circuit-store",
        uploads=_UPLOADS,
        circuit_store=Rates(refused=0.3, hang=0.2),
        outages=("uploads", "circuit_store"),
        longest_outage=21_600.0,
    ),
    replace(
        _USUAL,
        name="job-queue",
        job_queue=Rates(refused=0.1, lost=0.05, hang=0.05),
        jobs=Jobs(failed=0.1, rejected=0.1),
        outages=("job_queue",),
    ),
    replace(
        _USUAL,
        name="event-queue",
        event_queue=0.7,
        queues=_LOST,
        tables=_TROUBLED,
        partly=0.05,
        kills=0.002,
        outages=("queues",),
        delay=60.0,
    ),
    replace(_USUAL, name="identities", identities=70, delay=60.0),
    replace(_USUAL, name="by-hand", by_hand=0.05),
    replace(CALM, name="two-requests", identities=2, is_apart=True, batch_size=3, spare_records=12),
    replace(CALM, name="clocks-minutes", clock_offset=60.0, delay=60.0, event_queue=0.5),
    replace(
        _USUAL,
        name="lost-answers",
        tables=_LOST,
        queues=_LOST,
        job_queue=_LOST,
        uploads=_LOST,
        delay=60.0,
    ),
    replace(CALM, name="out-of-time", slow=0.6, delay=60.0, spare_records=20),
    replace(_USUAL, name="copies-for-days", duplicates=0.03, lasts=36 * 3_600.0, share=0.5),
]
_ALL = replace(
    _COPIES,
    name="all",
    delay=300.0,
    clock_offset=2.0,
    queues=_TROUBLED,
    job_queue=_TROUBLED,
    tables=_TROUBLED,
    circuit_store=Rates(refused=0.1, hang=0.05),
    secrets=_TROUBLED,
    uploads=_UPLOADS,
    checks=_TROUBLED,
    partly=0.01,
    refusals=Refusals(throttled=0.03, unavailable=0.04, token=0.005, login=0.03, record=0.003),
    jobs=Jobs(failed=0.05, rejected=0.03, late=0.05, unknown=0.05),
    outages=("uploads", "circuit_store", "job_queue", "tables"),
    kills=0.002,
    by_hand=0.005,
)
_DATA_MANAGER = replace(
    _COPIES,
    name="data-manager",
    spare_records=24,  # each copy of an enter is tried for itself, for nine hours
    datasets=3,
    denials=0.5,
    uploads=_UPLOADS,
    refusals=Refusals(throttled=0.05, unavailable=0.08, token=0.01, login=0.05, record=0.01, repeated=0.8),
    jobs=Jobs(rejected=0.02),
    outages=("uploads",),
    lasts=9 * 3_600.0,
    spare_deletions=4,
)
HOUR = 3600.0  # seconds
_ENTERS = Phase(notices=0.0, exits=0.1)
_RETURNS = Phase(pause=HOUR / 3, notices=0.0, exits=0.0)
_PEOPLE = replace(CALM, datasets=2, denials=0.3, share=0.6, events_of_member=4)
_DELETIONS = ("deletions", "deletions for now")
_ERASURES = [
    # People return minutes and hours after a notice or denial, and then leave some of the audiences.
    replace(
        _PEOPLE,
        name="returns",
        datasets=3,
        share=1.0,
        phases=(
            _ENTERS,
            Phase(pause=6 * HOUR, notices=0.35, exits=0.1),
            _RETURNS,
            replace(_RETURNS, pause=3 * HOUR),
            Phase(pause=3 * HOUR, notices=0.0),
            Phase(pause=24 * HOUR, notices=0.0),
        ),
    ),
    # They deny consent while the enters before may still take effect.
    replace(_PEOPLE, name="denials", denials=1.0, phases=(Phase(notices=0.25, exits=0.1),)),
    # Amazon answers no upload, or gives no token, for sixty hours.
    replace(
        _PEOPLE,
        name="outage-60h",
        datasets=1,
        share=0.1,
        events_of_member=2,
        lasts=HOUR / 2,
        phases=(
            _ENTERS,
            Phase(pause=6 * HOUR, notices=0.2, exits=1.0, fails=("uploads", "checks")),
            replace(_RETURNS, pause=59.5 * HOUR, fails=("uploads", "checks")),
        ),
    ),
    # Amazon refuses removals, and an operator redrives them days later, when some of these people are back.
    replace(
        _PEOPLE,
        name="refused-removals",
        datasets=1,
        is_redriven=False,
        phases=(
            _ENTERS,
            Phase(pause=6 * HOUR, notices=0.2, exits=1.0, fails=("removals",)),
            replace(_RETURNS, pause=72 * HOUR),
        ),
    ),
    # Amazon refuses deletions for most of a day, or they fail.
    replace(
        _PEOPLE,
        name="deletions-refused",
        share=0.4,
        phases=(
            _ENTERS,
            Phase(pause=6 * HOUR, notices=0.35, exits=0.1, fails=_DELETIONS),
            replace(_RETURNS, fails=_DELETIONS),
            Phase(pause=18 * HOUR, notices=0.0, exits=0.3, fails=_DELETIONS),
        ),
    ),
]
DAY = 24 * HOUR
_COMMANDS = [
    # An operator imports and compares while everything may fail, and one of the audiences is off the list for an hour.
    replace(
        _USUAL,
        name="commands",
        datasets=1,
        denials=0.3,
        commands=("import", "compare"),
        queues=_TROUBLED,
        tables=_TROUBLED,
        uploads=_UPLOADS,
        kills=0.002,
        spare_deletions=4,
        phases=(Phase(), Phase(pause=HOUR, acts=("unlink",)), Phase(pause=HOUR, acts=("link",))),
    ),
    replace(
        CALM,
        name="commands-only",
        datasets=1,
        commands=("import", "compare"),
        spare_deletions=4,
        phases=(Phase(), *[Phase(pause=HOUR / 2)] * 5),
    ),
    # A third of the rows is lost, and restored while events go on.
    replace(
        _PEOPLE,
        name="restore",
        datasets=1,
        share=1.0,
        spare_records=8,  # changes of several minutes wait for the end of the pause
        phases=(
            _ENTERS,
            Phase(pause=6 * HOUR, acts=("lose",)),
            Phase(pause=HOUR / 3, acts=("restore",)),
        ),
    ),
    # Some rows cannot be read for six hours.
    replace(
        _PEOPLE,
        name="damaged-rows",
        datasets=1,
        phases=(
            _ENTERS,
            Phase(pause=6 * HOUR, acts=("damage",), notices=0.2),
            _RETURNS,
            Phase(pause=6 * HOUR, acts=("mend",), notices=0.1),
        ),
    ),
    # Members are renewed once a day, for weeks, and some runs fail.
    replace(
        CALM,
        name="renewal-months",
        ttls=(4 * DAY, 30 * DAY),
        events_of_member=4,
        share=0.6,
        lasts=32 * DAY,
        phases=(Phase(), Phase(pause=4 * DAY), Phase(pause=18 * DAY)),
    ),
]
PROFILES = {
    profile.name: profile
    for profile in [
        *_SEPARATE,
        _ALL,
        _DATA_MANAGER,
        # A removal of thirty identities takes three uploads: if four of five failed, it would outlast the faults.
        replace(
            _DATA_MANAGER,
            name="data-manager-ids",
            identities=30,
            refusals=replace(_DATA_MANAGER.refusals, repeated=0.2),
        ),
        replace(_ALL, name="both-apis", datasets=2, shared_key=True, denials=0.5, spare_deletions=4),
        *_ERASURES,
        *_COMMANDS,
    ]
}


def without_faults(profile: Profile) -> Profile:
    """Return the profile in which a simulation ends: nothing fails any more, but Amazon is as slow as it was."""
    slow = replace(profile.jobs, failed=0.0, rejected=0.0, unknown=0.0)
    return replace(CALM, name=profile.name, datasets=profile.datasets, jobs=slow, clock_offset=profile.clock_offset)
