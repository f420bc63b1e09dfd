"""Keep the cached access token fresh. Use case: audience_sync/operations/token_refresh.py."""

import os
from functools import cache
from typing import Any

from audience_sync.amazon_ads.login import Login
from audience_sync.aws.clients import client
from audience_sync.aws.secrets import JsonSecret
from audience_sync.clock import Clock
from audience_sync.errors import NotConnected
from audience_sync.operations.token_refresh import RefreshResult, TokenRefresh
from audience_sync.reasons import Reason
from audience_sync.runtime import metric_names, telemetry
from audience_sync.runtime.amazon_auth import NoKeepAliveSession
from audience_sync.runtime.settings import RefreshSettings
from audience_sync.runtime.telemetry import logger, reporting

CLOCK = Clock()
CONSENT_REMINDER = 30 * 86_400  # seconds before the consent ends; the person who may consent is seldom the one on call


@cache
def dependencies() -> TokenRefresh:
    """Build once per execution environment, on the first invocation."""
    settings = RefreshSettings.from_env(os.environ)
    secrets = client("secretsmanager", read_timeout=3.0)
    credentials = JsonSecret(secrets, settings.credentials_secret_arn, CLOCK.monotonic)
    login = Login(NoKeepAliveSession(), settings.hosts.login, credentials, CLOCK.now)
    return TokenRefresh(login, credentials, JsonSecret(secrets, settings.token_secret_arn, CLOCK.monotonic), CLOCK)


@reporting
def lambda_handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Write a new token unless the stored one is valid until after the next run.

    Raises:
        AudienceSyncError: a scheduled run has failed, which Lambda counts as a crash, for the alarm TokenRefreshFailed.
            The operator's command is answered with the reason.
    """
    result = dependencies().run()
    failure = None if isinstance(result.failure, NotConnected) else result.failure
    telemetry.count(**{metric_names.TOKEN_REFRESH_FAILED: int(failure is not None)})
    _log(result)
    if not isinstance(result.failure, NotConnected):
        _watch_consent(dependencies().consent_left())
    if failure and event.get("source") == "aws.events":
        raise failure
    if result.token:
        return {"refreshed": True, "expiresAt": round(result.token.expires_at)}
    return {"refreshed": False, "reason": result.failure.reason if result.failure else Reason.FRESH}


def _watch_consent(left: float | None) -> None:
    if left is None:
        _report_unknown_consent()
    else:
        telemetry.count(**{metric_names.CONSENT_ENDING: int(left < CONSENT_REMINDER)})


@cache
def _report_unknown_consent() -> None:
    """Log once per execution environment."""
    logger.warning("it is not stored when Amazon's consent was given: no alarm will say that it ends")


def _log(result: RefreshResult) -> None:
    match result.failure:
        case None if result.token:
            logger.info("token refreshed")
        case None:
            pass
        case NotConnected() as failure:
            logger.warning("Amazon is not connected yet", detail=str(failure))
        case failure:
            logger.error("token refresh failed", reason=failure.reason, detail=str(failure))
