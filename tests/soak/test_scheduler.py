"""The scheduler of overlapping workers: a task runs only when stepped, and a killed one does nothing more."""

from functools import partial

from tests.soak.scheduler import Task


def test_a_task_makes_a_call_when_stepped_and_with_the_outcome_given() -> None:
    calls: list[str] = []

    def run(task: Task) -> None:
        for name in ("a", "b"):
            task.call(name, partial(calls.append, name))

    task = Task(run)
    assert (task.about_to, calls) == ("begin", [])
    task.step()
    assert (task.about_to, calls) == ("a", [])
    task.step(lambda: calls.append("something else"))
    task.kill()
    assert (task.is_done, calls) == (True, ["something else"])
