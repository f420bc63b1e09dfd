"""The checks before an operation, and its answers over HTTP."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from local.amazon.api import check_login
from local.amazon.data_manager.accounts import Account
from local.amazon.data_manager.answers import error_answer, request_id
from local.amazon.data_manager.operations import METRICS, Operation
from local.amazon.data_manager.state import DataManager
from local.amazon.exchange import EFFECT, ENTRY, RAW, SANDBOX
from local.amazon.faults import Effect
from local.amazon.options import Options
from local.amazon.refusals import Refusal, json_object

MANAGER, ADVERTISER = "Amazon-Ads-Manager-Account-ID", "Amazon-Ads-AccountId"


@dataclass(frozen=True, slots=True)
class Call:
    """A request that has passed the checks."""

    manager: DataManager
    account: Account
    body: dict[str, Any]  # empty without one
    path: Mapping[str, str]  # its variable parts
    query: Mapping[str, str]
    effect: Effect
    now: float  # epoch seconds
    n: int  # in the request log


def answering(
    operation: Operation, act: Callable[[Call], dict[str, Any] | None]
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Put the checks before an operation, and turn its answers and refusals into HTTP."""

    async def handle(request: web.Request) -> web.Response:
        n = request[ENTRY].n
        try:
            answer = act(_admit(operation, request))
        except Refusal as refusal:
            if refusal.status == 404 and operation.errors == METRICS:
                refusal.status = 400  # these operations declare no 404
            return error_answer(refusal, n, operation.errors)
        headers = request_id(n) if operation.states_request else {}
        if answer is None or operation.answers is None:
            return web.Response(status=operation.status, headers=headers)
        headers["Content-Type"] = operation.answers
        return web.Response(status=operation.status, body=json.dumps(answer).encode(), headers=headers)

    return handle


def _admit(operation: Operation, request: web.Request) -> Call:
    check_login(request)
    sandbox = request.app[SANDBOX]
    manager, now = sandbox.data_manager, sandbox.now()
    account = manager.account(*_account(operation, request, manager.options), now)
    _check_types(operation, request)
    if len(request[RAW]) > manager.options.body_limit(request.path):
        raise Refusal("Request Entity Too Large", status=413)
    if not account.has_accepted and not operation.before_terms:
        raise Refusal("The terms of Ads Data Manager have not been accepted", status=403)
    if not operation.before_room:
        account.room()
    body = _body(operation, request[RAW])
    return Call(manager, account, body, request.match_info, request.query, request[EFFECT], now, request[ENTRY].n)


def _account(operation: Operation, request: web.Request, options: Options) -> tuple[str, str]:
    """Return the one account header that is sent, and check the permissions. Raises Refusal."""
    sent = [name for name in (MANAGER, ADVERTISER) if request.headers.get(name)]
    if len(sent) != 1:
        raise Refusal(f"exactly one of {MANAGER} and {ADVERTISER} is needed")
    if sent == [ADVERTISER]:
        if not operation.advertisers or not options.advertiser_mode:
            raise Refusal(f"Forbidden: {MANAGER} is needed", status=403)
        needed = operation.advertisers
    else:
        needed = operation.managers
    if needed.isdisjoint(options.permissions):
        raise Refusal(f"Forbidden: one of {', '.join(sorted(needed))} is needed", status=403)
    return sent[0], request.headers[sent[0]]


def _check_types(operation: Operation, request: web.Request) -> None:
    """Compare media types in upper and lower case, since Amazon writes them in both. Raises Refusal."""
    accepted = {part.partition(";")[0].strip() for part in request.headers.get("Accept", "*/*").split(",")}
    if operation.answers and accepted.isdisjoint({operation.answers, "application/*", "*/*"}):
        raise Refusal(f"Not Acceptable: {operation.answers} is the only type of this answer", status=406)
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise Refusal("Unsupported Media Type: encoded bodies are not documented", status=415)
    sent = request.headers.get("Content-Type", "").partition(";")[0].strip()
    if operation.sends and (request[RAW] or operation.needs_body) and sent != operation.sends:
        raise Refusal(f"Unsupported Media Type: {operation.sends} is needed", status=415)


def _body(operation: Operation, raw: bytes) -> dict[str, Any]:
    if not raw and not operation.needs_body:
        return {}
    body = json_object(raw)
    if body and operation.sends is None:
        raise Refusal("this operation has no request body")
    return body
