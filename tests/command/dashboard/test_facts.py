"""The facts that the page reads: one document, in camel case, with nothing in it that a page must not hold."""

import json

import pytest

from audience_sync.members.messages import pack
from audience_sync_cli.dashboard.facts import DeadLetterFacts, Facts
from audience_sync_cli.stack.dead_letters import read_message
from tests.command.conftest import change
from tests.support import dashboard_states as states


@pytest.mark.parametrize(
    "facts",
    [each() for each in (states.empty, states.flowing, states.outage, states.revoked, states.parked, states.unshared)],
)
def test_facts_are_one_document_of_plain_json(facts: Facts) -> None:
    document = json.loads(json.dumps(facts.as_json()))
    shown = document["counts"]["waiting"], document["queue"]["total"], document["jobsPending"]
    assert shown == (facts.counts.waiting, facts.queue.total, facts.jobs_pending)


def test_names_are_camel_case_and_ids_are_strings() -> None:
    document = states.parked().as_json()
    (first, *_) = document["parked"]["listed"]
    assert first["audienceId"] == "418273650912345678"
    assert {"messageId", "requestId", "isReadable", "exits"} <= first.keys()
    assert all("_" not in name for name in document)


def test_every_reason_that_is_shown_is_explained() -> None:
    shown = states.parked().as_json()["reasons"]
    assert shown["rejected"]["consent_missing"]["remedy"] == "Map amzn_user_data, tcf or gpp."
    assert shown["parked"].keys() == {"access_denied", "request_rejected"}
    assert all(each["means"] and each["remedy"] for kind in shown.values() for each in kind.values())


def test_a_dead_letter_is_summarized_without_its_identifiers_also_an_unreadable_one() -> None:
    (body,) = pack([change("m1"), change("m2", exits=True)])
    received = {"MessageId": "id-1", "ReceiptHandle": "receipt", "Body": body, "Attributes": {"SentTimestamp": "7000"}}
    facts = DeadLetterFacts.of(read_message(received))
    assert (facts.reason, facts.changes, facts.exits, facts.at) == ("received_too_often", 2, 1, 7.0)
    assert facts.members == ("m1", "m2")
    assert "0" * 64 not in repr(facts)
    facts = DeadLetterFacts.of(read_message({"MessageId": "id-1", "ReceiptHandle": "", "Body": "not a message"}))
    assert (facts.reason, facts.is_readable, facts.audience_id, facts.changes) == ("unreadable", False, None, 0)
