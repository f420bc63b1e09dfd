"""A pool of threads without threads."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self


class SequentialExecutor:
    """Makes one call after the other, in the thread of its caller."""

    def __init__(self, _threads: int) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def map(self, function: Callable[[Any], Any], each: Iterable[Any]) -> Iterator[Any]:
        return map(function, each)
