"""A local stack's API for the operator's command, in place of CloudFormation and Lambda. Loopback only."""

from typing import Any
from uuid import NAMESPACE_OID, uuid4, uuid5

from aiohttp import web

from local.functions import FunctionError
from local.stack_view import StackView
from local.template import REGION, STACK

_TYPES = ("AWS::SQS::Queue", "AWS::DynamoDB::Table", "AWS::SecretsManager::Secret", "AWS::Logs::LogGroup")
_PARAMETERS = (  # read by the command
    "Region",
    "Enabled",
    "EventQueue",
    "PublicApi",
    "ConsentPolicy",
    "AcceptOldEvents",
    "MaxCpmCents",
    "AudienceNamePrefix",
    "DataManagerAccountId",
    "BatchWindow",
)
_TIMES = {  # seconds, shorter than in the template; the last two are no parameters of a deployed stack
    "JobSeconds": "JOB_SECONDS",
    "DataManagerSeconds": "DATA_MANAGER_SECONDS",
    "LateSeconds": "LATE_SECONDS",
    "LongestJobSeconds": "LONGEST_JOB_SECONDS",
}
_LAMBDA = "/local/lambda/2015-03-31"
_FUNCTION, _SOURCES = f"{_LAMBDA}/functions/{{name}}", f"{_LAMBDA}/event-source-mappings"


def add_routes(app: web.Application, stack: StackView) -> None:
    """Serve the stack's state, the names of its resources, and Lambda API calls of operators."""

    async def state(_: web.Request) -> web.Response:
        return web.json_response(stack.state())

    async def invoke(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in stack.template.functions():
            return _unknown()
        headers = {"X-Amz-Executed-Version": "$LATEST", "x-amzn-RequestId": uuid4().hex}
        try:
            return web.json_response(await stack.functions.invoke(name, await request.json()), headers=headers)
        except FunctionError:
            return web.json_response({}, headers=headers | {"X-Amz-Function-Error": "Unhandled"})

    async def configuration(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in stack.template.functions():
            return _unknown()
        state = {"State": "Active", "LastUpdateStatus": "Successful"}
        variables = dict(stack.functions.variables(name))
        return web.json_response({"FunctionName": name, "Environment": {"Variables": variables}} | state)

    async def resources(_: web.Request) -> web.Response:
        return web.json_response(_resources(stack))

    async def kill(request: web.Request) -> web.Response:
        return web.Response(status=204 if stack.functions.kill(request.match_info["name"]) else 404)

    app.router.add_get("/local/state", state)
    app.router.add_post("/local/kill/{name}", kill)
    app.router.add_get("/local/resources", resources)
    app.router.add_post(f"{_FUNCTION}/invocations", invoke)
    app.router.add_get(f"{_FUNCTION}/configuration", configuration)
    _add_event_sources(app, stack)


def _add_event_sources(app: web.Application, stack: StackView) -> None:
    functions = {str(uuid5(NAMESPACE_OID, function)): function for function in stack.pollers}

    def source(uuid: str) -> dict[str, str]:
        return {"UUID": uuid, "FunctionArn": functions[uuid], "State": stack.pollers[functions[uuid]].state}

    async def read(request: web.Request) -> web.Response:
        named = request.query.get("FunctionName")
        found = [source(uuid) for uuid, function in functions.items() if function == named]
        return web.json_response({"EventSourceMappings": found})

    async def update(request: web.Request) -> web.Response:
        uuid = request.match_info["uuid"]
        if uuid not in functions:
            return _unknown()
        stack.pollers[functions[uuid]].enable((await request.json())["Enabled"])
        return web.json_response(source(uuid), status=202)

    app.router.add_get(_SOURCES, read)
    app.router.add_put(f"{_SOURCES}/{{uuid}}", update)


def _resources(stack: StackView) -> dict[str, Any]:
    template = stack.template
    parts = [logical_id for each in _TYPES for logical_id in template.resources(each)]
    names = {each: str(template.resolve({"Ref": each})) for each in parts}
    variables = stack.functions.variables("WorkerFunction")
    times = {name: variables[variable] for name, variable in _TIMES.items()}
    return {
        "stack": STACK,
        "awsRegion": REGION,
        "urls": {name: stack.urls[name] for name in ("api", "amazon", "aws")},
        "names": names | {each: each for each in template.functions()},
        "parameters": {each: str(template.resolve({"Ref": each})) for each in _PARAMETERS} | times,
    }


def _unknown() -> web.Response:
    headers = {"x-amzn-ErrorType": "ResourceNotFoundException"}
    return web.json_response({"Message": "Function not found"}, status=404, headers=headers)
