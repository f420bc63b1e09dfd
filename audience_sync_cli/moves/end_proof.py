"""The proof that an audience was emptied: for people, and for scripts with a digest."""

from collections.abc import Sequence
from typing import Any

from audience_sync.amazon_ads.data_manager.answers import Share
from audience_sync.amazon_ads.destination import api_of
from audience_sync.members.membership import Audience
from audience_sync_cli.frame.screen import Screen, counted, iso_time, moment
from audience_sync_cli.moves.removal import EndReport, RemovalUpload
from audience_sync_cli.stack import share_text
from audience_sync_cli.stack.dataset_facts import is_dataset
from audience_sync_cli.stack.dead_letters import DeadLetterMessage
from audience_sync_cli.stack.digest import digest

SHOWN = 20  # uploads, and members whose removal is not proven; the JSON document has all


def proof_of(
    audience: Audience, report: EndReport, parked: Sequence[DeadLetterMessage], remaining: Sequence[str], waiting: int
) -> dict[str, Any]:
    """Return the proof as a document with its digest.

    `remaining` are sentences; `waiting` is the number of changes accepted since the end that are not completed.
    """
    document = {
        "over": True,
        "audienceId": audience.audience_id,
        "name": audience.name,
        "api": api_of(audience.destination),
        "movedTo": audience.moved_to,
        "endedAt": iso_time(audience.unlinked_at),
        "membersRemoved": report.removed,
        "uploads": [
            {
                "jobId": upload.job_id or None,
                "sentAt": iso_time(upload.sent_at),
                "endedAt": iso_time(upload.ended_at),
                "members": members,
            }
            for upload, members in _by_job(report)
        ],
        "sum": sum_of(report),
        "notProven": [{"member": member, "reason": why} for member, why in sorted(report.unproven.items())],
        "deadLetters": [{"id": each.message_id, "reason": each.reason, "members": each.members} for each in parked],
        "changesNotCompleted": waiting,
        "stillAtAmazon": list(remaining),
    }
    return document | {"digest": digest(document)}


def show_proof(screen: Screen, audience: Audience, report: EndReport, proof: dict[str, Any]) -> None:
    """Print a proof for people."""
    screen.say("")
    screen.facts(
        {
            "audience": f"{audience.name} ({audience.audience_id})",
            "ended": moment(audience.unlinked_at),
            "removals sent": report.removed,
            "not proven": len(report.unproven),
            "dead letters": len(proof["deadLetters"]),
        }
    )
    if report.uploads:
        took = "in effect after" if is_dataset(audience) else "job took"
        uploads = _by_job(report)
        screen.say("")
        screen.table(
            ("upload", "members", "sent", took),
            [(each.job_id, members, moment(each.sent_at), _duration(each)) for each, members in uploads[:SHOWN]],
        )
        if more := len(uploads[SHOWN:]):
            screen.say(f"and {counted(more, 'more upload')}: --json lists them.")
        screen.say(f"{proof['sum']}.")
    if report.unproven:
        screen.say("")
        screen.table(("not proven", "reason"), sorted(report.unproven.items())[:SHOWN])
    screen.say("")
    for each in proof["stillAtAmazon"]:
        screen.say(f"Still at Amazon: {each}")
    screen.say(f"SHA-256 of this proof, as --json prints it: {proof['digest']}")


def sum_of(report: EndReport) -> str:
    """Return why the members of the uploads add up to more or fewer than were removed."""
    total, again = report.uploads.total(), [f" + {members:,} {why}" for why, members in report.again.items()]
    missing = report.removed + report.again.total() - total
    less = f" - {missing:,} without a recorded upload" if missing else ""
    return f"{total:,} members in uploads = {report.removed:,} members removed{''.join(again)}{less}"


def _by_job(report: EndReport) -> list[tuple[RemovalUpload, int]]:
    """Return each upload once, the earliest first, with its members: each row dates the end of the job by itself."""
    merged: dict[object, tuple[RemovalUpload, int]] = {}
    for each, members in sorted(report.uploads.items()):
        first, before = merged.get(each.job_id or each, (each, 0))
        last = RemovalUpload(each.job_id, min(first.sent_at, each.sent_at), max(first.ended_at, each.ended_at))
        merged[each.job_id or each] = last, before + members
    return sorted(merged.values(), key=lambda pair: pair[0].sent_at)


def _duration(upload: RemovalUpload) -> str:
    seconds = round((upload.ended_at - upload.sent_at) / 1000)
    return f"{seconds} s" if seconds < 120 else f"{round(seconds / 60):,} min"


def still_at_amazon(audience: Audience, shares: Sequence[Share]) -> list[str]:
    """Return what ending an audience leaves at Amazon, as sentences."""
    if not is_dataset(audience):
        return ["the audience, with time to live 0; Amazon has no request to delete it."]
    remaining = ["the dataset, from which everybody was removed; Amazon has no request to delete it."]
    for each in shares:
        ids = ", ".join(each.audience_ids)
        in_dsp = f", audience ids {ids}; members were removed before" if ids else ""
        what = "the revoked share" if each.is_revoked else "the share, which still has to be ended in the console,"
        remaining.append(f"{what} with {share_text.account(each)}{in_dsp}.")
    if audience.settings.get("idRetention"):
        remaining.append("hashes that Amazon keeps for 90 days, as the dataset was created with --id-retention.")
    return remaining
