"""Readings for the checks of a stack: each made once, when a check first asks, or the reason why it is unread."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self, cast

from audience_sync.amazon_ads.login import Token
from audience_sync_cli.frame.errors import OperatorError
from audience_sync_cli.frame.explanation import explained
from audience_sync_cli.frame.session import Session
from audience_sync_cli.stack.blockers import Waiting, waiting
from audience_sync_cli.stack.counts import Depth, depth


class Reading[T]:
    """A method of StackReadings as an attribute that is read once. Its error is kept, and raised each time."""

    def __init__(self, read: Callable[[Any], T]) -> None:
        self._read = read
        self._name = read.__name__

    def __get__(self, readings: "StackReadings", _: type) -> T:
        known = readings.known
        if self._name not in known:
            try:
                known[self._name] = self._read(readings)
            except Exception as error:  # noqa: BLE001 - any error is the reason why this is unread
                known[self._name] = Unread(explained(error))
        value = known[self._name]
        if isinstance(value, Unread):
            raise value.error
        return cast("T", value)


class Unread(NamedTuple):
    """The reason why something could not be read."""

    error: OperatorError


class StackReadings:
    """Readings for the checks of a stack."""

    def __init__(self, session: Session, known: Mapping[str, Any] | None = None) -> None:
        """Read from a session's stack whatever is not `known` by its name."""
        self.session = session
        self.now = session.now()  # epoch seconds
        self.known = dict(known or {})

    def optional[T](self, read: Callable[[Self], T]) -> T | None:
        """Return what is read, for checks that can do without; None if it is unread."""
        try:
            return read(self)
        except OperatorError:
            return None

    @Reading
    def api(self) -> str:
        """The base URL of the gateway; empty with PublicApi=no."""
        return self.session.stack.api

    @Reading
    def ingest_secret(self) -> Mapping[str, Any]:
        """Segment's keys."""
        return self.session.secret("IngestSecret").value()

    @Reading
    def credentials(self) -> Mapping[str, Any]:
        """The authorization of Amazon."""
        return self.session.secret("CredentialsSecret").value()

    @Reading
    def token(self) -> Token | None:
        """The stored access token."""
        return Token.from_json(self.session.secret("TokenSecret").value())

    @Reading
    def mappings(self) -> str | None:
        """The stored mappings; None for Segment's default mapping."""
        return self.session.audiences.mappings()

    @Reading
    def change_queue(self) -> Depth:
        """The messages of the change queue."""
        return depth(self.session.stack, "ChangeQueue")

    @Reading
    def waiting(self) -> Waiting:
        """Why changes wait."""
        return waiting(self.session)
