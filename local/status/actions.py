"""Actions of the local page's buttons: send requests to the stack's own API, redrive dead letters, set faults.

Keys are read from the secret each time, since `audience-sync keys rotate` may have replaced them.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any, NamedTuple

import requests

from audience_sync_cli.dashboard.operator import Blockers, Operator, sentence_of
from audience_sync_cli.dashboard.parts import Part
from local import resources
from local.amazon.refusals import Refusal
from local.demo_traffic import NotTaken, events_of, send
from local.sample_profiles import Person
from local.stack_view import StackView
from local.template import ROOT

SAMPLE_MEMBERS, SAMPLE_EXITS = 500, 80  # of the button that sends sample members
BLOCKERS = 5.0  # seconds between two readings of blockers, which search the log
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


class StatusActions:
    """The buttons. Each runs in a thread: it calls servers in this event loop."""

    def __init__(self, stack: StackView) -> None:
        self._stack = stack
        self._operator = Operator.of_local(lambda: stack.urls["api"], time.time)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="status")
        self._blocked: Part[Blockers] = Part(
            "reasons why changes wait", BLOCKERS, lambda: self._operator.blockers(waits=self._waits), ()
        )

    async def switch(self, action: str, fields: Mapping[str, str]) -> dict[str, Any]:
        """Pause or resume delivery, or return why not."""
        done = await self._operated("sentences", partial(self._operator.switch, action), fields)
        self._blocked.expire()
        return done

    def blockers(self) -> Blockers:
        """Return the last known blockers, and start reading them again if due."""
        now = time.time()
        self._blocked.begin(self._executor, now)
        self._blocked.finish(now, 0)
        return self._blocked.value

    @property
    def _waits(self) -> bool:
        return self._stack.queues.counts(self._stack.queue("ChangeQueue")).total > 0

    async def event_key(self) -> str:
        """Return the active event key."""
        return str((await asyncio.to_thread(self._keys))["eventKey"])

    async def send_example(self, file: str) -> dict[str, Any]:
        """Send one of the examples. Returns the status and the answer; status 0 if it is not an example."""
        if file not in {each.file for each in examples()}:
            return {"status": 0, "answer": {"error": "There is no such example."}}
        return await asyncio.to_thread(self._send, file)

    async def send_samples(self, _: str = "") -> dict[str, Any]:
        """Send enters of sample members, and exits of some of them, as the demo does."""
        return await asyncio.to_thread(self._send_samples)

    async def redrive(self, reason: str) -> dict[str, Any]:
        """Redrive dead letters with this reason, or all if it is empty."""
        return {"sentences": await asyncio.to_thread(self._operator.redrive, reason)}

    async def set_fault(self, recipe: str) -> dict[str, Any]:
        """Set a fault of the sandbox by name, or none with `off`."""
        try:
            self._stack.sandbox.set_recipe(recipe)
        except Refusal as refusal:
            return {"error": refusal.message}
        return {"faults": self._stack.sandbox.recipes()}

    async def find(self, fields: Mapping[str, str]) -> dict[str, Any]:
        """Return everything stored under a member id or a message id, or why there is nothing."""
        return await self._operated("found", self._operator.find, fields)

    async def _operated(
        self, name: str, work: Callable[[Mapping[str, str]], Any], fields: Mapping[str, str]
    ) -> dict[str, Any]:
        try:
            return {name: await asyncio.to_thread(work, fields)}
        except Exception as error:  # noqa: BLE001 - a traceback could show more than the sentence
            return {"error": sentence_of(error)}

    def _keys(self) -> dict[str, Any]:
        arn = self._stack.template.resolve({"Ref": "IngestSecret"})
        manager = resources.client("secretsmanager", self._stack.urls["aws"])
        keys: dict[str, Any] = json.loads(manager.get_secret_value(SecretId=arn)["SecretString"])
        return keys

    def _send(self, file: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._keys()['eventKey']}", "Content-Type": "application/json"}
        body = (ROOT / file).read_bytes()
        url = f"{self._stack.urls['api']}/v1/events"
        response = requests.post(url, data=body, headers=headers, timeout=TIMEOUT)
        return {"status": response.status_code, "answer": response.json()}

    def _send_samples(self) -> dict[str, Any]:
        people = [Person(number) for number in range(1, SAMPLE_MEMBERS + 1)]
        events = events_of(people, people[:SAMPLE_EXITS])
        try:
            sent = send(self._keys() | {"api": self._stack.urls["api"]}, events)
        except NotTaken as error:
            return {"status": 0, "answer": {"error": str(error)}}
        return {"status": 200, "answer": {"accepted": sent.accepted}}
