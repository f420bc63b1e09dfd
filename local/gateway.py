"""The HTTP API in front of the functions: turns requests into Lambda events (payload 2.0), and results into HTTP."""

import base64
import json
import time
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from aiohttp import web

from local.functions import FunctionError, Functions
from local.template import ACCOUNT, Route

MAX_BODY = 10_000_000  # bytes; API Gateway's limit
MAX_EVENT = 6_000_000  # bytes of the event; Lambda's limit
DECOMPRESS = False  # whether the server in front does: API Gateway passes on a compressed body unchanged
_TEXT = ("text/", "application/json", "application/xml", "application/javascript", "application/x-www-form-urlencoded")


def add_routes(app: web.Application, routes: list[Route], functions: Functions) -> None:
    """Serve the template's routes. Any other path gets API Gateway's own 404."""

    def serve(route: Route) -> Any:
        async def handle(request: web.Request) -> web.Response:
            return await _serve(request, route, functions)

        return handle

    for route in routes:
        app.router.add_route(route.method, route.path, serve(route))
    app.router.add_route("*", "/{path:.*}", _not_found)


async def _not_found(_: web.Request) -> web.Response:
    return web.json_response({"message": "Not Found"}, status=404)


async def _serve(request: web.Request, route: Route, functions: Functions) -> web.Response:
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        return web.json_response({"message": "Request Entity Too Large"}, status=413)
    event = http_event(request, route, body)
    if len(json.dumps(event)) > MAX_EVENT:
        return web.json_response({"message": "Request Entity Too Large"}, status=413)
    try:
        return _response(await functions.invoke(route.function, event))
    except (FunctionError, AttributeError, TypeError, ValueError):  # the others: a result that is not an HTTP response
        return web.json_response({"message": "Internal Server Error"}, status=500)


def http_event(request: web.Request, route: Route, body: bytes) -> dict[str, Any]:
    """Build API Gateway's event: header names in lower case, repeated headers joined by a comma."""
    now = time.time()
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        low = name.lower()
        headers[low] = f"{headers[low]},{value}" if low in headers else value
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": f"{route.method} {route.path}",
        "rawPath": request.path,
        "rawQueryString": request.rel_url.raw_query_string,
        "headers": headers,
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": "local",
            "domainName": request.host,
            "domainPrefix": "local",
            "http": {
                "method": request.method,
                "path": request.path,
                "protocol": "HTTP/1.1",
                "sourceIp": request.remote or "",
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": uuid4().hex[:16],
            "routeKey": f"{route.method} {route.path}",
            "stage": "$default",
            "time": datetime.fromtimestamp(now, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": round(now * 1000),
        },
        "isBase64Encoded": False,
    }
    if request.query:
        event["queryStringParameters"] = {name: ",".join(request.query.getall(name)) for name in request.query}
    if body:
        event["body"], event["isBase64Encoded"] = _encoded(body, headers.get("content-type", ""))
    return event


def _encoded(body: bytes, content_type: str) -> tuple[str, bool]:
    if content_type.startswith(_TEXT):
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode(), True


def _response(answer: Any) -> web.Response:
    """Convert a function's result as API Gateway does: a dictionary with a statusCode, or any JSON as a 200."""
    if not isinstance(answer, dict) or "statusCode" not in answer:
        return web.json_response(answer)
    body = answer.get("body") or ""
    raw = base64.b64decode(body) if answer.get("isBase64Encoded") else body.encode()
    return web.Response(status=answer["statusCode"], headers=answer.get("headers") or {}, body=raw)
