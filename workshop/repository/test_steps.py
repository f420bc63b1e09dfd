"""The count of lines, on which tests of the work done rely."""

import threading

from tests.support.steps import counted_steps


def work() -> int:
    total = 0
    for number in range(10):
        total += number
    return total


def test_only_lines_within_the_block_are_counted() -> None:
    with counted_steps() as steps:
        work()
    counted = steps.lines
    work()
    assert 20 <= counted == steps.lines


def test_lines_of_other_threads_are_counted_on_request() -> None:
    def in_a_thread() -> None:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    with counted_steps() as own:
        in_a_thread()
    with counted_steps(threads=True) as every:
        in_a_thread()
    assert every.lines >= own.lines + 20
