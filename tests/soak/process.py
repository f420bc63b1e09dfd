"""Makes this process a simulated Lambda: the real handlers, with time, randomness, AWS and HTTP exchanged."""

import datetime as dt
import importlib
import inspect
import json
import logging
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from io import BytesIO
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import boto3
import requests
import requests.adapters

import audience_sync.operations.erasure_check  # noqa: F401 - the audit loads it when time is simulated already
from audience_sync.amazon_ads.transport import TotalTimeoutAdapter
from audience_sync.clock import Clock
from audience_sync.runtime import telemetry
from tests.soak.amazon import Amazon, Answer
from tests.soak.calls import Call, current, make
from tests.soak.clock import SimulatedClock
from tests.soak.cloudwatch import CloudWatch, InvocationMetrics
from tests.soak.stack import Stack

FUNCTIONS = ("ingest", "events", "worker", "jobs", "renew", "refresh", "audit")
_CIRCUIT_BREAKER = "aws_lambda_powertools.utilities.circuit_breaker"
_KEPT_BY_CIRCUIT_BREAKER = ("_LOCAL_FAILURES", "_LOCAL_SUCCESSES", "_LAST_OBSERVED_STATE")

type Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


@contextmanager
def simulated(
    clock: SimulatedClock, stack: Stack, amazon: Amazon, cloudwatch: CloudWatch, jitter: random.Random
) -> Iterator[dict[str, Handler]]:
    """Exchange everything for the time of one simulation. Yields the handlers by name of their function."""
    modules = {name: importlib.import_module(f"functions.{name}.handler") for name in FUNCTIONS}
    with ExitStack() as patches:
        _exchange_time(patches, clock, jitter)
        patches.enter_context(patch.dict(os.environ, stack.environment()))
        patches.enter_context(patch.object(boto3, "client", partial(_client, stack, cloudwatch)))
        patches.enter_context(patch.object(requests.adapters.HTTPAdapter, "send", _http(amazon)))
        for adapter in (requests.adapters.HTTPAdapter, TotalTimeoutAdapter):  # no connection is made
            patches.enter_context(patch.multiple(adapter, init_poolmanager=_nothing, close=_nothing))
        patches.enter_context(patch.object(ThreadPoolExecutor, "submit", _submit_in_turn))
        patches.enter_context(patch.object(threading, "Timer", _NoTimer))
        metrics = InvocationMetrics(cloudwatch)
        patches.enter_context(patch.object(telemetry, "metrics", metrics))
        patches.enter_context(patch.object(telemetry, "single_metric", metrics.single_metric))
        for name in (telemetry.logger.name, "aws_lambda_powertools"):
            patches.callback(logging.getLogger(name).setLevel, logging.getLogger(name).level)
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        for name, module in modules.items():
            build = module.dependencies.__wrapped__
            patches.enter_context(patch.object(module, "dependencies", _once_per_environment(name, build)))
        _exchange_circuit_breaker_state(patches, clock)
        yield {name: module.lambda_handler for name, module in modules.items()}


def _client(stack: Stack, cloudwatch: CloudWatch, service: str, **options: Any) -> Any:
    return cloudwatch if service == "cloudwatch" else stack.client(service, **options)


def _exchange_time(patches: ExitStack, clock: SimulatedClock, jitter: random.Random) -> None:
    real_sleep = time.sleep

    def sleep(seconds: float) -> None:
        if current() is None:
            real_sleep(seconds)
        else:
            make(Call("sleep", f"sleep {seconds:g}", "", _nothing, _no_error, seconds))

    exchanged: dict[Any, Any] = {
        time.time: clock.time,
        time.monotonic: clock.monotonic,
        time.sleep: sleep,
        time.time_ns: clock.time_ns,
    }
    simulated_clock = Clock(clock.time, clock.monotonic, sleep)
    for name, module in sorted(sys.modules.items()):
        if name.split(".")[0] not in ("audience_sync", "functions"):
            continue
        for attribute, value in list(vars(module).items()):
            if isinstance(value, Clock):
                patches.enter_context(patch.object(module, attribute, simulated_clock))
        for function in _functions_of(module):
            if any(default in exchanged for default in function.__defaults__ or () if callable(default)):
                changed = tuple(exchanged.get(each, each) if callable(each) else each for each in function.__defaults__)
                patches.callback(setattr, function, "__defaults__", function.__defaults__)
                function.__defaults__ = changed
    for real, replacement in exchanged.items():
        patches.enter_context(patch.object(time, real.__name__, replacement))
    patches.enter_context(patch.object(random, "random", jitter.random))


def _functions_of(module: ModuleType) -> Iterator[Any]:
    for value in list(vars(module).values()):
        if inspect.isclass(value) and value.__module__ == module.__name__:
            members = (getattr(each, "__func__", each) for each in list(vars(value).values()))
            yield from (each for each in members if inspect.isfunction(each))
        elif inspect.isfunction(value) and value.__module__ == module.__name__:
            yield value


def _once_per_environment(name: str, build: Callable[[], Any]) -> Callable[[], Any]:
    """Return a replacement of a handler's `dependencies` that keeps one value for each execution environment."""

    def dependencies() -> Any:
        invocation = current()
        assert invocation is not None
        kept = invocation.environment.kept
        if name not in kept:
            kept[name] = build()
        return kept[name]

    return dependencies


def _submit_in_turn(_pool: Any, act: Callable[..., Any], /, *arguments: Any, **named: Any) -> "Future[Any]":
    """Run what a thread pool is given at once, on the invocation's own thread."""
    future: Future[Any] = Future()
    try:
        future.set_result(act(*arguments, **named))
    except Exception as error:  # noqa: BLE001 - raised where the result is read
        future.set_exception(error)
    return future


class _NoTimer:
    """A threading.Timer that never goes off: the simulation decides how long a request takes."""

    daemon = True

    def start(self, *_: Any, **__: Any) -> None:
        """Do nothing."""

    __init__ = cancel = join = start


class _Body(BytesIO):
    """The raw body of an answer."""

    def read1(self, size: int | None = -1, *, decode_content: bool = False) -> bytes:
        """Read as urllib3's responses do."""
        del decode_content
        return super().read1(size if size is not None else -1)

    def release_conn(self) -> None:
        """There is no connection."""


def _http(amazon: Amazon) -> Callable[..., requests.Response]:
    def send(
        _adapter: Any, request: requests.PreparedRequest, *, timeout: Any = None, **_options: Any
    ) -> requests.Response:
        path = urlsplit(str(request.url)).path
        wait = timeout[1] if isinstance(timeout, tuple) else timeout
        is_login = path.endswith("/auth/o2/token")
        call = Call(
            "login" if is_login else "amazon",
            f"{request.method} {path.split('/')[-1]}",
            "upload" if request.method == "POST" and not is_login else "check",
            lambda: amazon.answer(request),
            _http_error,
            float(wait),
        )
        answer: Answer = make(call)
        response = requests.Response()
        response.status_code = answer.status
        response.headers.update(dict(answer.headers))
        response.raw = _Body(answer.body)
        response.request = request
        response.url = str(request.url)
        return response

    return send


def _http_error(kind: str) -> Exception:
    match kind:
        case "timeout":
            return requests.ReadTimeout("read timed out")
        case "reset":
            return requests.ConnectionError("connection reset")
        case _:
            return requests.ConnectTimeout("connect timed out")


def _exchange_circuit_breaker_state(patches: ExitStack, clock: SimulatedClock) -> None:
    """Have Powertools' circuit breaker follow the clock, and keep its counters apart for each environment."""

    class Now(dt.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return dt.datetime.fromtimestamp(clock.time(), tz)

    replacement = SimpleNamespace(datetime=Now, timezone=dt.timezone, timedelta=dt.timedelta)
    for name, module in sorted(sys.modules.items()):
        if not name.startswith(_CIRCUIT_BREAKER):
            continue
        for attribute, value in list(vars(module).items()):
            if value is dt:
                patches.enter_context(patch.object(module, attribute, replacement))
            elif attribute in _KEPT_BY_CIRCUIT_BREAKER:
                patches.enter_context(patch.object(module, attribute, _KeptInEnvironment(attribute)))
            elif attribute == "_probe_owner_id":
                patches.enter_context(patch.object(module, attribute, _environment_id))


class _KeptInEnvironment:
    """A module's dictionary, of which each execution environment has its own."""

    def __init__(self, name: str) -> None:
        self._name = name

    def _own(self) -> dict[str, Any]:
        invocation = current()
        assert invocation is not None
        own: dict[str, Any] = invocation.environment.kept.setdefault(self._name, {})
        return own

    def get(self, key: str, default: Any = None) -> Any:
        return self._own().get(key, default)

    def __getitem__(self, key: str) -> Any:
        return self._own()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._own()[key] = value


def _environment_id() -> str:
    invocation = current()
    assert invocation is not None
    return f"environment-{invocation.environment.number}"


def _nothing(*_: object, **__: object) -> None:
    return None


def _no_error(kind: str) -> Exception:
    raise AssertionError(kind)


def api_gateway_event(body: str, key: str) -> dict[str, Any]:
    """Return the event that API Gateway makes of a request with events."""
    return {
        "version": "2.0",
        "routeKey": "POST /v1/events",
        "rawPath": "/v1/events",
        "headers": {"content-type": "application/json", "authorization": f"Bearer {key}"},
        "isBase64Encoded": False,
        "body": body,
    }


def answer_body(answer: dict[str, Any]) -> dict[str, Any]:
    """Read the body of a function's answer to API Gateway."""
    body: dict[str, Any] = json.loads(answer["body"])
    return body
