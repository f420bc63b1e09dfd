"""The API behind the local gateway, with the functions in this process."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web

from functions.audiences import handler as audiences
from functions.ingest import handler as ingest
from local import gateway
from local.functions import Functions
from local.template import Template
from tests.support.cloud import EVENT_KEY, SIGNING_SECRET, Cloud, Context, amazon, cloud, printed
from tests.support.servers import serve

__all__ = ["amazon", "cloud", "printed"]

AUDIENCE_KEY = "audience-key-for-the-tests-3"


class Handlers(Functions):
    """Runs the handlers here, one request after the other."""

    def __init__(self) -> None:
        super().__init__({}, {}, lambda _function, _line: None)

    async def invoke(self, name: str, event: dict[str, Any], trace: str = "") -> Any:  # noqa: ARG002 - of Functions
        """Run the handler of a function."""
        handler = {"IngestFunction": ingest, "AudiencesFunction": audiences}[name].lambda_handler
        return await asyncio.to_thread(handler, event, Context())


@pytest.fixture
def api(cloud: Cloud) -> Iterator[str]:
    """Where the API answers."""
    keys = {"eventKey": EVENT_KEY, "signingSecret": SIGNING_SECRET, "audienceKey": AUDIENCE_KEY}
    cloud.put_secret("IngestSecret", keys)
    for function in ("IngestFunction", "AudiencesFunction"):
        cloud.enter(function)

    def build() -> web.Application:
        app = web.Application(client_max_size=gateway.MAX_BODY)
        gateway.add_routes(app, Template.load().routes(), Handlers())
        return app

    with serve(build, decompress=gateway.DECOMPRESS) as served:
        yield served.url
