"""An audience table in memory."""

from collections.abc import Sequence
from typing import Self

from audience_sync.members.membership import Audience, may_share_a_key


class Listed:
    """Knows some audiences, and the mappings."""

    def __init__(self, *audiences: Audience, mappings: str | None = None) -> None:
        self._audiences = audiences
        self._mappings = mappings

    def for_request(self) -> Self:
        return self

    def by_id(self, audience_id: str) -> Sequence[Audience]:
        named = [each for each in self._audiences if each.audience_id == audience_id]
        linked = self.by_computation_key(named[0].computation_key or "") if named else []
        return linked if linked and may_share_a_key(linked) else named

    def by_computation_key(self, key: str) -> list[Audience]:
        return [each for each in self._audiences if each.computation_key == key]

    def all(self) -> Sequence[Audience]:
        return self._audiences

    def mappings(self) -> str | None:
        return self._mappings
