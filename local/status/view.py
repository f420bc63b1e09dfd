"""The numbers that the page shows, in the order an event travels. They hold no key, no token and no trait."""

import json
import re
from functools import cache
from typing import Any

from audience_sync import metric_names
from local.amazon.ledger import RequestEntry
from local.amazon.sandbox import Sandbox
from local.counters import Counters
from local.stack_view import StackView
from local.template import ROOT

HISTORY = 120  # seconds
SHOWN_REQUESTS = 12
SHOWN_LINES = 40
SHOWN_DEAD_LETTERS = 20
LONGEST_LINE = 500  # characters

_ARRIVALS = (metric_names.EVENTS_ACCEPTED, metric_names.EVENTS_IGNORED, metric_names.EVENTS_REJECTED)
_DEPARTURES = (metric_names.CHANGES_DELIVERED, metric_names.CHANGES_SUPERSEDED, metric_names.CHANGES_PARKED)
_AUDIENCE = re.compile(rb'"audienceId"\s*:\s*(\d+)')
_FOR_EVENTS = ("event", "batch", "batch-wrapped")  # kinds of example that go to /v1/events
_SHOWN_ELSEWHERE = frozenset({"level", "message", "timestamp", "service", "location", "request_id"})


def view(stack: StackView, now: float) -> dict[str, Any]:
    """Read everything at once, at `now` in epoch seconds.

    Ids are strings, times epoch seconds. `waiting` is what `accepted` leaves after `delivered`, `superseded` and
    `parked`: once the stack is quiescent anything but zero is a fault, and the page shows it as one.
    """
    state, counters = stack.state(), stack.counters
    dead_letters = state.pop("deadLetters")
    settled = state["delivered"] + state["superseded"] + state["parked"]
    return {
        "at": now,
        "api": stack.urls["api"],
        "state": state | {"waiting": state["accepted"] - settled, "deadLetters": len(dead_letters)},
        "counts": dict(counters.totals),
        "rejections": [
            {"reason": reason, "times": times} for reason, times in counters.reasons["IngestFunction"].most_common()
        ],
        "history": {
            "arrived": counters.history(_ARRIVALS, int(now), HISTORY),
            "settled": counters.history(_DEPARTURES, int(now), HISTORY),
        },
        "amazon": _amazon(stack.sandbox, now),
        "deadLetters": dead_letters[-SHOWN_DEAD_LETTERS:][::-1],
        "log": _log(counters),
        "examples": _examples(),
    }


def _amazon(sandbox: Sandbox, now: float) -> dict[str, Any]:
    audiences = [
        {
            "id": str(audience.audience_id),
            "name": audience.name,
            "size": max(0, sizes["receivedRecordSize"]),  # -1, not known, before the first upload: it is empty
            "matched": max(0, sizes["idResolutionCount"]),
        }
        for audience in sandbox.audiences.values()
        if (sizes := audience.sizes(now))
    ]
    newest = sandbox.requests.since(sandbox.requests.received - SHOWN_REQUESTS)
    return {
        "audiences": sorted(audiences, key=lambda audience: -audience["size"]),
        "pendingJobs": len(sandbox.jobs.pending),
        "requests": [_request(entry) for entry in reversed(newest)],
    }


def _request(entry: RequestEntry) -> dict[str, Any]:
    """Sum up a request to Amazon. Its body is searched, not parsed: it may be a megabyte, once a second."""
    raw = entry.raw or b""
    audience = _AUDIENCE.search(raw)
    return {
        "n": entry.n,
        "at": entry.at,
        "method": entry.method,
        "path": entry.path,
        "status": entry.status,
        "audienceId": audience[1].decode() if audience else None,
        "records": raw.count(b'"externalUserId"') if entry.path.endswith("/records") else None,
        "faults": entry.faults,
    }


def _log(counters: Counters) -> list[dict[str, Any]]:
    """Return the newest log lines, newest first, each with its number since the start."""
    newest = list(counters.lines)[-SHOWN_LINES:]
    first = counters.line_count - len(newest) + 1
    return [_line(n, function, line) for n, (function, line) in enumerate(newest, first)][::-1]


def _line(n: int, function: str, line: str) -> dict[str, Any]:
    shown: dict[str, Any] = {"n": n, "function": function.removesuffix("Function").lower(), "level": "", "at": None}
    try:
        entry = json.loads(line)
        facts = [f"{name}={_plain(fact)}" for name, fact in entry.items() if name not in _SHOWN_ELSEWHERE]
        shown |= {"level": str(entry["level"]), "at": str(entry["timestamp"])}
        text = " ".join([str(entry["message"]), *facts])
    except (ValueError, LookupError, TypeError, AttributeError):
        text = line  # a traceback, or anything else that was printed
    return shown | {"text": text if len(text) <= LONGEST_LINE else text[: LONGEST_LINE - 1] + "…"}


def _plain(fact: Any) -> str:
    return fact if isinstance(fact, str) else json.dumps(fact, ensure_ascii=False)


@cache
def _examples() -> list[dict[str, str]]:
    """The requests in events/segment that go to `/v1/events`; the others are for the audience endpoints."""
    folder = ROOT / "events" / "segment"
    listed = json.loads((folder / "index.json").read_text(encoding="utf-8"))["files"]
    return [
        {"file": f"events/segment/{each['file']}", "note": each["note"]}
        for each in listed
        if each["kind"] in _FOR_EVENTS
    ]
