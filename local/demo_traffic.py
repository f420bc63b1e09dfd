"""Sends the demo's requests as Segment does: events in batches, and again those that the API cannot accept yet."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import batched
from typing import Any, NamedTuple

import requests

from audience_sync.amazon_ads.destination import ads_data_manager, needs_consent
from audience_sync.members.membership import Audience
from local.example_audiences import DATASET, EXAMPLE
from local.sample_profiles import Person, audience_event, segment_request

BATCH = 500  # events in one request
REPEATED = (429, 503)  # statuses; Segment repeats these for four hours
PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)  # seconds before each repetition; shorter than Segment's


class NotTaken(Exception):
    """The API rejected a request, or was too busy for too long. The message is its answer."""


class Sent(NamedTuple):
    """Results of the requests."""

    accepted: int  # events
    slowest: float  # seconds to an answer
    repeated: int  # requests

    def __add__(self, later: "Sent") -> "Sent":  # type: ignore[override]
        """Add the results of later requests."""
        return Sent(self.accepted + later.accepted, max(self.slowest, later.slowest), self.repeated + later.repeated)


def create_dataset(where: dict[str, str]) -> Audience:
    """Create the demo's audience of Ads Data Manager, as Webhook Audiences does. Raises NotTaken."""
    credentials = ("segment", where["audienceKey"])
    response = requests.post(f"{where['api']}/v1/audiences", json=DATASET, auth=credentials, timeout=30)
    if response.status_code != 200:
        raise NotTaken(f"the API answered {response.status_code}: {response.text}")
    return Audience(
        response.json()["externalId"], destination=ads_data_manager(), computation_key=str(DATASET["computationKey"])
    )


def events_of(
    people: Sequence[Person], leaving: Sequence[Person], audience: Audience = EXAMPLE
) -> list[dict[str, Any]]:
    """Yield an enter for everyone, and for some an exit a second later.

    An exit follows its enter, so that both are in one request and, however slow the machine, in one batch.
    """
    now = datetime.now(UTC)
    about = {"audience_id": audience.audience_id, "key": audience.computation_key or ""}
    about["consent"] = "GRANTED" if needs_consent(audience.destination) else ""
    exits = set(leaving)
    events = []
    for person in people:
        events.append(audience_event(person, enters=True, at=now - timedelta(seconds=2), **about))
        if person in exits:
            events.append(audience_event(person, enters=False, at=now - timedelta(seconds=1), **about))
    return events


def send(
    where: dict[str, str],
    events: Sequence[dict[str, Any]],
    on_taken: Callable[[int], object] = lambda _: None,
    sleep: Callable[[float], object] = time.sleep,
) -> Sent:
    """Deliver all events. `on_taken` is called with the number of events of each accepted request. Raises NotTaken."""
    accepted, slowest, repeated = 0, 0.0, 0
    with requests.Session() as session:
        for batch in batched(events, BATCH, strict=False):
            body, headers = segment_request(batch, where["eventKey"], where["signingSecret"])
            for pause in (*PAUSES, None):
                response = session.post(f"{where['api']}/v1/events", data=body, headers=headers, timeout=10)
                slowest = max(slowest, response.elapsed.total_seconds())
                if response.status_code not in REPEATED or pause is None:
                    break
                repeated += 1
                sleep(pause)
            if response.status_code != 200:
                raise NotTaken(f"the API answered {response.status_code}: {response.text}")
            accepted += response.json()["accepted"]
            on_taken(len(batch))
    return Sent(accepted, slowest, repeated)
