"""An audience that the stack has not created: whether Amazon lets it write there, and who has filled it."""

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import requests

from audience_sync.members.membership import FilledBy
from audience_sync_cli.audiences.creation import Settings, update
from audience_sync_cli.audiences.linking import link
from audience_sync_cli.audiences.list_and_show import list_
from audience_sync_cli.frame.errors import NotConfirmed, OperatorError, TryLater
from audience_sync_cli.stack.options import Choices
from audience_sync_cli.stack.settling import TIMEOUT
from tests.command.conftest import NOW, Deployment
from tests.support.aws_fixtures import AUDIENCE

pytestmark = pytest.mark.usefixtures("connected")


def at_amazon(deployment: Deployment) -> tuple[list[str], dict[str, Any]]:
    """The actions that Amazon has received, and who is in the audience then."""
    ledger = requests.get(f"{deployment.amazon}/sandbox/ledger", timeout=5).json()
    shown = requests.get(f"{deployment.amazon}/sandbox/audiences/{AUDIENCE.audience_id}", timeout=5).json()
    return [each["action"] for each in ledger], shown["members"]


@pytest.mark.parametrize(
    ("does", "answer", "sent"),
    [
        ({"status": 403, "body": {"message": "Not your audience"}}, "Amazon answered 403", []),
        ({"status": 404}, "Amazon answered 404", []),
        ({"job": {"state": "FAILED"}}, "job of a made-up member failed: FAILED", ["CREATE", "DELETE"]),
        ({"job": {"failed": 1}}, "failed: Record could not be processed", ["CREATE", "DELETE"]),
        ({"job": {"state": "PENDING"}}, "has not ended after 1200 seconds", ["CREATE", "DELETE"]),
    ],
)
def test_an_audience_that_amazon_does_not_let_this_client_write_to_is_not_linked(
    deployment: Deployment, does: dict[str, Any], answer: str, sent: list[str]
) -> None:
    rule = {"match": {"path": "/amc/audiences/records", "method": "POST"}, "do": does, "times": 1}
    requests.put(f"{deployment.amazon}/sandbox/faults", json=[rule], timeout=5).raise_for_status()
    session, waited = deployment.session(as_json=True), [0.0]
    session.now, session.sleep = lambda: NOW + sum(waited), lambda _: waited.append(TIMEOUT / 2)
    with pytest.raises(OperatorError, match=answer) as refused:
        link(session, AUDIENCE.audience_id, key="big_spenders", choices=Choices(created_by_segment=True))
    assert isinstance(refused.value, TryLater) or refused.value.remedy.endswith("docs/switching.md, way 1.")
    assert deployment.session().audiences.with_unlinked() == []
    assert at_amazon(deployment) == (sent, {})


@pytest.mark.parametrize(
    ("answers", "said", "filled_by"),
    [(["y"], None, "others"), (["N"], None, "stack"), ([""], None, "unknown"), ([], True, "others")],
)
def test_link_records_who_has_filled_an_audience_as_the_operator_says_and_list_says_what_follows(
    deployment: Deployment, answers: list[str], said: bool | None, filled_by: str
) -> None:
    deployment.answers = answers
    printed = deployment.printed(link, AUDIENCE.audience_id, choices=Choices(created_by_segment=said), now=NOW)
    assert deployment.answers == []
    assert ("Audience Exited" in printed.out, "2028-02-16" in printed.out) == (filled_by == "others",) * 2
    (shown,) = deployment.json(list_)
    listed = deployment.printed(list_).out
    assert (shown["filledBy"], "system has sent" in listed) == (filled_by, filled_by == "others")
    assert ("may have sent" in listed) == (filled_by == "unknown")
    assert deployment.json(link, AUDIENCE.audience_id, name="Another name")["filledBy"] == filled_by
    assert at_amazon(deployment) == (["CREATE", "DELETE"], {}), "a made-up member, the first time"
    deployment.json(update, AUDIENCE.audience_id, Settings(ttl_days=0), yes=True)
    assert "may remain there" not in deployment.printed(list_).out, "it is empty"


@pytest.mark.parametrize(("answer", "filled_by"), [("", "others"), ("y", "stack")])
def test_link_asks_before_an_audience_counts_as_free_of_what_another_system_has_sent(
    deployment: Deployment, answer: str, filled_by: str
) -> None:
    deployment.list_audience(replace(AUDIENCE, filled_by=FilledBy.OTHERS))
    deployment.answers = [answer]
    with nullcontext() if answer else pytest.raises(NotConfirmed):
        link(deployment.session(), AUDIENCE.audience_id, choices=Choices(created_by_segment=False))
    (shown,) = deployment.json(list_)
    assert shown["filledBy"] == filled_by
