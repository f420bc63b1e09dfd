"""The work limit for one event, shared by all mappings and triggers.

Each limit of a mapping bounds one directive. A document of 380 KB holds thousands of them, and @arrayPath repeats them
for every item, so directives within their limits could still take minutes together.
"""

from audience_sync.errors import RejectedEvent
from audience_sync.reasons import Reason

MAX_STEPS = 200_000  # for one event; the default mapping costs none; a step is a tenth of a microsecond
ASCII_A_STEP = 32  # ASCII characters read or written in one step
OTHERS_A_STEP = 8  # other characters; changing their case takes several times as long


class Budget:
    """The steps left for one event. Readers pay event-dependent costs before they do the work.

    A mapping's own directives, each resolved once, are not counted: the size of the document bounds them.
    """

    __slots__ = ("steps_left",)

    def __init__(self, steps: int = MAX_STEPS) -> None:
        self.steps_left = steps

    def spend(self, steps: int) -> None:
        """Use up steps.

        Raises:
            RejectedEvent: fewer steps are left. The budget is then empty, so every other mapping stops as well.
        """
        if steps > self.steps_left:
            self.steps_left = 0
            raise RejectedEvent(Reason.MAPPING_TOO_COSTLY)
        self.steps_left -= steps

    def spend_on_text(self, text: str) -> None:
        """Use up the steps for reading or writing a string. Raises RejectedEvent, as `spend`."""
        self.spend(len(text) // (ASCII_A_STEP if text.isascii() else OTHERS_A_STEP))
