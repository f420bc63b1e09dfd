"""Amazon's two APIs in memory. Each takes uploads that take effect later, in any order."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from audience_sync.amazon_ads.job import JobReport
from audience_sync.amazon_ads.upload import Upload
from audience_sync.errors import RequestRejected
from audience_sync.members.membership import EVERY_AUDIENCE, Member, Version

JOB = 900.0  # seconds; as long as SQS can delay a replay
EFFECTIVE = 1500.0  # seconds within which an upload to a dataset takes effect
MONTH = 30 * 86_400.0  # seconds; the longest that a deletion may take
GRANTED = {"amznUserData": "GRANTED"}


class Record(NamedTuple):
    """One member in an upload; of EVERY_AUDIENCE in a request to delete people."""

    member: Member
    action: str
    identities: frozenset[str]
    version: Version | None  # of the enter behind it
    has_consent: bool = True

    @property
    def enters(self) -> bool:
        return self.action == "CREATE"


@dataclass(eq=False)
class Job:
    """An upload or a deletion that Amazon has taken, or that is still in transit."""

    api: "AudienceApi | DataManager"
    records: list[Record]
    ends_by: float = 0.0  # when it has taken effect or, in transit, when Amazon takes it at the latest; epoch seconds
    job_id: str = ""
    taken_at: float = 0.0  # epoch seconds
    number: int = 0  # in the order of acceptance
    fails: bool = False  # as a whole
    rejects: set[Member] = field(default_factory=set)


class AudienceApi:
    """Refuses whole uploads. An upload takes effect when its job ends, unless the job fails or rejects the record."""

    def __init__(self) -> None:
        self.held: defaultdict[Member, set[str]] = defaultdict(set)  # identifiers
        self.reports: dict[str, JobReport] = {}  # of jobs that have ended

    def read(self, upload: Upload) -> Job:
        body = json.loads(upload.body())
        assert body["audienceId"] == int(upload.target.audience_id)
        records = [
            Record(
                (upload.target.audience_id, each["externalUserId"]),
                each["action"],
                frozenset(identity["email"] for identity in each["hashedPII"]),
                _version_of(each),
            )
            for each in body["records"]
        ]
        return Job(self, records)

    def rejections(self, refused: set[int]) -> Mapping[int, RequestRejected]:
        """Answer an upload of which the records at some places are refused."""
        if refused:
            raise RequestRejected("Amazon answered 400", status=400)
        return {}

    def accept(self, job: Job) -> None:
        job.job_id, job.ends_by = f"job-{job.number}", job.taken_at + JOB

    def end(self, job: Job) -> None:
        rejected = dict.fromkeys(sorted(member[1] for member in job.rejects), "consent denied")
        self.reports[job.job_id] = JobReport("FAILED" if job.fails else "SUCCEEDED", rejected=rejected)
        for record in job.records:
            if job.fails or record.member[1] in rejected:
                continue
            if record.enters:
                self.held[record.member] |= record.identities
            else:
                self.held[record.member] -= record.identities


class DataManager:
    """Refuses single members, and reports on no upload later. Removes with consent only.

    People are deleted by id from all datasets, as far as they were accepted by the request.
    """

    def __init__(self) -> None:
        self.finds_by_id = False  # a removal concerns all identities of its member, not only those that it names
        self.deletion_takes = EFFECTIVE  # seconds, at most
        self.held: defaultdict[Member, set[str]] = defaultdict(set)  # identities
        self.entered: dict[Member, dict[str, int]] = {}  # identities, by the number of the last upload that added them
        self.deleted: dict[str, int] = {}  # the number of the last deletion that was accepted, by external user id

    def read(self, upload: Upload) -> Job:
        body = json.loads(upload.body())
        records = [
            Record(
                (upload.target.audience_id, each["externalUserId"]),
                each["action"],
                frozenset(_emails(each["userIdentity"])),
                _version_of(each),
                each.get("userConsent", {}).get("consent", {}).get("amzn") == GRANTED,
            )
            for each in body["members"]
        ]
        assert all(record.has_consent for record in records if record.enters), "a member without consent"
        assert b"DENIED" not in upload.body(), "a removal that Amazon ignores"
        return Job(self, records)

    def read_deletion(self, people: Sequence[str]) -> Job:
        return Job(self, [Record((EVERY_AUDIENCE, person), "ERASE", frozenset(), None) for person in people])

    def last_enter(self, person: str) -> int:
        """Return the number of the last upload that added a person; 0 if none did."""
        return max((max(numbers.values()) for (_, id_), numbers in self.entered.items() if id_ == person), default=0)

    def rejections(self, refused: set[int]) -> Mapping[int, RequestRejected]:
        """Answer an upload of which the records at some places are refused."""
        return dict.fromkeys(refused, RequestRejected("Amazon refuses the member", status=400))

    def accept(self, job: Job) -> None:
        job.job_id, job.ends_by = f"ingress-{job.number}", job.taken_at + EFFECTIVE
        for record in job.records:
            if record.action == "ERASE":
                job.ends_by = job.taken_at + self.deletion_takes
                self.deleted[record.member[1]] = job.number
            elif record.enters:
                entered = self.entered.setdefault(record.member, {})
                entered.update(dict.fromkeys(record.identities, job.number))

    def end(self, job: Job) -> None:
        for record in job.records:
            if record.action == "ERASE":
                self._delete(record.member[1], job.number)
            elif record.enters:
                self.held[record.member] |= record.identities
            elif record.has_consent:
                self.held[record.member] -= self.held[record.member] if self.finds_by_id else record.identities

    def _delete(self, person: str, number: int) -> None:
        for member, held in self.held.items():
            if member[1] == person:
                held -= {each for each in held if self.entered[member][each] < number}


def _emails(identity: Mapping[str, Any]) -> Iterator[str]:
    return (each["em"] for each in identity["hashedPiis"])


def _version_of(record: Mapping[str, Any]) -> Version | None:
    """Return the version of an enter, which its consent holds. A removal may carry the consent of an enter."""
    text = record.get("userConsent", {}).get("version")
    return Version(*json.loads(text)) if text and record["action"] == "CREATE" else None
