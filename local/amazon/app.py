"""Assembles the sandbox. In the same process, its state is at `app[SANDBOX]`."""

import time
from collections.abc import Callable

from aiohttp import web

from local.amazon import api, consent, control
from local.amazon.data_manager import endpoints
from local.amazon.exchange import SANDBOX
from local.amazon.lwa import Login
from local.amazon.sandbox import Options, Sandbox
from local.amazon.wire import exchange

MAX_CONTROL_BODY = 16_000_000  # bytes; fault rules may carry huge answers

DEFAULTS = Options()


def build_app(
    *,
    client_id: str,
    client_secret: str,
    refresh_token: str,
    job_delay: float = 1.0,
    seed: int = 0,
    clock: Callable[[], float] = time.time,
    options: Options = DEFAULTS,
) -> web.Application:
    """Build an application that answers as Amazon Ads and Login with Amazon do, for one client and one loop.

    Args:
        client_id: of the one application that Amazon knows.
        client_secret: its secret.
        refresh_token: an authorization that exists from the start; the consent page makes others.
        job_delay: seconds until an upload takes effect; up to a quarter more, since jobs end in sweeps.
        seed: decides ids, tokens, the order of jobs and the chances of fault rules.
        clock: epoch seconds. Only the fault rules' delay and trickle are real time.
        options: settings for undocumented behaviour of Amazon.
    """
    login = Login(client_id=client_id, client_secret=client_secret, refresh_token=refresh_token, seed=seed)
    app = web.Application(middlewares=[exchange], client_max_size=MAX_CONTROL_BODY)
    app[SANDBOX] = Sandbox(login, job_delay=job_delay, seed=seed, clock=clock, options=options)
    app.add_routes([*api.routes(), *endpoints.routes(), *consent.routes(), *control.routes()])
    return app
