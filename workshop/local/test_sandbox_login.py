import base64
import hashlib
import re
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from tests.support.sandbox_server import CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN, Amazon

FORM = {"grant_type": "refresh_token", "refresh_token": REFRESH_TOKEN}
FORM |= {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
BACK = "http://localhost:8765/callback?from=amazon"
VERIFIER = "a-verifier-of-at-least-forty-three-characters-x"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
ASKED = {
    "client_id": CLIENT_ID,
    "scope": "advertising::campaign_management advertising::audiences",
    "response_type": "code",
    "redirect_uri": BACK,
    "state": 'a "state" & more',
}


def consent(amazon: Amazon, answer: str = "allow", **asked: str) -> requests.Response:
    form = ASKED | asked | {"answer": answer}
    return amazon.session.post(f"{amazon.url}/ap/oa", data=form, allow_redirects=False, timeout=5)


def redirect_parameters(answer: requests.Response) -> dict[str, str]:
    assert answer.status_code == 302
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()}


def redeem(amazon: Amazon, code: str, **fields: str) -> requests.Response:
    return amazon.login(grant_type="authorization_code", code=code, redirect_uri=BACK, **fields)


def test_a_refresh_token_gives_an_access_token_and_stays_the_same(amazon: Amazon) -> None:
    answer = amazon.login()
    assert answer.status_code == 200
    token = answer.json()
    assert token["access_token"].startswith("Atza|")
    assert 350 <= len(token["access_token"]) <= 2048
    assert (token["token_type"], token["expires_in"], token["refresh_token"]) == ("bearer", 3600, REFRESH_TOKEN)


def test_after_a_revocation_only_a_new_consent_gives_access(amazon: Amazon) -> None:
    amazon.session.put(f"{amazon.url}/sandbox/faults", json={"recipe": "revoked"}, timeout=5).raise_for_status()
    assert amazon.call("GET", "/v2/profiles").status_code == 401
    assert amazon.login().json()["error"] == "invalid_grant"
    answer = redeem(amazon, redirect_parameters(consent(amazon))["code"])
    amazon.token = answer.json()["access_token"]
    assert amazon.call("GET", "/v2/profiles").status_code == 200
    assert amazon.login(refresh_token=answer.json()["refresh_token"]).status_code == 200
    assert not any(each["active"] for each in amazon.shown("recipes"))


def test_every_access_token_is_good_until_it_expires(amazon: Amazon) -> None:
    older, amazon.token = amazon.token, amazon.login().json()["access_token"]
    assert older != amazon.token
    for token in (older, amazon.token):
        assert amazon.call("GET", "/v2/profiles", headers={"Authorization": f"Bearer {token}"}).status_code == 200


@pytest.mark.parametrize(
    ("fields", "status", "error"),
    [
        pytest.param({"grant_type": ""}, 400, "invalid_request", id="no grant type"),
        pytest.param({"grant_type": "password"}, 400, "unsupported_grant_type", id="another grant type"),
        pytest.param({"client_id": ""}, 400, "invalid_request", id="no client id"),
        pytest.param({"client_id": "another"}, 401, "invalid_client", id="another client"),
        pytest.param({"client_secret": "wrong"}, 401, "invalid_client", id="wrong secret"),
        pytest.param({"client_secret": "schlüssel"}, 401, "invalid_client", id="secret beyond ASCII"),
        pytest.param({"refresh_token": ""}, 400, "invalid_request", id="no refresh token"),
        pytest.param({"refresh_token": "Atzr|revoked"}, 400, "invalid_grant", id="unknown refresh token"),
        pytest.param({"grant_type": "authorization_code", "code": "x"}, 400, "invalid_request", id="no redirect uri"),
        pytest.param(
            {"grant_type": "authorization_code", "code": "x", "redirect_uri": BACK},
            400,
            "invalid_grant",
            id="unknown code",
        ),
    ],
)
def test_the_token_endpoint_refuses(amazon: Amazon, fields: dict[str, str], status: int, error: str) -> None:
    answer = amazon.login(**fields)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert CLIENT_SECRET not in answer.text


def test_a_token_request_with_a_bearer_token_is_refused(amazon: Amazon) -> None:
    headers = {"Authorization": f"Bearer {amazon.token}"}
    answer = amazon.session.post(f"{amazon.url}/auth/o2/token", data=FORM, headers=headers, timeout=5)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_a_token_request_must_be_a_form_in_the_body(amazon: Amazon) -> None:
    url = f"{amazon.url}/auth/o2/token"
    for answer in (
        amazon.session.post(url, json=FORM, timeout=5),
        amazon.session.post(url, params=FORM, timeout=5),
        amazon.session.post(url, data=[*FORM.items(), ("client_id", CLIENT_ID)], timeout=5),
    ):
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_the_consent_page_names_the_client_and_the_scopes(amazon: Amazon) -> None:
    page = amazon.session.get(f"{amazon.url}/ap/oa", params=ASKED, timeout=5)
    assert page.status_code == 200
    assert "This is not Amazon" in page.text
    assert CLIENT_ID in page.text
    assert "<li>advertising::audiences</li>" in page.text
    assert "localhost:8765" in page.text
    assert re.findall(r'value="(allow|deny)">', page.text) == ["allow", "deny"]


def test_the_consent_page_escapes_its_parameters(amazon: Amazon) -> None:
    page = amazon.session.get(f"{amazon.url}/ap/oa", params=ASKED | {"state": '"><script>'}, timeout=5)
    assert "<script>" not in page.text


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        pytest.param({"response_type": "token"}, "unsupported_response_type", id="a token at once"),
        pytest.param({"scope": ""}, "invalid_scope", id="no scope"),
        pytest.param({"scope": "advertising::everything"}, "invalid_scope", id="unknown scope"),
        pytest.param({"code_challenge": "x", "code_challenge_method": "S512"}, "invalid_request", id="unknown method"),
    ],
)
def test_an_invalid_authorization_request_redirects_with_an_error(
    amazon: Amazon, asked: dict[str, str], error: str
) -> None:
    assert redirect_parameters(consent(amazon, **asked))["error"] == error


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({"client_id": "another"}, id="unknown client"),
        pytest.param({"redirect_uri": "http://example.com/"}, id="address without TLS"),
        pytest.param({"redirect_uri": "javascript:alert(1)"}, id="address that is a script"),
        pytest.param({"redirect_uri": ""}, id="no address"),
    ],
)
def test_a_redirect_to_an_unsafe_address_is_refused(amazon: Amazon, asked: dict[str, str]) -> None:
    answer = consent(amazon, **asked)
    assert answer.status_code == 400
    assert "Location" not in answer.headers


def test_a_code_works_once(amazon: Amazon) -> None:
    code = redirect_parameters(consent(amazon))["code"]
    assert redeem(amazon, code).status_code == 200
    assert redeem(amazon, code).json()["error"] == "invalid_grant"


def test_a_code_works_for_five_minutes(amazon: Amazon) -> None:
    code = redirect_parameters(consent(amazon))["code"]
    amazon.clock.sleep(300)
    answer = redeem(amazon, code)
    assert answer.status_code == 400
    assert "code" in answer.json()["error_description"]


def test_a_code_works_only_with_its_redirect_uri(amazon: Amazon) -> None:
    code = redirect_parameters(consent(amazon, redirect_uri="https://example.com/back"))["code"]
    assert redeem(amazon, code).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("method", "challenge", "verifier", "status"),
    [
        pytest.param("S256", CHALLENGE, VERIFIER, 200, id="S256, right"),
        pytest.param("S256", CHALLENGE, "another", 400, id="S256, wrong"),
        pytest.param("S256", CHALLENGE, "", 400, id="S256, missing"),
        pytest.param("S256", CHALLENGE, CHALLENGE, 400, id="S256, the challenge itself"),
        pytest.param("plain", VERIFIER, VERIFIER, 200, id="plain, right"),
        pytest.param("plain", VERIFIER, "another", 400, id="plain, wrong"),
    ],
)
def test_a_code_with_a_challenge_needs_its_verifier(
    amazon: Amazon, method: str, challenge: str, verifier: str, status: int
) -> None:
    code = redirect_parameters(consent(amazon, code_challenge=challenge, code_challenge_method=method))["code"]
    assert redeem(amazon, code, code_verifier=verifier).status_code == status
