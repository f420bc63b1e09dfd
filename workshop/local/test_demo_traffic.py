"""The demo sends as Segment does: what the API cannot take now is sent again, with pauses, and not for ever."""

from collections.abc import Iterable
from typing import Any

import pytest
from aiohttp import web

from local.demo_traffic import PAUSES, NotTaken, events_of, send
from local.sample_profiles import Person
from tests.support.servers import serve

PEOPLE = [Person(number) for number in range(1, 8)]
Answers = list[int]


def api(answers: Iterable[int], bodies: list[bytes]) -> web.Application:
    """Answer with these statuses, one after the other, then with 200."""
    left = iter(answers)

    async def take(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        status = next(left, 200)
        return web.json_response({"accepted": 3} if status == 200 else {"error": "not now"}, status=status)

    app = web.Application()
    app.router.add_post("/v1/events", take)
    return app


def deliver(answers: Iterable[int], bodies: list[bytes], pauses: list[float], count: int = 3) -> Any:
    events = events_of(PEOPLE, [])[:count]
    with serve(lambda: api(answers, bodies)) as served:
        where = {"api": served.url, "eventKey": "key", "signingSecret": "secret"}
        return send(where, events, sleep=pauses.append)


@pytest.mark.parametrize("status", [429, 503])
def test_a_throttled_request_is_sent_again_unchanged(status: int) -> None:
    bodies: list[bytes] = []
    pauses: list[float] = []
    sent = deliver([status, status], bodies, pauses)
    assert (sent.accepted, sent.repeated) == (3, 2)
    assert bodies == bodies[:1] * 3
    assert pauses == list(PAUSES[:2])


def test_retries_back_off_and_end_within_a_minute() -> None:
    bodies: list[bytes] = []
    pauses: list[float] = []
    with pytest.raises(NotTaken, match="503"):
        deliver([503] * 100, bodies, pauses)
    assert pauses == sorted(set(pauses)) == list(PAUSES)
    assert len(bodies) == len(PAUSES) + 1
    assert sum(PAUSES) < 60


def test_a_request_that_is_refused_is_not_sent_again() -> None:
    bodies: list[bytes] = []
    pauses: list[float] = []
    with pytest.raises(NotTaken, match="401"):
        deliver([401], bodies, pauses)
    assert (len(bodies), pauses) == (1, [])


def test_an_exit_is_in_the_request_of_its_enter_and_dated_later() -> None:
    events = events_of(PEOPLE, PEOPLE[:2])
    assert [(event["userId"][-1], event["event"].split()[1]) for event in events[:5]] == [
        ("1", "Entered"),
        ("1", "Exited"),
        ("2", "Entered"),
        ("2", "Exited"),
        ("3", "Entered"),
    ]
    assert len(events) == len(PEOPLE) + 2
    assert events[0]["timestamp"] < events[1]["timestamp"]
