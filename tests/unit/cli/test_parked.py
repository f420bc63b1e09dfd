"""Dead letters: looked at without harm, sent round again without loss, dropped only on purpose."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from audience_sync.aws.sqs import Queue
from audience_sync.messages import ChangeMessage, change_as_json, pack
from cli.dead_letters import REACH
from cli.errors import NotConfirmed, NotThere, WrongUsage
from cli.parked import Filter, drop, list_, read_time, redrive, show
from cli.screen import Screen
from cli.session import Session
from tests.unit.cli.conftest import AUDIENCE, NOW, Json, Simulation, change

HOUR = 3_600.0  # seconds


def members(simulation: Simulation, queue: str = "DeadLetterQueue") -> list[str]:
    return sorted(each["record"]["externalUserId"] for body in simulation.bodies(queue) for each in body["changes"])


def listed(simulation: Simulation, printed: Json, only: Filter) -> list[str]:
    list_(simulation.session(as_json=True, now=NOW), only)
    return sorted(member for letter in printed() for member in letter["members"])


def test_looking_takes_nothing_away(simulation: Simulation, printed: Json) -> None:
    simulation.park(*(change(f"m{number}") for number in range(25)))
    assert len(listed(simulation, printed, Filter())) == 25
    assert len(listed(simulation, printed, Filter())) == 25


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
def test_filters_say_which_letters_are_meant(
    simulation: Simulation, printed: Json, only: Filter, expected: list[str]
) -> None:
    simulation.park(change("early"), at=NOW - 5 * HOUR)
    simulation.park(change("late"), at=NOW - HOUR / 2)
    simulation.park(change("other", audience_id="5"), at=NOW - HOUR / 2, reason="not_found")
    assert listed(simulation, printed, only) == expected


def test_a_redriven_letter_is_a_message_again_and_counts_no_second_time(simulation: Simulation) -> None:
    simulation.park(change("m1"))
    redrive(simulation.session(), Filter(), rate=1000)
    (body,) = simulation.bodies("ChangeQueue")
    assert "parked" not in body
    assert body["replay"] is True  # it was counted as parked
    assert body["changes"] == [change_as_json(change("m1"))]
    assert members(simulation) == []


def test_what_the_queue_itself_gave_up_was_never_counted(simulation: Simulation) -> None:
    (body,) = pack([change("m1")])
    simulation.send("DeadLetterQueue", body)
    redrive(simulation.session(), Filter(reason="received_too_often"), rate=1000)
    (moved,) = simulation.bodies("ChangeQueue")
    assert moved == json.loads(body)


def test_a_redrive_moves_what_fits_and_gives_the_rest_back(simulation: Simulation, printed: Json) -> None:
    simulation.park(*(change(f"yes{number:02}") for number in range(12)), reason="not_found")
    simulation.park(*(change(f"no{number:02}") for number in range(12)))
    redrive(simulation.session(as_json=True), Filter(reason="not_found"), rate=1000)
    assert printed() == {"matched": 12, "redriven": 12, "dryRun": False}
    assert members(simulation, "ChangeQueue") == [f"yes{number:02}" for number in range(12)]
    assert listed(simulation, printed, Filter()) == [f"no{number:02}" for number in range(12)]


def test_a_redrive_that_is_cut_off_loses_nothing(simulation: Simulation) -> None:
    simulation.park(*(change(f"m{number:02}") for number in range(15)))
    session = simulation.session()
    session.stack.service("sqs").meta.events.register("before-call.sqs.DeleteMessageBatch", _interrupt)
    with pytest.raises(KeyboardInterrupt):
        redrive(session, Filter(), rate=1000)
    assert members(simulation) == [f"m{number:02}" for number in range(15)]
    assert len(members(simulation, "ChangeQueue")) == 10  # sent, and still a dead letter: sent again, it is superseded


def _interrupt(**_: object) -> None:
    raise KeyboardInterrupt


def test_reading_ends_although_letters_come_back_meanwhile(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.dead_letters.HELD", 0)  # seconds: as if there were too many to read before they reappear
    simulation.park(*(change(f"m{number:02}") for number in range(15)))
    redrive(simulation.session(), Filter(), rate=1000)
    assert {*members(simulation), *members(simulation, "ChangeQueue")} == {f"m{number:02}" for number in range(15)}


def hide_at_most(simulation: Simulation, letters: int) -> None:
    """Let SQS have so many messages in flight, instead of 120,000."""
    simulation.queues.find(simulation.stack["DeadLetterQueue"]).in_flight_limit = letters


def test_a_list_that_is_longer_than_one_look_says_so(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cli.dead_letters.REACH", 20)
    simulation.park(*(change(f"m{number:02}") for number in range(25)))
    list_(simulation.session(), Filter())
    seen = capsys.readouterr()
    assert "At least 20 letters." in seen.out
    assert "One look reaches 20 letters, and there may be more." in seen.err
    monkeypatch.setattr("cli.dead_letters.REACH", 30)
    list_(simulation.session(), Filter())
    seen = capsys.readouterr()
    assert ("At least" in seen.out, seen.err) == (False, ""), "all were given back, and all are there"


def test_the_help_of_list_says_how_far_one_look_reaches() -> None:
    assert f"One look reaches {REACH:,} letters." in (list_.__doc__ or "")


def test_a_look_ends_where_sqs_hides_no_more(simulation: Simulation, capsys: pytest.CaptureFixture[str]) -> None:
    hide_at_most(simulation, 20)
    simulation.park(*(change(f"m{number:02}") for number in range(25)))
    for _ in range(2):
        list_(simulation.session(), Filter(member="m99"))
        seen = capsys.readouterr()
        assert "No dead letter fits." in seen.out
        assert "that is as far as one look reaches (20 read" in seen.err


def test_a_redrive_of_more_than_sqs_can_hide_reaches_all_that_fit(simulation: Simulation, printed: Json) -> None:
    hide_at_most(simulation, 10)
    simulation.park(*(change(f"m{number:02}") for number in range(45)))
    redrive(simulation.session(as_json=True), Filter(), rate=1000)
    assert printed() == {"matched": 45, "redriven": 45, "dryRun": False}
    assert members(simulation) == []


def test_a_redrive_that_others_are_in_the_way_of_says_where_it_ended_and_gives_them_back(
    simulation: Simulation, printed: Json
) -> None:
    hide_at_most(simulation, 20)
    simulation.park(*(change(f"no{number:02}") for number in range(30)))
    simulation.park(change("yes"), reason="not_found")
    redrive(simulation.session(as_json=True), Filter(reason="not_found"), rate=1000)
    told = printed()
    assert "as far as one look reaches" in told.pop("stopped")
    assert told == {"matched": 0, "redriven": 0, "dryRun": False}
    assert len(members(simulation)) == 31
    hide_at_most(simulation, 100)
    redrive(simulation.session(as_json=True), Filter(reason="not_found"), rate=1000)
    assert printed()["redriven"] == 1


def test_letters_that_reappear_before_all_are_read_end_a_look_and_are_said(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cli.dead_letters.HELD", 0)
    simulation.park(*(change(f"m{number:02}") for number in range(15)))
    list_(simulation.session(), Filter())
    seen = capsys.readouterr()
    assert "At least 15 letters." in seen.out
    assert "Letters reappear" in seen.err


def test_what_comes_back_while_the_rest_is_redriven_does_not_go_round_for_ever(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch, printed: Json
) -> None:
    simulation.park(*(change(f"m{number:02}") for number in range(15)))
    send = Queue.send

    def send_in_vain(queue: Queue, bodies: Sequence[str], *, deadline: float) -> None:
        send(queue, bodies, deadline=deadline)
        simulation.park(*(each for body in bodies for each in ChangeMessage.from_body(body).changes))

    monkeypatch.setattr(Queue, "send", send_in_vain)
    redrive(simulation.session(as_json=True), Filter(), rate=1000)
    assert printed() == {"matched": 30, "redriven": 15, "dryRun": False}
    assert members(simulation) == members(simulation, "ChangeQueue") == [f"m{number:02}" for number in range(15)]


def test_a_letter_that_sqs_fails_to_delete_is_not_counted_as_dropped(simulation: Simulation, printed: Json) -> None:
    simulation.park(change("m1"))
    session = simulation.session(as_json=True, yes=True)
    events = session.stack.service("sqs").meta.events
    events.register("before-parameter-build.sqs.DeleteMessageBatch", _spoil_receipts)
    drop(session, Filter(member="m1"))
    assert printed() == {"matched": 1, "dropped": 0, "dryRun": False}
    assert members(simulation) == ["m1"]


def _spoil_receipts(params: dict[str, Any], **_: object) -> None:
    for entry in params["Entries"]:
        entry["ReceiptHandle"] = "none"


def test_what_is_parked_after_the_question_is_not_dropped_with_the_rest(simulation: Simulation) -> None:
    simulation.park(change("m1"))

    def agree(_: str) -> str:
        simulation.park(change("m2"))
        return "y"

    drop(Session(Screen(answers=agree), lambda: simulation.stack), Filter(reason="request_rejected"))
    assert members(simulation) == ["m2"]


def test_dropping_more_than_one_look_reaches_says_so_and_drops_all_that_fit(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.dead_letters.REACH", 10)
    simulation.park(*(change(f"m{number:02}") for number in range(25)))
    simulation.park(change("other"), reason="not_found")
    simulation.answers = ["y"]
    drop(simulation.session(), Filter(reason="request_rejected"))
    assert simulation.questions == ["Drop at least 10 letters for good, and all others that fit? [y/N] "]
    assert members(simulation) == ["other"]


def test_a_letter_that_nobody_can_read_stays(simulation: Simulation, printed: Json) -> None:
    simulation.send("DeadLetterQueue", "{}")
    redrive(simulation.session(as_json=True), Filter(), rate=1000)
    assert printed() == {"matched": 1, "redriven": 0, "dryRun": False}
    assert len(simulation.bodies("DeadLetterQueue")) == 1


@pytest.mark.parametrize("act", [redrive, drop])
def test_a_dry_run_changes_nothing(simulation: Simulation, act: Callable[..., None]) -> None:
    simulation.park(change("m1"))
    act(simulation.session(), Filter(member="m1"), dry_run=True)
    assert members(simulation) == ["m1"]
    assert members(simulation, "ChangeQueue") == []


def test_dropping_asks_and_says_who_would_stay(simulation: Simulation) -> None:
    simulation.park(change("m1", exits=True), change("m2"))
    simulation.answers = ["n"]
    with pytest.raises(NotConfirmed):
        drop(simulation.session(), Filter(reason="request_rejected"))
    assert "Drop 2 letters for good? 1 of their changes are exits" in simulation.questions[0]
    assert members(simulation) == ["m1", "m2"]


def test_dropping_ends_what_fits_only(simulation: Simulation) -> None:
    simulation.park(change("m1"), change("m2"))
    drop(simulation.session(yes=True), Filter(member="m1"))
    assert members(simulation) == ["m2"]


def test_dropping_everything_wants_to_be_said(simulation: Simulation) -> None:
    simulation.park(change("m1"))
    with pytest.raises(WrongUsage):
        drop(simulation.session(yes=True), Filter())
    drop(simulation.session(yes=True), Filter(), everything=True)
    assert members(simulation) == []


def test_one_letter_tells_its_story_without_identifiers(simulation: Simulation, printed: Json) -> None:
    simulation.park(change("m1"), detail="Amazon answered 400: phone is not a hash", requestId="r-1")
    list_(simulation.session(as_json=True), Filter())
    letter = printed()[0]
    show(simulation.session(as_json=True), letter["id"][:8])
    assert printed() == letter
    assert (letter["reason"], letter["audienceId"], letter["requestId"]) == (
        "request_rejected",
        AUDIENCE.audience_id,
        "r-1",
    )
    assert "0" * 64 not in json.dumps(letter)
    with pytest.raises(NotThere):
        show(simulation.session(), "unknown")


@pytest.mark.parametrize("text", ["yesterday", "3w", "12:00", "-3h"])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(WrongUsage):
        read_time(text, NOW)
