"""Keys under which every handler of the sandbox finds the parts of its request."""

from aiohttp import web

from local.amazon.faults import Effect
from local.amazon.ledger import RequestEntry
from local.amazon.sandbox import Sandbox

SANDBOX = web.AppKey("SANDBOX", Sandbox)
EFFECT = web.RequestKey("EFFECT", Effect)  # effect of a fault rule; on every API and login request
ENTRY = web.RequestKey("ENTRY", RequestEntry)  # its place in the request log
RAW = web.RequestKey("RAW", bytes)  # its body
