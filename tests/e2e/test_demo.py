"""`python -m local.demo` says yes only when the audience at Amazon is right."""

import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiohttp import ClientSession, web
from rich.console import Console

from local.demo import _differences, demonstrate
from local.sample_profiles import Person
from tests.e2e.conftest import ROOT, LocalStack
from tests.servers import serve

Lie = Callable[[dict[str, Any]], object]
ENTER, LEAVE = 30, 10  # members of whom the liar tells
LAST = Person(ENTER).user_id


def test_the_demonstration_succeeds_and_shows_its_figures() -> None:
    command = [sys.executable, "-m", "local.demo", "--enter", "300", "--exit", "60"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    told = " ".join(ended.stdout.replace("│", " ").split())
    for words in (
        "events accepted 360",
        "changes parked 0",
        "audience size (expected) 240 (240)",
        "exactly the members",
    ):
        assert words in told


class Liar:
    """Stands before Amazon's stand-in and tells of the audience what is not so."""

    def __init__(self, amazon: str) -> None:
        self._amazon = amazon
        self.lie: Lie = lambda _: None

    def build(self) -> web.Application:
        async def answer(request: web.Request) -> web.Response:
            async with ClientSession() as session, session.get(self._amazon + request.path) as response:
                audience = await response.json()
            self.lie(audience["members"])
            return web.json_response(audience | {"size": len(audience["members"])})

        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        return app


@pytest.fixture(scope="module")
def where(stack: LocalStack) -> dict[str, str]:
    """Where everything is, once the members that stay are in the audience and the others have left it."""
    assert demonstrate(stack.where, enter=ENTER, leave=LEAVE, console=Console(file=io.StringIO())) == 0
    return stack.where


@pytest.fixture
def liar(where: dict[str, str]) -> Iterator[tuple[Liar, dict[str, str]]]:
    """A liar who is honest so far, and where everything is for one who believes it."""
    liar = Liar(where["amazon"])
    with serve(liar.build) as served:
        yield liar, where | {"amazon": served.url}


def test_a_missing_member_is_a_failure(liar: tuple[Liar, dict[str, str]]) -> None:
    stands_between, where = liar
    stands_between.lie = lambda members: members.pop(LAST)
    told = Console(file=io.StringIO(), width=120)
    assert demonstrate(where, enter=ENTER, leave=LEAVE, console=told) == 1
    assert f"1 members are missing at Amazon, for example {LAST}" in told.file.getvalue()  # type: ignore[attr-defined]
    stands_between.lie = lambda _: None
    assert demonstrate(where, enter=ENTER, leave=LEAVE, console=told) == 0


@pytest.mark.parametrize(
    ("lie", "problem"),
    [
        pytest.param(lambda members: members.pop(LAST), "1 members are missing", id="missing"),
        pytest.param(lambda members: members.update(x={}), "1 members should not be at Amazon", id="surplus"),
        pytest.param(lambda members: members[LAST].update(identifiers={}), "another e-mail digest", id="no digest"),
        pytest.param(lambda members: members.clear(), "20 members are missing", id="empty"),
    ],
)
def test_each_difference_is_named(liar: tuple[Liar, dict[str, str]], lie: Lie, problem: str) -> None:
    stands_between, where = liar
    stands_between.lie = lie
    (found,) = _differences(where, [Person(number) for number in range(LEAVE + 1, ENTER + 1)])
    assert problem in found
