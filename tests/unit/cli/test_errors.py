"""Every failure becomes a sentence, a remedy and an exit code, and never repeats a value."""

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, NoRegionError

from audience_sync.errors import (
    AccessDenied,
    InvalidMapping,
    NotFound,
    RequestRejected,
    Throttled,
    TokenUnavailable,
    Unavailable,
)
from cli.errors import FAILED, NOT_CONFIRMED, NOT_THERE, TRY_LATER, USAGE, NotConfirmed, WrongUsage, explained


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "for arn:aws:iam::1:user/someone"}}, "GetSecretValue")


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        pytest.param(InvalidMapping("m"), FAILED, id="wrong mapping"),
        pytest.param(RequestRejected("m", status=400), FAILED, id="refused by Amazon"),
        pytest.param(AccessDenied("m", status=403), FAILED, id="no access"),
        pytest.param(NotFound("m", status=404), NOT_THERE, id="unknown to Amazon"),
        pytest.param(TokenUnavailable("m", reason="not_connected"), NOT_THERE, id="not connected"),
        pytest.param(TokenUnavailable("m", reason="authorization_refused"), NOT_THERE, id="authorization ended"),
        pytest.param(TokenUnavailable("m"), TRY_LATER, id="no token now"),
        pytest.param(Throttled("m"), TRY_LATER, id="throttled"),
        pytest.param(Unavailable("m"), TRY_LATER, id="ours unavailable"),
        pytest.param(WrongUsage("m"), USAGE, id="usage"),
        pytest.param(NotConfirmed("m"), NOT_CONFIRMED, id="not confirmed"),
        pytest.param(NoCredentialsError(), NOT_THERE, id="no AWS credentials"),
        pytest.param(NoRegionError(), NOT_THERE, id="no region"),
        pytest.param(EndpointConnectionError(endpoint_url="https://x"), TRY_LATER, id="no network"),
        pytest.param(refused("ResourceNotFoundException"), NOT_THERE, id="AWS: not there"),
        pytest.param(refused("ExpiredTokenException"), NOT_THERE, id="AWS: login ended"),
        pytest.param(refused("AccessDeniedException"), FAILED, id="AWS: not allowed"),
        pytest.param(refused("ThrottlingException"), TRY_LATER, id="AWS: throttled"),
        pytest.param(ZeroDivisionError("secret"), FAILED, id="a bug"),
    ],
)
def test_scripts_can_tell_failures_apart(error: Exception, exit_code: int) -> None:
    assert explained(error).exit_code == exit_code


@pytest.mark.parametrize(
    "error",
    [refused("AccessDeniedException"), refused("Other"), ValueError("Atzr|secret")],
    ids=["AWS", "other", "bug"],
)
def test_no_message_repeats_what_was_sent(error: Exception) -> None:
    told = explained(error)
    assert "someone" not in f"{told} {told.remedy}"
    assert "Atzr" not in f"{told} {told.remedy}"


def test_a_bug_is_reported_by_its_place_not_by_a_traceback() -> None:
    with pytest.raises(ValueError, match="12x") as raised:
        int("12x")
    assert f"{__name__}:" in explained(raised.value).remedy
