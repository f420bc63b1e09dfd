"""What the servers of tests/contract/test_transport.py cannot show: TLS, compression, and how much is read."""

import gzip
import socket
from io import BytesIO

import pytest
import requests
from urllib3 import HTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection

from audience_sync.amazon_ads.transport import TotalTimeoutAdapter, read_within
from audience_sync.errors import OutcomeUnknown

LIMIT = 100_000  # bytes
FULL = b"x" * LIMIT


def answer(stream: BytesIO, **headers: str) -> requests.Response:
    response = requests.Response()
    response.raw = HTTPResponse(stream, headers, 200, preload_content=False, decode_content=False)  # as requests does
    return response


def test_an_answer_is_read_and_decompressed() -> None:
    assert read_within(answer(BytesIO(FULL)), max_bytes=LIMIT) == FULL
    compressed = answer(BytesIO(gzip.compress(FULL)), **{"Content-Encoding": "gzip"})
    assert read_within(compressed, max_bytes=LIMIT) == FULL


def test_reading_stops_at_the_size_limit() -> None:
    with pytest.raises(OutcomeUnknown):
        read_within(answer(BytesIO(FULL + b"x")), max_bytes=LIMIT)
    stream = BytesIO(FULL * 10)
    response = answer(stream)  # it closes the stream when it is no longer used
    with pytest.raises(OutcomeUnknown):
        read_within(response, max_bytes=LIMIT)
    assert stream.tell() <= 2 * LIMIT


@pytest.mark.parametrize(("scheme", "kind"), [("http", HTTPConnection), ("https", HTTPSConnection)])
def test_http_and_https_connections_are_cut_at_the_total_timeout(
    monkeypatch: pytest.MonkeyPatch, scheme: str, kind: type[HTTPConnection]
) -> None:
    ours, theirs = socket.socketpair()
    monkeypatch.setattr(kind, "connect", lambda connection: setattr(connection, "sock", ours))
    with ours, theirs, requests.Session() as session:
        adapter = TotalTimeoutAdapter.mount_on(session)
        assert session.get_adapter(f"{scheme}://amazon.example") is adapter is TotalTimeoutAdapter.mount_on(session)
        adapter.poolmanager.connection_from_host("amazon.example", scheme=scheme).ConnectionCls(
            "amazon.example"
        ).connect()
        with pytest.raises(TimeoutError, match="did not end in time"), adapter.limit(0.01):
            assert ours.recv(1) == b""
