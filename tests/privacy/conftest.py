"""One run of the functions with marked people and marked secrets, and everything that the run leaves behind."""

import asyncio
import base64
import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from audience_sync.amazon_ads.normalize import normalize
from local.amazon.app import build_app as build_amazon
from local.amazon.exchange import SANDBOX
from local.functions import Environment, FunctionError
from local.resources import CREDENTIALS as AWS_CREDENTIALS
from local.template import REGION
from tests.faults.conftest import cloud, front, printed
from tests.faults.proxy import Front
from tests.functions.conftest import AUDIENCE, Cloud
from tests.servers import Served, serve

__all__ = ["amazon", "cloud", "front", "printed"]

RUN = secrets.token_hex(6)
LETTERS = RUN.translate(str.maketrans("0123456789", "ghijklmnop"))
NUMBER = f"{int(RUN, 16) % 10**7:07d}"

PERSON = {
    "email": f"mark.{RUN}@example.com",
    "phone": f"(206) {NUMBER[:3]}-{NUMBER[3:]}",
    "first_name": f"Fi{LETTERS}",
    "last_name": f"La{LETTERS}",
    "address": f"12 {LETTERS} Lane",
    "city": f"Ci{LETTERS}",
    "state": f"St{LETTERS}",
    "postal": NUMBER[:5],
}
UNMAPPED = f"unmapped-{RUN}"
SECRETS = {
    name: f"{name}-{RUN}-{secrets.token_hex(12)}"
    for name in (
        *("eventKey", "previousEventKey", "audienceKey", "signingSecret", "previousSigningSecret", "strangersKey"),
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
    """The clear text in every form that it takes on the way. A state comes down to two letters, which mark nobody."""
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
class Left:
    """What a run leaves behind, by where."""

    printed: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    stored: list[str] = field(default_factory=list)  # queues, dead letters, tables, temporary files

    def holding(self, marks: set[str], *, everywhere: bool = True) -> list[str]:
        """Return the texts that hold one of the marks, cut around it."""
        texts = [*self.printed, *self.answers, *(self.stored if everywhere else ())]
        return [
            text[max(0, at - 200) : at + 100]
            for text in texts
            for mark in marks
            if (at := text.lower().find(mark)) >= 0
        ]


type Step = Callable[[], dict[str, Any]]
"""Prepares one invocation, faults included, and returns its event."""


@dataclass
class Stage:
    """Where the functions run: each in a process of its own, as in production."""

    cloud: Cloud
    front: Front
    folder: Path
    left: Left = field(default_factory=Left)

    def run(self, function: str, steps: Sequence[Step], **variables: str) -> list[Any]:
        """Run a function on each step's event. Returns its results; where it raised, how."""
        results = asyncio.run(self._run(function, steps, variables))
        self.left.answers += [json.dumps(result) for result in results]
        self._gather()
        return results

    async def _run(self, name: str, steps: Sequence[Step], more: dict[str, str]) -> list[Any]:
        function = self.cloud.template.functions()[name]
        variables = {key: str(value) for key, value in self.cloud.template.resolve(dict(function.environment)).items()}
        variables |= AWS_CREDENTIALS | {
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.front.url,
            "AMAZON_API_URL": self.cloud.amazon_url,
            "AMAZON_LOGIN_URL": f"{self.cloud.amazon_url}/auth/o2/token",
            "POWERTOOLS_SERVICE_NAME": "marked",
            "TMPDIR": str(self.folder),
        }
        environment = await Environment.start(function, variables | more, self.left.printed.append)
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

    def _gather(self) -> None:
        for queue in ("ChangeQueue", "DeadLetterQueue", "JobQueue"):
            for message in self.cloud.queues.peek(self.cloud.name_of(queue)):
                attributes = dict(message.attributes)
                self.left.stored.append(f"{queue}: {message.body} {attributes}")
        for table in ("AudienceTable", "MembershipTable"):
            rows = self.cloud.client("dynamodb").scan(TableName=self.cloud.name_of(table))["Items"]
            self.left.stored += [f"{table}: {row}" for row in rows]
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        self.left.stored += [f"{path}: {path.read_bytes().decode(errors='replace')}" for path in files]


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
        about = {"name": "Marked", "description": "", "countryCode": "US", "metadata": {"externalAudienceId": "marked"}}
        target = {"targetResource": {"advertiserId": 590071284455661234}}
        app[SANDBOX].seed(int(AUDIENCE.audience_id), about | target)
        return app

    with serve(build) as served:
        yield served


@pytest.fixture
def stage(cloud: Cloud, front: Front, tmp_path: Path) -> Stage:
    keys = ("eventKey", "previousEventKey", "audienceKey", "signingSecret", "previousSigningSecret")
    cloud.put_secret("IngestSecret", {key: SECRETS[key] for key in keys})
    credentials = {"clientId": CLIENT_ID} | {key: SECRETS[key] for key in ("clientSecret", "refreshToken")}
    cloud.put_secret("CredentialsSecret", credentials)
    return Stage(cloud, front, tmp_path)
