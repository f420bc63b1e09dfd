"""HTTP without a network."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import requests
from urllib3 import HTTPResponse

from audience_sync.amazon_ads.transport import TotalTimeoutAdapter


class Reply(TotalTimeoutAdapter):
    """Answers every request alike, and keeps the requests with the options they were sent with."""

    def __init__(self, status: int, body: bytes = b"", failure: Exception | None = None, /, **headers: str) -> None:
        super().__init__()
        self._status, self._body, self._failure = status, body, failure
        self._headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.requests: list[requests.PreparedRequest] = []
        self.options: list[dict[str, Any]] = []

    @contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """Take no time."""
        assert seconds > 0
        yield

    def send(self, request: requests.PreparedRequest, *_: Any, **options: Any) -> requests.Response:
        self.requests.append(request)
        self.options.append(options)
        if self._failure:
            raise self._failure
        raw = HTTPResponse(BytesIO(self._body), self._headers, self._status, preload_content=False)
        return self.build_response(request, raw)
