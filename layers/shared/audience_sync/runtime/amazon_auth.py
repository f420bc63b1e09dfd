"""Builds the parts of Amazon authentication: credentials, login and cached access tokens."""

import time
from typing import TYPE_CHECKING, Any

import requests

from audience_sync.amazon_ads.login import AccessTokens, Login
from audience_sync.aws.secrets import JsonSecret
from audience_sync.runtime.settings import AmazonSettings

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


class NoKeepAliveSession(requests.Session):
    """A session that opens a connection for every request: connections do not survive a frozen function."""

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send one request without reusing open connections."""
        self.close()  # the adapters stay and open new connections
        return super().send(request, **options)


def access_tokens(settings: AmazonSettings, secrets: "SecretsManagerClient") -> AccessTokens:
    """Return the source of access tokens: memory, the token secret, or the login if neither holds a valid one."""
    credentials = JsonSecret(secrets, settings.credentials_secret_arn, time.monotonic)
    return AccessTokens(
        JsonSecret(secrets, settings.token_secret_arn, time.monotonic),
        Login(NoKeepAliveSession(), settings.hosts.login, credentials, time.time),
        time.time,
    )
