"""A total timeout and a size limit for HTTP exchanges made with requests.

A timeout of requests bounds each read by itself: a server that sends a header every second never reaches it, and one
that stops in the middle of its answer gets the whole time once more. requests has no total timeout and no library
offers one for it (urllib3's `Timeout(total=...)` bounds connecting and each read, too). So a timer cuts the sockets.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakSet

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from audience_sync.errors import OutcomeUnknown


class TotalTimeoutAdapter(HTTPAdapter):
    """Remembers the connections of a session, which makes one exchange at a time, so that it can cut them."""

    def __init__(self) -> None:
        self._connections: WeakSet[HTTPConnection] = WeakSet()
        super().__init__()

    @classmethod
    def mount_on(cls, session: requests.Session) -> "TotalTimeoutAdapter":
        """Return the session's adapter, mounted on first use. From then on it makes all connections of the session."""
        mounted = session.adapters.get("https://")
        adapter = mounted if isinstance(mounted, cls) else cls()
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        return adapter

    @contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """Cut the session's connections when the block takes longer than `seconds`: every read in it ends at once.

        Raises:
            TimeoutError: they were cut. What was read by then may look like a whole answer.
        """
        has_expired = threading.Event()

        def expire() -> None:
            has_expired.set()
            self._cut()

        timer = threading.Timer(seconds, expire)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
        if has_expired.is_set():
            raise TimeoutError("the exchange did not end in time")

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Build the pools, with connection classes that register themselves here."""
        super().init_poolmanager(*args, **options)
        connections = self._connections

        class TrackedHTTPConnection(HTTPConnection):
            def connect(self) -> None:
                connections.add(self)
                super().connect()

        class TrackedHTTPSConnection(HTTPSConnection):
            def connect(self) -> None:
                connections.add(self)
                super().connect()

        class TrackedHTTPPool(HTTPConnectionPool):
            ConnectionCls = TrackedHTTPConnection

        class TrackedHTTPSPool(HTTPSConnectionPool):
            ConnectionCls = TrackedHTTPSConnection

        self.poolmanager.pool_classes_by_scheme = {"http": TrackedHTTPPool, "https": TrackedHTTPSPool}

    def _cut(self) -> None:
        for connection in list(self._connections):
            # As a plain socket, also where it is one of TLS: whoever reads from it must find it whole, and at its end.
            with suppress(OSError, AttributeError):
                socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)


def read_within(
    response: requests.Response, *, max_bytes: int, deadline: float, monotonic: Callable[[], float]
) -> bytes:
    """Return the whole body of an answer that was requested with `stream=True`.

    The deadline is checked here, too: where a server closes the connection after its answer ("Connection: close"), the
    connection has given up its socket by the time the body is read, and the adapter cannot cut it.

    Raises:
        OutcomeUnknown: it is longer than `max_bytes`, or did not end by `deadline` (monotonic seconds).
    """
    body = b""
    while part := response.raw.read1(65_536, decode_content=True):
        body += part
        if len(body) > max_bytes:
            raise OutcomeUnknown("the answer is too long to be one")
        if monotonic() > deadline:
            raise OutcomeUnknown("the answer did not end in time")
    return body
