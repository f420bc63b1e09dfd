"""Connections to Login with Amazon, in a function that is frozen between two requests."""

import pytest
import requests

from audience_sync.amazon_ads.login import Login
from audience_sync.runtime.amazon_auth import NoKeepAliveSession
from tests.aws_fixtures import CREDENTIALS
from tests.closing_server import token_endpoint
from tests.doubles.secrets import StoredSecret


def test_a_connection_that_did_not_survive_a_freeze_is_not_used_again() -> None:
    with token_endpoint() as url:
        login = Login(NoKeepAliveSession(), url, StoredSecret(CREDENTIALS), lambda: 0.0)
        assert [login.fetch().value for _ in range(3)] == ["Atza|made-up"] * 3


def test_the_endpoint_of_these_tests_closes_a_connection_that_is_used_again() -> None:
    with token_endpoint() as url, requests.Session() as session:
        session.post(url, data={"a": "b"}, timeout=10)
        with pytest.raises(requests.ConnectionError):
            session.post(url, data={"a": "b"}, timeout=10)
