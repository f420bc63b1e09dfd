"""Amazon Ads and its login in memory: takes uploads, ends their jobs later and in any order, and refuses what it may.

A job decides about identities: CREATE puts those of a record into the audience for its member, DELETE removes them.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf
from random import Random
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests

from tests.soak.clock import SimulatedClock
from tests.soak.datasets import DELETIONS, Datasets, Sent, sent_member
from tests.soak.held import Held, Identity, Member, as_identity
from tests.soak.profiles import JOB_SECONDS, LONGEST_JOB, Profile

HOUR = 3600.0  # seconds
TOKEN_LIFE = 3600  # seconds
MAX_RECORDS = 10_000
MAX_IDENTITIES = 100


class Answer(NamedTuple):
    """What crosses the wire."""

    status: int
    body: bytes = b"{}"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(eq=False)
class Job:
    """One upload that Amazon has accepted."""

    job_id: str
    audience_id: str
    records: list[dict[str, Any]]
    accepted_at: float
    ends_at: float
    late_end: float | None  # when it ends instead, once its message is in the job queue
    state: str = "IN_PROGRESS"
    final_state: str = "SUCCEEDED"
    rejected: set[str] = field(default_factory=set)  # external user ids
    unknown_from: float = float("inf")  # when Amazon does not know it any more


class Amazon:
    """All audiences, jobs and tokens."""

    def __init__(
        self, clock: SimulatedClock, random: Random, at: Callable[[float, Callable[[], None]], None], seed: int
    ) -> None:
        """`at` calls a function at an epoch second."""
        self.profile: Profile = Profile("not set")
        self.audiences: dict[Member, dict[Identity, Held]] = {}
        self.jobs: dict[str, Job] = {}
        self.unfinished = 0  # jobs
        self.refused_identities: set[Identity] = set()  # a record that adds one of them is refused with 400
        self.refused_until: dict[str, float] = {}  # all "removals", "deletions", or "deletions for now", until then
        self.violations: list[str] = []  # what no client may send
        self.ledger: dict[Member, list[str]] = {}  # what happened to each member, in order
        self.received: dict[Member, list[float]] = {}  # when each record about a member was accepted, epoch seconds
        self.job_seconds: Callable[[int], float] | None = None  # by number of the upload; instead of the profile
        self.uploads = 0
        self.ttls: dict[str, float] = {}  # seconds; of audiences that drop who has not been added for as long
        self._sent_before: defaultdict[tuple[str, str, str], frozenset[Identity]] = defaultdict(frozenset)
        self.dropped: list[tuple[float, Member]] = []  # epoch seconds
        self.records = 0
        self.clock = clock
        self.datasets = Datasets(self, seed, at)
        self._random = random
        self._at = at
        self._may_end_late: list[Job] = []  # as soon as they are tracked
        self._tokens = 0
        self._oldest_token = 0  # the number of the first one that is not revoked
        self._expiry: dict[str, float] = {}

    def new_token(self) -> tuple[str, float]:
        """Issue a token; return it and when it expires."""
        self._tokens += 1
        value = f"token-{self._tokens}"
        self._expiry[value] = self.clock.now + TOKEN_LIFE
        return value, self._expiry[value]

    def revoke_tokens(self) -> None:
        """Refuse every token issued so far."""
        self._oldest_token = self._tokens + 1

    def held_by(self, member: Member) -> set[Identity]:
        """Return the identities by which a member is in its audience."""
        return {identity for identity, held in self.audiences.get(member, {}).items() if held.is_in}

    def is_refused(self, what: str) -> bool:
        """Return whether all removals or deletions are refused now."""
        return self.clock.now < self.refused_until.get(what, 0.0)

    def refuses(self, action: str, identities: Iterable[Identity]) -> bool:
        """Return whether a record is refused for good."""
        if action == "DELETE":
            return self.is_refused("removals")
        return not self.refused_identities.isdisjoint(identities)

    def answer(self, request: requests.PreparedRequest) -> Answer:
        """Take one request."""
        path = urlsplit(str(request.url)).path
        if path.endswith("/auth/o2/token"):
            return self._log_in()
        if not self._is_authorized(request):
            return Answer(401, b'{"message": "the token is expired or revoked"}')
        chance, rates = self._random.random(), self.profile.refusals
        if chance < rates.throttled:
            seconds = self._random.choice(["0", "2", "30", "240", "soon"])
            return Answer(429, b"{}", (("Retry-After", seconds),))
        if chance < rates.throttled + rates.unavailable:
            return Answer(self._random.choice([500, 502, 503, 504]))
        if request.method == "POST":
            return self._upload(request) if path == "/amc/audiences/records" else self._send_to_dataset(request, path)
        assert request.method == "GET", request.method
        assert path.startswith("/amc/audiences/records/"), path
        return self._job(path.rsplit("/", 1)[1])

    def track(self, body: str) -> None:
        """Let the job that a message of the job queue names end late, where it was to.

        An upload that is not tracked ends within JOB_SECONDS: if it took longer, no sender could know of it.
        """
        for job in [each for each in self._may_end_late if each.job_id in body]:
            self._may_end_late.remove(job)
            if job.state == "IN_PROGRESS" and job.late_end is not None:
                job.ends_at = job.late_end
                self._at(job.ends_at, partial(self._end, job))

    def _log_in(self) -> Answer:
        if self._random.random() < self.profile.refusals.login:
            return Answer(503)
        value, _ = self.new_token()
        return Answer(200, json.dumps({"access_token": value, "expires_in": TOKEN_LIFE}).encode())

    def _is_authorized(self, request: requests.PreparedRequest) -> bool:
        if self._random.random() < self.profile.refusals.token:
            self.revoke_tokens()
        value = str(request.headers.get("Authorization", "")).removeprefix("Bearer ")
        number = value.removeprefix("token-")
        is_current = number.isdigit() and int(number) >= self._oldest_token
        return is_current and self._expiry.get(value, 0.0) > self.clock.now

    def _upload(self, request: requests.PreparedRequest) -> Answer:
        assert isinstance(request.body, bytes)
        body = json.loads(request.body)
        audience_id, records = str(body["audienceId"]), body["records"]
        self._check(audience_id, records)
        if self._fails_again(audience_id, [_sent(each) for each in records]):
            return Answer(503)
        if any(self.refuses(each["action"], map(as_identity, each["hashedPII"])) for each in records):
            return Answer(400, b'{"message": "invalid record"}')
        job = self._accept(audience_id, records)
        return Answer(202, json.dumps({"jobRequestId": job.job_id}).encode())

    def _send_to_dataset(self, request: requests.PreparedRequest, path: str) -> Answer:
        assert isinstance(request.body, bytes)
        if path == DELETIONS and self.is_refused("deletions"):
            return Answer(403, b'{"message": "no permission"}')
        if path == DELETIONS and self.is_refused("deletions for now"):
            return Answer(503)
        content_type, body = str(request.headers["Content-Type"]), json.loads(request.body)
        if path != DELETIONS and self._fails_again(path.split("/")[3], [sent_member(each) for each in body["members"]]):
            return Answer(503)
        return Answer(200, json.dumps(self.datasets.answer(path, content_type, body)).encode())

    def _fails_again(self, audience_id: str, members: Sequence[Sent]) -> bool:
        """Draw whether an upload fails for now that enters or removes a member with identities all sent so before."""
        share, earlier = self.profile.refusals.repeated, self._sent_before
        repeats = share and any(each.identities <= earlier[audience_id, each.user, each.action] for each in members)
        if repeats and self._random.random() < share:
            return True
        for each in members:
            earlier[audience_id, each.user, each.action] |= each.identities
        return False

    def _check(self, audience_id: str, records: list[dict[str, Any]]) -> None:
        members = [record["externalUserId"] for record in records]
        if len(set(members)) < len(members):
            self.violations.append(f"two records of one member in one upload to {audience_id}")
        if not 0 < len(records) <= MAX_RECORDS:
            self.violations.append(f"{len(records)} records in one upload to {audience_id}")
        for record in records:
            if record["action"] not in ("CREATE", "DELETE"):
                self.violations.append(f"the action {record['action']}")
            if not 0 < len(record["hashedPII"]) <= MAX_IDENTITIES:
                self.violations.append(f"{len(record['hashedPII'])} identities of {record['externalUserId']}")

    def _accept(self, audience_id: str, records: list[dict[str, Any]]) -> Job:
        random, rates, now = self._random, self.profile.jobs, self.clock.now
        self.uploads += 1
        ends_at = now + random.uniform(1.0, JOB_SECONDS) ** random.choice([1.0, 1.0, 0.6])
        late = now + self._late_seconds() if random.random() < rates.late else None
        if self.job_seconds is not None:
            ends_at, late = now + self.job_seconds(self.uploads), None
        job = Job(f"job-{self.uploads:06d}", audience_id, records, now, ends_at, late)
        if random.random() < rates.failed:
            job.final_state = "FAILED"
        elif rates.rejected:
            job.rejected = {r["externalUserId"] for r in records if random.random() < rates.rejected}
            job.final_state = "PARTIALLYSUCCEEDED" if job.rejected else "SUCCEEDED"
        # What a job rejected can be asked for long enough; one that succeeded may be gone at once.
        if random.random() < rates.unknown:
            job.unknown_from = 12 * HOUR if job.final_state != "SUCCEEDED" else random.uniform(0.0, HOUR)
        self.jobs[job.job_id] = job
        if job.late_end is not None:
            self._may_end_late.append(job)
        self.unfinished += 1
        self.records += len(records)
        for record in records:
            self.received.setdefault((audience_id, record["externalUserId"]), []).append(now)
            self._note(job, record, "accepted")
            if record["action"] == "CREATE":
                held = self.audiences.setdefault((audience_id, record["externalUserId"]), {})
                for identity in record["hashedPII"]:
                    held.setdefault(as_identity(identity), Held()).sent_at = now
        self._at(job.ends_at, partial(self._end, job))
        return job

    def _late_seconds(self) -> float:
        rates = self.profile.jobs
        if rates.hours and self._random.random() < rates.hours:
            return self._random.uniform(JOB_SECONDS, LONGEST_JOB)
        return self._random.uniform(*rates.late_seconds)

    def _end(self, job: Job) -> None:
        if job.state != "IN_PROGRESS" or job.ends_at > self.clock.now:
            return  # ended already, or to end later
        job.state = job.final_state
        job.unknown_from += self.clock.now
        self.unfinished -= 1
        for record in job.records:
            if job.state == "FAILED" or record["externalUserId"] in job.rejected:
                self._note(job, record, "rejected")
                continue
            self._note(job, record, "applied")
            held = self.audiences.setdefault((job.audience_id, record["externalUserId"]), {})
            for identity in record["hashedPII"]:
                one = held.setdefault(as_identity(identity), Held())
                if record["action"] == "CREATE":
                    one.add(self.clock.now)
                    one.since = max(one.since, job.accepted_at)
                else:
                    one.remove()
            if record["action"] == "CREATE" and job.audience_id in self.ttls:
                expires = job.accepted_at + self.ttls[job.audience_id]
                self._at(expires, partial(self._drop, (job.audience_id, record["externalUserId"])))

    def _drop(self, member: Member) -> None:
        """Drop the identities of a member that were last added a ttl ago."""
        ttl = self.ttls.get(member[0], inf)
        for one in self.audiences[member].values():
            if one.is_in and one.since + ttl <= self.clock.now:
                one.is_in = False
                self.dropped.append((self.clock.now, member))

    def _job(self, job_id: str) -> Answer:
        job = self.jobs.get(job_id)
        if job is None or (job.state != "IN_PROGRESS" and job.unknown_from <= self.clock.now):
            return Answer(404, b'{"message": "no such job"}')
        rejected = [{"externalId": member, "error": "invalid record"} for member in sorted(job.rejected)]
        answer: dict[str, Any] = {"jobRequestId": job_id, "jobState": job.state}
        if job.state == "PARTIALLYSUCCEEDED":
            answer["invalidRecords"] = rejected
        return Answer(200, json.dumps(answer).encode())

    def _note(self, job: Job, record: dict[str, Any], what: str) -> None:
        member = (job.audience_id, record["externalUserId"])
        identities = sorted(identity.get("email", "?")[:6] for identity in record["hashedPII"])
        line = f"{self.clock.monotonic():10.3f} {job.job_id} {record['action']} {what} {' '.join(identities)}"
        self.ledger.setdefault(member, []).append(line)


def _sent(record: dict[str, Any]) -> Sent:
    return Sent(record["externalUserId"], record["action"], frozenset(map(as_identity, record["hashedPII"])))
