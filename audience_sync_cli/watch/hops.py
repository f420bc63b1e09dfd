"""The hops of a change on its way to Amazon, and its possible ends, for people and for scripts. Pure."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from audience_sync.amazon_ads.job import JobReport
from audience_sync.members.member_state import MemberState
from audience_sync.members.membership import EVERY_AUDIENCE, MembershipChange
from audience_sync_cli.frame.command_lines import to_paste
from audience_sync_cli.frame.screen import counted, moment
from audience_sync_cli.stack.dead_letters import DeadLetterMessage
from audience_sync_cli.stack.options import NO_TTL, keeping
from audience_sync_cli.stack.settling import GOES_ON, End

_CHECKED = "The stack checks the job within 15 minutes"
_SENT_AGAIN = f"{_CHECKED}, and sends it again until a job succeeds: `audience-sync member show USER_ID` has the time."
_REJECTED = f"{_CHECKED}. It sends the record again once. A second rejection parks it: `audience-sync parked list`."

type Place = Literal["answer", "queue", "table", "upload", "job"]


class Hop(NamedTuple):
    """One hop that was reached."""

    place: Place
    after: float  # seconds since the event was posted
    text: str
    facts: dict[str, Any]  # for scripts

    @property
    def line(self) -> str:
        """The hop for people."""
        return f"{self.place:<6} {self.after:>8,.1f} s  {self.text}"

    def as_json(self) -> dict[str, Any]:
        """The hop for scripts."""
        return {"place": self.place, "afterSeconds": round(self.after, 1), "text": self.text} | self.facts


END_WITHOUT_JOB = End("done", "Amazon has accepted the change. Ads Data Manager does not report when it takes effect.")


def recorded(audience_id: str, states: Sequence[MemberState], newer: Sequence[MemberState]) -> tuple[str, End | None]:
    """Describe the changes in the membership table, and the end if nothing will be sent.

    `states` are the rows whose newest change is the one that is followed, `newer` those that hold a newer one instead.
    """
    parts = [
        f"{counted(len(states), 'change')} recorded" if states else "",
        f"{counted(len(newer), 'change')} superseded by a newer one" if newer else "",
    ]
    text = ", ".join(each for each in parts if each)
    if len(states) == 1:
        newest = states[0].newest
        text += f": {'exit' if newest.exits else 'enter'} of {moment(newest.at)}, {newest.message_id}"
    end: End | None = None
    if not states:
        at = max(state.newest.at for state in newer)
        end = End("superseded", f"Superseded by a newer change of {moment(at)}; nothing is sent for this one.")
    elif audience_id == EVERY_AUDIENCE:
        what = "denied consent" if states[0].newest.denies_consent else "deletion notice"
        end = End("done", f"The {what} is recorded. The worker queues an exit for each audience.")
    elif all(state.newest.exits and not state.to_remove for state in states):
        end = End("superseded", "No identifier of the member is at Amazon, so there is nothing to remove.")
    return text, end


def job_ended(
    report: JobReport, changes: Sequence[MembershipChange], ttl: int | None = None
) -> tuple[str, dict[str, Any], End]:
    """Describe the end of a job: for people, for scripts, and as the end of its changes of one audience.

    `ttl` is the audience's at Amazon, in seconds, if there is an enter and no record in the audience.
    """
    sizes = report.sizes
    rate = None if sizes.match_rate is None else round(sizes.match_rate, 1)
    numbers = [
        "" if report.processed is None else f"{report.processed:g}% of its records processed",
        "" if sizes.received is None else f"{counted(sizes.received, 'record')} in the audience",
        "" if rate is None else f"match rate {rate}%",
    ]
    text = ", ".join([report.state, *(each for each in numbers if each)])
    facts = {"state": report.state, "received": sizes.received, "matched": sizes.matched, "matchRate": rate}
    refused = [reason for each in changes if (reason := report.rejected.get(each.member[1])) is not None]
    if refused:
        why = refused[0] or "no reason given"
        return text, facts, End("rejected", f"Amazon's job rejected the record: {why}.", _REJECTED)
    if report.has_failed:
        return text, facts, End("rejected", "The whole job failed: nothing took effect.", _SENT_AGAIN)
    if all(each.exits for each in changes) or (ttl != 0 and sizes.received != 0):
        return text, facts, End("done", "Amazon has applied the change.")
    nobody, (audience_id, _) = "The job has ended, but nobody is in the audience.", changes[0].member
    if ttl == 0:
        return text, facts, End("rejected", f"{nobody} {NO_TTL}", f"Run `{keeping(audience_id)}`.")
    return text, facts, End("done", nobody, f"`{to_paste('diagnose', audience_id)}` looks for the reason.")


def parked(dead_letter: DeadLetterMessage) -> End:
    """Describe the end as a dead letter."""
    detail = dead_letter.failure.get("detail")
    return End(
        "parked",
        f"The change is parked as {dead_letter.reason}{f': {detail}' if detail else ''}.",
        f"{dead_letter.remedy} Details: `{to_paste('parked show', dead_letter.message_id[:8])}`.",
    )


def out_of_time(way: str, why: str) -> End:
    """Describe a change that is still on its way at the timeout."""
    return End("timeout", f"{way} {why}".strip(), GOES_ON)
