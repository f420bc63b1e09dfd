"""Waits on 127.0.0.1 for the browser's return from Amazon's consent page, and shows the result there."""

import base64
import hashlib
import html
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from audience_sync_cli.errors import NotConfirmed, OperatorError, TryLater
from audience_sync_cli.setup.authorization import CODE_LIFETIME, PATH, PORT, AuthorizationRequest

CHECK_INTERVAL = 0.5  # seconds between two checks of the deadline
POLL_INTERVAL = 0.1  # seconds until the end of the wait is noticed
TIMEOUT = 5  # seconds that a connection may stay silent
_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 34em; margin: 4em auto; padding: 0 1em; color: CanvasText; background: Canvas; }
"""
_PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    "<title>{title} - Audience Sync</title><style>{style}</style><h1>{title}</h1>{paragraphs}"
    "<p>You can close this window.</p></html>"
)
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
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
        finish: Callable[[Answer], None],
        *,
        seconds: float = CODE_LIFETIME,
        on_wait: Callable[[float], None] = lambda _: None,
    ) -> None:
        """Wait for the answer to the request, finish, and only then show a page. Other requests get a 404.

        `finish` handles the answer; the page shows whether that worked. `on_wait` gets the seconds that are left, at
        least every CHECK_INTERVAL seconds.

        Raises:
            TryLater: no answer came in time.
            Exception: what `finish` raised.
        """
        server = self._server
        server.expect(request)
        threading.Thread(target=server.serve_forever, args=(POLL_INTERVAL,), daemon=True).start()
        try:
            self._wait(seconds, on_wait)
            try:
                finish(server.answer)
            except BaseException as error:
                server.error = error
                raise
            finally:
                server.is_finished.set()
                server.page_is_sent.wait(TIMEOUT)
        finally:
            server.shutdown()

    def _wait(self, seconds: float, on_wait: Callable[[float], None]) -> None:
        deadline = self._monotonic() + seconds
        while True:
            left = deadline - self._monotonic()
            if left < 0 and not self._server.end():
                raise TryLater(
                    "No answer came from the browser.",
                    f"If Amazon's page showed an error, allow {self.redirect_uri} there. Otherwise start again, or use "
                    "--paste.",
                )
            on_wait(max(left, 0.0))
            if self._server.is_answered.wait(CHECK_INTERVAL):
                return

    def close(self) -> None:
        """Release the port."""
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    """One thread per connection: a slow one, from any program on this machine, must not delay the others."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self._lock = threading.Lock()

    def expect(self, request: AuthorizationRequest) -> None:
        """Start accepting an answer to a request."""
        self._request: AuthorizationRequest | None = request
        self.answer: Answer = {}
        self.error: BaseException | None = None
        self.is_answered, self.is_finished, self.page_is_sent = (threading.Event() for _ in range(3))

    def end(self) -> bool:
        """Stop accepting answers. Returns whether there was one."""
        with self._lock:
            self._request = None
            return self.is_answered.is_set()

    def takes(self, answer: Answer) -> bool:
        """Accept an answer if it is the first to the request. Returns whether it was."""
        with self._lock:
            if self._request is None or not self._request.is_answered_by(answer):
                return False
            self._request, self.answer = None, answer
            self.is_answered.set()
            return True

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: a broken connection does not concern the operator."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = TIMEOUT

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        if address.path != PATH or not self.server.takes(dict(parse_qsl(address.query))):
            self.send_error(404)
            return
        self.server.is_finished.wait()
        try:
            self.send_response(200)
            for name, value in _HEADERS.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(page(self.server.error).encode())
        finally:
            self.server.page_is_sent.set()

    def log_message(self, *_: object) -> None:
        """Log nothing: the request line contains the code."""


def page(error: BaseException | None) -> str:
    """Return the page after consent: whether it worked, and the next step."""
    match error:
        case None:
            title = "Amazon has granted access"
            paragraphs = ["The authorization is stored. The terminal now checks that an access token arrives."]
        case NotConfirmed():
            title, paragraphs = "Access was declined", ["Nothing was changed."]
        case OperatorError():
            title, paragraphs = "Not connected", [str(error), error.remedy]
        case _:
            title, paragraphs = "Not connected", ["See the terminal for the cause."]
    shown = "".join(f"<p>{html.escape(each)}</p>" for each in paragraphs if each)
    return _PAGE.format(title=title, style=_STYLE, paragraphs=shown)
