"""Connections to Login with Amazon, in a function that is frozen between two requests."""

import pytest
import requests

from audience_sync.amazon_ads.login import Login
from audience_sync.amazon_auth import NoKeepAliveSession
from tests.hangup import token_endpoint


class Credentials:
    """The operator's, made up."""

    def value(self, **_: float) -> dict[str, str]:
        return {"clientId": "client-1", "clientSecret": "made-up", "refreshToken": "Atzr|made-up"}


def test_a_connection_that_did_not_survive_a_freeze_is_not_used_again() -> None:
    with token_endpoint() as url:
        login = Login(NoKeepAliveSession(), url, Credentials(), lambda: 0.0)
        assert [login.fetch().value for _ in range(3)] == ["Atza|made-up"] * 3


def test_the_endpoint_of_these_tests_hangs_up_on_whoever_uses_a_connection_again() -> None:
    with token_endpoint() as url, requests.Session() as session:
        session.post(url, data={"a": "b"}, timeout=10)
        with pytest.raises(requests.ConnectionError):
            session.post(url, data={"a": "b"}, timeout=10)
