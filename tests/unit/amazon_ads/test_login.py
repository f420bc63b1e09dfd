"""The token that the token secret holds: read where it is one, and overlooked where it is not."""

from typing import Any

import pytest

from audience_sync.amazon_ads.login import Token


def test_a_stored_token_is_read_back() -> None:
    token = Token("Atza|stored", 1_774_003_600.0)
    assert Token.from_json(token.as_json()) == token


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"accessToken": "", "expiresAt": 0}, id="not connected yet"),
        pytest.param({"accessToken": "two words", "expiresAt": 1}, id="what no header can carry"),
        pytest.param({"accessToken": "Atza|x"}, id="no expiry"),
        pytest.param({"accessToken": "Atza|x", "expiresAt": "1774003600"}, id="an expiry as a text"),
        pytest.param({"accessToken": "Atza|x", "expiresAt": True}, id="an expiry as a boolean"),
        pytest.param({"accessToken": "Atza|x", "expiresAt": float("inf")}, id="an expiry that never comes"),
        pytest.param({"accessToken": "Atza|x", "expiresAt": float("nan")}, id="an expiry that is no number"),
        pytest.param({"accessToken": "Atza|x", "expiresAt": 10**400}, id="an expiry beyond what a float holds"),
        pytest.param({"accessToken": "Atza|x", "expiresAt": -1}, id="an expiry before time began"),
    ],
)
def test_an_unusable_stored_token_is_ignored(stored: dict[str, Any]) -> None:
    assert Token.from_json(stored) is None
