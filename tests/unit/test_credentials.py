"""Who is let in, who is not, and when we cannot tell."""

import base64
from typing import Any

import pytest

from audience_sync.credentials import Keyring
from audience_sync.errors import Unauthorized, Unavailable
from audience_sync.segment.signature import sign

EVENT_KEY, OLD_EVENT_KEY = "event-key-current-0001", "event-key-previous-0002"
AUDIENCE_KEY = "audience-key-current-03"
SIGNING, OLD_SIGNING = "signing-secret-current-4", "signing-secret-previous-5"
BODY = b'{"type":"track"}'
BATCH = b'[{"type":"track"},{"type":"track","userId":"someone"}]'

STORED = {
    "eventKey": EVENT_KEY,
    "previousEventKey": OLD_EVENT_KEY,
    "audienceKey": AUDIENCE_KEY,
    "previousAudienceKey": "",
    "signingSecret": SIGNING,
    "previousSigningSecret": OLD_SIGNING,
}


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"segment:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        pytest.param({"authorization": f"Bearer {EVENT_KEY}"}, BATCH, id="Bearer"),
        pytest.param({"authorization": f"bearer  {EVENT_KEY} "}, BATCH, id="Bearer, untidy"),
        pytest.param({"authorization": basic(EVENT_KEY)}, BATCH, id="Basic, from user-info in the URL"),
        pytest.param({"x-api-key": EVENT_KEY}, BATCH, id="x-api-key"),
        pytest.param({"authorization": f"Bearer {OLD_EVENT_KEY}"}, BATCH, id="the previous event key"),
        pytest.param(
            {"x-api-key": EVENT_KEY, "authorization": "Bearer undefined"}, BATCH, id="beside Bearer undefined"
        ),
        pytest.param({"x-signature": sign(BODY, SIGNING)}, BODY, id="a signature alone"),
        pytest.param({"x-signature": sign(BODY, OLD_SIGNING)}, BODY, id="a signature under the previous secret"),
        pytest.param({"x-signature": sign(BATCH, SIGNING)}, BATCH, id="a batch signed whole"),
    ],
)
def test_a_valid_credential_is_admitted(headers: dict[str, str], body: bytes) -> None:
    assert Keyring.from_json(STORED).authenticate_events(headers, body, accept_first_event=False) is False


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="none"),
        pytest.param({"authorization": ""}, id="empty"),
        pytest.param({"authorization": "Bearer"}, id="Bearer without a key"),
        pytest.param({"authorization": "Bearer undefined"}, id="what an unconfigured webhook sends"),
        pytest.param({"authorization": EVENT_KEY}, id="a key without a scheme"),
        pytest.param({"authorization": f"Bearer {EVENT_KEY},Bearer {EVENT_KEY}"}, id="a header sent twice"),
        pytest.param({"authorization": f"Bearer {AUDIENCE_KEY}"}, id="an audience key"),
        pytest.param({"authorization": f"Bearer {SIGNING}"}, id="a signing secret"),
        pytest.param({"authorization": "Basic ***"}, id="Basic that is not base64"),
        pytest.param({"authorization": "Bearer schlüssel-😀"}, id="not ASCII"),
        pytest.param({"authorization": "Bearer \ud800"}, id="a lone surrogate"),
        pytest.param({"x-api-key": "k" * 1_000_000}, id="very long"),
        pytest.param({"x-signature": sign(BODY, "another-secret-entirely")}, id="a signature under another secret"),
        pytest.param({"x-signature": sign(BODY, SIGNING)}, id="a signature of the first event only"),
    ],
)
def test_everything_else_is_refused_in_the_same_words(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthorized, match=r"^no valid credential$"):
        Keyring.from_json(STORED).authenticate_events(headers, BATCH, accept_first_event=False)


def test_a_signature_of_the_first_event_is_accepted_where_the_operator_allows_it() -> None:
    headers = {"x-signature": sign(BODY, SIGNING)}
    assert Keyring.from_json(STORED).authenticate_events(headers, BATCH, accept_first_event=True) is False


def test_a_wrong_signature_beside_a_valid_key_is_reported_not_refused() -> None:
    headers = {"authorization": f"Bearer {EVENT_KEY}", "x-signature": "0" * 40}
    assert Keyring.from_json(STORED).authenticate_events(headers, BODY, accept_first_event=False) is True


@pytest.mark.parametrize(
    "secret",
    [
        pytest.param("", id="empty"),
        pytest.param(None, id="absent"),
        pytest.param(12345678901234567890, id="not a text"),
        pytest.param("short", id="short"),
        pytest.param("a" * 40, id="one letter"),
        pytest.param("CHANGE_ME_please_1234", id="a placeholder"),
    ],
)
def test_an_unusable_secret_fails_closed_and_is_our_trouble_not_the_senders(secret: Any) -> None:
    keyring = Keyring.from_json({"eventKey": secret})
    for headers in ({"authorization": f"Bearer {secret or ''}"}, {"x-api-key": str(secret)}, {}):
        with pytest.raises(Unavailable):
            keyring.authenticate_events(headers, BODY, accept_first_event=True)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"x-signature": "0" * 40}, id="a signature"),
        pytest.param({"x-signature": "0" * 40, "x-api-key": "wrong"}, id="a signature and a key"),
    ],
)
def test_a_stranger_is_refused_although_nobody_signs_here(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthorized):
        Keyring.from_json({"eventKey": EVENT_KEY}).authenticate_events(headers, BODY, accept_first_event=False)


def test_a_weak_secret_that_someone_relies_on_is_our_trouble() -> None:
    keyring = Keyring.from_json({"eventKey": EVENT_KEY, "signingSecret": "weak"})
    with pytest.raises(Unavailable):
        keyring.authenticate_events({"x-signature": "0" * 40}, BODY, accept_first_event=False)


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        pytest.param({"authorization": basic(AUDIENCE_KEY)}, {}, id="Basic"),
        pytest.param({"authorization": f"Bearer {AUDIENCE_KEY}"}, {}, id="Bearer"),
        pytest.param({}, {"key": AUDIENCE_KEY}, id="in the query"),
    ],
)
def test_an_audience_key_opens_audiences(headers: dict[str, str], query: dict[str, str]) -> None:
    Keyring.from_json(STORED).authenticate_audiences(headers, query)
    with pytest.raises(Unauthorized):
        Keyring.from_json(STORED | {"audienceKey": "another-audience-key-9"}).authenticate_audiences(headers, query)


@pytest.mark.parametrize("query", [{}, {"key": ""}, {"key": EVENT_KEY}])
def test_nothing_else_opens_audiences(query: dict[str, str]) -> None:
    with pytest.raises(Unauthorized):
        Keyring.from_json(STORED).authenticate_audiences({"x-signature": sign(BODY, SIGNING)}, query)
