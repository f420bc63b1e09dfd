"""Dead letters: looked at without harm, sent round again without loss, dropped only on purpose."""

import json
from collections.abc import Callable

import pytest

from audience_sync.membership import pack
from cli.errors import NotConfirmed, NotThere, WrongUsage
from cli.parked import Filter, drop, list_, read_time, redrive, show
from tests.unit.cli.conftest import AUDIENCE, NOW, Json, World, change

HOUR = 3_600.0  # seconds


def members(world: World, queue: str = "DeadLetterQueue") -> list[str]:
    return sorted(each["record"]["externalUserId"] for body in world.bodies(queue) for each in body["changes"])


def listed(world: World, printed: Json, only: Filter) -> list[str]:
    list_(world.session(as_json=True, now=NOW), only)
    return sorted(member for letter in printed() for member in letter["members"])


def test_looking_takes_nothing_away(world: World, printed: Json) -> None:
    world.park(*(change(f"m{number}") for number in range(25)))
    assert len(listed(world, printed, Filter())) == 25
    assert len(listed(world, printed, Filter())) == 25


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        pytest.param(Filter(), ["early", "late", "other"], id="all"),
        pytest.param(Filter(reason="not_found"), ["other"], id="by reason"),
        pytest.param(Filter(audience="5"), ["other"], id="by audience"),
        pytest.param(Filter(member="late"), ["late"], id="by member"),
        pytest.param(Filter(since="3h"), ["late", "other"], id="since an age"),
        pytest.param(Filter(until="3h"), ["early"], id="until an age"),
        pytest.param(Filter(since="2027-01-15T07:00Z"), ["late", "other"], id="since a time"),
        pytest.param(Filter(since="3h", reason="not_found"), ["other"], id="both"),
    ],
)
def test_filters_say_which_letters_are_meant(world: World, printed: Json, only: Filter, expected: list[str]) -> None:
    world.park(change("early"), at=NOW - 5 * HOUR)
    world.park(change("late"), at=NOW - HOUR / 2)
    world.park(change("other", audience_id="5"), at=NOW - HOUR / 2, reason="not_found")
    assert listed(world, printed, only) == expected


def test_a_redriven_letter_is_a_message_again_and_counts_no_second_time(world: World) -> None:
    world.park(change("m1"))
    redrive(world.session(), Filter(), rate=1000)
    (body,) = world.bodies("ChangeQueue")
    assert "parked" not in body
    assert body["again"] is True  # it was counted as parked
    assert body["changes"] == [change("m1").as_json()]
    assert members(world) == []


def test_what_the_queue_itself_gave_up_was_never_counted(world: World) -> None:
    (body,) = pack([change("m1")])
    world.send("DeadLetterQueue", body)
    redrive(world.session(), Filter(reason="received_too_often"), rate=1000)
    (moved,) = world.bodies("ChangeQueue")
    assert moved == json.loads(body)


def test_a_redrive_moves_what_fits_and_gives_the_rest_back(world: World, printed: Json) -> None:
    world.park(*(change(f"yes{number:02}") for number in range(12)), reason="not_found")
    world.park(*(change(f"no{number:02}") for number in range(12)))
    redrive(world.session(as_json=True), Filter(reason="not_found"), rate=1000)
    assert printed() == {"matched": 12, "redriven": 12, "dryRun": False}
    assert members(world, "ChangeQueue") == [f"yes{number:02}" for number in range(12)]
    assert listed(world, printed, Filter()) == [f"no{number:02}" for number in range(12)]


def test_a_redrive_that_is_cut_off_loses_nothing(world: World) -> None:
    world.park(*(change(f"m{number:02}") for number in range(15)))
    session = world.session()
    session.stack.service("sqs").meta.events.register("before-call.sqs.DeleteMessageBatch", _interrupt)
    with pytest.raises(KeyboardInterrupt):
        redrive(session, Filter(), rate=1000)
    assert members(world) == [f"m{number:02}" for number in range(15)]
    assert len(members(world, "ChangeQueue")) == 10  # sent, and still a dead letter: sent again, it is superseded


def _interrupt(**_: object) -> None:
    raise KeyboardInterrupt


def test_reading_ends_although_letters_come_back_meanwhile(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.letters.HELD", 0)  # seconds: as if there were too many to read before they reappear
    world.park(*(change(f"m{number:02}") for number in range(15)))
    redrive(world.session(), Filter(), rate=1000)
    assert {*members(world), *members(world, "ChangeQueue")} == {f"m{number:02}" for number in range(15)}


def test_a_letter_that_nobody_can_read_stays(world: World, printed: Json) -> None:
    world.send("DeadLetterQueue", "{}")
    redrive(world.session(as_json=True), Filter(), rate=1000)
    assert printed() == {"matched": 1, "redriven": 0, "dryRun": False}
    assert len(world.bodies("DeadLetterQueue")) == 1


@pytest.mark.parametrize("act", [redrive, drop])
def test_a_dry_run_changes_nothing(world: World, act: Callable[..., None]) -> None:
    world.park(change("m1"))
    act(world.session(), Filter(member="m1"), dry_run=True)
    assert members(world) == ["m1"]
    assert members(world, "ChangeQueue") == []


def test_dropping_asks_and_says_who_would_stay(world: World) -> None:
    world.park(change("m1", exits=True), change("m2"))
    world.answers = ["n"]
    with pytest.raises(NotConfirmed):
        drop(world.session(), Filter(reason="request_rejected"))
    assert "Drop 2 letters for good? 1 of their changes are exits" in world.questions[0]
    assert members(world) == ["m1", "m2"]


def test_dropping_ends_what_fits_only(world: World) -> None:
    world.park(change("m1"), change("m2"))
    drop(world.session(yes=True), Filter(member="m1"))
    assert members(world) == ["m2"]


def test_dropping_everything_wants_to_be_said(world: World) -> None:
    world.park(change("m1"))
    with pytest.raises(WrongUsage):
        drop(world.session(yes=True), Filter())
    drop(world.session(yes=True), Filter(), everything=True)
    assert members(world) == []


def test_one_letter_tells_its_story_without_identifiers(world: World, printed: Json) -> None:
    world.park(change("m1"), detail="Amazon answered 400: phone is not a hash", requestId="r-1")
    list_(world.session(as_json=True), Filter())
    letter = printed()[0]
    show(world.session(as_json=True), letter["id"][:8])
    assert printed() == letter
    assert (letter["reason"], letter["audienceId"], letter["requestId"]) == (
        "request_rejected",
        AUDIENCE.audience_id,
        "r-1",
    )
    assert "0" * 64 not in json.dumps(letter)
    with pytest.raises(NotThere):
        show(world.session(), "unknown")


@pytest.mark.parametrize("text", ["yesterday", "3w", "12:00", "-3h"])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(WrongUsage):
        read_time(text, NOW)
