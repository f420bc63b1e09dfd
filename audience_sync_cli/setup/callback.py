"""Waits on 127.0.0.1 for the browser that returns from Amazon's consent page, and shows there what came of it."""

import base64
import hashlib
import html
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qsl, urlsplit

from audience_sync_cli.errors import NotConfirmed, OperatorError, TryLater
from audience_sync_cli.setup.authorization import CODE_LIFETIME, PATH, PORT, AuthorizationRequest

CHECK_INTERVAL = 0.5  # seconds between two looks at the deadline
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
        """Bind. Raises OperatorError where the port is taken."""
        self._monotonic = monotonic
        try:
            self._server = _Server(("127.0.0.1", port), _Handler)
        except OSError:
            raise OperatorError(
                f"Port {port} is in use.", f"Free it, or use --port with http://127.0.0.1:PORT{PATH} allowed at Amazon."
            ) from None
        self._server.timeout = CHECK_INTERVAL

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
        """Wait for the answer to the request, finish with it, and only then show a page. Others get a 404.

        Args:
            request: whose answer it must be.
            finish: what to do with the answer; the page says whether that worked.
            seconds: to wait.
            on_wait: called with the seconds that are left, at least every CHECK_INTERVAL seconds.

        Raises:
            TryLater: no answer came in time.
            Exception: what `finish` raised.
        """
        self._server.request, self._server.finish = request, finish
        deadline = self._monotonic() + seconds
        while not self._server.is_answered:
            left = deadline - self._monotonic()
            if left < 0:
                raise TryLater(
                    "No answer came from the browser.",
                    f"If Amazon's page showed an error, allow {self.redirect_uri} there. Otherwise start again, or use "
                    "--paste.",
                )
            on_wait(left)
            self._server.handle_request()
        if self._server.error is not None:
            raise self._server.error

    def close(self) -> None:
        """Give the port back."""
        self._server.server_close()


class _Server(HTTPServer):
    allow_reuse_address = True
    request: AuthorizationRequest | None = None
    finish: Callable[[Answer], None] | None = None
    is_answered = False
    error: Exception | None = None


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 5  # seconds; a browser that opens a connection without using it must not block the next one

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        answer = dict(parse_qsl(address.query))
        request, finish = self.server.request, self.server.finish
        if address.path != PATH or request is None or finish is None or not request.is_answered_by(answer):
            self.send_error(404)
            return
        self.server.is_answered = True
        try:
            finish(answer)
        except Exception as error:  # noqa: BLE001 - `wait` raises it; here only the page depends on it
            self.server.error = error
        self.send_response(200)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(page(self.server.error).encode())

    def log_message(self, *_: object) -> None:
        """Log nothing: the request line contains the code."""


def page(error: Exception | None) -> str:
    """Return the page for the person who has answered at Amazon: whether it worked, and what to do."""
    match error:
        case None:
            title = "Amazon has granted access"
            paragraphs = ["The authorization is stored. The terminal now checks that an access token arrives."]
        case NotConfirmed():
            title, paragraphs = "Access was declined", ["Nothing was changed."]
        case OperatorError():
            title, paragraphs = "Not connected", [str(error), error.remedy]
        case _:
            title, paragraphs = "Not connected", ["The terminal says what went wrong."]
    shown = "".join(f"<p>{html.escape(each)}</p>" for each in paragraphs if each)
    return _PAGE.format(title=title, style=_STYLE, paragraphs=shown)
