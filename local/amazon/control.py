"""The sandbox's own paths: its state, its log of requests, and its faults. Amazon has none of them."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from local.amazon.audiences import identifiers_by_field
from local.amazon.exchange import SANDBOX
from local.amazon.refusals import Refusal, json_object
from local.amazon.sandbox import Sandbox

type Read = Callable[[Sandbox, web.Request], Any]


def show_audience(sandbox: Sandbox, request: web.Request) -> Any:
    """GET /sandbox/audiences/{audienceId}: the members of an audience, or the members and shares of a dataset."""
    audience_id = request.match_info["audienceId"]
    if not audience_id.isdigit():
        return sandbox.data_manager.shown(audience_id)
    audience = sandbox.audience(audience_id)
    members = {
        user: {"identifiers": identifiers_by_field(member.identifiers), "since": member.since}
        for user, member in audience.members(sandbox.now()).items()
    }
    return {"audienceId": str(audience.audience_id), "name": audience.name, "size": len(members), "members": members}


def show_requests(sandbox: Sandbox, request: web.Request) -> Any:
    """GET /sandbox/requests?since=N&bodies=no: the requests after the N-th, oldest first."""
    with_body = request.query.get("bodies") != "no"
    return [entry.as_json(with_body=with_body) for entry in sandbox.requests.since(_since(request))]


def show_ledger(sandbox: Sandbox, request: web.Request) -> Any:
    """GET /sandbox/ledger?audience=&member=&since=N: the records received after the N-th, oldest first."""
    entries = sandbox.ledger.entries(
        audience=request.query.get("audience", ""), member=request.query.get("member", ""), since=_since(request)
    )
    return [entry.as_json() for entry in entries]


def show_violations(sandbox: Sandbox, _request: web.Request) -> Any:
    """GET /sandbox/violations: requests that Amazon accepts but advises against."""
    return sandbox.ledger.violations()


def show_faults(sandbox: Sandbox, _request: web.Request) -> Any:
    """GET /sandbox/faults: the rules in force, with the number of matches and effects of each."""
    return sandbox.faults.as_json()


def show_recipes(sandbox: Sandbox, _request: web.Request) -> Any:
    """GET /sandbox/recipes: named faults, and the active one."""
    return sandbox.recipes()


async def set_faults(request: web.Request) -> web.Response:
    """PUT /sandbox/faults: rules as `faults` describes them, or `{"recipe": name}`; they replace the old ones."""
    sandbox = request.app[SANDBOX]
    faults = sandbox.faults
    try:
        written = json.loads(await request.read())
        if isinstance(written, dict) and written.keys() == {"recipe"}:
            sandbox.set_recipe(str(written["recipe"]))
        else:
            faults.replace(written)
    except (Refusal, ValueError) as error:
        return web.json_response({"error": str(error)}, status=400)
    return web.json_response(faults.as_json())


async def clear_faults(request: web.Request) -> web.Response:
    """DELETE /sandbox/faults."""
    request.app[SANDBOX].set_recipe("off")
    return web.Response(status=204)


async def set_share(request: web.Request) -> web.Response:
    """PUT /sandbox/shares/{sharingRuleId}: `{"status": ...}`, such as REVOKED_BY_SHARING_GRANT."""
    sandbox = request.app[SANDBOX]
    try:
        status = json_object(await request.read()).get("status")
        rule = sandbox.data_manager.set_share_status(request.match_info["sharingRuleId"], status, sandbox.now())
    except Refusal as refusal:
        return web.json_response({"error": refusal.message}, status=refusal.status)
    return web.json_response(rule)


async def reset(request: web.Request) -> web.Response:
    """POST /sandbox/reset: remove everything but the tokens given out."""
    request.app[SANDBOX].reset()
    return web.Response(status=204)


def routes() -> list[web.RouteDef]:
    """Every path of the sandbox's own."""
    return [
        web.get("/sandbox/audiences/{audienceId}", _shown(show_audience)),
        web.get("/sandbox/requests", _shown(show_requests)),
        web.get("/sandbox/ledger", _shown(show_ledger)),
        web.get("/sandbox/violations", _shown(show_violations)),
        web.get("/sandbox/faults", _shown(show_faults)),
        web.get("/sandbox/recipes", _shown(show_recipes)),
        web.put("/sandbox/faults", set_faults),
        web.put("/sandbox/shares/{sharingRuleId}", set_share),
        web.delete("/sandbox/faults", clear_faults),
        web.post("/sandbox/reset", reset),
    ]


def _shown(read: Read) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        sandbox = request.app[SANDBOX]
        sandbox.now()  # finishes due jobs
        try:
            return web.json_response(read(sandbox, request))
        except Refusal as refusal:
            return web.json_response({"error": refusal.message}, status=refusal.status)

    return handle


def _since(request: web.Request) -> int:
    text = request.query.get("since", "")
    return int(text) if text.isascii() and text.isdigit() else 0
