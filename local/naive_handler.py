"""What the demo compares with: a handler that sends each event to Amazon as it comes, and keeps nothing."""

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Any
from uuid import uuid4

import requests

from audience_sync.fields import FIELDS
from local import resources

ADVERTISER = 590071284455661234  # of the demo's audience
NAMES = {field.name: field.sent_name for field in FIELDS}
ACTIONS = {"Audience Entered": "CREATE", "Audience Exited": "DELETE"}


class NaiveHandler:
    """Adds members to an audience of its own, and removes them. Senders repeat a request on which it raises."""

    def __init__(self, where: dict[str, str]) -> None:
        """Create the audience with the login of a local stack. `where` is the line that the stack prints."""
        names = requests.get(f"{where['api']}/local/resources", timeout=10).json()["names"]
        read = resources.client("secretsmanager", where["aws"]).get_secret_value
        secrets = (read(SecretId=names[each])["SecretString"] for each in ("CredentialsSecret", "TokenSecret"))
        client, token = map(json.loads, secrets)
        self._url, media_type = f"{where['amazon']}/amc/audiences", "application/vnd.amcaudiences.v1+json"
        self._headers = {"Authorization": f"Bearer {token['accessToken']}", "Content-Type": media_type}
        self._headers["Amazon-Advertising-API-ClientId"] = client["clientId"]
        target = {"targetResource": {"advertiserId": ADVERTISER}, "metadata": {"externalAudienceId": uuid4().hex}}
        audience = {"name": "Each event as it comes", "description": "", "countryCode": "US"} | target
        self.audience_id: int = self._post("metadata", audience)["audienceId"]

    def handle(self, events: Sequence[dict[str, Any]]) -> None:
        """Upload the events of one request. Raises requests.RequestException if Amazon does not accept them."""
        records = [_record(event) for event in events if event["type"] == "track"]  # a deletion notice has no audience
        self._post("records", {"audienceId": self.audience_id, "records": records})

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        response = requests.post(f"{self._url}/{path}", json=body, headers=self._headers, timeout=30)
        response.raise_for_status()
        return response.json()


def _record(event: dict[str, Any]) -> dict[str, Any]:
    hashed = sha256(event["context"]["traits"]["email"].strip().lower().encode()).hexdigest()
    record = {NAMES["external_user_id"]: event["userId"], "action": ACTIONS[event["event"]], NAMES["country"]: "US"}
    return record | {"hashedPII": [{NAMES["email"]: hashed}]}
