"""A total timeout and a size limit for HTTP exchanges made with requests.

A timeout of requests bounds single reads: a server that sends a header every second never reaches it, and one that
stops in the middle of its answer gets the whole time again. requests has no total timeout and no library offers one
for it (urllib3's `Timeout(total=...)` also bounds connecting and each read). So a timer closes the sockets.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakSet

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from audience_sync.errors import OutcomeUnknown


class TotalTimeoutAdapter(HTTPAdapter):
    """Tracks the sockets of a session, which makes one exchange at a time, in order to close them."""

    def __init__(self) -> None:
        # Sockets, not connections: if the server closes a connection, it gives up its socket before the body is read.
        self._sockets: WeakSet[socket.socket] = WeakSet()
        super().__init__()

    @classmethod
    def mount_on(cls, session: requests.Session) -> "TotalTimeoutAdapter":
        """Return the session's adapter, mounted on first use. It then makes all connections of the session."""
        mounted = session.adapters.get("https://")
        adapter = mounted if isinstance(mounted, cls) else cls()
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        return adapter

    @contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """Close the session's connections if the block takes longer than `seconds`: every read in it ends at once.

        Raises:
            TimeoutError: they were closed. The part read so far may look like a whole answer.
        """
        has_expired = threading.Event()

        def expire() -> None:
            has_expired.set()
            self._cut()

        timer = threading.Timer(seconds, expire)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
        if has_expired.is_set():
            raise TimeoutError("the exchange did not end in time")

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Build the pools with connection classes that register their sockets here."""
        super().init_poolmanager(*args, **options)
        sockets = self._sockets

        class TrackedHTTPConnection(HTTPConnection):
            def connect(self) -> None:
                super().connect()
                sockets.add(self.sock)

        class TrackedHTTPSConnection(HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                sockets.add(self.sock)

        class TrackedHTTPPool(HTTPConnectionPool):
            ConnectionCls = TrackedHTTPConnection

        class TrackedHTTPSPool(HTTPSConnectionPool):
            ConnectionCls = TrackedHTTPSConnection

        self.poolmanager.pool_classes_by_scheme = {"http": TrackedHTTPPool, "https": TrackedHTTPSPool}

    def _cut(self) -> None:
        for connected in list(self._sockets):
            # As a plain socket, even under TLS, so that the reader sees an ordinary end of the stream.
            with suppress(OSError):
                socket.socket.shutdown(connected, socket.SHUT_RDWR)


def read_within(response: requests.Response, *, max_bytes: int) -> bytes:
    """Return the whole body of an answer that was requested with `stream=True`.

    Raises:
        OutcomeUnknown: it is longer than `max_bytes`.
    """
    body = b""
    while part := response.raw.read1(65_536, decode_content=True):
        body += part
        if len(body) > max_bytes:
            raise OutcomeUnknown("the answer is too long")
    return body
