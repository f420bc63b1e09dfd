"""Segment's own destinations, from its published package, deliver to a stack as docs/segment-setup.md sets it up."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
import requests

from local.example_audiences import EXAMPLE
from local.sample_profiles import Person, audience_event
from tests.e2e.conftest import LocalStack
from tests.e2e.segment.workspace import AUDIENCES, EXTENSIBLE, FOLDER, SCRIPT, WEBHOOK, Event, Outcome, Workspace
from tests.support import node
from tests.support.waiting import wait_until

EXTRAS = {
    "advertiserId": "590071284455661234",
    "countryCode": "US",
    "description": "Bought often, and much",
    "externalAudienceId": "big-spenders-us",
    "ttl": 2_592_000,  # seconds; thirty days
}
WRONG_KEY = "c1f0a7d3e9b84652"
ALL = (WEBHOOK, AUDIENCES, EXTENSIBLE)
_numbers = count(1)


@pytest.fixture(scope="module", autouse=True)
def packages() -> None:
    """Skip where Segment's package is not available, before anything is started."""
    node.required(FOLDER)


@pytest.fixture(scope="module")
def workspace(stack: LocalStack) -> Iterator[Workspace]:
    where = stack.where
    with node.started(SCRIPT, folder=FOLDER) as deliver:
        yield Workspace(deliver, where["api"], where["eventKey"], where["audienceKey"], where["signingSecret"])


@pytest.fixture(scope="module")
def audience_id(workspace: Workspace) -> str:
    """An audience that Segment has created."""
    destination = workspace.destination(AUDIENCES)
    external_id = destination.create_audience("Big spenders, US", EXTRAS).value["externalId"]
    assert isinstance(external_id, str)  # a number of that size would be rounded on Segment's side
    return external_id


def people(number: int) -> list[Person]:
    """Return people that no other test uses."""
    return [Person(next(_numbers)) for _ in range(number)]


def enter(person: Person, audience_id: str = EXAMPLE.audience_id, *, enters: bool = True) -> Event:
    """Return Segment's event, with the audience's extras among its settings unless the audience is the example."""
    key = "lapsed_premium_buyers" if audience_id == EXAMPLE.audience_id else "big_spenders_us"
    event = audience_event(person, enters=enters, at=datetime.now(UTC), audience_id=audience_id, key=key)
    if audience_id != EXAMPLE.audience_id:
        event["context"]["personas"]["audience_settings"] = {"extras": json.dumps(EXTRAS)}
    return event


def exit_(person: Person, audience_id: str = EXAMPLE.audience_id) -> Event:
    return enter(person, audience_id, enters=False)


def at_amazon(stack: LocalStack, audience_id: str) -> dict[str, Any]:
    shown: dict[str, Any] = requests.get(f"{stack.where['amazon']}/sandbox/audiences/{audience_id}", timeout=10).json()
    return shown


def among(stack: LocalStack, audience_id: str, group: Sequence[Person]) -> set[str]:
    """Return those of a group who are in the audience with the right e-mail digest."""
    members = at_amazon(stack, audience_id)["members"]
    return {
        person.user_id
        for person in group
        if members.get(person.user_id, {}).get("identifiers", {}).get("email") == [person.email_digest]
    }


def wait_for(stack: LocalStack, audience_id: str, group: Sequence[Person], inside: Sequence[Person]) -> None:
    """Wait until exactly `inside` of the group are in the audience."""
    wait_until(lambda: among(stack, audience_id, group), lambda found: found == {person.user_id for person in inside})


def counted(stack: LocalStack) -> tuple[int, ...]:
    state = stack.wait_until_quiescent()
    return tuple(state[name] for name in ("eventsAccepted", "ignored", "rejected"))


def test_segment_creates_an_audience_with_the_settings_in_its_extras(stack: LocalStack, audience_id: str) -> None:
    assert at_amazon(stack, audience_id)["name"] == "Big spenders, US"
    (body,) = creations(stack)
    assert (body["description"], body["countryCode"]) == (EXTRAS["description"], EXTRAS["countryCode"])
    assert body["metadata"]["ttl"] == EXTRAS["ttl"]
    assert str(body["targetResource"]["advertiserId"]) == EXTRAS["advertiserId"]
    assert body["metadata"]["externalAudienceId"] == EXTRAS["externalAudienceId"]


def creations(stack: LocalStack) -> list[Any]:
    """Return the bodies of the requests to Amazon that create an audience."""
    sent = requests.get(f"{stack.where['amazon']}/sandbox/requests", timeout=10).json()
    return [each["body"] for each in sent if (each["method"], each["path"]) == ("POST", "/amc/audiences/metadata")]


def test_creating_the_audience_again_creates_no_second_one(
    workspace: Workspace, stack: LocalStack, audience_id: str
) -> None:
    before = creations(stack)
    second = workspace.destination(AUDIENCES).create_audience("Big spenders, US", EXTRAS)
    assert second == Outcome(value={"externalId": audience_id})
    assert creations(stack) == before


def test_segment_finds_the_audience_it_created(workspace: Workspace, audience_id: str) -> None:
    found = workspace.destination(AUDIENCES).get_audience(audience_id, EXTRAS)
    assert found == Outcome(value={"externalId": audience_id})


def test_the_key_may_be_in_the_query_where_the_form_refuses_user_info(workspace: Workspace, audience_id: str) -> None:
    destination = workspace.audiences_at(f"{workspace.api}/v1/audiences?key={workspace.audience_key}")
    assert destination.create_audience("Big spenders, US", EXTRAS).value == {"externalId": audience_id}
    assert destination.get_audience(audience_id, EXTRAS).value == {"externalId": audience_id}


def test_segment_gets_404_for_an_unknown_audience(workspace: Workspace) -> None:
    found = workspace.destination(AUDIENCES).get_audience("418273650912340000", EXTRAS)
    assert (found.fault, found.status) == ("HTTPError", 404)


def test_segment_gets_the_faults_of_the_extras(workspace: Workspace) -> None:
    refused = workspace.destination(AUDIENCES).create_audience("Big spenders, US", EXTRAS | {"countryCode": "Utopia"})
    assert (refused.fault, refused.status) == ("HTTPError", 400)
    assert "countryCode" in refused.answer["error"]


def test_the_event_key_does_not_authenticate_for_audiences(workspace: Workspace, audience_id: str) -> None:
    destination = workspace.audiences_at(workspace.audiences_url(workspace.event_key))
    for refused in (destination.create_audience("Other people", EXTRAS), destination.get_audience(audience_id, EXTRAS)):
        assert (refused.fault, refused.status) == ("HTTPError", 401)


def test_members_enter_and_leave_the_created_audience_one_by_one(
    workspace: Workspace, stack: LocalStack, audience_id: str
) -> None:
    destination, (stays, leaves) = workspace.destination(AUDIENCES), people(2)
    for person in (stays, leaves):
        assert destination.send(enter(person, audience_id)).value["accepted"] == 1
    wait_for(stack, audience_id, [stays, leaves], inside=[stays, leaves])
    assert destination.send(exit_(leaves, audience_id)).value["accepted"] == 1
    wait_for(stack, audience_id, [stays, leaves], inside=[stays])


def test_members_enter_and_leave_the_created_audience_in_batches(
    workspace: Workspace, stack: LocalStack, audience_id: str
) -> None:
    destination, group = workspace.destination(AUDIENCES), people(60)
    entered = destination.send_batch([enter(person, audience_id) for person in group])
    assert [(each["status"], each["body"]["accepted"]) for each in entered.value] == [(200, 60)] * 60
    wait_for(stack, audience_id, group, inside=group)
    destination.send_batch([exit_(person, audience_id) for person in group[:20]])
    wait_for(stack, audience_id, group, inside=group[20:])


@pytest.mark.parametrize("slug", [WEBHOOK, EXTENSIBLE])
def test_members_enter_and_leave_through_the_other_webhooks_too(
    workspace: Workspace, stack: LocalStack, slug: str
) -> None:
    destination, group = workspace.destination(slug), people(6)
    assert destination.send(enter(group[0])).value["accepted"] == 1
    assert destination.send_batch([enter(person) for person in group[1:]]).fault is None
    wait_for(stack, EXAMPLE.audience_id, group, inside=group)
    assert destination.send(exit_(group[0])).value["accepted"] == 1
    assert destination.send_batch([exit_(person) for person in group[1:3]]).fault is None
    wait_for(stack, EXAMPLE.audience_id, group, inside=group[3:])


@pytest.mark.parametrize("slug", ALL)
def test_a_signature_alone_authenticates_a_single_event(
    workspace: Workspace, stack: LocalStack, audience_id: str, slug: str
) -> None:
    """Webhook Audiences signs before it merges the extras in; its events are accepted nevertheless."""
    target, group = audience_id if slug == AUDIENCES else EXAMPLE.audience_id, people(1)
    assert workspace.signed_only(slug).send(enter(group[0], target)).value["accepted"] == 1
    wait_for(stack, target, group, inside=group)


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("slug", ALL)
def test_a_signature_over_the_first_event_alone_does_not_authenticate_a_batch(
    workspace: Workspace, stack: LocalStack, audience_id: str, slug: str, size: int
) -> None:
    before, target = counted(stack), audience_id if slug == AUDIENCES else EXAMPLE.audience_id
    group = people(size)
    refused = workspace.signed_only(slug).send_batch([enter(person, target) for person in group])
    assert (refused.fault, refused.status) == ("HTTPError", 401)
    assert counted(stack) == before
    assert among(stack, target, group) == set()


def test_a_batch_with_bad_events_counts_as_delivered_and_the_answer_names_them(
    workspace: Workspace, stack: LocalStack
) -> None:
    good, bad = people(2)
    sent = workspace.destination(WEBHOOK).send_batch([enter(good), enter(bad) | {"userId": "person@example.com"}])
    assert [each["status"] for each in sent.value] == [200, 200]
    answer = sent.value[1]["body"]
    assert (answer["accepted"], answer["rejected"]) == (1, 1)
    assert [(each["index"], each["reason"]) for each in answer["rejections"]] == [(1, "member_id_invalid")]
    wait_for(stack, EXAMPLE.audience_id, [good, bad], inside=[good])


def test_the_answer_to_the_event_tester_says_that_its_event_was_ignored(workspace: Workspace) -> None:
    (person,) = people(1)
    sent = workspace.destination(WEBHOOK).send(enter(person) | {"messageId": "segment-test-message-a1b2c3"})
    assert (sent.value["accepted"], sent.value["ignored"]) == (0, 1)


def test_an_event_that_cannot_be_used_is_an_error_that_names_the_reason(workspace: Workspace) -> None:
    (person,) = people(1)
    refused = workspace.destination(WEBHOOK).send(enter(person) | {"userId": "person@example.com"})
    assert (refused.fault, refused.status) == ("HTTPError", 400)
    assert [each["reason"] for each in refused.answer["rejections"]] == ["member_id_invalid"]


def test_an_answer_about_many_bad_events_is_small_enough_for_segment_to_read(workspace: Workspace) -> None:
    """Its client hangs on answers of some sizes."""
    bad = [enter(person) | {"userId": "person@example.com"} for person in people(1000)]
    refused = workspace.destination(WEBHOOK).send_batch(bad)
    assert (refused.fault, refused.status) == ("HTTPError", 400)
    assert refused.answer["rejected"] == 1000
    assert len(json.dumps(refused.answer)) < 8_000


@pytest.mark.parametrize("slug", ALL)
def test_a_wrong_key_is_an_error_and_changes_nothing(workspace: Workspace, stack: LocalStack, slug: str) -> None:
    before, (person,) = counted(stack), people(1)
    destination = workspace.with_key(slug, WRONG_KEY)
    for refused in (destination.send(enter(person)), destination.send_batch([enter(person)])):
        assert (refused.fault, refused.status) == ("HTTPError", 401)
    assert counted(stack) == before


@pytest.mark.parametrize(
    ("characters", "rejected"),
    [
        pytest.param(1_150_000, 1, id="refused by the function"),  # four events are over 4.5 MB, but under Lambda's 6
        pytest.param(1_750_000, 0, id="refused by the gateway"),
    ],
)
def test_a_batch_that_is_too_large_is_an_error_and_at_most_one_rejected_event(
    workspace: Workspace, stack: LocalStack, characters: int, rejected: int
) -> None:
    *before, rejected_before = counted(stack)
    large = [enter(person) | {"traits": {"biography": "x" * characters}} for person in people(4)]
    refused = workspace.destination(WEBHOOK).send_batch(large)
    assert (refused.fault, refused.status) == ("HTTPError", 413)
    assert counted(stack) == (*before, rejected_before + rejected)


def test_every_accepted_event_has_been_delivered(workspace: Workspace, stack: LocalStack) -> None:
    """Those of this test, and of all tests above."""
    (person,) = people(1)
    workspace.destination(WEBHOOK).send(enter(person))
    wait_for(stack, EXAMPLE.audience_id, [person], inside=[person])
    state = stack.wait_until_quiescent()
    assert (state["parked"], state["deadLetters"]) == (0, [])
    assert state["accepted"] == state["delivered"] + state["superseded"] > 0
