"""The answer of `member find` in parts, for the screen and the page, with a sentence for who was not found. Pure.

Values are named by their lines; the personal data in an answer is what the stack itself stores.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from audience_sync_cli.members.erasure_report import QUEUES
from audience_sync_cli.members.erasure_sentences import Part, head_facts
from audience_sync_cli.members.id_list import SHOWN
from audience_sync_cli.screen import counted

_IMPORTED = "import-"  # begins the message ids of changes from a file


def parts(report: Mapping[str, Any]) -> Iterator[Part]:
    """Yield the parts of the answer, the conclusion last."""
    yield Part(
        "Personal data in the audiences for Amazon Ads",
        facts=(
            *([("Request", report["request"])] if report["request"] else []),
            *head_facts(report),
            ("Region", report["region"]),
            ("Searched for", ", ".join(f"{each['line']}: {each['kind']}" for each in report["values"])),
            ("Rows read", f"{report['rowsRead']:,}"),
        ),
    )
    for person in report["people"]:
        yield Part(f"{person['member']} (external user id)", facts=[*_facts(person)])
    if remarks := [*_remarks(report)]:
        yield Part("Remarks", remarks)
    if report["people"]:
        yield Part(
            "Source, recipients and time",
            [
                "From events of Twilio Segment, or from a file of members, as stated above.",
                f"Sent to Amazon Ads ({report['sentTo']}), to choose to whom advertising is shown; stored in AWS.",
                "Identifiers are stored and sent as SHA-256, which the JSON document of this answer has.",
                f"Kept until the date above, unless it changes, and {report['backupDays']} days more in backups.",
                "Amazon's API does not state how long Amazon keeps what it received.",
            ],
        )
    yield Part("Answer", [report["answer"]])


def answer(report: Mapping[str, Any]) -> str:
    """Return what is known now, in a sentence; if nothing was found, one that may be sent to the person."""
    if report["unread"]:
        return "Not all of the stored data could be read: this says nothing about what is not listed."
    if report["people"] or report["events"]:
        return f"Stored: the data of {counted(len(report['people']), 'external user id')}, as stated above."
    now = datetime.fromisoformat(report["reportedAt"])
    again, backups = now + timedelta(seconds=QUEUES), now + timedelta(days=report["backupDays"])
    kinds = " and ".join(sorted({each["kind"] for each in report["values"]}))
    return (
        f"On {now:%Y-%m-%d} at {now:%H:%M} UTC we searched the system that sends audiences to Amazon Ads (stack "
        f"{report['stack']}, region {report['region']}) for the given {kinds}, and found no data. Not searched: "
        f"changes that still wait, which another search after {again:%Y-%m-%d} covers, automatic backups, which expire "
        f"by {backups:%Y-%m-%d}, Segment, and Amazon Ads."
    )


def next_lines(report: Mapping[str, Any]) -> list[str]:
    """Return the lines to type next."""
    ids = [each["member"] for each in report["people"]][:SHOWN]
    erase = [f"member erase {' '.join(ids)}"] if ids else []
    return [
        *(f"audience-sync member show {each}" for each in ids),
        *(f"audience-sync parked show {each['messageId']}" for each in report["events"][:SHOWN]),
        *(f"audience-sync {each}" for each in erase),
        *(f"audience-sync member erasure {each} --html {each}.html --json > {each}.json" for each in ids),
    ]


def _facts(person: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for each in person["audiences"]:
        row = each["row"]
        fields = Counter(name for identity in (*row["active"], *row["toRemove"]) for name in identity)
        yield (
            (each["name"] or each["audienceId"]) + (" (unlinked)" if each["unlinkedAt"] else ""),
            "; ".join(
                [
                    f"{'in since' if row['action'] == 'CREATE' else 'left'} {row['at'][:10]} {row['at'][11:16]}",
                    f"matches {', '.join(map(_match, each['matches'])) or 'nothing'}",
                    "has " + (", ".join(f"{number} {name}" for name, number in sorted(fields.items())) or "no hashes"),
                    *([f"country {row['countryCode']}"] if row["countryCode"] else []),
                    *([f"consent {json.dumps(row['userConsent'])}"] if row["userConsent"] else []),
                    f"from {'file' if row['messageId'].startswith(_IMPORTED) else 'event'} {row['messageId']}",
                    f"kept until {row['keptUntil'][:10]}",
                ]
            ),
        )
    if person["deadLetters"]:
        yield "Dead letters", f"{len(person['deadLetters'])}, found by {_lines(person['lines'])}"
    for name, label in (("deletionNoticeAt", "Deletion notice"), ("consentDeniedAt", "Consent denied")):
        if person[name]:
            yield label, f"{person[name][:10]} {person[name][11:16]}"


def _remarks(report: Mapping[str, Any]) -> Iterator[str]:
    yield from report["unread"][:SHOWN]
    for each in report["values"]:
        if len(each["members"]) > 1:
            yield f"{len(each['members'])} ids share the {each['kind']} of line {each['line']}: they may be two people."
    without = [each["line"] for each in report["values"] if not each["members"]]
    if without and report["people"] and not report["unread"]:
        yield f"No person was found by {_lines(without)}."
    for each in report["events"]:
        yield f"A dead letter of the event queue holds {_lines(each['lines'])} as typed: {each['messageId']}"


def _match(match: Mapping[str, Any]) -> str:
    return f"{match['line']} {match['field']}" + (f" ({match['form']})" if match["form"] else "")


def _lines(lines: Sequence[int]) -> str:
    return f"line{'s' if len(lines) > 1 else ''} {', '.join(map(str, lines))}"
