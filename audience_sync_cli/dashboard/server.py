"""Serves the page of a deployed stack on this machine: the page, its facts, and its buttons.

The address contains a token, since other users of the machine can also reach the port. Without it nothing is served.
"""

import hmac
import json
import secrets
import sys
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from audience_sync_cli.dashboard.access import is_from_page, is_own_host
from audience_sync_cli.dashboard.facts import Facts
from audience_sync_cli.dashboard.operator import sentence_of
from audience_sync_cli.dashboard.page import HEADERS, build_page, headers_of
from audience_sync_cli.dashboard.ranges import asked
from audience_sync_cli.frame.explanation import explained

HOST = "127.0.0.1"
MAX_BODY = 10_000  # bytes of a request
TIMEOUT = 5.0  # seconds that a connection may stay silent; less than between two requests of the page for facts
MAX_PENDING = 1_024  # connections to be accepted; for one more, the kernel tries again after seconds
ACTIONS = ("redrive", "find", "pause", "resume")  # last parts of the addresses for POST


class Shown(Protocol):
    """The stack on the page."""

    def read(self, chosen: str) -> Facts:
        """Return the facts of one of ranges.RANGES."""

    def redrive(self, reason: str) -> list[str]:
        """Redrive dead letters with this reason, or all if it is empty. Returns sentences."""

    def switch(self, action: str, fields: Mapping[str, str]) -> list[str]:
        """Pause or resume delivery: note. Returns sentences."""

    def find(self, fields: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return everything stored under a member id or a message id: title and facts of each."""


def act(shown: Shown, action: str, fields: Mapping[str, str]) -> dict[str, Any]:
    """Do what a button of the page asks for, one of ACTIONS. Returns the outcome, or why there is none."""
    try:
        match action:
            case "find":  # in a body, since addresses are logged
                return {"found": shown.find(fields)}
            case "pause" | "resume":
                return {"sentences": shown.switch(action, fields)}
            case _:
                return {"sentences": shown.redrive(fields.get("reason", ""))}
    except Exception as error:  # noqa: BLE001 - a traceback could show more than the sentence
        return {"sentences": [], "error": sentence_of(error)}


class DashboardServer(ThreadingHTTPServer):
    """Listens on loopback; port 0 is any free one. Raises OSError if the port is in use."""

    daemon_threads = True
    request_queue_size = MAX_PENDING

    def __init__(self, shown: Shown, port: int, token: str | None = None) -> None:
        self.shown = shown
        self.path = f"/{token or secrets.token_urlsafe(24)}"
        super().__init__((HOST, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing if a browser closes a connection early, which is not an error."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """The address of the page. Anyone who has it can press its buttons as the operator."""
        return f"http://{HOST}:{self.server_port}{self.path}"


class _Handler(BaseHTTPRequestHandler):
    server: DashboardServer
    timeout = TIMEOUT
    server_version, sys_version = "audience-sync", ""
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if not self._is_known(self.server.path):
            return
        if "application/json" in self.headers.get("Accept", ""):
            self._answer(200, self._facts())
            return
        page = build_page()
        self._send(200, page, "text/html; charset=utf-8", headers_of(page))

    def do_POST(self) -> None:
        action = self.path.partition("?")[0].rpartition("/")[2]
        if not self._is_known(f"{self.server.path}/{action if action in ACTIONS else ACTIONS[0]}"):
            return
        if not is_from_page(dict(self.headers)):
            self._answer(403, {"error": "only accepted from the page itself"})
            return
        length = self._length()
        if length is None:
            self._answer(413, {"error": "too large"})
            return
        try:
            fields = {name: str(value) for name, value in json.loads(self.rfile.read(length)).items()}
        except (ValueError, AttributeError):
            self._answer(400, {"error": "not a JSON object"})
            return
        self._answer(200, act(self.server.shown, action, fields))

    def _length(self) -> int | None:
        """Return the size of the body; None if it is too large, or not in plain digits."""
        stated = self.headers.get("Content-Length", "")
        is_short = stated.isascii() and stated.isdecimal() and len(stated) <= len(str(MAX_BODY))
        return int(stated) if is_short and int(stated) <= MAX_BODY else None

    def log_message(self, *_: Any) -> None:
        """Log nothing: the address holds the token."""

    def _facts(self) -> dict[str, Any]:
        try:
            asked_for = parse_qs(urlsplit(self.path).query).get("range", [""])[0]
            return self.server.shown.read(asked(asked_for)).as_json()
        except Exception as error:  # noqa: BLE001 - as above
            return {"error": str(explained(error))}

    def _is_known(self, path: str) -> bool:
        if not is_own_host(self.headers.get("Host")):
            self._answer(403, {"error": "not the address of this page"})
            return False
        if not hmac.compare_digest(self.path.partition("?")[0].encode(), path.encode()):
            self._answer(404, {"error": "not found"})
            return False
        return True

    def _answer(self, status: int, answer: dict[str, Any]) -> None:
        self._send(status, json.dumps(answer), "application/json", HEADERS)

    def _send(self, status: int, text: str, content_type: str, headers: dict[str, str]) -> None:
        body = text.encode()
        if status >= 400:
            self.close_connection = True  # the rest of the request stays unread
        self.send_response(status)
        for name, value in (headers | {"Content-Type": content_type, "Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
