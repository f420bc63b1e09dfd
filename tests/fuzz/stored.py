"""Targets of what is stored: messages of the queues, and rows of the membership table."""

from dataclasses import replace
from typing import Any

from audience_sync.amazon_ads.advertiser_audiences.records import encode_record
from audience_sync.aws.membership_rows import Sharding, row_of, state_from_row
from audience_sync.errors import InvalidMessage, Unavailable
from audience_sync.members.dead_letters import DeadLetter
from audience_sync.members.envelope import MAX_MESSAGE_BYTES
from audience_sync.members.job_messages import JobMessage, job_messages
from audience_sync.members.member_state import Action, MemberState, Timing
from audience_sync.members.member_step import apply_changes
from audience_sync.members.membership import Identity, coalesce
from audience_sync.members.messages import ChangeMessage, pack
from tests.fuzz.inputs import json_or_none

SHARDING = Sharding(8)
NOW = 1_774_000_000  # epoch seconds


def read_message(data: bytes) -> None:
    """Input: the body of a message.

    What is no message is InvalidMessage. What is read can be written, and read back the same; a change that is read can
    be coalesced, brought into a row, and encoded for Amazon.
    """
    try:
        body = data.decode()
    except UnicodeDecodeError:
        return
    for read in (_read_changes, _read_job, _read_dead_letter):
        try:
            read(body)
        except InvalidMessage as error:
            assert len(str(error)) < 100


def _read_changes(body: str) -> None:
    message = ChangeMessage.from_body(body)
    bodies = pack(message.changes, message.history)
    assert all(each.isascii() for each in bodies)
    again = [ChangeMessage.from_body(each) for each in bodies]
    assert repr([change for each in again for change in each.changes]) == repr(message.changes)
    assert all(each.history == message.history for each in again)
    coalesced = coalesce(message.changes)
    assert repr(coalesce(coalesced)) == repr(coalesced)
    by_member: dict[Any, list[Any]] = {}
    for change in coalesced:
        by_member.setdefault(change.member, []).append(change)
        encode_record(change)
    for member, changes in by_member.items():
        state = apply_changes(None, changes, now=NOW, timing=Timing(1020)).state
        row = row_of(state, SHARDING.key_of(member), 1)
        assert repr(state_from_row(row).identities) == repr(state.identities)
        for record in [*state.records(Action.REMOVAL), *state.records(Action.ENTER)]:
            encode_record(record)


def _read_job(body: str) -> None:
    job = JobMessage.from_body(body)
    assert JobMessage.from_body(job.body()) == job
    bodies = job_messages(job.job_id, job.audience_id, job.members, job.sent_at)
    assert tuple(each for text in bodies for each in JobMessage.from_body(text).members) == job.members


def _read_dead_letter(body: str) -> None:
    dead_letter = DeadLetter.from_body(body)
    for each in dead_letter.redrive_bodies():
        ChangeMessage.from_body(each)
    if len(dead_letter.changes) == 1 and len(body) < MAX_MESSAGE_BYTES:
        again = DeadLetter.from_body(dead_letter.body())
        assert repr(again.changes) == repr(dead_letter.changes)
        assert repr(again.failure) == repr(dead_letter.failure)


def read_row(data: bytes) -> None:
    """Input: version, enter and revision of a row in JSON, an empty line, and its attribute `member`.

    What row_of has not written is Unavailable. What is read can be written, and read back the same; it takes a change,
    its own again or a later one, and gives the records to send.
    """
    head, _, member = data.partition(b"\n\n")
    fields = json_or_none(head)
    fields = fields if isinstance(fields, dict) else {}
    row = {
        "audienceShard": {"S": "418273650912345678#03"},
        "externalUserId": {"S": "user_2nF7aQ"},
        "version": {"S": str(fields.get("version", "0001709543722118#0#m1"))},
        "entered": {"N": str(fields.get("entered", 1_709_543_722))},
        "revision": {"N": str(fields.get("revision", 1))},
        "member": {"B": member},
    }
    try:
        state = state_from_row(row)
    except Unavailable:
        return
    again = state_from_row(row_of(state, SHARDING.key_of(state.member), state.revision))
    assert _comparable(again) == _comparable(state)
    later = replace(state.newest, at=NOW * 1000, identities=(Identity(NOW * 1000, {"email": "ab" * 32}),))
    for each in (
        state,
        *(apply_changes(state, [change], now=NOW, timing=Timing(1020)).state for change in (state.change(), later)),
    ):
        for record in [*each.records(Action.REMOVAL), *each.records(Action.ENTER)]:
            encode_record(record)


def _comparable(state: MemberState) -> str:
    """The state as text, since NaN does not equal itself, with what its repr hides. An empty country is none."""
    return repr(
        (state, state.newest.country or None, state.newest.consent, [each.digests for each in state.identities])
    )
