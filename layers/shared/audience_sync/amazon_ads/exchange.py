"""Makes one HTTP exchange with Amazon and maps its failures to our errors. Knows no endpoint.

Every exchange has a timeout, a bounded answer and no retry, except with another token after a 401.
Redirects are not followed: they would carry the token elsewhere.
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError, MaxRetryError, NewConnectionError, SSLError

from audience_sync.amazon_ads.login import NOT_APPROVED, AccessTokens, Token
from audience_sync.amazon_ads.redaction import redact
from audience_sync.amazon_ads.transport import TotalTimeoutAdapter, read_within
from audience_sync.errors import (
    AccessDenied,
    NotFound,
    OutcomeUnknown,
    RequestRejected,
    RequestTooLarge,
    ServiceUnavailable,
    Throttled,
    TokenUnavailable,
    TransientError,
)

CONNECT_TIMEOUT = 3.0  # seconds
READ_TIMEOUT = 30.0  # seconds; Amazon's p99 for these calls
MAX_ANSWER = 5_000_000  # bytes: a kilobyte on each of 5,000 members, if all of them are refused
MAX_RETRY_AFTER = 900.0  # seconds; caps what a server may ask for
_REQUEST_ID_HEADERS = ("x-amzn-RequestId", "x-amz-rid", "Amazon-Advertising-API-RequestId")
_REQUEST_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")  # the format that support asks for; other text may echo our request
_MESSAGE_KEYS = ("message", "Message", "details", "error_description", "code", "error")
_MAY_HAVE_APPLIED = (500, 502, 504)  # the server may have done the work before the error or gateway timeout


class Exchange:
    """One region's API, with one operator's authorization."""

    def __init__(
        self,
        session: requests.Session,
        base_url: str,
        tokens: AccessTokens,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._session = session
        self._session.trust_env = False  # no proxy and no netrc from the environment: hosts come from a fixed table
        self._total_timeout = TotalTimeoutAdapter.mount_on(session)
        self._base_url = base_url
        self._tokens = tokens
        self._monotonic = monotonic
        self._now = now
        self._headers = dict(headers or {})  # sent with every call

    def call(
        self,
        method: str,
        path: str,
        media_type: str | tuple[str, str],
        *,
        body: bytes | None = None,
        timeout: float = READ_TIMEOUT,
        repeatable: bool = True,
        answer_field: str = "",
    ) -> Any:
        """Make one call and return the JSON of its answer; None if the body is empty.

        Args:
            method: the HTTP method.
            path: with the query, without the host.
            media_type: of both bodies, or of the request's and the answer's.
            body: JSON.
            timeout: seconds for the whole answer, fetching a token included.
            repeatable: whether the call is idempotent. If not, a server error that may have come after the work was
                done is an unknown outcome.
            answer_field: a field that, if it is filled, makes the body of a 400 an answer.

        Raises:
            RequestTooLarge, AccessDenied, NotFound, RequestRejected: Amazon refuses the call.
            Throttled, ServiceUnavailable, TokenUnavailable: nothing was applied; retry later.
            OutcomeUnknown: it may have been applied, or may still be.
        """
        deadline = self._monotonic() + timeout
        token = self._tokens.current()
        sent, accepted = (media_type, media_type) if isinstance(media_type, str) else media_type
        types = {"Accept": accepted} | ({"Content-Type": sent} if body is not None else {})
        status, headers, text = self._exchange(method, path, types, body, token, deadline)
        is_new = False
        while status == 401 and not is_new:
            token, is_new = self._tokens.renewed(token)
            status, headers, text = self._exchange(method, path, types, body, token, deadline)
        answer = _json(text)
        if not 200 <= status < 300:
            if answer_field and status == 400 and isinstance(answer, dict) and answer.get(answer_field):
                return answer
            if status in _MAY_HAVE_APPLIED and not repeatable:
                raise OutcomeUnknown(f"Amazon answered {status}, but may have done the work")
            raise _failure(status, headers, answer if isinstance(answer, dict) else {}, self._now())
        if text and answer is None:
            raise OutcomeUnknown(f"Amazon answered {status} with a body that is not JSON")
        return answer

    def _exchange(
        self, method: str, path: str, types: dict[str, str], body: bytes | None, token: Token, deadline: float
    ) -> tuple[int, Any, bytes]:
        timeout = deadline - self._monotonic()
        if timeout <= 0:
            raise ServiceUnavailable("no time is left for a request to Amazon")
        try:
            with (
                self._total_timeout.limit(timeout),
                self._session.request(
                    method,
                    self._base_url + path,
                    data=body,
                    headers=self._headers | types,
                    auth=_Bearer(token, self._tokens.client_id()),
                    timeout=(min(CONNECT_TIMEOUT, timeout), timeout),
                    allow_redirects=False,
                    stream=True,
                ) as response,
            ):
                text = read_within(response, max_bytes=MAX_ANSWER)
                return response.status_code, response.headers, text
        except requests.ConnectTimeout:
            raise ServiceUnavailable("Amazon cannot be reached: connect timeout") from None
        except requests.ConnectionError as error:
            if _never_connected(error):
                raise ServiceUnavailable("Amazon cannot be reached") from None
            raise OutcomeUnknown("the connection to Amazon broke") from None
        except (requests.RequestException, HTTPError, OSError) as error:
            raise OutcomeUnknown(f"no usable answer from Amazon: {type(error).__name__}") from None
        except ValueError:  # from http.client, whose message quotes the refused header
            raise TokenUnavailable("token or client id cannot be sent in a header; store the secret again") from None


class _Bearer(AuthBase):
    """Sets the token on a request, and keeps it out of all variables that a traceback could show."""

    def __init__(self, token: Token, client_id: str) -> None:
        self._token = token
        self._client_id = client_id

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token.value}"
        request.headers["Amazon-Advertising-API-ClientId"] = self._client_id
        return request


def retry_after(header: str | None, now: float) -> float | None:
    """Read a Retry-After header: seconds or an HTTP date, clamped to 0 .. 900 s. None if it is not usable."""
    if not header:
        return None
    text = header.strip()
    try:
        seconds = float(text) if text.removeprefix("-").isdigit() else parsedate_to_datetime(text).timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _failure(status: int, headers: Any, answer: dict[str, Any], now: float) -> RequestRejected | TransientError:
    stated = next((headers[name] for name in _REQUEST_ID_HEADERS if headers.get(name)), "")
    request_id = stated if _REQUEST_ID.fullmatch(stated) else ""
    wait = retry_after(headers.get("Retry-After"), now)
    if status == 401:
        return TokenUnavailable(NOT_APPROVED, retry_after=wait)
    if status == 429:
        return Throttled("Amazon asks us to slow down", retry_after=wait)
    if status in (408, 425) or 300 <= status < 400 or (status >= 500 and status != 501):
        return ServiceUnavailable(f"Amazon answered {status}", retry_after=wait)
    kind = {403: AccessDenied, 404: NotFound, 413: RequestTooLarge}.get(status, RequestRejected)
    return kind(f"Amazon answered {status}{_detail(answer)}", status=status, request_id=request_id)


def _detail(answer: dict[str, Any]) -> str:
    """Quote the known words of Amazon's message."""
    message = redact(next((answer[name] for name in _MESSAGE_KEYS if isinstance(answer.get(name), str)), ""))
    return f": {message}" if message else ""


def _never_connected(error: requests.ConnectionError) -> bool:
    cause = error.args[0] if error.args else None
    if isinstance(cause, MaxRetryError):
        cause = cause.reason
    return isinstance(cause, NewConnectionError | SSLError)


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
