"""Stand-ins for Amazon Ads and, on request, for AWS, for functions that run outside of the local stack.

    python -m scripts.stand_ins --host 172.17.0.1 [--aws]

Prints one JSON line when ready: {"amazon": url}, with --aws also "aws": url, and "environment", {function: {variable:
value}}. Ends on SIGTERM. Amazon is the sandbox of `local`: GET /sandbox/requests shows its requests.
"""

import argparse
import asyncio
import json
import re
import signal
import sys
import time
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from audience_sync.amazon_ads.destination import dsp_advertiser
from audience_sync.members.membership import Audience
from local import aws, resources
from local.amazon.app import build_app as build_amazon
from local.amazon.exchange import SANDBOX
from local.serving import serve
from local.sqs.queues import SqsQueues
from local.template import Template

EVENT_KEY = "a1b2c3d4e5f6g7h8i9j0a1b2c3d4e5f6g7h8i9j0a1b2c3d4"  # as in events/lambda/
ADVERTISER = dsp_advertiser("590071284455661234")
AUDIENCE = Audience("418273650912345678", "Lapsed premium buyers", "US", ADVERTISER)  # as in events/segment/
CREDENTIALS = {"clientId": "client", "clientSecret": "client-secret", "refreshToken": "refresh-token"}

REJECTED = {"audienceId": AUDIENCE.audience_id, "externalId": "cust_48121", "error": "Record could not be processed"}
JOB = "/amc/audiences/records/"
FAULTS: list[dict[str, Any]] = [  # Amazon's answers for events/lambda/
    {
        "match": {"method": "POST", "audience": "418273650912345679"},
        "do": {"status": 429, "headers": {"Retry-After": 7}},
    },
    {
        "match": {"path": JOB + "job-1"},
        "do": {"status": 200, "body": {"jobState": "PARTIALLYSUCCEEDED", "invalidRecords": [REJECTED]}},
    },
    {"match": {"path": JOB + "job-2"}, "do": {"status": 200, "body": {"jobState": "PENDING"}}},
    {"match": {"path": JOB + "job-3"}, "do": {"status": 503}},
]
_CREDENTIAL = re.compile(r"Credential=(\w+)/\d+/[\w-]+/(\w+)/")  # access key and service of a signed request


def amazon() -> web.Application:
    """Amazon's sandbox, with the audience and the faults of the example events."""
    client_id, client_secret, refresh_token = CREDENTIALS.values()
    app = build_amazon(client_id=client_id, client_secret=client_secret, refresh_token=refresh_token)
    resources.seed_audience(app[SANDBOX], AUDIENCE)
    app[SANDBOX].faults.replace(FAULTS)
    return app


def permissions(template: Template) -> Middleware:
    """Reject calls that a function's role does not allow. The access key is the function's name.

    Only actions are checked, not resources.
    """
    allowed = {name: _allowed_actions(template, name) for name in template.functions()}

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        signed = _CREDENTIAL.search(request.headers.get("Authorization", ""))
        operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        for each in _actions(operation, await request.read()):
            if signed and signed[1] in allowed and f"{signed[2]}:{each}" not in allowed[signed[1]]:
                refusal = {"__type": "AccessDeniedException", "message": f"{signed[1]} may not {signed[2]}:{each}"}
                return web.json_response(refusal, status=400, content_type="application/x-amz-json-1.0")
        return await handler(request)

    return check


def _actions(operation: str, body: bytes) -> set[str]:
    """Return the actions that AWS checks: for transactions and PartiQL, the actions of their parts."""
    if operation == "TransactWriteItems":
        return {"PutItem", "UpdateItem"}
    if operation == "BatchExecuteStatement":
        verbs = {each["Statement"].partition(" ")[0] for each in json.loads(body)["Statements"]}
        return {f"PartiQL{verb.capitalize()}" for verb in verbs}
    return {operation}


def _allowed_actions(template: Template, function: str) -> set[str]:
    properties = template.resources("AWS::Serverless::Function")[function]
    role = template.resources("AWS::IAM::Role")[properties["Role"]["Fn::GetAtt"][0]]
    actions: set[str] = set()
    for policy in role["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            listed = statement["Action"]
            actions |= {listed} if isinstance(listed, str) else set(listed)
    return actions | {f"{action}Batch" for action in actions if action.startswith("sqs:")}


def fill_aws(template: Template, endpoint: str) -> None:
    """Create the template's resources, and list the audience of the example events."""
    keys = {"eventKey": EVENT_KEY, "audienceKey": EVENT_KEY}
    token = {"accessToken": "", "expiresAt": 0}
    clients = partial(resources.client, endpoint=endpoint)
    resources.create(template, clients, {"IngestSecret": keys, "CredentialsSecret": CREDENTIALS, "TokenSecret": token})
    resources.list_audience(clients("dynamodb"), template.resolve({"Ref": "AudienceTable"}), AUDIENCE)


async def run(host: str, *, with_aws: bool) -> None:
    """Serve until SIGTERM."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with AsyncExitStack() as cleanup:
        ready: dict[str, Any] = {"amazon": await cleanup.enter_async_context(serve(amazon(), host=host))}
        if with_aws:
            # The events of events/lambda are months old.
            template, app = Template.load({"AcceptOldEvents": "yes"}), aws.build_app(SqsQueues(time.time))
            app.middlewares.append(permissions(template))
            ready["aws"] = await cleanup.enter_async_context(serve(app, host=host))
            await asyncio.to_thread(fill_aws, template, ready["aws"])
            ready["environment"] = template.environments()
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await ended.wait()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--aws", action="store_true", help="also stand in for AWS, with data for events/lambda/")
    arguments = parser.parse_args()
    asyncio.run(run(arguments.host, with_aws=arguments.aws))


if __name__ == "__main__":
    main()
