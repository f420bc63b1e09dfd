"""The stage on which workers overlap: nobody moves untold, and whoever is killed does no more."""

from functools import partial

from tests.model.scheduler import Task


def test_an_actor_makes_its_calls_when_told_and_as_told() -> None:
    moves: list[str] = []

    def play(task: Task) -> None:
        for name in ("a", "b"):
            task.call(name, partial(moves.append, name))

    task = Task(play)
    assert (task.about_to, moves) == ("begin", [])
    task.step()
    assert (task.about_to, moves) == ("a", [])
    task.step(lambda: moves.append("something else"))
    task.kill()
    assert (task.is_done, moves) == (True, ["something else"])
