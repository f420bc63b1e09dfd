"""The access token, kept fresh by one writer."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from audience_sync.errors import AudienceSyncError
from functions.refresh import handler
from tests.support.closing_server import token_endpoint
from tests.support.cloud import CREDENTIALS, Cloud, Context

SCHEDULED = {"source": "aws.events", "detail-type": "Scheduled Event"}


def refresh(cloud: Cloud, event: dict[str, Any] = SCHEDULED) -> Any:
    cloud.enter("RefreshFunction")
    return handler.lambda_handler(event, Context())


def test_a_new_token_is_written_to_the_token_secret(cloud: Cloud, printed: Callable[[], str]) -> None:
    assert refresh(cloud)["refreshed"] is True
    assert '"message":"token refreshed"' in printed().replace(": ", ":")
    stored = cloud.secret("TokenSecret")
    assert stored["accessToken"].startswith("Atza|")
    assert stored["expiresAt"] == pytest.approx(time.time() + 3600, abs=600)


def test_a_token_that_outlives_the_next_run_is_kept(cloud: Cloud) -> None:
    cloud.put_secret("TokenSecret", {"accessToken": "Atza|held", "expiresAt": time.time() + 50 * 60})
    assert refresh(cloud) == {"refreshed": False, "reason": "fresh"}
    assert cloud.secret("TokenSecret")["accessToken"] == "Atza|held"


def test_a_token_that_would_not_outlive_two_runs_is_replaced(cloud: Cloud) -> None:
    cloud.put_secret("TokenSecret", {"accessToken": "Atza|held", "expiresAt": time.time() + 40 * 60})
    assert refresh(cloud)["refreshed"] is True


def test_no_connection_is_reused_between_runs(cloud: Cloud) -> None:
    with token_endpoint() as url:
        cloud.enter("RefreshFunction", AMAZON_LOGIN_URL=url)
        for _ in range(2):
            cloud.put_secret("TokenSecret", {"accessToken": "", "expiresAt": 0})
            assert handler.lambda_handler({}, Context())["refreshed"] is True


@pytest.mark.parametrize(
    ("do", "reason"),
    [
        pytest.param({"status": 400, "body": '{"error": "invalid_grant"}'}, "authorization_refused", id="revoked"),
        pytest.param({"status": 503}, "token_unavailable", id="down"),
    ],
)
def test_a_failure_is_counted_and_logged_without_a_secret(
    cloud: Cloud, printed: Callable[[], str], do: dict[str, Any], reason: str
) -> None:
    cloud.fault("/auth/o2/token", do, times=2)
    assert refresh(cloud, {}) == {"refreshed": False, "reason": reason}, "the answer to `connect`"
    with pytest.raises(AudienceSyncError) as raised:
        refresh(cloud)
    assert raised.value.reason == reason
    text = printed() + str(raised.value)
    assert text.replace(" ", "").count('"TokenRefreshFailed":[1.0]') == 2
    assert not any(secret in text for secret in CREDENTIALS.values())


def test_a_stack_that_is_not_yet_connected_counts_no_failure(cloud: Cloud, printed: Callable[[], str]) -> None:
    cloud.put_secret("CredentialsSecret", {"clientId": "", "clientSecret": "", "refreshToken": ""})
    assert refresh(cloud) == {"refreshed": False, "reason": "not_connected"}
    assert "TokenRefreshFailed" not in printed()


@pytest.mark.parametrize(
    ("days", "counted"),
    [
        pytest.param(334, 0, id="31 days left"),
        pytest.param(336, 1, id="29 days left"),
        pytest.param(366, 1, id="it has ended"),
    ],
)
def test_the_last_30_days_of_amazons_consent_are_counted(
    cloud: Cloud, printed: Callable[[], str], days: int, counted: int
) -> None:
    cloud.put_secret("CredentialsSecret", CREDENTIALS | {"authorizedAt": time.time() - days * 86_400})
    for _ in range(2):  # the second time, the stored token is kept
        refresh(cloud)
    assert printed().replace(" ", "").count('"ConsentEnding":[1.0]') == 2 * counted


def test_a_consent_of_unknown_age_is_logged_once(cloud: Cloud, printed: Callable[[], str]) -> None:
    cloud.enter("RefreshFunction")
    for _ in range(2):
        handler.lambda_handler({}, Context())
    assert printed().count("not stored when Amazon's consent was given") == 1
    cloud.put_secret("CredentialsSecret", {"clientId": "", "clientSecret": "", "refreshToken": ""})
    cloud.put_secret("TokenSecret", {"accessToken": "", "expiresAt": 0})
    refresh(cloud)
    assert printed().count("not stored when") == 1, "without a connection there is no consent"
