"""What the log of a function shows of an invocation."""

import traceback
from typing import Any

import pytest

from audience_sync.runtime.telemetry import UnexpectedError, reporting


def test_an_unexpected_error_is_logged_without_its_text() -> None:
    text = "@".join(("ada", "example.com"))

    @reporting
    def handler(_event: dict[str, Any], _context: Any) -> dict[str, Any]:
        raise KeyError(text)

    with pytest.raises(UnexpectedError, match="KeyError") as caught:
        handler({}, None)
    logged = "".join(traceback.format_exception(caught.value))
    assert "in handler" in logged
    assert text not in logged
