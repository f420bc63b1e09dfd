"""Dead letters of people whom a deletion notice has named since: marked, and dropped together."""

import hashlib
import json
from dataclasses import replace

import pytest

from audience_sync.members.messages import pack
from audience_sync_cli.members.member import show as show_member
from audience_sync_cli.parked.parked_commands import Filter, drop, list_, show
from tests.command.conftest import Deployment, change
from tests.command.parked.test_parked_commands import members
from tests.support.builders import notice


def erased(deployment: Deployment, only: Filter) -> dict[str, bool]:
    return {each["members"][0]: each["erased"] for each in deployment.json(list_, only)}


@pytest.fixture(autouse=True)
def dead_letters(deployment: Deployment) -> None:
    """Of a change from before the person's notice, of the notice's own removal, and of a change after it."""
    deployment.record(*(notice(person, 1_000) for person in ("before", "removal", "after")))
    deployment.park(
        change("before", at=999),
        replace(change("removal", exits=True), message_id="notice-removal", erase=True),
        change("after", at=1_001),
        change("never", at=999),
    )


def test_list_and_show_mark_dead_letters_older_than_a_deletion_notice(deployment: Deployment) -> None:
    assert erased(deployment, Filter()) == {"before": True, "removal": False, "after": False, "never": False}
    seen, marked = deployment.printed(list_, Filter()).out, "1 dead letter of people erased by a later deletion notice."
    assert ("erased since" in seen, marked in seen) == (True, True)
    deployment.park(change("never"), reason="not_found")
    assert "erased" not in deployment.printed(list_, Filter(reason="not_found")).out
    deployment.list_audience()
    (found,) = [each for each in deployment.json(list_, Filter()) if each["members"] == ["before"]]
    assert deployment.json(show, found["id"])["erased"] is True
    assert deployment.json(show_member, "before")["parked"] == [found]


@pytest.mark.parametrize(
    ("only", "dropped"), [(Filter(), 1), (Filter(reason="not_found"), 0)], ids=["all", "of another reason"]
)
def test_drop_erased_deletes_erased_dead_letters_that_match(deployment: Deployment, only: Filter, dropped: int) -> None:
    found = deployment.json(drop, only, erased=True, yes=True)
    assert found == {"matched": dropped, "dropped": dropped}
    assert members(deployment) == ["after", *(["before"] if not dropped else []), "never", "removal"]


HASHED = hashlib.sha256(b"ada@example.com").hexdigest()


@pytest.mark.usefixtures("event_queue")
@pytest.mark.parametrize(
    ("body", "is_dropped"),
    [
        pytest.param('{"userId":"never"}\n{"userId":"before","email":"bob@example.com"}', True, id="glued"),
        pytest.param('{"email":" Ada@Example.com "', True, id="the address of which the mapping makes the id"),
        pytest.param(r'[{"userId":"bef\u006fre"}', True, id="an escape"),
        pytest.param('{"userId":"before,"email":"bob@example.com"}', True, id="a quotation mark is missing"),
        pytest.param('{"userId":"before', True, id="cut off"),
        pytest.param(json.dumps(json.dumps({"userId": "before"})), True, id="JSON in a string"),
        pytest.param("before,bob@example.com", True, id="CSV"),
        pytest.param('{"userId":12345', True, id="a number"),
        pytest.param(f'{{"userId":"before","x":"{"x" * 1_048_490}"', True, id="too large for a reason"),
        *(
            pytest.param(form, True, id=f"the address {number}")
            for number, form in enumerate(
                (
                    *("1;ada@example.com;x", "<a><mail>ada@example.com</mail></a>", "{'email': 'ada@example.com'}"),
                    *("userId: ada@example.com", "mailto:ada@example.com", HASHED.upper()),
                )
            )
        ),
        pytest.param('[{"userId":"before-2"}', False, id="another id"),
        pytest.param('{"type":"track","event":"Entered","userId":"never","email":"eve@b.co"', False, id="field names"),
        pytest.param('{"a":"' + r"\"" * 500_000, False, id="nothing but quotation marks, in a second"),
    ],
)
def test_drop_erased_deletes_unusable_event_queue_messages_that_name_the_person(
    deployment: Deployment, body: str, is_dropped: bool
) -> None:
    deployment.record(*(notice(person, 1_000) for person in (HASHED, "12345", "track", "email", "Entered")))
    attribute = {"reason": "invalid_request"} if len(body) < 1_048_500 else {}
    deployment.send("EventsDeadLetterQueue", body, **attribute)
    deployment.send("EventsDeadLetterQueue", usable := '[{"userId":"never"},{"userId":"before"}]')
    question = deployment.declined(drop, Filter(), erased=True)
    assert ("This includes 1 message of the event queue, deleted whole" in question) is is_dropped
    printed = deployment.printed(drop, Filter(), erased=True, yes=True)
    assert "1 message of the event queue about erased people can still be redriven: `audience-sync" in printed.err
    left = [each.body for each in deployment.queues.peek(deployment.stack["EventsDeadLetterQueue"])]
    assert left == ([usable] if is_dropped else [body, usable])


def test_drop_erased_does_not_warn_about_exits(deployment: Deployment) -> None:
    """The notice's own removal names all that the row knows."""
    deployment.park(change("before", exits=True, at=998))
    deployment.answers = ["y"]
    drop(deployment.session(), Filter(), erased=True)
    assert deployment.questions == ["Drop 2 dead letters for good? [y/N] "]
    assert members(deployment) == ["after", "never", "removal"]


def test_a_message_about_several_is_erased_only_if_all_are_and_an_unreadable_one_never(deployment: Deployment) -> None:
    for others in (["never"], ["before"]):
        (body,) = pack([change(person, at=900) for person in ("removal", *others)])
        deployment.send("DeadLetterQueue", body)
    found = deployment.json(list_, Filter(reason="received_too_often"))
    assert sorted((each["members"], each["erased"]) for each in found) == [
        (["removal", "before"], True),
        (["removal", "never"], False),
    ]
    deployment.send("DeadLetterQueue", json.dumps({}))
    assert [each["erased"] for each in deployment.json(list_, Filter(reason="unreadable"))] == [False]


def test_drop_erased_deletes_only_messages_it_has_read(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audience_sync_cli.stack.dead_letters.MAX_PEEK", 10)
    people = [f"m{number:02}" for number in range(25)]
    deployment.record(*(notice(person, 1_000) for person in people))
    deployment.park(*(change(person, at=999) for person in people))
    result = deployment.json(drop, Filter(), erased=True, yes=True)
    assert result["stopped"]
    assert 0 < result["dropped"] <= 10
    assert {"after", "never", "removal"} <= set(members(deployment))
