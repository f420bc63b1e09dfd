"""What every handler of the sandbox finds on its request."""

from aiohttp import web

from local.amazon.faults import Effect
from local.amazon.ledger import RequestEntry
from local.amazon.sandbox import Sandbox

SANDBOX = web.AppKey("SANDBOX", Sandbox)
EFFECT = web.RequestKey("EFFECT", Effect)  # what a fault rule does to the request; on every API and login request
ENTRY = web.RequestKey("ENTRY", RequestEntry)  # its place in the request log
RAW = web.RequestKey("RAW", bytes)  # its body
