"""The Advertiser Audiences endpoints and the profile list, behind the checks of Amazon's shared front end."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from local.amazon.audiences import Audience
from local.amazon.exchange import EFFECT, ENTRY, RAW, SANDBOX
from local.amazon.records import read_upload
from local.amazon.refusals import Refusal, json_object
from local.amazon.sandbox import Sandbox
from local.amazon.validation import check_acceptance, check_audience_update, check_new_audience, check_new_connection

AUDIENCES = "application/vnd.amcaudiences.v1+json"
CONNECTIONS = "application/vnd.amcaudiencesconnections.v1+json"
ACCOUNTS = "application/json"

type Answer = tuple[int, Any]
type Endpoint = Callable[[Sandbox, web.Request], Answer]


def endpoint(act: Endpoint, media_type: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Run the front end's checks before an endpoint, and turn its answers and refusals into HTTP."""

    async def handle(request: web.Request) -> web.Response:
        headers = {"x-amzn-RequestId": f"sandbox-{request[ENTRY].n}"}  # leads to the entry of the request log
        try:
            _check_head(request, media_type)
            status, answer = act(request.app[SANDBOX], request)
        except Refusal as refusal:
            status, answer = refusal.status, {"message": refusal.message}
            if media_type == CONNECTIONS:
                answer["requestId"] = headers["x-amzn-RequestId"]
        if answer is None:
            return web.Response(status=status, headers=headers)
        return web.Response(status=status, body=json.dumps(answer).encode(), content_type=media_type, headers=headers)

    return handle


def check_login(request: web.Request) -> None:
    """Check the access token and the application. Raises Refusal (401)."""
    sandbox = request.app[SANDBOX]
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not sandbox.login.admits(token.strip(), sandbox.now()):
        raise Refusal("Unauthorized", status=401)
    if request.headers.get("Amazon-Advertising-API-ClientId") != sandbox.login.client_id:
        raise Refusal("Unauthorized", status=401)


def _check_head(request: web.Request, media_type: str) -> None:
    check_login(request)
    accepted = {part.partition(";")[0].strip() for part in request.headers.get("Accept", "*/*").lower().split(",")}
    if accepted.isdisjoint({media_type, "application/*", "*/*"}):
        raise Refusal(f"Not Acceptable: {media_type} is the only type of this answer", status=406)
    if request.method in ("POST", "PUT", "PATCH"):
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise Refusal("Unsupported Media Type: encoded bodies are not documented", status=415)
        if request.content_type != media_type:
            raise Refusal(f"Unsupported Media Type: {media_type} is needed", status=415)
    if len(request[RAW]) > request.app[SANDBOX].options.max_body:
        raise Refusal("Request Entity Too Large", status=413)


def create_audience(sandbox: Sandbox, request: web.Request) -> Answer:
    """POST /amc/audiences/metadata."""
    body = json_object(request[RAW])
    check_new_audience(body)
    audience = sandbox.create_audience(body, request[ENTRY].n)
    return 201, {
        "audienceId": audience.audience_id,
        "externalAudienceId": audience.metadata["externalAudienceId"],
    }


def read_audience(sandbox: Sandbox, request: web.Request) -> Answer:
    """GET /amc/audiences/metadata/{audienceId}."""
    audience = sandbox.audience(request.match_info["audienceId"])
    answer = _described(audience)
    answer["metadata"] = audience.metadata | {"audienceSize": audience.sizes(sandbox.now())}
    return 200, answer | ({"countryCode": audience.country} if audience.country else {})


def update_audience(sandbox: Sandbox, request: web.Request) -> Answer:
    """PUT /amc/audiences/metadata/{audienceId}: omitted fields stay."""
    body = json_object(request[RAW])
    check_audience_update(body)
    audience = sandbox.audience(request.match_info["audienceId"])
    audience.description = body.get("description", audience.description)
    audience.metadata |= body.get("metadata", {})
    return 200, _described(audience)


def send_records(sandbox: Sandbox, request: web.Request) -> Answer:
    """POST /amc/audiences/records: the job runs later."""
    upload = read_upload(json_object(request[RAW]))
    return 202, {"jobRequestId": sandbox.receive(upload, request[ENTRY].n, request[EFFECT])}


def read_job(sandbox: Sandbox, request: web.Request) -> Answer:
    """GET /amc/audiences/records/{jobRequestId}."""
    now = sandbox.now()
    try:
        job = sandbox.jobs[request.match_info["jobRequestId"]]
    except KeyError:
        raise Refusal("Job not found", status=404) from None
    audience = sandbox.jobs.audience_of(job)
    return 200, job.report(audience.sizes(now) if audience else None)


def create_connection(sandbox: Sandbox, request: web.Request) -> Answer:
    """POST /amc/audiences/connections."""
    body = json_object(request[RAW])
    check_new_connection(body)
    return 201, {"connectionId": sandbox.connections.add(body, sandbox.clock())}


def list_connections(sandbox: Sandbox, request: web.Request) -> Answer:
    """GET /amc/audiences/connections."""
    listed = sandbox.connections.listed(request.query.get("connectionId"), request.query.get("isDefault"))
    return 200, {"connections": listed}


def delete_connections(sandbox: Sandbox, request: web.Request) -> Answer:
    """DELETE /amc/audiences/connections: without an id, or with an empty one, it removes all, as Amazon does."""
    connection_id = request.query.get("connectionId", "")
    if not connection_id:
        sandbox.ledger.violate("all_connections_removed", request[ENTRY].n)
    sandbox.connections.remove(connection_id)
    return 204, None


def read_terms(sandbox: Sandbox, _request: web.Request) -> Answer:
    """GET /amc/audiences/connections/terms."""
    return 200, sandbox.connections.terms()


def accept_terms(sandbox: Sandbox, request: web.Request) -> Answer:
    """PATCH /amc/audiences/connections/terms."""
    body = json_object(request[RAW])
    check_acceptance(body)
    sandbox.connections.accept_terms(body)
    return 204, None


def list_profiles(_sandbox: Sandbox, _request: web.Request) -> Answer:
    """GET /v2/profiles: the customary health check of an authorization."""
    account = {"marketplaceStringId": "ATVPDKIKX0DER", "id": "ENTITY0SANDBOX", "type": "agency", "name": "Sandbox"}
    profile = {"profileId": 371552318001631925, "countryCode": "US", "currencyCode": "USD"}
    return 200, [profile | {"timezone": "America/Los_Angeles", "accountInfo": account}]


def routes() -> list[web.RouteDef]:
    """Every path of the API."""
    metadata, records = "/amc/audiences/metadata", "/amc/audiences/records"
    connections, terms = "/amc/audiences/connections", "/amc/audiences/connections/terms"
    return [
        web.post(metadata, endpoint(create_audience, AUDIENCES)),
        web.get(metadata + "/{audienceId}", endpoint(read_audience, AUDIENCES)),
        web.put(metadata + "/{audienceId}", endpoint(update_audience, AUDIENCES)),
        web.post(records, endpoint(send_records, AUDIENCES)),
        web.get(records + "/{jobRequestId}", endpoint(read_job, AUDIENCES)),
        web.post(connections, endpoint(create_connection, CONNECTIONS)),
        web.get(connections, endpoint(list_connections, CONNECTIONS)),
        web.delete(connections, endpoint(delete_connections, CONNECTIONS)),
        web.get(terms, endpoint(read_terms, CONNECTIONS)),
        web.patch(terms, endpoint(accept_terms, CONNECTIONS)),
        web.get("/v2/profiles", endpoint(list_profiles, ACCOUNTS)),
    ]


def _described(audience: Audience) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "audienceId": audience.audience_id,
        "name": audience.name,
        "description": audience.description,
        "metadata": audience.metadata,
    }
    return answer | ({"advertiserId": audience.advertiser_id} if audience.advertiser_id is not None else {})
