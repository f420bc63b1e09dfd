"""Ends an HTTP exchange whose time is up, wherever it stands.

A timeout of requests bounds each read by itself: a server that sends a header every second is never too slow for it,
and one that falls silent in mid answer gets the whole time once more.
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


class TotalTimeoutAdapter(HTTPAdapter):
    """Keeps hold of the connections of a session, one exchange at a time, so that they can be cut."""

    def __init__(self) -> None:
        self._connections: WeakSet[HTTPConnection] = WeakSet()
        super().__init__()

    @classmethod
    def mount_on(cls, session: requests.Session) -> "TotalTimeoutAdapter":
        """Return the session's, which from now on makes all its connections."""
        mounted = session.adapters.get("https://")
        patience = mounted if isinstance(mounted, cls) else cls()
        session.mount("https://", patience)
        session.mount("http://", patience)
        return patience

    @contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """Within this, cut the session's connections after so many seconds: what waits for them ends at once.

        Raises:
            TimeoutError: they were cut. What was read by then may look like a whole answer.
        """
        is_over = threading.Event()

        def end() -> None:
            is_over.set()
            self._cut()

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
        if is_over.is_set():
            raise TimeoutError("the exchange did not end in time")

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Build the pools, of connections that are told of here."""
        super().init_poolmanager(*args, **options)
        known = self._connections

        class Plain(HTTPConnection):
            def connect(self) -> None:
                known.add(self)
                super().connect()

        class Secure(HTTPSConnection):
            def connect(self) -> None:
                known.add(self)
                super().connect()

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}

    def _cut(self) -> None:
        for connection in list(self._connections):
            connected = connection.sock
            if connected is None:  # closed already, or not connected yet: nobody reads from it
                continue
            # As a plain socket, also where it is one of TLS: whoever reads from it must find it whole, and at its end.
            with suppress(OSError):
                socket.socket.shutdown(connected, socket.SHUT_RDWR)
