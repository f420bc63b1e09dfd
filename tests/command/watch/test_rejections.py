"""`rejections`: counts by reason, shares, remedies and message ids, and no value of an event."""

import time
from typing import Any

from audience_sync_cli.stack.function_logs import LogLine
from audience_sync_cli.watch.rejections import SAMPLES, by_reason, rejections
from tests.command.conftest import Deployment


def test_rejections_are_counted_by_reason_with_share_remedy_and_sample_ids(deployment: Deployment) -> None:
    deployment.publish(time.time() - 30, EventsAccepted=15, EventsIgnored=1, EventsRejected=4)
    deployment.reject(("time_ahead", "m-1"), ("member_id_invalid", "m-2"), ("time_ahead", "m-3"))
    deployment.reject(("time_ahead", "m-4"))
    document = deployment.json(rejections)
    assert (document["received"], document["rejected"]) == (20, 4)
    first, second = document["reasons"]
    counted = {"reason": "time_ahead", "events": 3, "share": 0.15, "remedy": "Correct the sender's clock."}
    assert first == counted | {"messageIds": ["m-1", "m-3", "m-4"], "audienceIds": []}
    assert (second["reason"], second["events"], second["share"]) == ("member_id_invalid", 1, 0.05)
    output = deployment.printed(rejections, since="30m").out
    assert output.startswith("4 events of 20 rejected since ")
    assert "15.0%" in output
    assert "m-1" in output
    assert "Correct the sender's clock." in output


def test_denied_consent_is_counted_apart(deployment: Deployment) -> None:
    deployment.publish(time.time() - 30, EventsAccepted=3, EventsRejected=1)
    deployment.reject(("time_ahead", "m-1"))
    for message_id in ("m-2", "m-3"):
        deployment.log("Ingest", "consent denied", reason="consent_denied", message_id=message_id)
    deployment.log("Ingest", "events rejected", rejected=0, by_reason={"consent_denied": 2})
    document = deployment.json(rejections)
    assert (document["received"], document["rejected"], document["consentDenied"]) == (4, 1, 2)
    ids = {each["reason"]: each["messageIds"] for each in document["reasons"]}
    assert ids == {"consent_denied": ["m-2", "m-3"], "time_ahead": ["m-1"]}
    assert deployment.printed(rejections).out.startswith("1 event of 4 rejected, 2 with consent denied since ")


def test_a_partial_rejection_is_counted_apart(deployment: Deployment) -> None:
    deployment.publish(time.time() - 30, EventsAccepted=3, EventsRejected=1)
    deployment.reject(("time_ahead", "m-1"))
    for message_id, audience_id in (("m-2", "7"), ("m-3", "d-1"), ("m-4", "7")):
        partial = {"reason": "consent_missing", "message_id": message_id, "audience_id": audience_id}
        deployment.log("Ingest", "event rejected", **partial)
    deployment.log("Ingest", "events rejected", rejected=0, partly_rejected=3, by_reason={"consent_missing": 3})
    document = deployment.json(rejections)
    assert (document["received"], document["rejected"], document["partlyRejected"]) == (4, 1, 3)
    by = {each["reason"]: each["audienceIds"] for each in document["reasons"]}
    assert by == {"consent_missing": ["7", "d-1"], "time_ahead": []}
    printed = deployment.printed(rejections).out
    assert printed.startswith("1 event of 4 rejected, 3 by one of their audiences only since ")
    assert "consent_missing, only by 7, d-1: the other audiences" in printed


def test_without_rejections_one_sentence_is_printed_and_no_table_without_message_ids(deployment: Deployment) -> None:
    deployment.publish(time.time() - 30, EventsAccepted=3)
    (sentence,) = deployment.printed(rejections).out.splitlines()
    assert sentence.startswith("0 events of 3 rejected since ")
    deployment.log("Ingest", "events rejected", rejected=1, by_reason={"invalid_request": 1})
    printed = deployment.printed(rejections).out
    assert ("invalid_request" in printed, "message ids" in printed) == (True, False)


def test_counts_come_from_the_sum_line_and_ids_from_single_lines() -> None:
    def each(number: int) -> LogLine:
        return LogLine(number, "Ingest", {"message": "event rejected", "reason": "a", "message_id": str(number)})

    total: dict[str, Any] = {"message": "events rejected", "by_reason": {"a": 900, "b": 2}}
    first, second = by_reason([*map(each, range(100)), LogLine(101, "Ingest", total)])
    assert (first.reason, first.events, first.message_ids) == ("a", 900, ("97", "98", "99"))
    assert len(first.message_ids) == SAMPLES
    assert (second.reason, second.events, second.message_ids) == ("b", 2, ())
