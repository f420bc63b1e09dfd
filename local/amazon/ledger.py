"""Records of requests, received members, and violations of Amazon's advice. All bounded."""

import hashlib
import json
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from local.amazon.records import Identity, Record

KEPT_REQUESTS = 10_000
KEPT_BODY_BYTES = 64_000_000  # about 15 uploads of 6,000 records with all eight fields, 60 with an email only
KEPT_RECORDS = 250_000  # entries share their digests with the members: about 300 bytes each beyond those
KEPT_VIOLATIONS = 10_000
_SECRET_FIELDS = frozenset({"client_secret", "refresh_token", "code", "code_verifier"})


class Actions(NamedTuple):
    """The externalUserIds of an upload."""

    creates: frozenset[str]
    deletes: frozenset[str]


class LedgerEntry(NamedTuple):
    """One record received."""

    n: int  # counts from 1
    request: int  # the n of its request
    at: float  # epoch seconds
    audience_id: int | str  # a number, or the id of a dataset
    job_id: str  # or an ingressId
    external_user_id: str
    action: str
    identities: tuple[Identity, ...]

    def as_json(self) -> dict[str, Any]:
        """Show the entry; ids over 2**53 as strings, so that no reader rounds them."""
        return {
            "n": self.n,
            "request": self.request,
            "at": self.at,
            "audienceId": str(self.audience_id),
            "jobRequestId": self.job_id,
            "externalUserId": self.external_user_id,
            "action": self.action,
            "hashedPII": [dict(identity) for identity in self.identities],
        }


@dataclass(slots=True)
class RequestEntry:
    """One request received, and how it was answered."""

    n: int  # counts from 1
    at: float  # epoch seconds
    method: str
    path: str
    query: str
    headers: dict[str, str]
    raw: bytes | None = b""  # None once dropped to save memory
    status: int | None = None  # None while in progress, or if the connection was closed without an answer
    faults: list[str] = field(default_factory=list)  # effects of fault rules

    def as_json(self, *, with_body: bool) -> dict[str, Any]:
        """Show the request. Secrets and tokens are digests; a body that is neither JSON nor a form is text."""
        shown: dict[str, Any] = {
            "n": self.n,
            "at": self.at,
            "method": self.method,
            "path": self.path,
            "query": _without_secrets(parse_qsl(self.query, keep_blank_values=True)),
            "headers": self.headers,
            "bytes": None if self.raw is None else len(self.raw),
            "status": self.status,
            "faults": self.faults,
        }
        if with_body:
            shown["body"] = None if not self.raw else self._body(self.raw)
        return shown

    def _body(self, raw: bytes) -> Any:
        text = raw.decode(errors="replace")
        if "form-urlencoded" in self.headers.get("Content-Type", ""):
            return _without_secrets(parse_qsl(text, keep_blank_values=True))
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text


class Requests:
    """The newest requests to the API and the login; not those to the sandbox's own paths."""

    def __init__(self) -> None:
        self._entries: deque[RequestEntry] = deque(maxlen=KEPT_REQUESTS)
        self._with_body: deque[RequestEntry] = deque()
        self._body_bytes = 0
        self.received = 0

    def open(self, at: float, method: str, path: str, query: str, headers: Mapping[str, str]) -> RequestEntry:
        """Add a request of which only the head is known yet."""
        self.received += 1
        shown = {name: _shown_header(name, value) for name, value in headers.items()}
        entry = RequestEntry(self.received, at, method, path, query, shown)
        self._entries.append(entry)
        return entry

    def keep_body(self, entry: RequestEntry, raw: bytes) -> None:
        """Store a body exactly as sent, and drop the oldest ones beyond the limit."""
        entry.raw = raw
        self._with_body.append(entry)
        self._body_bytes += len(raw)
        while self._body_bytes > KEPT_BODY_BYTES or len(self._with_body) > KEPT_REQUESTS:
            oldest = self._with_body.popleft()
            self._body_bytes -= len(oldest.raw or b"")
            oldest.raw = None

    def since(self, n: int) -> list[RequestEntry]:
        """Return the requests after the n-th, oldest first."""
        return [entry for entry in self._entries if entry.n > n]


class Ledger:
    """The newest records received, of all audiences, and violations among them."""

    def __init__(self) -> None:
        self._entries: deque[LedgerEntry] = deque(maxlen=KEPT_RECORDS)
        self._violations: deque[dict[str, Any]] = deque(maxlen=KEPT_VIOLATIONS)
        self.received = 0

    def add(self, request: int, at: float, audience_id: int | str, job_id: str, records: Iterable[Record]) -> None:
        """Add the records of one upload, in order."""
        for user, action, identities, *_ in records:
            self.received += 1
            self._entries.append(LedgerEntry(self.received, request, at, audience_id, job_id, user, action, identities))

    def entries(self, *, audience: str = "", member: str = "", since: int = 0) -> Iterator[LedgerEntry]:
        """Yield the records after the n-th, oldest first, of one audience or member if given."""
        for entry in self._entries:
            in_audience = not audience or str(entry.audience_id) == audience
            if in_audience and (not member or entry.external_user_id == member) and entry.n > since:
                yield entry

    def violate(self, kind: str, request: int, **facts: Any) -> None:
        """Record a violation: accepted by Amazon, but against its advice."""
        self._violations.append({"kind": kind, "request": request, **facts})

    def note_conflicts(
        self, request: int, audience_id: str, records: Sequence[Record], pending: Iterable[Actions]
    ) -> None:
        """Record members whose opposite action has no effect yet, and members that one upload holds twice."""
        creates, deletes = actions(records)
        opposite = [(deletes & other.creates) | (creates & other.deletes) for other in pending]
        for user in sorted(set().union(*opposite)):
            self.violate("opposite_actions_pending", request, audienceId=audience_id, externalUserId=user)
        users = Counter(record.external_user_id for record in records)
        for user in (users - Counter(set(users))).elements():
            self.violate("member_twice", request, audienceId=audience_id, externalUserId=user)

    def violations(self) -> list[dict[str, Any]]:
        """Return the violations, oldest first."""
        return list(self._violations)


def actions(records: Iterable[Record]) -> Actions:
    """Collect the members of an upload by action."""
    users: dict[str, set[str]] = {"CREATE": set(), "DELETE": set()}
    for record in records:
        users[record.action].add(record.external_user_id)
    return Actions(frozenset(users["CREATE"]), frozenset(users["DELETE"]))


def _shown_header(name: str, value: str) -> str:
    if name.lower() != "authorization":
        return value
    scheme, _, credential = value.partition(" ")
    return f"{scheme} {_digest(credential)}"


def _without_secrets(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name: _digest(value) if name in _SECRET_FIELDS else value for name, value in fields}


def _digest(secret: str) -> str:
    """Identify a secret without showing it."""
    return f"sha256:{hashlib.sha256(secret.encode()).hexdigest()[:12]}"
