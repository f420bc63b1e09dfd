"""The stage on which workers overlap: nobody moves untold, and whoever is killed does no more."""

from functools import partial

from tests.model.stage import Actor


def test_an_actor_makes_its_calls_when_told_and_as_told() -> None:
    moves: list[str] = []

    def play(actor: Actor) -> None:
        for name in ("a", "b"):
            actor.call(name, partial(moves.append, name))

    actor = Actor(play)
    assert (actor.about_to, moves) == ("begin", [])
    actor.step()
    assert (actor.about_to, moves) == ("a", [])
    actor.step(lambda: moves.append("something else"))
    actor.kill()
    assert (actor.is_done, moves) == (True, ["something else"])
