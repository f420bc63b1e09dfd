"""The messages of the job queue: uploads whose job at Amazon is to be checked, and people to delete."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import batched, chain, repeat
from typing import Any, NamedTuple, Self

from audience_sync.clock import EpochMilliseconds, EpochSeconds
from audience_sync.errors import InvalidMessage
from audience_sync.members.envelope import (
    MAX_ATTEMPTS,
    MAX_MESSAGE_BYTES,
    MESSAGE_VERSION,
    bounded,
    checked_member_id,
    destination_in,
    is_audience_id,
    is_time,
    read_envelope,
)
from audience_sync.members.membership import Destination, Version

# The letters of a record's flags. Until November 2026 also `i`: the upload was a deletion of identities, whose end
# proves no removal.
_FLAGS = {"d": "removes", "e": "erases", "r": "was_counted", "p": "proves"}
_DELETES = "i"
_DEFAULT_DESTINATION = Destination()


class JobMember(NamedTuple):
    """One record of an upload."""

    member: str  # external user id
    version: str  # of its change, in the membership table's format; for a removal, the exit's
    removes: bool  # DELETE
    erases: bool = False  # identities under a deletion notice are erased once the job has ended well
    was_counted: bool = False  # the change was counted before: a rejection is not counted again
    proves: bool = False  # its end is recorded as a step of the person's erasure
    claim: int = 0  # revision of the row from which an erasing removal was sent; 0 if an older version has sent it

    @property
    def flags(self) -> str:
        """The record's flags as written in the message."""
        return "".join(letter for letter, name in _FLAGS.items() if getattr(self, name))


@dataclass(frozen=True, slots=True)
class JobMessage:
    """A message of the job queue: an upload whose job at Amazon has to be checked."""

    job_id: str
    audience_id: str
    sent_at: EpochMilliseconds  # before the request
    members: tuple[JobMember, ...]
    checks: int = 0  # made so far
    is_late: bool = False  # not ended at the first check
    destination: Destination = field(default_factory=Destination)

    def body(self) -> str:
        """The message body for the job queue."""
        fields: dict[str, Any] = {
            "v": MESSAGE_VERSION,
            "jobId": self.job_id,
            "audienceId": self.audience_id,
            "sentAt": self.sent_at,
            "checks": self.checks,
            "members": [[each.member, each.version, each.flags] for each in self.members],
        }
        fields |= {"claims": claims} if any(claims := [each.claim for each in self.members]) else {}
        fields |= {"late": True} if self.is_late else {}
        fields |= {"destination": self.destination.fields} if self.destination else {}
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def from_body(cls, body: str) -> Self:
        """Read a message body. Raises InvalidMessage."""
        fields = read_envelope(body)
        job_id, audience_id = fields.get("jobId"), fields.get("audienceId")
        if not isinstance(job_id, str) or not is_audience_id(audience_id):
            raise InvalidMessage("the message does not name a job")
        try:
            claims = chain([*map(bounded, fields.get("claims", []))], repeat(0))  # as many as members, or none
            return cls(
                job_id,
                audience_id,
                bounded(fields["sentAt"]),
                tuple(
                    JobMember(
                        member, version, **{name: letter in flags for letter, name in _FLAGS.items()}, claim=claim
                    )
                    for (member, version, flags), claim in zip(
                        map(_job_member, fields["members"]), claims, strict=False
                    )
                    if _DELETES not in flags
                ),
                min(bounded(fields.get("checks", 0)), MAX_ATTEMPTS),
                fields.get("late") is True,
                destination_in(fields),
            )
        except (ValueError, KeyError, TypeError, OverflowError):
            raise InvalidMessage("the message does not name a job") from None


def job_messages(
    job_id: str,
    audience_id: str,
    members: Sequence[JobMember],
    sent_at: EpochMilliseconds,
    destination: Destination = _DEFAULT_DESTINATION,
) -> list[str]:
    """Build the message of one upload, or several if its members fill more than one.

    Args:
        job_id: of the upload.
        audience_id: of the upload.
        members: with a record in it.
        sent_at: before the request.
        destination: of the upload.
    """
    longest = max((len(json.dumps([each.member, each.version, each.flags, each.claim])) for each in members), default=0)
    size = max(1, (MAX_MESSAGE_BYTES - 1_000) // (longest + 1))
    job = JobMessage(job_id, audience_id, sent_at, (), destination=destination)
    return [replace(job, members=some).body() for some in batched(members, size)]


@dataclass(frozen=True, slots=True)
class DeletionMessage:
    """A message of the job queue: people whose deletion from all datasets Amazon is asked for."""

    people: tuple[str, ...]  # external user ids
    due: EpochSeconds  # before, nothing is read
    attempts: int = 0  # that failed

    def body(self) -> str:
        """The message body for the job queue."""
        fields = {"v": MESSAGE_VERSION, "deletions": self.people, "due": self.due, "attempts": self.attempts}
        return json.dumps(fields, separators=(",", ":"))


def read_job_queue(body: str) -> JobMessage | DeletionMessage:
    """Read a message of the job queue. Raises InvalidMessage."""
    fields = read_envelope(body)
    if "deletions" not in fields:
        return JobMessage.from_body(body)
    try:
        people = tuple(checked_member_id(each) for each in fields["deletions"])
        return DeletionMessage(people, bounded(fields["due"]), bounded(fields.get("attempts", 0)))
    except (ValueError, KeyError, TypeError, OverflowError):
        raise InvalidMessage("the message does not name people to delete") from None


def _job_member(fields: Any) -> tuple[str, str, str]:
    member, version, flags = fields
    if not isinstance(version, str) or not isinstance(flags, str):
        raise TypeError
    if not is_time(Version.from_text(version).at):
        raise ValueError
    return checked_member_id(member), version, flags
