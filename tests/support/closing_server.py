"""A token endpoint that closes each connection after one answer, as a function finds it after it was frozen."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

TOKEN = json.dumps({"access_token": "Atza|made-up", "expires_in": 3600}).encode()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(TOKEN), TOKEN)


@contextmanager
def token_endpoint() -> Iterator[str]:
    """Serve tokens on loopback, one a connection. Yields the URL."""

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                threading.Thread(target=_answer_once, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/auth/o2/token"


def _answer_once(connection: socket.socket) -> None:
    """Answer the first request, keep the connection open, and close it at the second one."""
    with connection, suppress(OSError):
        if _read_request(connection):
            connection.sendall(ANSWER)
            _read_request(connection)


def _read_request(connection: socket.socket) -> bool:
    text = b""
    while b"\r\n\r\n" not in text:
        if not (more := connection.recv(65536)):
            return False
        text += more
    head, _, body = text.partition(b"\r\n\r\n")
    (length,) = (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < length:
        body += connection.recv(65536)
    return True
