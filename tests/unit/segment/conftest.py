"""What the tests of Segment's format share."""

import pytest

from audience_sync.segment.trigger import compile_trigger


@pytest.fixture(autouse=True)
def no_trigger_is_compiled_yet() -> None:
    """Have each test compile its triggers: one compiled before a mutant was put in place would hide it."""
    compile_trigger.cache_clear()
