"""What Amazon knows of each identity of each member of an audience."""

import json
from dataclasses import dataclass

type Member = tuple[str, str]  # audience id, external user id
type Identity = str  # canonical JSON


def as_identity(fields: dict[str, str]) -> Identity:
    """Write an identity so that equal ones give equal texts."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"))


@dataclass
class Held:
    """What Amazon knows of one identity of one member."""

    is_in: bool = False
    sent_at: float = 0.0  # when the last CREATE that names it was accepted
    applied_at: float = 0.0  # when the last one took effect
    since: float = 0.0  # when the newest one that took effect was accepted
    was_removed: bool = False  # by a DELETE, at any time
    came_back: bool = False  # applied by a CREATE after it had been removed

    def add(self, at: float) -> None:
        """Let a CREATE take effect."""
        self.is_in, self.applied_at = True, at
        self.came_back = self.came_back or self.was_removed

    def remove(self) -> None:
        """Let a DELETE take effect."""
        self.is_in = False
        self.came_back, self.was_removed = False, True
