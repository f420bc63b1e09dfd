"""The names of audiences: Amazon's ids, computation keys and external ids are one space. Pure.

An operator types any of the three, and whoever has the audience key chooses two of them. So a name is never looked up
in one kind after the other: all audiences that have it are collected first, those taken off the list too, since an
operator may know an audience from before.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

from audience_sync.members.membership import Audience


class Kind(StrEnum):
    """The kinds of names, by the fields of Segment's extras."""

    ID = "audienceId"
    KEY = "computationKey"
    EXTERNAL_ID = "externalAudienceId"


def names_of(audience: Audience) -> dict[Kind, str]:
    """Return the names that an audience has."""
    names = {Kind.ID: audience.audience_id, Kind.KEY: audience.computation_key}
    names[Kind.EXTERNAL_ID] = audience.external_audience_id
    return {kind: name for kind, name in names.items() if name}


def holders(name: str, audiences: Iterable[Audience]) -> list[tuple[Kind, Audience]]:
    """Return every audience with a name, listed or unlinked, and the kind of name that it is there.

    An id counts for good. A key or an external id of an unlinked audience takes no id from another: unlinking the one
    whose key is the other's id ends the ambiguity.
    """
    found = [(kind, each) for each in audiences for kind, own in names_of(each).items() if own == name]
    is_an_id = any(kind is Kind.ID for kind, _ in found)
    return [(kind, each) for kind, each in found if kind is Kind.ID or not (is_an_id and each.unlinked_at is not None)]


def meant(name: str, audiences: Iterable[Audience]) -> list[Audience]:
    """Return the audiences that a name may mean; it is ambiguous if there are several.

    Within one kind, a listed audience outranks those that were unlinked, from which an operator has taken the name. A
    key that several share means the main one, linked without `--also`.
    """
    found: dict[str, Audience] = {}
    named = holders(name, audiences)
    for kind in Kind:
        same = [each for has, each in named if has is kind]
        same = [each for each in same if each.unlinked_at is None] or same
        main = [each for each in same if not each.also] if kind is Kind.KEY else same
        found |= {each.audience_id: each for each in main or same}
    return [*found.values()]


def taken(names: Mapping[Kind, str], others: Iterable[Audience]) -> Iterator[tuple[Kind, Audience]]:
    """Yield the names of an audience that other audiences have as another kind: they would mean both."""
    stored = [*others]
    for kind, name in names.items():
        for has, other in holders(name, stored):
            is_outranked = kind is Kind.ID and other.unlinked_at is not None
            if has is not kind and not is_outranked:
                yield kind, other
