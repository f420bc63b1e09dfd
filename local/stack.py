"""The whole pipeline on one machine: gateway, functions, queue, tables, secrets, and Amazon's stand-in."""

import asyncio
import contextlib
import errno
import json
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from audience_sync.aws.audience_table import AudienceTable
from audience_sync.membership import Audience
from local import aws, gateway, operator_api, resources
from local.amazon.app import build_app as build_amazon
from local.amazon.exchange import SANDBOX
from local.counters import Counters
from local.functions import FunctionError, Functions
from local.metrics import Feed
from local.poller import Poller
from local.sqs.queues import SqsQueues
from local.status import status_page
from local.template import REGION, Template

HOST = "127.0.0.1"
GRACE = 1.0  # seconds that invocations of pollers get to end by themselves
CLIENT_ID = "amzn1.application-oa2-client.local"

# The audiences that the requests in events/ are about, so that each of them can be tried as it is.
EXAMPLE = Audience(
    audience_id="418273650912345678",
    name="Lapsed premium buyers",
    country="US",
    advertiser_id="590071284455661234",
    computation_key="lapsed_premium_buyers",
    external_audience_id="lapsed-premium-us",
)

EXAMPLES = (
    EXAMPLE,
    Audience(
        audience_id="418273650912349999",
        name="Lapsed premium buyers, Germany",
        country="DE",
        advertiser_id="590071284455661234",
        external_audience_id="lapsed-premium-de",
    ),
)


@dataclass(frozen=True, slots=True)
class Options:
    """How to run. Port 0 takes any free one."""

    port: int = 8080
    amazon_port: int = 8081
    batch_window: float = 1.0  # seconds
    job_delay: float = 1.0  # seconds
    settle: float = 60.0  # seconds
    status_page: bool = True


class Stack:
    """Everything that runs, and what it can be asked."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.queues = SqsQueues(time.time)
        self.counters = Counters()
        self.metrics = Feed()
        self.template = Template.load({"BatchWindow": options.batch_window})
        self.event_key = secrets.token_hex(24)
        self.audience_key = secrets.token_hex(24)
        self.signing_secret = secrets.token_hex(24)
        self.urls: dict[str, str] = {}
        self.amazon: web.Application
        self.functions: Functions
        self.pollers: list[Poller] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Stack"]:
        """Start everything, and end it in the opposite order."""
        async with contextlib.AsyncExitStack() as cleanup:
            self.urls["aws"] = await _serve(cleanup, aws.build_app(self.queues, region=REGION), 0)
            await self._start_amazon(cleanup)
            await asyncio.to_thread(self._create_resources)
            await self._start_functions(cleanup)
            await self._start_gateway(cleanup)
            await self._start_triggers(cleanup)
            yield self

    def announcement(self) -> dict[str, str]:
        """What a client needs to know."""
        keys = {"eventKey": self.event_key, "audienceKey": self.audience_key, "signingSecret": self.signing_secret}
        return self.urls | keys

    def state(self) -> dict[str, Any]:
        """Where every change is. `accepted` = `delivered` + `superseded` + `parked` + those still waiting."""
        totals = self.counters.totals
        changes = self.queues.counts(self._queue_name("ChangeQueue"))
        waiting = changes.visible + changes.delayed + changes.in_flight
        jobs = self.queues.counts(self._queue_name("JobQueue"))
        following = jobs.visible + jobs.delayed + jobs.in_flight
        return {
            "queued": changes.visible + changes.delayed,
            "inFlight": changes.in_flight,
            "deadLetters": self._dead_letters(),
            "accepted": totals["ChangesAccepted"],
            "delivered": totals["ChangesDelivered"],
            "superseded": totals["ChangesSuperseded"],
            "parked": totals["ChangesParked"],
            "eventsAccepted": totals["EventsAccepted"],
            "ignored": totals["EventsIgnored"],
            "rejected": totals["EventsRejected"],
            "uploads": totals["UploadsSent"],
            "unaccounted": totals["AccountingGap"],
            "quiescent": not (waiting or following or self.functions.running or self._pending_jobs()),
        }

    def _queue_name(self, logical_id: str) -> str:
        name: str = self.template.resolve({"Fn::GetAtt": [logical_id, "QueueName"]})
        return name

    def _pending_jobs(self) -> bool:
        sandbox = self.amazon[SANDBOX]
        sandbox.now()  # lets everything happen that is due
        return bool(sandbox.jobs.pending)

    def _dead_letters(self) -> list[dict[str, Any]]:
        return [_dead_letter(message.body) for message in self.queues.peek(self._queue_name("DeadLetterQueue"))]

    async def _start_amazon(self, cleanup: contextlib.AsyncExitStack) -> None:
        self._client_secret, self._refresh_token = secrets.token_hex(24), "Atzr|" + secrets.token_hex(24)
        self.amazon = build_amazon(
            client_id=CLIENT_ID,
            client_secret=self._client_secret,
            refresh_token=self._refresh_token,
            job_delay=self.options.job_delay,
        )
        for audience in EXAMPLES:
            self.amazon[SANDBOX].seed(
                int(audience.audience_id),
                {
                    "name": audience.name,
                    "description": "",
                    "countryCode": audience.country,
                    "targetResource": {"advertiserId": int(audience.advertiser_id or 0)},
                    "metadata": {"externalAudienceId": audience.external_audience_id},
                },
            )
        self.urls["amazon"] = await _serve(cleanup, self.amazon, self.options.amazon_port)

    def _create_resources(self) -> None:
        values: dict[str, dict[str, Any]] = {
            "IngestSecret": {
                "eventKey": self.event_key,
                "audienceKey": self.audience_key,
                "signingSecret": self.signing_secret,
            },
            "CredentialsSecret": {
                "clientId": CLIENT_ID,
                "clientSecret": self._client_secret,
                "refreshToken": self._refresh_token,
            },
            "TokenSecret": {"accessToken": "", "expiresAt": 0},
        }
        resources.create(self.template, self.urls["aws"], values)
        table = self.template.resolve({"Ref": "AudienceTable"})
        audiences = AudienceTable(resources.client("dynamodb", self.urls["aws"]), table, time.monotonic)
        for audience in EXAMPLES:
            audiences.put(audience, created=time.time_ns() // 1_000_000)

    async def _start_functions(self, cleanup: contextlib.AsyncExitStack) -> None:
        functions = self.template.functions()
        shared = resources.CREDENTIALS | {
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.urls["aws"],
            "AMAZON_API_URL": self.urls["amazon"],
            "AMAZON_LOGIN_URL": f"{self.urls['amazon']}/auth/o2/token",
            "SETTLE_SECONDS": str(self.options.settle),
            # The stand-in's jobs end after the delay and a quarter of it; one second for rounding.
            "CIRCUIT_SECONDS": "2",
            "LATE_SECONDS": "1",
            "JOB_SECONDS": str(min(900.0, self.options.job_delay * 1.25 + 1)),
        }
        variables = {
            name: {key: str(value) for key, value in self.template.resolve(dict(function.environment)).items()} | shared
            for name, function in functions.items()
        }
        self.functions = Functions(functions, variables, self._hear)
        cleanup.push_async_callback(self.functions.close)
        await asyncio.gather(*(self.functions.warm(name) for name in functions))

    def _hear(self, function: str, line: str) -> None:
        self.counters.tell(function, line)
        self.metrics.tell(line)

    async def _start_gateway(self, cleanup: contextlib.AsyncExitStack) -> None:
        app = web.Application(client_max_size=gateway.MAX_BODY)
        app.router.add_get("/local/state", self._answer_state)
        operator_api.add_routes(app, self)
        if self.options.status_page:
            app.router.add_get("/status", status_page(self))
        gateway.add_routes(app, self.template.routes(), self.functions)
        self.urls["api"] = await _serve(cleanup, app, self.options.port, decompress=gateway.DECOMPRESS)
        if self.options.status_page:
            self.urls["status"] = f"{self.urls['api']}/status"

    async def _answer_state(self, _: web.Request) -> web.Response:
        return web.json_response(self.state())

    async def _start_triggers(self, cleanup: contextlib.AsyncExitStack) -> None:
        loops = [asyncio.create_task(self.metrics.run(resources.client("cloudwatch", self.urls["aws"])))]
        for source in self.template.queue_sources():
            if source.enabled:
                url = self.template.resolve({"Ref": source.queue})
                arn = self.template.resolve({"Fn::GetAtt": [source.queue, "Arn"]})
                poller = Poller(self.queues, url, arn, source, self.functions)
                self.pollers.append(poller)
                loops.append(asyncio.create_task(poller.run()))
        for schedule in self.template.schedule_sources():
            await self._invoke_scheduled(schedule.function)
            loops.append(asyncio.create_task(self._repeat(schedule.function, schedule.every)))
        cleanup.push_async_callback(_cancel, loops)

    async def _repeat(self, function: str, every: float) -> None:
        while True:
            await asyncio.sleep(every)
            await self._invoke_scheduled(function)

    async def _invoke_scheduled(self, function: str) -> None:
        with contextlib.suppress(FunctionError):  # its own log tells; the next turn comes
            await self.functions.invoke(function, {"source": "aws.events", "detail-type": "Scheduled Event"})


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    """End pollers and schedules. An invocation may end by itself, for a while; then it ends with its function."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=GRACE)


class PortInUse(Exception):
    """Somebody else listens there, perhaps an earlier local stack."""

    def __init__(self, port: int) -> None:
        super().__init__(
            f"port {port} is in use; choose others with --port and --amazon-port, or end what listens there"
        )


async def _serve(
    cleanup: contextlib.AsyncExitStack, app: web.Application, port: int, *, decompress: bool = True
) -> str:
    runner = web.AppRunner(
        app, access_log=None, shutdown_timeout=1, handler_cancellation=True, auto_decompress=decompress
    )
    await runner.setup()
    cleanup.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, HOST, port).start()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise PortInUse(port) from None
    return f"http://{HOST}:{runner.addresses[0][1]}"


def _dead_letter(body: str) -> dict[str, Any]:
    """Summarize one dead letter: the story of a parked change, or what is left of a message nobody could read."""
    try:
        letter = json.loads(body)
        change = letter["changes"][0]
        told = {"audienceId": letter["audienceId"], "externalUserId": change["record"]["externalUserId"]}
        story: dict[str, Any] = letter.get("failure", {"reason": "received_too_often"})
        return story | told | {"action": change["record"]["action"]}
    except (ValueError, LookupError, TypeError, AttributeError):
        return {"reason": "unreadable", "audienceId": None, "externalUserId": None}
