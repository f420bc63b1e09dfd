"""A Segment workspace: destinations with the settings of their forms, created and run by Segment's own package."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
SCRIPT = "deliver.cjs"
WEBHOOK, AUDIENCES, EXTENSIBLE = "actions-webhook", "actions-webhook-audiences", "actions-webhook-extensible"

Event = dict[str, Any]
type Deliver = Callable[[dict[str, Any]], dict[str, Any]]
"""Makes one call of Segment's package: see deliver.cjs."""


@dataclass(frozen=True)
class Outcome:
    """The result of one call in Segment.

    Either a `value` (our answer to an event; a status and our answer for each event of a batch; what was created or
    found), or a `fault`: the error that the package raised, with the `status` and `answer` it is about.
    """

    value: Any = None
    fault: str | None = None
    status: int | None = None
    answer: Any = None


@dataclass(frozen=True)
class Destination:
    deliver: Deliver
    slug: str
    settings: dict[str, Any]
    fields: dict[str, Any]  # of the mapping

    def send(self, event: Event) -> Outcome:
        return self._call("onEvent", event)

    def send_batch(self, events: Sequence[Event]) -> Outcome:
        return self._call("onBatch", events)

    def create_audience(self, name: str, extras: dict[str, Any]) -> Outcome:
        return self._call("createAudience", {"audienceName": name, "audienceSettings": {"extras": json.dumps(extras)}})

    def get_audience(self, external_id: str, extras: dict[str, Any]) -> Outcome:
        settings = {"extras": json.dumps(extras)}
        return self._call("getAudience", {"externalId": external_id, "audienceSettings": settings})

    def _call(self, method: str, argument: Any) -> Outcome:
        call = {
            "slug": self.slug,
            "settings": self.settings,
            "fields": self.fields,
            "method": method,
            "input": argument,
        }
        return Outcome(**self.deliver(call))


@dataclass(frozen=True)
class Workspace:
    """Where destinations are set up, as docs/segment-setup.md says."""

    deliver: Deliver
    api: str
    event_key: str
    audience_key: str
    signing_secret: str

    def destination(self, slug: str) -> Destination:
        """Set one up as recommended: with the event key, and with the shared secret, which is optional."""
        return self._destination(slug, self.event_key, self.signing_secret)

    def signed_only(self, slug: str) -> Destination:
        """Set one up with the shared secret alone."""
        return self._destination(slug, "", self.signing_secret)

    def with_key(self, slug: str, event_key: str) -> Destination:
        """Set one up with that event key alone, right or wrong."""
        return self._destination(slug, event_key, "")

    def audiences_at(self, url: str) -> Destination:
        """Set up Webhook Audiences with that create URL; the get URL is beside it."""
        path, _, query = url.partition("?")
        settings = {"createAudienceUrl": url, "getAudienceUrl": f"{path}/get?{query}"}
        return Destination(self.deliver, AUDIENCES, settings, {})

    def audiences_url(self, audience_key: str) -> str:
        """Return the create URL with the key in its user-info."""
        return self.api.replace("://", f"://segment:{audience_key}@") + "/v1/audiences"

    def _destination(self, slug: str, event_key: str, secret: str) -> Destination:
        settings: dict[str, Any] = {"sharedSecret": secret} if secret else {}
        fields: dict[str, Any] = {"url": f"{self.api}/v1/events", "enable_batching": True, "batch_size": 1000}
        if slug == EXTENSIBLE:
            bearer, no_authentication = {"bearer": {"bearerToken": event_key}}, {"oauth": {"type": "noAuth"}}
            settings["dynamicAuthSettings"] = bearer if event_key else no_authentication
        elif event_key:
            fields["headers"] = {"Authorization": f"Bearer {event_key}"}
        if slug == AUDIENCES:
            settings |= self.audiences_at(self.audiences_url(self.audience_key)).settings
        return Destination(self.deliver, slug, settings, fields)
