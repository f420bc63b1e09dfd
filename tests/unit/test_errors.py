"""The errors: the tree that is drawn at the head of their module."""

from collections.abc import Iterator

from audience_sync import errors


def classes(of: type[errors.AudienceSyncError], depth: int = 0) -> Iterator[tuple[int, str]]:
    """Yield a class and those below it in their module, in the order of their definition, each with its depth."""
    yield depth, of.__name__
    for each in of.__subclasses__():
        if each.__module__ == errors.__name__:
            yield from classes(each, depth + 1)


def test_the_tree_at_the_head_of_the_module_shows_every_error_below_its_base() -> None:
    lines = (errors.__doc__ or "").partition("\n\n")[2].partition("\n\n")[0].splitlines()
    drawn = [((len(line) - len(line.lstrip())) // 2, line.split()[0]) for line in lines]
    assert drawn == [*classes(errors.AudienceSyncError)]
