"""The sandbox's own paths: what it holds, what it was sent, and what shall go wrong. Amazon has none of them."""

import json
from dataclasses import asdict
from typing import Any

from aiohttp import web

from local.amazon.audiences import identifiers_by_field
from local.amazon.exchange import SANDBOX
from local.amazon.refusals import Refusal


async def list_audiences(request: web.Request) -> web.Response:
    """GET /sandbox/audiences: all of them, without their members."""
    sandbox = request.app[SANDBOX]
    now = sandbox.now()
    shown = [
        {"audienceId": str(known.audience_id), "name": known.name, **known.sizes(now)}
        for known in sandbox.audiences.values()
    ]
    return web.json_response(shown)


async def show_audience(request: web.Request) -> web.Response:
    """GET /sandbox/audiences/{audienceId}: who is in it."""
    sandbox = request.app[SANDBOX]
    now = sandbox.now()
    try:
        audience = sandbox.audience(request.match_info["audienceId"])
    except Refusal as refusal:
        return _refused(refusal)
    members = {
        user: {"identifiers": identifiers_by_field(member.identifiers), "since": member.since}
        for user, member in audience.members(now).items()
    }
    shown = {"audienceId": str(audience.audience_id), "name": audience.name, "size": len(members), "members": members}
    return web.json_response(shown)


async def show_requests(request: web.Request) -> web.Response:
    """GET /sandbox/requests?since=N&bodies=no: the requests after the N-th, oldest first."""
    sandbox = request.app[SANDBOX]
    with_body = request.query.get("bodies") != "no"
    entries = sandbox.requests.since(_number(request, "since"))
    return web.json_response([entry.as_json(with_body=with_body) for entry in entries])


async def show_ledger(request: web.Request) -> web.Response:
    """GET /sandbox/ledger?audience=&member=&since=N: the records received after the N-th, oldest first."""
    sandbox = request.app[SANDBOX]
    sandbox.now()
    entries = sandbox.ledger.entries(
        audience=request.query.get("audience", ""),
        member=request.query.get("member", ""),
        since=_number(request, "since"),
    )
    return web.json_response([entry.as_json() for entry in entries])


async def show_violations(request: web.Request) -> web.Response:
    """GET /sandbox/violations: what Amazon takes but advises against."""
    sandbox = request.app[SANDBOX]
    sandbox.now()
    return web.json_response(sandbox.ledger.violations())


async def show_state(request: web.Request) -> web.Response:
    """GET /sandbox/state: counts, for whoever waits for quiet."""
    sandbox = request.app[SANDBOX]
    sandbox.now()
    return web.json_response(
        {
            "audiences": len(sandbox.audiences),
            "pendingJobs": len(sandbox.jobs.pending),
            "requests": sandbox.requests.received,
            "records": sandbox.ledger.received,
            "violations": len(sandbox.ledger.violations()),
            "options": asdict(sandbox.options),
        }
    )


async def show_faults(request: web.Request) -> web.Response:
    """GET /sandbox/faults: the rules in force, with how often each matched and fired."""
    return web.json_response(request.app[SANDBOX].faults.as_json())


async def set_faults(request: web.Request) -> web.Response:
    """PUT /sandbox/faults: rules as `faults` describes them; they replace the old ones."""
    faults = request.app[SANDBOX].faults
    try:
        faults.replace(json.loads(await request.read()))
    except Refusal as refusal:
        return _refused(refusal)
    except ValueError:
        return _refused(Refusal("not JSON"))
    return web.json_response(faults.as_json())


async def clear_faults(request: web.Request) -> web.Response:
    """DELETE /sandbox/faults."""
    request.app[SANDBOX].faults.replace([])
    return web.Response(status=204)


async def reset(request: web.Request) -> web.Response:
    """POST /sandbox/reset: forget everything but the tokens given out."""
    request.app[SANDBOX].reset()
    return web.Response(status=204)


def routes() -> list[web.RouteDef]:
    """Every path of the sandbox's own."""
    return [
        web.get("/sandbox/audiences", list_audiences),
        web.get("/sandbox/audiences/{audienceId}", show_audience),
        web.get("/sandbox/requests", show_requests),
        web.get("/sandbox/ledger", show_ledger),
        web.get("/sandbox/violations", show_violations),
        web.get("/sandbox/state", show_state),
        web.get("/sandbox/faults", show_faults),
        web.put("/sandbox/faults", set_faults),
        web.delete("/sandbox/faults", clear_faults),
        web.post("/sandbox/reset", reset),
    ]


def _number(request: web.Request, name: str) -> int:
    text = request.query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def _refused(refusal: Refusal) -> web.Response:
    body: dict[str, Any] = {"error": refusal.message}
    return web.json_response(body, status=refusal.status)
