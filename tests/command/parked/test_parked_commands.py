"""Dead letters: read without deleting any, redriven without losing any, dropped only on purpose."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from audience_sync.amazon_ads.destination import ads_data_manager
from audience_sync.aws.sqs import Queue
from audience_sync.members.membership import Audience, Identity, MembershipChange
from audience_sync.members.messages import ChangeMessage, change_as_json
from audience_sync_cli.frame import reasons
from audience_sync_cli.frame.errors import NotThere, WrongUsage
from audience_sync_cli.frame.screen import Screen
from audience_sync_cli.frame.session import Session
from audience_sync_cli.frame.times import HOUR
from audience_sync_cli.parked.parked_commands import Filter, drop, list_, redrive, show
from audience_sync_cli.stack.dead_letters import MAX_PEEK
from tests.command.conftest import NOW, Deployment, change
from tests.support.aws_fixtures import AUDIENCE


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audience_sync_cli.stack.redrive.RATE", 1000)


def numbered(count: int, prefix: str = "m") -> list[MembershipChange]:
    return [change(name) for name in names(count, prefix)]


def names(count: int, prefix: str = "m") -> list[str]:
    return [f"{prefix}{number:02}" for number in range(count)]


def members(deployment: Deployment, queue: str = "DeadLetterQueue") -> list[str]:
    return sorted(each["record"]["externalUserId"] for each in deployment.changes(queue))


def listed(deployment: Deployment, only: Filter) -> list[str]:
    return sorted(member for message in deployment.json(list_, only, now=NOW) for member in message["members"])


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        pytest.param(Filter(), ["early", "late", "other"], id="all"),
        pytest.param(Filter(reason="not_found"), ["other"], id="by reason"),
        pytest.param(Filter(audience="5"), ["other"], id="by audience"),
        pytest.param(Filter(since="3h"), ["late", "other"], id="since an age"),
        pytest.param(Filter(since="2027-01-15T07:00Z"), ["late", "other"], id="since a time"),
        pytest.param(Filter(since="3h", reason="not_found"), ["other"], id="both"),
    ],
)
def test_filters_select_dead_letters(deployment: Deployment, only: Filter, expected: list[str]) -> None:
    deployment.park(change("early"), at=NOW - 5 * HOUR)
    deployment.park(change("late"), at=NOW - HOUR)
    deployment.park(change("other", audience_id="5"), at=NOW - HOUR / 2, reason="not_found")
    assert [listed(deployment, only) for _ in range(2)] == [expected, expected], "listing leaves them in the queue"


@pytest.mark.parametrize("name", ["7", "vip", "vip-us"], ids=["id", "computation key", "external id"])
@pytest.mark.parametrize("act", [list_, redrive, drop])
def test_dead_letters_are_found_by_every_name_of_their_audience(
    deployment: Deployment, act: Callable[..., None], name: str
) -> None:
    deployment.list_audience(Audience("7", computation_key="vip", external_audience_id="vip-us"))
    deployment.park(change("theirs", audience_id="7"), change("not theirs"))
    found = deployment.json(act, Filter(audience=name), yes=act is drop)
    assert (len(found) if act is list_ else found["matched"]) == 1


def test_dead_letters_of_an_audience_in_no_list_are_found_by_its_id_only(deployment: Deployment) -> None:
    deployment.park(change("theirs", audience_id="7"))
    assert listed(deployment, Filter(audience="7")) == ["theirs"]
    for act in (list_, redrive, drop):
        assert "No audience 8 is listed here" in str(deployment.refusal(NotThere, act, Filter(audience="8"), yes=True))


def test_a_redriven_dead_letter_is_not_counted_again_and_unreadable_ones_are_left(deployment: Deployment) -> None:
    deployment.park(change("m1"))
    deployment.send("DeadLetterQueue", "{}")
    assert deployment.json(redrive, Filter()) == {"matched": 2, "redriven": 1, "dryRun": False}
    (body,) = deployment.bodies("ChangeQueue")
    assert ("failure" in body, body["replay"]) == (False, True)  # it was counted as parked
    assert body["changes"] == [change_as_json(change("m1"))]
    assert deployment.bodies("DeadLetterQueue") == [{}]


def test_redrive_moves_matching_messages_and_leaves_the_rest_visible(deployment: Deployment) -> None:
    deployment.park(*numbered(12, "yes"), reason="not_found")
    deployment.park(*numbered(12, "no"))
    only = Filter(reason="not_found")
    assert deployment.json(redrive, only, dry_run=True) == {"matched": 12, "redriven": 0, "dryRun": True}
    assert (len(members(deployment)), members(deployment, "ChangeQueue")) == (24, []), "a dry run changes nothing"
    assert deployment.json(redrive, only) == {"matched": 12, "redriven": 12, "dryRun": False}
    assert members(deployment, "ChangeQueue") == names(12, "yes")
    assert listed(deployment, Filter()) == names(12, "no")


def test_an_interrupted_redrive_loses_no_message(deployment: Deployment) -> None:
    deployment.park(*numbered(15))
    deployment.fail("sqs.DeleteMessageBatch", KeyboardInterrupt())
    deployment.refusal(KeyboardInterrupt, redrive, Filter())
    assert members(deployment) == names(15)
    assert len(members(deployment, "ChangeQueue")) == 10  # sent, and still a dead letter: sent again, it is superseded


def test_reading_ends_if_messages_become_visible_again(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    # As if there were too many to read in time.
    monkeypatch.setattr("audience_sync_cli.stack.dead_letters.VISIBILITY", 0)
    deployment.park(*numbered(15))
    seen = deployment.printed(list_, Filter())
    assert "At least 15 dead letters." in seen.out
    assert "Dead letters become visible again" in seen.err
    redrive(deployment.session(), Filter())
    assert {*members(deployment), *members(deployment, "ChangeQueue")} == {*names(15)}


def allow_in_flight(deployment: Deployment, messages: int) -> None:
    """Let SQS have so many messages in flight, instead of 120,000."""
    deployment.queues.find(deployment.stack["DeadLetterQueue"]).in_flight_limit = messages


def test_list_and_its_help_say_what_is_left_out(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audience_sync_cli.stack.dead_letters.MAX_PEEK", 20)
    deployment.park(*numbered(25))
    seen = deployment.printed(list_, Filter())
    assert "At least 20 dead letters." in seen.out
    assert "Only 20 dead letters were read, and there may be more." in seen.err
    monkeypatch.setattr("audience_sync_cli.stack.dead_letters.MAX_PEEK", 30)
    seen = deployment.printed(list_, Filter())
    assert ("At least" in seen.out, seen.err) == (False, ""), "all were made visible again, and all are listed"
    assert f"Reads at most {MAX_PEEK:,} dead letters," in (list_.__doc__ or "")


def test_redrive_handles_more_messages_than_the_in_flight_limit(deployment: Deployment) -> None:
    allow_in_flight(deployment, 10)
    deployment.park(*numbered(45))
    assert deployment.json(redrive, Filter()) == {"matched": 45, "redriven": 45, "dryRun": False}
    assert members(deployment) == []


def test_list_and_redrive_say_if_the_in_flight_limit_of_sqs_stops_them(deployment: Deployment) -> None:
    allow_in_flight(deployment, 20)
    deployment.park(*numbered(30, "no"))
    deployment.park(change("yes"), reason="not_found")
    for _ in range(2):
        seen = deployment.printed(list_, Filter(reason="access_denied"))
        assert "No dead letters match." in seen.out
        assert "Only 20 dead letters were read: the queue has as many messages in flight as SQS allows" in seen.err
    result = deployment.json(redrive, Filter(reason="not_found"))
    assert "as many messages in flight as SQS allows" in result.pop("stopped")
    assert result == {"matched": 0, "redriven": 0, "dryRun": False}
    assert len(members(deployment)) == 31
    allow_in_flight(deployment, 100)
    assert deployment.json(redrive, Filter(reason="not_found"))["redriven"] == 1


def test_changes_parked_again_are_not_redriven_twice(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    deployment.park(*numbered(15))
    send = Queue.send

    def send_in_vain(queue: Queue, bodies: Sequence[str], *, deadline: float) -> None:
        send(queue, bodies, deadline=deadline)
        deployment.park(*(each for body in bodies for each in ChangeMessage.from_body(body).changes))

    monkeypatch.setattr(Queue, "send", send_in_vain)
    assert deployment.json(redrive, Filter()) == {"matched": 30, "redriven": 15, "dryRun": False}
    assert members(deployment) == members(deployment, "ChangeQueue") == names(15)


def test_a_message_that_sqs_fails_to_delete_is_not_counted_as_dropped(deployment: Deployment) -> None:
    deployment.park(change("m1"))

    def spoil_receipts(params: dict[str, Any], **_: object) -> None:
        for entry in params["Entries"]:
            entry["ReceiptHandle"] = "none"

    events = deployment.stack.service("sqs").meta.events
    events.register("before-parameter-build.sqs.DeleteMessageBatch", spoil_receipts)
    assert deployment.json(drop, Filter(reason="request_rejected"), yes=True) == {"matched": 1, "dropped": 0}
    assert members(deployment) == ["m1"]


def test_drop_leaves_dead_letters_parked_after_the_question(deployment: Deployment) -> None:
    deployment.park(change("m1"))

    def agree(_: str) -> str:
        deployment.park(change("m2"))
        return "y"

    drop(Session(Screen(answers=agree), lambda: deployment.stack), Filter(reason="request_rejected"))
    assert members(deployment) == ["m2"]


def test_drop_asks_with_a_minimum_if_not_all_are_read(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audience_sync_cli.stack.dead_letters.MAX_PEEK", 10)
    deployment.park(*numbered(25))
    deployment.park(change("other"), reason="not_found")
    deployment.answers = ["y"]
    drop(deployment.session(), Filter(reason="request_rejected"))
    assert deployment.questions == ["Drop at least 10 dead letters for good, and all others that match? [y/N] "]
    assert members(deployment) == ["other"]


def test_a_removal_with_more_than_100_identities_is_redriven_whole(deployment: Deployment) -> None:
    removed = tuple(Identity(1_000, {"email": f"{number:064}"}) for number in range(250))
    deployment.park(change("m1", exits=True, identities=removed), reason="job_rejected")
    redrive(deployment.session(), Filter(reason="job_rejected"))
    (sent,) = deployment.bodies("ChangeQueue")
    assert sent["changes"][0]["record"]["hashedPII"] == [each.digests for each in removed]
    assert ChangeMessage.from_body(json.dumps(sent)).changes[0].identities == removed
    assert members(deployment) == []


def test_drop_asks_with_the_number_of_exits_lost_and_needs_a_filter_that_says_so(deployment: Deployment) -> None:
    deployment.park(change("m1", exits=True), change("m2"))
    question = deployment.declined(drop, Filter(reason="request_rejected"))
    assert "Drop 2 dead letters for good? 1 of their changes are exits" in question
    assert members(deployment) == ["m1", "m2"]
    assert "--since 14d" in deployment.refusal(WrongUsage, drop, Filter(), yes=True).remedy
    drop(deployment.session(yes=True), Filter(since="14d"))
    assert members(deployment) == []


def test_show_prints_the_failure_without_identifiers(deployment: Deployment) -> None:
    deployment.park(change("m1"), detail="Amazon answered 400: phone is not a hash", requestId="r-1")
    parked = deployment.json(list_, Filter())[0]
    assert deployment.json(show, parked["id"][:8]) == parked
    expected = {"reason": "request_rejected", "audienceId": AUDIENCE.audience_id, "requestId": "r-1"}
    assert parked.items() >= expected.items()
    assert "0" * 64 not in json.dumps(parked)
    deployment.refusal(NotThere, show, "unknown")


def test_list_and_show_name_the_remedy_of_each_reason(deployment: Deployment) -> None:
    deployment.park(change("m1"), change("m2"), reason="access_denied")
    deployment.park(change("m3"), reason="no_identifier")
    found = deployment.json(list_, Filter())
    for reason in ("access_denied", "no_identifier"):
        remedy = reasons.parked(reason).remedy
        assert " ".join(deployment.printed(list_, Filter()).out.split()).count(f"{reason}: {remedy}") == 1
        (shown, *_) = [each["id"] for each in found if each["reason"] == reason]
        assert remedy in " ".join(deployment.printed(show, shown).out.split())
    assert "parked show" not in reasons.parked("access_denied").remedy


def test_dead_letters_with_a_reason_of_an_older_version_are_explained_and_redriven_by_it(
    deployment: Deployment,
) -> None:
    deployment.park(change("m1"), reason="job_failed")
    deployment.park(change("m2"), reason="job_unknown")
    deployment.park(change("m3"), reason="a_reason_to_come")
    printed = " ".join(deployment.printed(list_, Filter()).out.split())
    assert printed.count("Redrive it.") == 2
    assert "a_reason_to_come: See Reason codes in docs/runbook.md." in printed
    redrive(deployment.session(), Filter(reason="job_failed"))
    assert members(deployment) == ["m2", "m3"]


def test_a_remedy_is_for_the_api_and_the_kind_of_change(deployment: Deployment) -> None:
    dataset, enter, leave = change("m1", destination=ads_data_manager()), change("m1"), change("m1", exits=True)
    deployment.park(dataset, reason="access_denied")
    printed = " ".join(deployment.printed(list_, Filter()).out.split())
    assert "terms show --api data-manager`" in printed
    assert "terms show`" in reasons.parked("access_denied", [enter]).remedy
    for reason in ("job_rejected", "request_rejected"):
        assert "correct the source" in reasons.parked(reason, [enter]).remedy
        for changes in ([leave], [enter, leave]):
            assert reasons.parked(reason, changes).remedy.startswith("Redrive it")
        assert "redrive exits" in reasons.parked(reason).remedy


@pytest.fixture
def dead_events(deployment: Deployment) -> str:
    """A dead letter of each kind. Returns the body of the event that can be redriven."""
    deployment.stack.parameters = {"EventQueue": "yes"}
    deployment.park(change("m1"))
    usable = json.dumps([{"userId": "m2", "email": "ada@example.com"}])
    deployment.send("EventsDeadLetterQueue", usable)
    deployment.send("EventsDeadLetterQueue", '{"userId":"m3","email":"bob@example.com"', reason="invalid_request")
    return usable


@pytest.mark.usefixtures("dead_events")
def test_dead_letters_of_the_event_queue_are_listed_and_shown_without_their_bodies(deployment: Deployment) -> None:
    found = {each["reason"]: each for each in deployment.json(list_, Filter())}
    assert {reason: each["members"] for reason, each in found.items()} == {
        "request_rejected": ["m1"],
        "received_too_often": [],
        "invalid_request": [],
    }
    printed = [deployment.printed(list_, Filter())]
    printed += [deployment.printed(show, each["id"]) for each in found.values()]
    text = " ".join(" ".join(each.out.split()) for each in printed)
    assert text.count("Correct the sender, and have it send these events again; then drop this one.") == 2
    assert not any(value in text for value in ("ada@", "bob@", "m2", "m3"))  # "ada" may be in an id
    assert [each["reason"] for each in deployment.json(list_, Filter(reason="invalid_request"))] == ["invalid_request"]


def test_redrive_sends_usable_events_to_the_event_queue(deployment: Deployment, dead_events: str) -> None:
    assert "2 of 3 dead letters would be redriven." in deployment.printed(redrive, Filter(), dry_run=True).out
    assert deployment.json(redrive, Filter()) == {"matched": 3, "redriven": 2, "dryRun": False}
    assert [each.body for each in deployment.queues.peek(deployment.stack["EventsQueue"])] == [dead_events]
    assert members(deployment, "ChangeQueue") == ["m1"]
    assert [each["reason"] for each in deployment.json(list_, Filter())] == ["invalid_request"]


@pytest.mark.usefixtures("dead_events")
def test_drop_deletes_dead_letters_of_the_event_queue(deployment: Deployment) -> None:
    whole = "This includes 1 message of the event queue, deleted whole, with any events about others."
    only = Filter(reason="invalid_request")
    assert deployment.declined(drop, only) == f"Drop 1 dead letter for good? {whole} [y/N] "
    assert deployment.json(drop, only, yes=True) == {"matched": 1, "dropped": 1}
    assert deployment.json(drop, Filter(since="14d"), yes=True)["dropped"] == 2


@pytest.mark.parametrize(
    ("typed", "suggested"),
    [
        pytest.param("acces_denied", "Did you mean access_denied?", id="a letter missing"),
        pytest.param("no_such_reason", "", id="nothing similar"),
        pytest.param("Access_Denied", "Did you mean access_denied?", id="capitals"),
    ],
)
def test_an_unknown_reason_code_is_wrong_usage(deployment: Deployment, typed: str, suggested: str) -> None:
    with pytest.raises(WrongUsage, match="Unknown reason code") as caught:
        Filter(reason=typed).condition(deployment.session())
    assert suggested in caught.value.remedy
    assert "job_rejected" in caught.value.remedy


@pytest.mark.usefixtures("event_queue")
def test_list_and_drop_select_by_member_or_message_id(deployment: Deployment) -> None:
    deployment.park(change("m1"), change("m2"))
    deployment.send("EventsDeadLetterQueue", '{"userId":"m1"', reason="invalid_request")
    found = deployment.json(list_, Filter(id="m1"))
    assert sorted(each["reason"] for each in found) == ["invalid_request", "request_rejected"]
    assert deployment.json(drop, Filter(id=found[0]["id"]), yes=True) == {"matched": 1, "dropped": 1}
    assert len(deployment.json(list_, Filter())) == 2
