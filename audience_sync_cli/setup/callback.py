"""Waits on 127.0.0.1 for the browser's return from Amazon's consent page."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, SimpleQueue
from urllib.parse import parse_qsl, urlsplit

from audience_sync_cli.frame.errors import OperatorError, TryLater
from audience_sync_cli.setup.authorization import CODE_LIFETIME, PATH, PORT, AuthorizationRequest

CHECK_INTERVAL = 0.5  # seconds between two checks of the deadline
POLL_INTERVAL = 0.1  # seconds until the end of the wait is noticed
TIMEOUT = 5  # seconds that a connection may stay silent
_PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
    "<title>Amazon has answered - Audience Sync</title><h1>Amazon has answered</h1>"
    "<p>The terminal shows whether the stack is connected. You can close this window.</p></html>"
)
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

type Answer = dict[str, str]


class Listener:
    """Holds the port from the beginning, so that no other program can receive the code."""

    def __init__(self, port: int = PORT, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Bind the port. Raises OperatorError if it is in use."""
        self._monotonic = monotonic
        try:
            self._server = _Server(port)
        except OSError:
            raise OperatorError(
                f"Port {port} is in use.", f"Free it, or use --port with http://127.0.0.1:PORT{PATH} allowed at Amazon."
            ) from None

    @property
    def redirect_uri(self) -> str:
        """The return URL that must be allowed in the application's security profile."""
        return f"http://127.0.0.1:{self._server.server_port}{PATH}"

    def wait(
        self,
        request: AuthorizationRequest,
        *,
        seconds: float = CODE_LIFETIME,
        on_wait: Callable[[float], None] = lambda _: None,
    ) -> Answer:
        """Wait for the answer to the request, and return it. Other requests get a 404. Raises TryLater if none comes.

        `on_wait` gets the seconds that are left, at least every CHECK_INTERVAL seconds.
        """
        server, deadline = self._server, self._monotonic() + seconds
        server.expected = request
        threading.Thread(target=server.serve_forever, args=(POLL_INTERVAL,), daemon=True).start()
        try:
            while (left := deadline - self._monotonic()) >= 0:
                on_wait(left)
                with suppress(Empty):
                    return server.answers.get(timeout=CHECK_INTERVAL)
        finally:
            server.shutdown()
        raise TryLater(
            "No answer came from the browser.",
            f"If Amazon's page showed an error, allow {self.redirect_uri} there. Otherwise start again, or use "
            "--paste.",
        )

    def close(self) -> None:
        """Release the port."""
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    """One thread per connection: a slow one, from any program on this machine, must not delay the others."""

    allow_reuse_address = True
    request_queue_size = 1_024  # connections to be accepted; for one more, the kernel tries again after seconds
    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.expected: AuthorizationRequest | None = None  # the request that has no answer yet
        self.answers: SimpleQueue[Answer] = SimpleQueue()
        self._lock = threading.Lock()

    def accepts(self, answer: Answer) -> bool:
        """Accept an answer if it is the first to the request. Returns whether it was."""
        with self._lock:
            if self.expected is None or not self.expected.is_answered_by(answer):
                return False
            self.expected = None
            return True

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: a broken connection does not concern the operator."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = TIMEOUT

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        answer = dict(parse_qsl(address.query))
        if address.path != PATH or not self.server.accepts(answer):
            self.send_error(404)
            return
        try:
            self._send_page()
        finally:  # not before: the command may end at once, and its threads with it, before the page is sent
            self.server.answers.put(answer)

    def _send_page(self) -> None:
        self.send_response(200)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(_PAGE.encode())

    def log_message(self, *_: object) -> None:
        """Log nothing: the request line contains the code."""
