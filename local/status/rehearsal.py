"""What only the page of a local stack has: it sends examples and sample members, and sets faults of the sandbox.

Keys are read from the secret each time, since `audience-sync keys rotate` may have replaced them.
"""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import requests

from local import resources
from local.amazon.refusals import Refusal
from local.demo_traffic import NotTaken, events_of, send
from local.sample_profiles import Person
from local.stack_view import StackView
from local.template import ROOT

SAMPLE_MEMBERS, SAMPLE_EXITS = 500, 80  # of the button that sends sample members
TIMEOUT = 60.0  # seconds for one request to the stack's own API
_FOR_EVENTS = ("event", "batch", "batch-wrapped")  # kinds of example that go to /v1/events


class Example(NamedTuple):
    """A request in events/segment."""

    file: str  # from the project's folder
    note: str


@cache
def examples() -> tuple[Example, ...]:
    """Return the requests in events/segment for `/v1/events`; the others are for the audience endpoints."""
    folder = ROOT / "events" / "segment"
    listed = json.loads((folder / "index.json").read_text(encoding="utf-8"))["files"]
    return tuple(
        Example(f"events/segment/{each['file']}", each["note"]) for each in listed if each["kind"] in _FOR_EVENTS
    )


class Rehearsal:
    """The buttons. Those that send are for a thread: they call servers in this event loop."""

    def __init__(self, stack: StackView) -> None:
        self._stack = stack

    def event_key(self) -> str:
        """Return the active event key."""
        return str(self._keys()["eventKey"])

    def send_example(self, fields: Mapping[str, str]) -> dict[str, Any]:
        """Send one of the examples. Returns the status and the answer; status 0 if it is not an example."""
        if fields.get("file") not in {each.file for each in examples()}:
            return {"status": 0, "answer": {"error": "There is no such example."}}
        headers = {"Authorization": f"Bearer {self.event_key()}", "Content-Type": "application/json"}
        body = (ROOT / fields["file"]).read_bytes()
        url = f"{self._stack.urls['api']}/v1/events"
        response = requests.post(url, data=body, headers=headers, timeout=TIMEOUT)
        return {"status": response.status_code, "answer": response.json()}

    def send_samples(self, _: Mapping[str, str]) -> dict[str, Any]:
        """Send enters of sample members, and exits of some of them, as the demo does."""
        people = [Person(number) for number in range(1, SAMPLE_MEMBERS + 1)]
        events = events_of(people, people[:SAMPLE_EXITS])
        try:
            sent = send(self._keys() | {"api": self._stack.urls["api"]}, events)
        except NotTaken as error:
            return {"status": 0, "answer": {"error": str(error)}}
        return {"status": 200, "answer": {"accepted": sent.accepted}}

    def set_fault(self, recipe: str) -> dict[str, Any]:
        """Set a fault of the sandbox by name, or none with `off`."""
        try:
            self._stack.sandbox.set_recipe(recipe)
        except Refusal as refusal:
            return {"error": refusal.message}
        return {"faults": self._stack.sandbox.recipes()}

    def _keys(self) -> dict[str, Any]:
        arn = self._stack.template.resolve({"Ref": "IngestSecret"})
        manager = resources.client("secretsmanager", self._stack.urls["aws"])
        keys: dict[str, Any] = json.loads(manager.get_secret_value(SecretId=arn)["SecretString"])
        return keys
