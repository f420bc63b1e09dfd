"""Amazon's later processing of uploads: end, order and outcome of jobs.

A job ends at the first sweep at least `delay` seconds after its upload; sweeps are a quarter of the delay apart. Jobs
of one sweep end in an order shuffled by the seed: Amazon does not guarantee one.
Nothing runs in the background: before each answer, due jobs end in the order of their times.
"""

import heapq
import math
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Annotated, Any

import pydantic

from local.amazon import countries
from local.amazon.audiences import Audience
from local.amazon.ledger import actions
from local.amazon.records import ReceivedUpload, Record
from local.amazon.refusals import STRICT

KEPT = 10_000  # finished jobs whose outcome is kept
SWEEPS_PER_DELAY = 4


@pydantic.dataclasses.dataclass(frozen=True, slots=True, config=STRICT)
class JobFault:
    """Effects of a fault rule on the jobs of matching uploads."""

    state: str | None = None  # any string, even an undocumented one; PENDING never ends
    failed: int | float | tuple[str, ...] = ()  # the first n records, a share of them (below 1), or these members
    delay: Annotated[float, pydantic.Field(ge=0)] | None = None  # seconds, instead of the usual delay
    order: str | None = None  # "reverse": the jobs of this rule wait for each other, and the last one ends first


NO_JOB_FAULT = JobFault()


@dataclass(slots=True)
class SimulatedJob:
    """One upload in progress, or its outcome."""

    job_id: str
    upload: ReceivedUpload
    fault: JobFault
    due: float = math.inf  # epoch seconds
    rank: float = 0.0  # among the jobs due at the same time
    state: str = "PENDING"
    invalid: dict[str, str] = field(default_factory=dict)  # externalUserId to reason
    processed_rate: float = 0.0  # percent
    creates: frozenset[str] = frozenset()  # emptied when the job ends, as are deletes
    deletes: frozenset[str] = frozenset()

    def report(self, sizes: dict[str, int] | None) -> dict[str, Any]:
        """Answer as GET /amc/audiences/records/{jobRequestId}. Ids are strings here, numbers everywhere else."""
        answer: dict[str, Any] = {"jobRequestId": self.job_id, "jobState": self.state}
        if self.state == "PENDING":
            return answer
        audience_id = str(self.upload.audience_id)
        invalid = [{"audienceId": audience_id, "externalId": user, "error": why} for user, why in self.invalid.items()]
        return answer | {
            "successful": {"recordsProcessedRate": self.processed_rate},
            "invalidRecords": invalid,
            **({"audienceSize": sizes} if sizes else {}),
        }


class Scheduler:
    """Scheduled calls."""

    def __init__(self) -> None:
        self._calls: list[tuple[float, float, int, Callable[[float], None]]] = []
        self._arrivals = count()

    def at(self, due: float, rank: float, act: Callable[[float], None]) -> None:
        """Schedule a call of `act` with `due`; `rank` orders calls at the same time."""
        heapq.heappush(self._calls, (due, rank, next(self._arrivals), act))

    def run_due(self, now: float) -> None:
        """Make all due calls, in order."""
        while self._calls and self._calls[0][0] <= now:
            due, _, _, act = heapq.heappop(self._calls)
            act(due)


class Jobs:
    """All jobs, by id. Ids and the shuffle follow from the seed."""

    def __init__(self, scheduler: Scheduler, audiences: dict[int, Audience], *, delay: float, seed: int) -> None:
        self._scheduler = scheduler
        self._audiences = audiences
        self._delay = delay
        self._random = random.Random(f"jobs {seed}")
        self._arrivals = count()
        self._by_id: dict[str, SimulatedJob] = {}
        self._reversed: list[SimulatedJob] = []
        self.pending: dict[str, SimulatedJob] = {}

    def __getitem__(self, job_id: str) -> SimulatedJob:
        return self._by_id[job_id]

    def new_id(self) -> str:
        """Return the id for a new job."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def submit(self, job_id: str, upload: ReceivedUpload, fault: JobFault, now: float) -> SimulatedJob:
        """Queue an upload, as of `now`."""
        creates, deletes = actions(upload.records)
        job = SimulatedJob(job_id, upload, fault, creates=creates, deletes=deletes)
        self._by_id[job_id] = self.pending[job_id] = job
        job.rank = self._random.random()
        job.due = now + fault.delay if fault.delay is not None else next_sweep(now + self._delay, self._delay)
        if fault.order == "reverse":
            job.rank = -next(self._arrivals)
            self._reversed = [waiting for waiting in self._reversed if waiting.job_id in self.pending] + [job]
            together = max(waiting.due for waiting in self._reversed)
            for waiting in self._reversed:
                waiting.due = together
        if fault.state != "PENDING":
            self._schedule(job)
        return job

    def audience_of(self, job: SimulatedJob) -> Audience | None:
        """Return the audience of a job, if Amazon knows it."""
        return self._audiences.get(job.upload.audience_id)

    def _schedule(self, job: SimulatedJob) -> None:
        self._scheduler.at(job.due, job.rank, lambda now: self._end(job, now))

    def _end(self, job: SimulatedJob, now: float) -> None:
        if job.due > now:  # moved by a later job of the same rule
            self._schedule(job)
            return
        del self.pending[job.job_id]
        audience, records = self.audience_of(job), job.upload.records
        job.invalid = faulted(job.fault, records)
        if audience is None:
            job.invalid = {record.external_user_id: "Audience is invalid" for record in records}
        else:
            job.invalid |= _without_consent(records, audience.country)
        valid = [record for record in records if record.external_user_id not in job.invalid]
        if job.fault.state == "FAILED":
            valid = []
        if audience is not None:
            audience.apply(valid, now)
        job.state = job.fault.state or ("SUCCEEDED" if valid else "FAILED")
        job.processed_rate = round(100 * len(valid) / len(records), 2)
        job.creates = job.deletes = frozenset()
        job.upload = ReceivedUpload(job.upload.audience_id, [], None, to_dsp=False)  # the outcome needs no records
        self._forget_old()

    def _forget_old(self) -> None:
        if len(self._by_id) > KEPT + len(self.pending):
            oldest = next(job_id for job_id in self._by_id if job_id not in self.pending)
            del self._by_id[oldest]


def next_sweep(time: float, delay: float) -> float:
    """Return the time of the first sweep from `time` on."""
    apart = delay / SWEEPS_PER_DELAY
    return math.ceil(time / apart) * apart if apart else time


def faulted(fault: JobFault, records: list[Record]) -> dict[str, str]:
    """Choose the members of an upload that a fault rule lets fail, and the reason."""
    users = [record.external_user_id for record in records]
    if isinstance(fault.failed, tuple):
        chosen = [user for user in users if user in fault.failed]
    else:
        chosen = users[: math.ceil(fault.failed * len(users)) if fault.failed < 1 else int(fault.failed)]
    return dict.fromkeys(chosen, "Record could not be processed")


def _without_consent(records: list[Record], default_country: str | None) -> dict[str, str]:
    """Find additions that Amazon rejects. A removal needs no consent: who withdraws it must be able to leave."""
    turned_down = {}
    for record in records:
        if record.action == "DELETE" or record.consent == "given":
            continue
        if record.consent == "denied":
            turned_down[record.external_user_id] = "User consent is denied"
        elif not countries.CONSENT_NEEDED.isdisjoint((record.country or default_country, record.consent_country)):
            turned_down[record.external_user_id] = "User consent is required"
    return turned_down
