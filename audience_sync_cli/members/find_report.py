"""The answer of `member find` in parts, for the screen and the page, with a sentence for who was not found. Pure.

Values are named by their lines; the personal data in an answer is what the stack itself stores.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from audience_sync.aws.membership_rows import expires_at
from audience_sync_cli.frame.command_lines import to_paste
from audience_sync_cli.frame.screen import counted, moment
from audience_sync_cli.members.asked_values import Match
from audience_sync_cli.members.erasure_report import QUEUES
from audience_sync_cli.members.erasure_sentences import Part, head_facts
from audience_sync_cli.members.id_list import SHOWN
from audience_sync_cli.members.people import Known, label
from audience_sync_cli.stack.member_facts import state_facts


def parts(report: Mapping[str, Any], people: Sequence[Part]) -> Iterator[Part]:
    """Yield the parts of the answer, the conclusion last."""
    yield Part(
        "Personal data in the audiences for Amazon Ads",
        facts=(
            *([("Request", report["request"])] if report["request"] else []),
            *head_facts(report),
            ("Region", report["region"]),
            ("Searched for", ", ".join(map(_value, report["values"]))),
            ("Rows read", f"{report['rowsRead']:,}"),
        ),
    )
    yield from people
    if remarks := [*_remarks(report)]:
        yield Part("Remarks", remarks)
    if report["people"]:
        yield Part(
            "Source, recipients and time",
            [
                "From events of Twilio Segment; if the message id begins with import-, from a file of members.",
                f"Sent to Amazon Ads ({report['sentTo']}), to choose who sees advertising; identifiers as SHA-256.",
                f"Kept in AWS until the date above, unless it changes; {report['backupDays']} days more in backups.",
                "Amazon's API does not state how long Amazon keeps what it received.",
            ],
        )
    yield Part("Answer", [report["answer"]])


def answer(report: Mapping[str, Any]) -> str:
    """Return what is known now, in a sentence; if nothing was found, one that may be sent to the person."""
    if report["unread"]:
        return "Not all of the stored data could be read or searched: this says nothing about what is not listed."
    if report["people"] or report["events"]:
        ids, events = len(report["people"]), len(report["events"])
        people = [f"the data of {counted(ids, 'external user id')}"] if ids else []
        letters = [f"{counted(events, 'event')} in the dead letters"] if events else []
        return f"Stored: {' and '.join(people + letters)}, as stated above."
    if report["notSearched"]:
        return "Nothing was found, but not all lines were searched: correct them, and search again."
    now = datetime.fromisoformat(report["reportedAt"])
    again, backups = now + timedelta(seconds=QUEUES), now + timedelta(days=report["backupDays"])
    dead = f"{counted(report['eventsRead'], 'dead event')} compared word by word. " if report["eventsRead"] else ""
    kinds = " and ".join(sorted({each["kind"] for each in report["values"]}))
    return (
        f"On {now:%Y-%m-%d} at {now:%H:%M} UTC we searched the system that sends audiences to Amazon Ads (stack "
        f"{report['stack']}, region {report['region']}) for the given {kinds}, and found no data. {dead}Not searched: "
        f"changes that still wait, which another search after {again:%Y-%m-%d} covers, automatic backups, which expire "
        f"by {backups:%Y-%m-%d}, Segment, and Amazon Ads."
    )


def next_lines(report: Mapping[str, Any]) -> list[str]:
    """Return the lines to type next."""
    ids = [each["member"] for each in report["people"]][:SHOWN]
    shown = [to_paste("parked drop", id=each["messageId"]) for each in report["events"][:SHOWN]]
    if ids:
        shown = [*(to_paste("member show", each) for each in ids), *shown, to_paste("member erase", *ids)]
        shown += [
            to_paste("member erasure", each, html=f"erasure-{each}.html", json=True, into=f"erasure-{each}.json")
            for each in ids
        ]
    return ["\nNext", *(f"  {each}" for each in shown)] if shown else []


def person_part(known: Known, matches: Iterable[Match]) -> Part:
    """Return what matches, and what is stored of a person."""
    matching = [f"{each.line} {each.field}" + (f" ({each.form})" if each.form else "") for each in matches]
    facts = [("Matches", ", ".join(matching))]
    for audience, state in known.rows:
        held = [f"{name} {value}" for name, value in state_facts(state).items() if value]
        facts.append((label(audience), "; ".join([*held, f"kept until {moment(expires_at(state) * 1000)[:10]}"])))
    if known.parked:
        facts.append(("Dead letters", str(len(known.parked))))
    if known.erasure:
        facts.append(("Notice or denial", moment(known.erasure.everywhere.newest.at)))
    return Part(f"{known.member} (external user id)", facts=facts)


def _remarks(report: Mapping[str, Any]) -> Iterator[str]:
    yield from report["unread"][:SHOWN]
    for each in report["notSearched"][:SHOWN]:
        yield f"Line {each['line']} was not searched: {each['problem']}."
    for each in report["values"]:
        if len(each["members"]) > 1:
            yield f"{len(each['members'])} ids share the {each['kind']} of line {each['line']}: they may be two people."
    without = [each["line"] for each in report["values"] if not each["members"]]
    if without and report["people"] and not report["unread"]:
        yield f"No person was found by {_lines(without)}."
    for each in report["events"]:
        yield f"A dead letter of the event queue holds {_lines(each['lines'])} as typed: {each['messageId']}"


def _value(value: Mapping[str, Any]) -> str:
    return f"{value['line']}: {value['kind']}" + (f" ({value['part']})" if value["part"] else "")


def _lines(lines: Sequence[int]) -> str:
    return f"line{'s' if len(lines) > 1 else ''} {', '.join(map(str, lines))}"
