"""Which requests are authenticated, which are refused, and when no secret can decide."""

import base64
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from audience_sync.access.credentials import Authenticated, Keyring, StoredKey
from audience_sync.errors import CredentialMissing, SecretUnusable, Unauthorized
from audience_sync.segment.signature import sign

EVENT_KEY, OLD_EVENT_KEY = "event-key-current-0001", "event-key-previous-0002"
AUDIENCE_KEY = "audience-key-current-03"
SIGNING, OLD_SIGNING = "signing-secret-current-4", "signing-secret-previous-5"
NOW = datetime(2027, 3, 17, 12, tzinfo=UTC).timestamp()
BODY = b'{"type":"track"}'
BATCH = b'[{"type":"track"},{"type":"track","userId":"user-1"}]'

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


def authenticate(headers: dict[str, str], body: bytes = BODY, stored: dict[str, Any] = STORED) -> Authenticated:
    """Authenticate a request with events."""
    return Keyring.from_json(stored).authenticate_events(headers, body, now=NOW)


def for_audiences(
    headers: dict[str, str], query: dict[str, str] | None = None, stored: dict[str, Any] = STORED
) -> Authenticated:
    """Authenticate a request about audiences."""
    return Keyring.from_json(stored).authenticate_audiences(headers, query or {}, now=NOW)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def api_key(key: str) -> dict[str, str]:
    return {"x-api-key": key}


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(bearer(EVENT_KEY), id="Bearer"),
        pytest.param({"authorization": f"bearer  {EVENT_KEY} "}, id="Bearer, untidy"),
        pytest.param({"authorization": basic(EVENT_KEY)}, id="Basic, from user-info in the URL"),
        pytest.param(api_key(EVENT_KEY), id="x-api-key"),
        pytest.param({"authorization": f" {basic(EVENT_KEY).replace(' ', '   ')} "}, id="Basic, untidy"),
        pytest.param(api_key(f" {EVENT_KEY} "), id="x-api-key, untidy"),
        pytest.param(bearer(f"{EVENT_KEY},Bearer {EVENT_KEY}"), id="a header sent twice"),
        pytest.param({"authorization": ", ".join([basic(EVENT_KEY)] * 3)}, id="a header sent three times"),
        pytest.param(api_key(f"{EVENT_KEY}, {EVENT_KEY}"), id="x-api-key sent twice"),
        pytest.param(api_key(EVENT_KEY) | bearer(OLD_EVENT_KEY), id="both keys"),
        pytest.param(api_key(EVENT_KEY) | bearer("undefined"), id="Bearer undefined too"),
    ],
)
def test_an_event_key_authenticates_in_each_header(headers: dict[str, str]) -> None:
    assert authenticate(headers, BATCH) == Authenticated("eventKey", signature_unverified=False)


@pytest.mark.parametrize(
    ("headers", "body", "entry"),
    [
        pytest.param(bearer(OLD_EVENT_KEY), BATCH, "previousEventKey", id="the previous event key"),
        pytest.param({"x-signature": sign(BODY, SIGNING)}, BODY, "signingSecret", id="a signature alone"),
        pytest.param({"x-signature": sign(BODY, OLD_SIGNING)}, BODY, "previousSigningSecret", id="the previous secret"),
        pytest.param({"x-signature": sign(BATCH, SIGNING)}, BATCH, "signingSecret", id="a batch signed whole"),
    ],
)
def test_the_entry_of_a_valid_credential_is_named(headers: dict[str, str], body: bytes, entry: str) -> None:
    assert authenticate(headers, body) == Authenticated(entry, signature_unverified=False)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="none"),
        pytest.param({"authorization": ""}, id="empty"),
        pytest.param({"authorization": "Bearer"}, id="Bearer without a key"),
        pytest.param({"authorization": "Bearer undefined"}, id="what an unconfigured webhook sends"),
        pytest.param({"authorization": EVENT_KEY}, id="a key without a scheme"),
        pytest.param({"authorization": f"Bearer {EVENT_KEY},Bearer {OLD_EVENT_KEY}"}, id="a header with two keys"),
        pytest.param({"authorization": f"Bearer {EVENT_KEY},"}, id="a key and a comma"),
        pytest.param({"x-api-key": f"{EVENT_KEY},undefined"}, id="x-api-key with two values"),
        pytest.param({"authorization": f"Bearer {AUDIENCE_KEY}"}, id="an audience key"),
        pytest.param({"authorization": f"Bearer {SIGNING}"}, id="a signing secret"),
        pytest.param({"authorization": "Basic ***"}, id="Basic that is not base64"),
        pytest.param({"authorization": basic(EVENT_KEY) + "!"}, id="Basic with more than base64"),
        pytest.param({"authorization": basic(f"more:{EVENT_KEY}")}, id="Basic with a colon before the key"),
        pytest.param({"authorization": "Bearer schlüssel-😀"}, id="not ASCII"),
        pytest.param({"authorization": "Bearer \ud800"}, id="a lone surrogate"),
        pytest.param({"x-api-key": "k" * 1_000_000}, id="very long"),
        pytest.param({"x-signature": sign(BODY, "another-secret-entirely")}, id="a signature under another secret"),
        pytest.param({"x-signature": sign(BODY, SIGNING)}, id="a signature of the first event only"),
    ],
)
def test_every_other_request_is_refused_with_the_same_error(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthorized, match=r"^no valid credential$") as refused:
        authenticate(headers, BATCH)
    has_sent_one = any(headers.values())
    assert type(refused.value) is (Unauthorized if has_sent_one else CredentialMissing)


@pytest.mark.parametrize(
    ("signature", "body", "unverified"),
    [
        pytest.param("0" * 40, BODY, True, id="a wrong one"),
        pytest.param(sign(BODY, SIGNING), BODY, False, id="of the whole body"),
        pytest.param(sign(BODY, SIGNING), BATCH, False, id="of the first event alone"),
    ],
)
def test_a_wrong_signature_beside_a_valid_key_is_reported_not_refused(
    signature: str, body: bytes, *, unverified: bool
) -> None:
    headers = {"authorization": f"Bearer {EVENT_KEY}", "x-signature": signature}
    assert authenticate(headers, body) == Authenticated("eventKey", signature_unverified=unverified)


WRONG_KEY, WRONG_SIGNATURE = {"x-api-key": "a-wrong-key-of-good-length"}, {"x-signature": "0" * 40}


@pytest.mark.parametrize(
    ("weak", "headers", "error"),
    [
        pytest.param("eventKey", WRONG_KEY, SecretUnusable, id="a key, beside a weak event key"),
        pytest.param("eventKey", WRONG_SIGNATURE, Unauthorized, id="a signature, beside a weak event key"),
        pytest.param("signingSecret", WRONG_SIGNATURE, SecretUnusable, id="a signature, beside a weak signing secret"),
        pytest.param("signingSecret", WRONG_KEY, Unauthorized, id="a key, beside a weak signing secret"),
    ],
)
def test_a_weak_secret_is_a_503_only_for_requests_that_need_it(
    weak: str, headers: dict[str, str], error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        authenticate(headers, stored={"eventKey": EVENT_KEY, "signingSecret": SIGNING} | {weak: "weak"})
    assert type(caught.value) is error


UNUSABLE = [
    pytest.param("", id="empty"),
    pytest.param(None, id="absent"),
    pytest.param(12345678901234567890, id="not a text"),
    pytest.param("short", id="short"),
    pytest.param("a" * 40, id="one character"),
    pytest.param("CHANGE_ME_please_1234", id="a placeholder"),
]


@pytest.mark.parametrize("secret", UNUSABLE)
def test_an_unusable_event_key_fails_closed(secret: Any) -> None:
    for headers in ({"authorization": f"Bearer {secret or ''}"}, {"x-api-key": "any-key-at-all-0001"}):
        with pytest.raises(SecretUnusable):
            authenticate(headers, stored={"eventKey": secret})


@pytest.mark.parametrize("secret", [*UNUSABLE, pytest.param(EVENT_KEY, id="strong")])
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"authorization": ""}, id="an empty Authorization"),
        pytest.param({"x-api-key": " "}, id="an empty x-api-key"),
        pytest.param({"x-signature": ""}, id="an empty signature"),
    ],
)
def test_a_request_without_a_credential_is_refused_whatever_is_stored(headers: dict[str, str], secret: Any) -> None:
    stored = {"eventKey": secret, "audienceKey": secret, "signingSecret": secret}
    with pytest.raises(CredentialMissing, match=r"^no valid credential$"):
        authenticate(headers, stored=stored)
    with pytest.raises(CredentialMissing, match=r"^no valid credential$"):
        for_audiences(headers, {"key": ""}, stored)


@pytest.mark.parametrize("stored", [{"eventKey": EVENT_KEY}, {"eventKey": EVENT_KEY, "signingSecret": ""}])
def test_a_signature_is_refused_if_no_signing_secret_is_stored(stored: dict[str, str]) -> None:
    for headers in ({"x-signature": "0" * 40}, {"x-signature": "0" * 40, "x-api-key": "wrong"}):
        with pytest.raises(Unauthorized):
            authenticate(headers, stored=stored)


def test_a_wrong_audience_key_is_refused_if_none_is_stored_and_a_503_if_it_is_weak() -> None:
    query = {"key": "any-key-at-all-0001"}
    for absent in ({}, {"audienceKey": ""}, {"eventKey": EVENT_KEY, "audienceKey": None}):
        with pytest.raises(Unauthorized):
            for_audiences({}, query, absent)
    with pytest.raises(SecretUnusable):
        for_audiences({}, query, {"audienceKey": "weak"})


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        pytest.param({"authorization": basic(AUDIENCE_KEY)}, {}, id="Basic"),
        pytest.param({"authorization": f"Bearer {AUDIENCE_KEY}"}, {}, id="Bearer"),
        pytest.param({}, {"key": AUDIENCE_KEY}, id="in the query"),
    ],
)
def test_an_audience_key_authenticates_for_audiences(headers: dict[str, str], query: dict[str, str]) -> None:
    assert for_audiences(headers, query) == Authenticated("audienceKey")
    with pytest.raises(Unauthorized):
        for_audiences(headers, query, STORED | {"audienceKey": "another-audience-key-9"})


def test_the_previous_audience_key_authenticates_for_audiences() -> None:
    stored = STORED | {"previousAudienceKey": "audience-key-previous-06"}
    assert for_audiences(api_key("audience-key-previous-06"), stored=stored) == Authenticated("previousAudienceKey")


@pytest.mark.parametrize(
    ("secret", "is_strong"),
    [
        pytest.param("abcdefghijklmnop", True, id="16 characters"),
        pytest.param("abcdefghijklmno", False, id="15 characters"),
        pytest.param("abcd" * 10, True, id="four different ones"),
        pytest.param("abc" * 10, False, id="three different ones"),
    ],
)
def test_a_secret_needs_16_characters_four_of_them_different(secret: str, is_strong: bool) -> None:
    with nullcontext() if is_strong else pytest.raises(SecretUnusable):
        for_audiences(api_key(secret), stored={"audienceKey": secret})


def test_a_lone_surrogate_in_a_key_or_header_is_compared_without_an_error() -> None:
    with pytest.raises(Unauthorized):
        for_audiences(api_key("half another \ud800"), stored={"audienceKey": "half a character \ud800"})


@pytest.mark.parametrize("query", [{}, {"key": ""}, {"key": EVENT_KEY}, {"key": "half a character \ud800"}])
def test_nothing_else_authenticates_for_audiences(query: dict[str, str]) -> None:
    with pytest.raises(Unauthorized):
        for_audiences({"x-signature": sign(BODY, SIGNING)}, query)


SOURCES = STORED | {"eventKey.emea": "event-key-of-emea-00007", "audienceKey.emea": "audience-key-of-emea-08"}


def test_a_source_key_authenticates_and_its_source_is_named() -> None:
    event, audience = (api_key(SOURCES[entry]) for entry in ("eventKey.emea", "audienceKey.emea"))
    assert authenticate(event, BATCH, SOURCES) == Authenticated("eventKey.emea")
    assert for_audiences(audience, stored=SOURCES) == Authenticated("audienceKey.emea")
    for wrong in (audience, {"x-api-key": "event-key-of-emea-00008"}):
        with pytest.raises(Unauthorized):
            authenticate(wrong, stored=SOURCES)
    with pytest.raises(Unauthorized):
        for_audiences(event, stored=SOURCES)


def test_a_weak_source_key_is_ignored_and_signing_secrets_have_no_sources() -> None:
    weak = {"eventKey.weak": "changeme-changeme-1", "eventKey.number": 7, "signingSecret.emea": "s" + SIGNING}
    keyring = Keyring.from_json(STORED | weak)
    assert list(keyring.event_keys.by_entry) == ["eventKey", "previousEventKey"]
    assert list(keyring.signing_secrets.by_entry) == ["signingSecret", "previousSigningSecret"]


DAY = 86_400  # seconds
OF_EMEA = ("eventKey.emea", "audienceKey.emea")
UNREADABLE = ["", None, "soon", "2027-02-30", "2027-W13-3", "20270331", 20270331, "2027-03-31T00:00", ["2027-03-31"]]


def ending(expires_on: Any) -> dict[str, Any]:
    """The stored keys, and one of each kind with a last day."""
    return STORED | {entry: {"key": SOURCES[entry], "expiresOn": expires_on} for entry in OF_EMEA}


def lets_in(stored: dict[str, Any], entry: str, now: float) -> bool:
    """Return whether a key of the source lets a request in. Otherwise it must be refused as any wrong key is."""
    keyring, headers = Keyring.from_json(stored), api_key(SOURCES[entry])
    try:
        if entry == "eventKey.emea":
            keyring.authenticate_events(headers, BODY, now=now)
        else:
            keyring.authenticate_audiences(headers, {}, now=now)
    except Unauthorized as error:
        return (type(error), str(error)) != (Unauthorized, "no valid credential")
    return True


@pytest.mark.parametrize(
    ("time", "is_valid"),
    [
        pytest.param("2027-03-31T00:00:00+00:00", True, id="the last day begins"),
        pytest.param("2027-03-31T23:59:59+00:00", True, id="the last second in UTC"),
        pytest.param("2027-04-01T00:00:00+00:00", False, id="the next day in UTC"),
        pytest.param("2027-03-31T23:59:59-08:00", False, id="still the last day in Seattle"),
        pytest.param("2028-03-31T12:00:00+00:00", False, id="a year later"),
    ],
)
@pytest.mark.parametrize("entry", OF_EMEA)
def test_a_key_is_valid_through_its_last_day_in_utc(entry: str, time: str, is_valid: bool) -> None:
    assert lets_in(ending("2027-03-31"), entry, datetime.fromisoformat(time).timestamp()) is is_valid


@pytest.mark.parametrize("entry", OF_EMEA)
def test_an_expired_key_is_refused_even_if_no_other_is_stored(entry: str) -> None:
    assert not lets_in({entry: ending("2027-03-16")[entry]}, entry, NOW)


@pytest.mark.parametrize("entry", OF_EMEA)
@pytest.mark.parametrize("unreadable", UNREADABLE)
def test_a_key_with_an_unreadable_last_day_is_refused(unreadable: Any, entry: str) -> None:
    stored = ending(unreadable)
    assert not lets_in(stored, entry, NOW)
    assert not lets_in(stored, entry, 0.0)
    authenticate({"x-api-key": EVENT_KEY}, stored=stored)
    assert StoredKey.from_json(stored[entry]).is_expiry_readable is False


def test_a_valid_signature_beside_an_expired_key_authenticates() -> None:
    headers = {"x-api-key": SOURCES["eventKey.emea"], "x-signature": sign(BODY, SIGNING)}
    assert authenticate(headers, stored=ending("2027-03-16")) == Authenticated("signingSecret")


@pytest.mark.parametrize(("days", "expires_soon"), [(15, False), (14, True), (0, True)])
def test_a_key_that_expires_within_14_days_is_reported(days: int, expires_soon: bool) -> None:
    last = datetime.fromtimestamp(NOW + days * DAY, UTC).date().isoformat()
    event, audience = ({"x-api-key": SOURCES[entry]} for entry in OF_EMEA)
    assert authenticate(event, stored=ending(last)) == Authenticated("eventKey.emea", expires_soon=expires_soon)
    assert for_audiences(audience, stored=ending(last)).expires_soon is expires_soon


def test_only_source_keys_may_expire() -> None:
    stored = STORED | {"previousEventKey": {"key": OLD_EVENT_KEY, "expiresOn": "2027-03-31"}}
    assert list(Keyring.from_json(stored).event_keys.by_entry) == ["eventKey"]


@pytest.mark.parametrize("stored", [SOURCES["eventKey.emea"], {"key": "a", "expiresOn": "2027-03-31"}])
def test_an_entry_is_written_as_it_was_read(stored: Any) -> None:
    assert StoredKey.from_json(stored).as_json() == stored


class WithoutEquality(bytes):
    """A secret that must not be compared byte by byte until the first difference."""

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared with ==")

    __hash__ = bytes.__hash__


def test_keys_are_compared_in_constant_time() -> None:
    keyring = Keyring.from_json({"eventKey": EVENT_KEY})
    by_entry = {entry: WithoutEquality(secret) for entry, secret in keyring.event_keys.by_entry.items()}
    keyring = replace(keyring, event_keys=replace(keyring.event_keys, by_entry=by_entry))
    headers = {"x-api-key": EVENT_KEY}
    assert keyring.authenticate_events(headers, b"{}", now=0.0).entry == "eventKey"
