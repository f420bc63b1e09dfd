"""Keep the cached access token fresh. The only writer of the token secret."""

import os
import time
from functools import cache
from typing import Any, NamedTuple

from audience_sync import telemetry
from audience_sync.amazon_ads.login import Login, Token
from audience_sync.amazon_auth import NoKeepAliveSession
from audience_sync.aws.clients import client
from audience_sync.aws.secrets import JsonSecret
from audience_sync.errors import TokenUnavailable
from audience_sync.settings import RefreshSettings
from audience_sync.telemetry import logger, reporting

# Seconds a token must still live to be left alone: two runs of the schedule and a margin, so that one run may fail.
ENOUGH = 45 * 60


class Refresh(NamedTuple):
    """What one execution environment keeps between invocations."""

    login: Login
    credentials: JsonSecret
    token: JsonSecret


@cache
def refresh() -> Refresh:
    """Build once per execution environment, on the first invocation."""
    settings = RefreshSettings.from_env(os.environ)
    secrets = client("secretsmanager", read_timeout=3.0)
    credentials = JsonSecret(secrets, settings.credentials_secret_arn, time.monotonic)
    return Refresh(
        Login(NoKeepAliveSession(), settings.hosts.login, credentials, time.time),
        credentials,
        JsonSecret(secrets, settings.token_secret_arn, time.monotonic),
    )


@reporting
def lambda_handler(_event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Write a new token unless the stored one will do until after the next run."""
    login, credentials, stored = refresh()
    held = Token.from_json(stored.value(max_age=0))
    if held and held.expires_at - time.time() > ENOUGH:
        return {"refreshed": False, "reason": "fresh"}
    credentials.value(max_age=0)  # whoever has just connected Amazon anew should not get the old login's token
    try:
        token = login.fetch()
    except TokenUnavailable as error:
        if error.reason == "not_connected":
            logger.warning("Amazon is not connected yet", detail=str(error))
            return {"refreshed": False, "reason": error.reason}
        telemetry.count(**{telemetry.TOKEN_REFRESH_FAILED: 1})
        logger.error("no new token", reason=error.reason, detail=str(error))
        return {"refreshed": False, "reason": error.reason}
    stored.write(token.as_json())
    telemetry.count(**{telemetry.TOKENS_REFRESHED: 1})
    return {"refreshed": True, "expiresAt": round(token.expires_at)}
