"""Connections to Login with Amazon, in a function that is frozen between two requests."""

import pytest
import requests

from audience_sync.amazon_ads.login import Login
from audience_sync.runtime.amazon_auth import NoKeepAliveSession
from tests.support.aws_fixtures import CREDENTIALS
from tests.support.closing_server import token_endpoint
from tests.support.doubles.secrets import StoredSecret


def test_no_connection_is_reused_after_a_freeze() -> None:
    with token_endpoint() as url:
        login = Login(NoKeepAliveSession(), url, StoredSecret(CREDENTIALS), lambda: 0.0)
        assert [login.fetch().value for _ in range(3)] == ["Atza|made-up"] * 3


def test_the_test_endpoint_closes_reused_connections() -> None:
    with token_endpoint() as url, requests.Session() as session:
        session.post(url, data={"a": "b"}, timeout=10)
        with pytest.raises(requests.ConnectionError):
            session.post(url, data={"a": "b"}, timeout=10)
