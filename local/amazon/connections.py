"""Connections of a partner to AMC instances and DSP advertisers, and the AMC terms."""

import random
import uuid
from datetime import UTC, datetime
from typing import Any

from local.amazon.refusals import Refusal

MAX_CONNECTIONS = 100
_AGREEMENT = "<html><body><h1>AMC terms</h1><p>Sandbox text: nothing is agreed by accepting it.</p></body></html>"


class Connections:
    """All connections of the one advertiser user the sandbox knows, oldest first."""

    def __init__(self, *, seed: int, client_id: str) -> None:
        self._random = random.Random(f"connections {seed}")
        self._client_id = client_id
        self._by_id: dict[str, dict[str, Any]] = {}
        self._agreement_token = f"agreement-{self._new_id()}"
        self.terms_accepted = False

    def get(self, connection_id: str | None) -> dict[str, Any] | None:
        """Return a connection; the default one for None."""
        if connection_id is not None:
            return self._by_id.get(connection_id)
        return next((known for known in self._by_id.values() if known["isDefault"]), None)

    def add(self, wanted: dict[str, Any], now: float) -> str:
        """Create a connection from a checked body and return its id. Raises Refusal."""
        connection_id = wanted.get("connectionId") or self._new_id()
        if connection_id in self._by_id:
            raise Refusal("connectionId is taken")
        if len(self._by_id) >= MAX_CONNECTIONS:
            raise Refusal(f"at most {MAX_CONNECTIONS} connections are possible")
        made = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        known = {**wanted, "connectionId": connection_id, "clientId": self._client_id, "isDefault": False}
        self._by_id[connection_id] = known | {"creationDateTime": made, "modifiedDateTime": made}
        if wanted.get("isDefault") or len(self._by_id) == 1:
            self._make_default(connection_id)
        return connection_id

    def listed(self, connection_id: str | None, is_default: str | None) -> list[dict[str, Any]]:
        """List the connections that match the filters of the query."""
        return [
            known
            for known in self._by_id.values()
            if connection_id in (None, "", known["connectionId"])
            and is_default in (None, "", str(known["isDefault"]).lower())
        ]

    def remove(self, connection_id: str) -> None:
        """Remove a connection. An empty id removes them all, as at Amazon. Raises Refusal (404)."""
        if not connection_id:
            self._by_id.clear()
        elif self._by_id.pop(connection_id, None) is None:
            raise Refusal("connection not found", status=404)
        elif self._by_id and self.get(None) is None:
            self._make_default(next(iter(self._by_id)))

    def terms(self) -> dict[str, Any]:
        """Show the AMC terms; after acceptance only the flag matters."""
        if self.terms_accepted:
            return {"hasAccepted": True}
        return {"agreementContent": _AGREEMENT, "agreementToken": self._agreement_token, "hasAccepted": False}

    def accept_terms(self, body: dict[str, Any]) -> None:
        """Accept the terms with a checked body. Raises Refusal if the token is not the one that was shown."""
        if body["agreementToken"] != self._agreement_token:
            raise Refusal("agreementToken is not valid")
        self.terms_accepted = self.terms_accepted or body["hasAccepted"]

    def _make_default(self, connection_id: str) -> None:
        for known in self._by_id.values():
            known["isDefault"] = known["connectionId"] == connection_id

    def _new_id(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))
