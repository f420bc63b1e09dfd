"""Runs the functions with marked people and marked secrets, and collects everything that a run leaves behind."""

import asyncio
import base64
import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from audience_sync.amazon_ads.normalize import normalize
from local.amazon.app import build_app as build_amazon
from local.amazon.exchange import SANDBOX
from local.functions import Environment, FunctionError
from local.resources import CREDENTIALS as AWS_CREDENTIALS
from local.template import REGION
from tests.support.cloud import AUDIENCE, Cloud, cloud, printed, proxy
from tests.support.proxy import FaultProxy
from tests.support.servers import Served, serve

__all__ = ["amazon", "cloud", "printed", "proxy"]

RUN = secrets.token_hex(6)
ALPHABETIC = RUN.translate(str.maketrans("0123456789", "ghijklmnop"))
NUMBER = f"{int(RUN, 16) % 10**7:07d}"

PERSON = {
    "email": f"mark.{RUN}@example.com",
    "phone": f"(206) {NUMBER[:3]}-{NUMBER[3:]}",
    "first_name": f"Fi{ALPHABETIC}",
    "last_name": f"La{ALPHABETIC}",
    "address": f"12 {ALPHABETIC} Lane",
    "city": f"Ci{ALPHABETIC}",
    "state": f"St{ALPHABETIC}",
    "postal": NUMBER[:5],
}
UNMAPPED = f"unmapped-{RUN}"
SECRETS = {
    name: f"{name}-{RUN}-{secrets.token_hex(12)}"
    for name in (
        *("eventKey", "previousEventKey", "audienceKey", "signingSecret", "previousSigningSecret", "wrongKey"),
        *("clientSecret", "refreshToken"),
    )
}
CLIENT_ID = f"client-{RUN}"
DIGESTS = {
    field: hashlib.sha256(text.encode()).hexdigest()
    for field, value in PERSON.items()
    if (text := normalize(field, value, "US"))
}


def marks_of_the_person() -> set[str]:
    """The plain text in every form that it takes on the way. A state becomes two letters, which are no marker."""
    normalized = {normalize(name, value, "US") or "" for name, value in PERSON.items()}
    written = {*PERSON.values(), *normalized, PERSON["phone"][1:].translate(str.maketrans("", "", " ()-")), UNMAPPED}
    plain = {text.lower() for text in written if len(text) > 2 and not (text.isdigit() and len(text) < 7)}
    return plain | {
        base64.b64encode(text.encode()).decode().strip("=")[:-1].lower() for text in written if len(text) > 8
    }


def marks_of_the_secrets() -> set[str]:
    basic = {base64.b64encode(f"any:{value}".encode()).decode() for value in SECRETS.values()}
    return {text.lower() for text in {*SECRETS.values(), *basic, "Atza|"}}


def marks_of_the_digests() -> set[str]:
    return set(DIGESTS.values())


@dataclass
class Output:
    """What a run leaves behind, by place."""

    printed: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    stored: list[str] = field(default_factory=list)  # queues, dead letters, tables, temporary files

    def containing(self, marks: set[str], *, with_stored: bool = True) -> list[str]:
        """Return the texts that contain a marker, cut around it."""
        texts = [*self.printed, *self.answers, *(self.stored if with_stored else ())]
        return [
            text[max(0, at - 200) : at + 100]
            for text in texts
            for mark in marks
            if (at := text.lower().find(mark)) >= 0
        ]


type Step = Callable[[], dict[str, Any]]
"""Prepares one invocation, faults included, and returns its event."""


@dataclass
class FunctionRunner:
    """Runs functions, each in a process of its own, as in production."""

    cloud: Cloud
    proxy: FaultProxy
    folder: Path
    output: Output = field(default_factory=Output)
    first: str = ""  # Python that each process runs before it imports the handler

    def run(self, function: str, steps: Sequence[Step], **variables: str) -> list[Any]:
        """Run a function on each step's event. Returns its results, or the error where it raised one."""
        results = asyncio.run(self._run(function, steps, variables))
        self.output.answers += [json.dumps(result) for result in results]
        self._collect()
        return results

    async def _run(self, name: str, steps: Sequence[Step], more: dict[str, str]) -> list[Any]:
        function = self.cloud.template.functions()[name]
        variables = {key: str(value) for key, value in self.cloud.template.resolve(dict(function.environment)).items()}
        variables |= AWS_CREDENTIALS | {
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.proxy.url,
            "AMAZON_API_URL": self.cloud.amazon_url,
            "AMAZON_LOGIN_URL": f"{self.cloud.amazon_url}/auth/o2/token",
            "POWERTOOLS_SERVICE_NAME": "marked",
            "TMPDIR": str(self.folder),
        }
        if self.first:
            module, _, handler = function.handler.rpartition(".")
            (self.folder / "prepared.py").write_text(
                f"{self.first}\nfrom {module} import {handler}\n", encoding="utf-8"
            )
            function = replace(function, code=self.folder, handler=f"prepared.{handler}")
        environment = await Environment.start(function, variables | more, self.output.printed.append)
        results: list[Any] = []
        try:
            for step in steps:
                event = await asyncio.to_thread(step)
                try:
                    results.append(await environment.invoke(event, function.timeout))
                except FunctionError as error:
                    results.append(str(error))
        finally:
            await environment.close()
        return results

    def _collect(self) -> None:
        for queue in ("ChangeQueue", "DeadLetterQueue", "JobQueue"):
            for message in self.cloud.queues.peek(self.cloud.name_of(queue)):
                attributes = dict(message.attributes)
                self.output.stored.append(f"{queue}: {message.body} {attributes}")
        for table in ("AudienceTable", "MembershipTable"):
            rows = self.cloud.client("dynamodb").scan(TableName=self.cloud.name_of(table))["Items"]
            self.output.stored += [f"{table}: {row}" for row in rows]
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        self.output.stored += [f"{path}: {path.read_bytes().decode(errors='replace')}" for path in files]


@pytest.fixture(scope="module")
def amazon() -> Iterator[Served]:
    """The sandbox, with marked credentials."""

    def build() -> Any:
        app = build_amazon(
            client_id=CLIENT_ID,
            client_secret=SECRETS["clientSecret"],
            refresh_token=SECRETS["refreshToken"],
            job_delay=0.0,
        )
        settings = {
            "name": "Marked",
            "description": "",
            "countryCode": "US",
            "metadata": {"externalAudienceId": "marked"},
        }
        target = {"targetResource": {"advertiserId": 590071284455661234}}
        app[SANDBOX].seed(int(AUDIENCE.audience_id), settings | target)
        return app

    with serve(build) as served:
        yield served


@pytest.fixture
def runner(cloud: Cloud, proxy: FaultProxy, tmp_path: Path) -> FunctionRunner:
    keys = ("eventKey", "previousEventKey", "audienceKey", "signingSecret", "previousSigningSecret")
    cloud.put_secret("IngestSecret", {key: SECRETS[key] for key in keys})
    credentials = {"clientId": CLIENT_ID} | {key: SECRETS[key] for key in ("clientSecret", "refreshToken")}
    cloud.put_secret("CredentialsSecret", credentials)
    return FunctionRunner(cloud, proxy, tmp_path)
