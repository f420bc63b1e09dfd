"""How much work the mappings and triggers may do on one event, all of them together.

Each limit of a mapping bounds one directive. A document of 380 KB holds thousands of them, and @arrayPath repeats them
for every item, so that what is allowed one by one could take minutes together.
"""

from audience_sync.errors import RejectedEvent
from audience_sync.reasons import Reason

MAX_STEPS = 200_000  # for one event; Segment's default mapping takes none, and a step takes a tenth of a microsecond
ASCII_A_STEP = 32  # characters of an ASCII text that are read or written in one step
OTHERS_A_STEP = 8  # characters of any other text; changing their case takes several times as long


class Budget:
    """The steps that are left for one event. Readers spend what depends on the event before they do the work.

    A mapping's own directives, each resolved once, are not counted: the size of the document bounds them.
    """

    __slots__ = ("steps_left",)

    def __init__(self, steps: int = MAX_STEPS) -> None:
        self.steps_left = steps

    def spend(self, steps: int) -> None:
        """Use up steps.

        Raises:
            RejectedEvent: there are not as many left. All of them are gone then, so that no other mapping goes on.
        """
        if steps > self.steps_left:
            self.steps_left = 0
            raise RejectedEvent(Reason.MAPPING_TOO_COSTLY)
        self.steps_left -= steps

    def spend_on_text(self, text: str) -> None:
        """Use up the steps for reading or writing a text. Raises RejectedEvent, as `spend`."""
        self.spend(len(text) // (ASCII_A_STEP if text.isascii() else OTHERS_A_STEP))
