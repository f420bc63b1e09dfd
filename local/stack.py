"""The whole pipeline on one machine: gateway, functions, queue, tables, secrets, and Amazon's sandbox."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiohttp import web

from local import aws, gateway, operator_api, resources
from local.amazon.app import build_app as build_amazon
from local.amazon.exchange import SANDBOX
from local.example_audiences import EXAMPLES
from local.functions import FunctionError, Functions
from local.logs import LogGroups
from local.metrics import Metrics
from local.poller import Poller
from local.serving import serve
from local.sizes import Sizes
from local.sqs.queues import SqsQueues
from local.stack_view import StackView
from local.status.page import StatusPage
from local.template import REGION, QueueSource, ScheduleSource, Template

GRACE = 1.0  # seconds for invocations of pollers to end by themselves
CLIENT_ID = "amzn1.application-oa2-client.local"


@dataclass(frozen=True, slots=True)
class StackOptions:
    """Settings of a run. Port 0 is any free one."""

    port: int = 8080
    amazon_port: int = 8081
    batch_window: float = 1.0  # seconds
    job_delay: float = 1.0  # seconds
    settle: float = 60.0  # seconds
    status_page: bool = True
    data_manager_account: str = "manager"  # or dsp, or none
    event_queue: bool = False
    public_api: bool = True
    name_prefix: str = ""  # of new audiences
    end_with_stdin: bool = False  # for a program that starts it, and may end without stopping it


class Stack:
    """Starts and stops everything."""

    def __init__(self, options: StackOptions) -> None:
        self.options = options
        self.urls: dict[str, str] = {}
        self._metrics, self._logs = Metrics(), LogGroups()
        self._log_groups: dict[str, str] = {}  # by function
        self.event_key, self.audience_key, self.signing_secret = (secrets.token_hex(24) for _ in range(3))
        self._client_secret, self._refresh_token = secrets.token_hex(24), f"Atzr|{secrets.token_hex(24)}"
        # The examples of events/segment are months old.
        parameters = resources.DATA_MANAGER_ACCOUNTS[options.data_manager_account]
        flags = {"EventQueue": options.event_queue, "PublicApi": options.public_api}
        switches = {name: "yes" if is_set else "no" for name, is_set in flags.items()}
        own = {"BatchWindow": options.batch_window, "AcceptOldEvents": "yes", "AudienceNamePrefix": options.name_prefix}
        self._template = Template.load(own | switches | parameters)
        self._queues = SqsQueues(time.time)
        self._amazon = build_amazon(
            client_id=CLIENT_ID,
            client_secret=self._client_secret,
            refresh_token=self._refresh_token,
            job_delay=options.job_delay,
        )

    @contextlib.asynccontextmanager
    async def running(self, say: Callable[[str], object] = lambda _: None) -> AsyncIterator["Stack"]:
        """Start everything, and end it in reverse order. `say` is called with each slow step."""
        async with contextlib.AsyncExitStack() as cleanup:
            for audience in EXAMPLES:
                resources.seed_audience(self._amazon[SANDBOX], audience)
            aws_app = aws.build_app(self._queues, self._logs, self._metrics)
            self.urls["aws"] = await cleanup.enter_async_context(serve(aws_app))
            self.urls["amazon"] = await cleanup.enter_async_context(serve(self._amazon, port=self.options.amazon_port))
            say("Creating tables, queues and secrets.")
            await asyncio.to_thread(self._create_resources)
            say("Starting the functions.")
            functions = await self._start_functions(cleanup)
            pollers = self._pollers(functions)
            await self._start_gateway(cleanup, functions, pollers)
            await self._start_triggers(cleanup, functions, pollers)
            yield self

    def announcement(self) -> dict[str, str]:
        """Return the addresses and keys for clients."""
        queue = {"eventQueue": self._template.resolve({"Ref": "EventsQueue"})} if self.options.event_queue else {}
        return self.urls | self._keys() | queue

    def _keys(self) -> dict[str, str]:
        return {"eventKey": self.event_key, "audienceKey": self.audience_key, "signingSecret": self.signing_secret}

    def _create_resources(self) -> None:
        credentials: dict[str, Any] = {"clientId": CLIENT_ID, "clientSecret": self._client_secret}
        credentials |= {"refreshToken": self._refresh_token, "authorizedAt": int(time.time())}
        token: dict[str, Any] = {"accessToken": "", "expiresAt": 0}
        values = {"IngestSecret": self._keys(), "CredentialsSecret": credentials, "TokenSecret": token}
        clients = partial(resources.client, endpoint=self.urls["aws"])
        resources.create(self._template, clients, values)
        dynamodb = clients("dynamodb")
        for audience in EXAMPLES:
            resources.list_audience(dynamodb, self._template.resolve({"Ref": "AudienceTable"}), audience)

    async def _start_functions(self, cleanup: contextlib.AsyncExitStack) -> Functions:
        shared = resources.CREDENTIALS | {
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.urls["aws"],
            "AMAZON_API_URL": self.urls["amazon"],
            "AMAZON_LOGIN_URL": f"{self.urls['amazon']}/auth/o2/token",
            "SETTLE_SECONDS": str(self.options.settle),
            # The sandbox's jobs end after at most 1.25 times the delay; one second for rounding.
            "CIRCUIT_SECONDS": "2",
            "LATE_SECONDS": "1",
            # After a deletion notice, erasing waits as long after an enter as the longest job takes.
            "LONGEST_JOB_SECONDS": str(self.options.job_delay * 2 + 3),
            "DATA_MANAGER_SECONDS": str(self.options.job_delay * 1.25 + 1),
            "JOB_SECONDS": str(min(900.0, self.options.job_delay * 1.25 + 1)),
        }
        variables = {name: own | shared for name, own in self._template.environments().items()}
        self._log_groups = self._template.log_groups()
        functions = Functions(self._template.functions(), variables, self._on_log_line)
        cleanup.push_async_callback(functions.close)
        await asyncio.gather(*(functions.warm(name) for name in variables))
        return functions

    def _on_log_line(self, function: str, line: str) -> None:
        self._logs.add(self._log_groups[function], line)
        self._metrics.add_line(line)

    def _pollers(self, functions: Functions) -> dict[str, Poller]:
        def poller(source: QueueSource) -> Poller:
            url = self._template.resolve({"Ref": source.queue})
            arn = self._template.resolve({"Fn::GetAtt": [source.queue, "Arn"]})
            return Poller(self._queues, url, arn, source, functions)

        return {each.function: poller(each) for each in self._template.queue_sources()}

    async def _start_gateway(
        self, cleanup: contextlib.AsyncExitStack, functions: Functions, pollers: Mapping[str, Poller]
    ) -> None:
        sandbox = self._amazon[SANDBOX]
        view = StackView(self._template, self._queues, self._metrics, functions, sandbox, self.urls, pollers)
        app = web.Application(client_max_size=gateway.MAX_BODY)
        operator_api.add_routes(app, view)
        if self.options.status_page:
            StatusPage(view).add_routes(app)
        gateway.add_routes(app, self._template.routes(), functions)
        server = serve(app, port=self.options.port, decompress=gateway.DECOMPRESS)
        self.urls["api"] = await cleanup.enter_async_context(server)
        if self.options.status_page:
            self.urls["status"] = f"{self.urls['api']}/status"

    async def _start_triggers(
        self, cleanup: contextlib.AsyncExitStack, functions: Functions, pollers: Mapping[str, Poller]
    ) -> None:
        schedules = self._template.schedule_sources()
        for schedule in schedules:
            await self._invoke_scheduled(functions, schedule.function)
        loops = [self._repeat(functions, schedule) for schedule in schedules]
        loops.append(Sizes(self._amazon[SANDBOX], self._metrics).run())
        loops += [poller.run() for poller in pollers.values()]
        cleanup.push_async_callback(_cancel, [asyncio.create_task(each) for each in loops])

    async def _repeat(self, functions: Functions, schedule: ScheduleSource) -> None:
        while True:
            await asyncio.sleep(schedule.every)
            await self._invoke_scheduled(functions, schedule.function)

    async def _invoke_scheduled(self, functions: Functions, name: str) -> None:
        physical = self._template.resolve({"Ref": name})
        self._metrics.add("AWS/Lambda", "Invocations", {"FunctionName": physical}, time.time(), 1)  # the audit reads it
        with contextlib.suppress(FunctionError):  # logged by the function; the next run tries again
            await functions.invoke(name, {"source": "aws.events", "detail-type": "Scheduled Event"})


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    """End pollers and schedules. Their invocations have a moment to end, then end with their functions."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=GRACE)
