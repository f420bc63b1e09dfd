"""A secret in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class StoredSecret:
    """A secret that counts how often it is read."""

    content: Mapping[str, Any] = field(default_factory=dict)
    reads: int = 0

    def value(self, *, max_age: float | None = 60.0) -> dict[str, Any]:
        assert max_age is None or max_age >= 0
        self.reads += 1
        return dict(self.content)
