"""Amazon's messages, without the personal data and secrets that they may quote."""

import pytest

from audience_sync.amazon_ads.redaction import MAX_QUOTED, redact


@pytest.mark.parametrize(
    ("message", "redacted"),
    [
        pytest.param("Record is invalid", "Record is invalid", id="nothing private"),
        pytest.param(f"email {'a' * 64} is unknown", "email … is unknown", id="a digest"),
        pytest.param("<ada@example.com>: no such user", "… no such user", id="an e-mail address"),
        pytest.param("from 203.0.113.7", "from …", id="an IP address"),
        pytest.param("Bearer Atza|abc, token=Atzr|def", "Bearer … token=…", id="tokens"),
        pytest.param("two\n lines\x1f\t and more", "two lines and more", id="on one line"),
        pytest.param("word " * 100, ("word " * 100)[:MAX_QUOTED], id="cut"),
        pytest.param("", "", id="empty"),
    ],
)
def test_what_may_be_private_is_left_out(message: str, redacted: str) -> None:
    assert redact(message) == redacted
