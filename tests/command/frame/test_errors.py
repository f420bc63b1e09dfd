"""Every failure becomes a sentence, a remedy and an exit code, and never contains a value that was sent."""

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, NoRegionError, ProfileNotFound

from audience_sync.errors import (
    AccessDenied,
    AuthorizationRefused,
    InvalidMapping,
    NotConnected,
    NotFound,
    RequestRejected,
    Throttled,
    TokenUnavailable,
    Unavailable,
)
from audience_sync_cli.frame.errors import FAILED, NOT_CONFIRMED, NOT_THERE, TRY_LATER, USAGE, NotConfirmed, WrongUsage
from audience_sync_cli.frame.explanation import explained
from audience_sync_cli.frame.stacks import own_clients


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "for arn:aws:iam::1:user/jane"}}, "GetSecretValue")


def behind(cause: Exception) -> Unavailable:
    """Return the error that an adapter raises because of another."""
    try:
        try:
            raise cause
        except type(cause):
            raise Unavailable("the audience table does not answer") from None
    except Unavailable as error:
        return error


GONE, SILENT = EndpointConnectionError(endpoint_url="http://127.0.0.1:1"), "table does not answer"


@pytest.mark.parametrize(
    ("error", "exit_code", "said"),
    [
        pytest.param(InvalidMapping("m"), FAILED, "", id="wrong mapping"),
        pytest.param(RequestRejected("m", status=400), FAILED, "", id="refused by Amazon"),
        pytest.param(AccessDenied("m", status=403), FAILED, "", id="no access"),
        pytest.param(NotFound("m", status=404), NOT_THERE, "", id="unknown to Amazon"),
        pytest.param(NotConnected("m"), NOT_THERE, "", id="not connected"),
        pytest.param(AuthorizationRefused("m"), NOT_THERE, "", id="authorization ended"),
        pytest.param(TokenUnavailable("m"), TRY_LATER, "", id="no token now"),
        pytest.param(Throttled("m"), TRY_LATER, "", id="throttled"),
        pytest.param(Unavailable("m"), TRY_LATER, "", id="ours unavailable"),
        pytest.param(WrongUsage("m"), USAGE, "", id="usage"),
        pytest.param(NotConfirmed("m"), NOT_CONFIRMED, "", id="not confirmed"),
        pytest.param(NoCredentialsError(), NOT_THERE, "No AWS credentials", id="no AWS credentials"),
        pytest.param(NoRegionError(), NOT_THERE, "AUDIENCE_SYNC_LOCAL=http://127.0.0.1:8080", id="no region"),
        pytest.param(GONE, TRY_LATER, "-m local", id="a local stack that has stopped"),
        pytest.param(EndpointConnectionError(endpoint_url="https://x"), TRY_LATER, "the network and", id="no network"),
        pytest.param(refused("ResourceNotFoundException"), NOT_THERE, "", id="AWS: not there"),
        pytest.param(refused("ExpiredTokenException"), NOT_THERE, "", id="AWS: login ended"),
        pytest.param(refused("AccessDeniedException"), FAILED, "", id="AWS: not allowed"),
        pytest.param(refused("ThrottlingException"), TRY_LATER, "", id="AWS: throttled"),
        pytest.param(refused("Other"), FAILED, "", id="AWS: anything else"),
        pytest.param(ZeroDivisionError("for jane"), FAILED, "", id="a bug"),
        pytest.param(behind(refused("AccessDeniedException")), FAILED, "not allow you to call", id="table: no access"),
        pytest.param(behind(refused("ResourceNotFoundException")), NOT_THERE, "no such resource", id="table: absent"),
        pytest.param(behind(refused("InternalServerError")), TRY_LATER, SILENT, id="table: unknown code"),
        pytest.param(behind(NoCredentialsError()), NOT_THERE, "No AWS credentials", id="table: no AWS credentials"),
        pytest.param(behind(KeyError("jane")), TRY_LATER, SILENT, id="table: not from AWS"),
    ],
)
def test_failures_have_different_exit_codes_and_repeat_no_value(error: Exception, exit_code: int, said: str) -> None:
    failure = explained(error)
    shown = f"{failure} {failure.remedy}"
    assert (failure.exit_code, said in shown, "jane" in shown) == (exit_code, True, False)


def test_a_profile_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nope")
    with pytest.raises(ProfileNotFound) as caught:
        own_clients()
    failure = explained(caught.value)
    assert (failure.exit_code, str(failure)) == (NOT_THERE, "AWS profile nope does not exist.")


def test_an_unexpected_error_prints_its_location_without_a_traceback() -> None:
    with pytest.raises(ValueError, match="12x") as raised:
        int("12x")
    assert f"{__name__}:" in explained(raised.value).remedy
