"""Login with Amazon over HTTP: the consent page, on which a person allows or denies access, and the token endpoint."""

from html import escape
from pathlib import Path
from string import Template
from urllib.parse import parse_qsl, urlencode, urlsplit

from aiohttp import web

from local.amazon.exchange import EFFECT, RAW, SANDBOX
from local.amazon.lwa import SCOPES, LoginRefusal, read_form

_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")  # the only ones that may go without TLS
_HTML = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",  # with no-referrer, the form's own request would have the Origin null
}
_PAGE = Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))
_REFUSED = "<!doctype html><title>Sandbox of Login with Amazon</title><p>This request cannot be shown: {reason}.</p>"
_ASKED = ("client_id", "scope", "response_type", "redirect_uri", "state", "code_challenge", "code_challenge_method")


async def show_consent(request: web.Request) -> web.Response:
    """GET /ap/oa."""
    asked = _authorization_request(request, request.query_string)
    if isinstance(asked, web.Response):
        return asked
    fields = "\n".join(
        f'<input type="hidden" name="{name}" value="{escape(asked[name])}">' for name in _ASKED if name in asked
    )
    page = _PAGE.substitute(
        client=escape(asked["client_id"]),
        scopes="".join(f"<li>{escape(scope)}</li>" for scope in asked["scope"].split()),
        target=escape(urlsplit(asked["redirect_uri"]).netloc),
        fields=fields,
    )
    return web.Response(text=page, content_type="text/html", headers=_HTML)


async def answer_consent(request: web.Request) -> web.Response:
    """POST /ap/oa: the person's answer."""
    asked = _authorization_request(request, request[RAW].decode(errors="replace"))
    if isinstance(asked, web.Response):
        return asked
    if asked.get("answer") != "allow":
        return _redirect(asked, {"error": "access_denied", "error_description": "The user denied access"})
    sandbox = request.app[SANDBOX]
    code = sandbox.login.allow(
        asked["redirect_uri"],
        asked.get("code_challenge") or None,
        asked.get("code_challenge_method", "plain"),
        sandbox.clock(),
    )
    return _redirect(asked, {"code": code, "scope": asked["scope"]})


async def give_token(request: web.Request) -> web.Response:
    """POST /auth/o2/token: the form is in the body, so that secrets stay out of URLs and logs."""
    sandbox = request.app[SANDBOX]
    headers = {"Cache-Control": "no-store"}
    try:
        answer = sandbox.login.token(_token_form(request), request[EFFECT].token, sandbox.clock())
    except LoginRefusal as refusal:
        return web.json_response(refusal.answer, status=refusal.status, headers=headers)
    return web.json_response(answer, headers=headers)


def routes() -> list[web.RouteDef]:
    """Every path of the login."""
    return [
        web.get("/ap/oa", show_consent),
        web.post("/ap/oa", answer_consent),
        web.post("/auth/o2/token", give_token),
    ]


def _token_form(request: web.Request) -> dict[str, str]:
    if request.headers.get("Authorization", "").lower().startswith("bearer"):
        raise LoginRefusal("invalid_request", "The Authorization header must not carry a bearer token")
    if request.content_type != "application/x-www-form-urlencoded":
        raise LoginRefusal("invalid_request", "The body must be a form")
    return read_form(parse_qsl(request[RAW].decode(errors="replace"), keep_blank_values=True))


def _authorization_request(request: web.Request, form: str) -> dict[str, str] | web.Response:
    """Read the parameters. Reject on the page if a redirect would be unsafe, otherwise by redirect."""
    try:
        asked = read_form(parse_qsl(form, keep_blank_values=True))
    except LoginRefusal:
        return _refused_page("a parameter is repeated")
    if asked.get("client_id") != request.app[SANDBOX].login.client_id:
        return _refused_page("the client_id is unknown")
    target = urlsplit(asked.get("redirect_uri", ""))
    if not target.hostname or not (
        target.scheme == "https" or (target.scheme == "http" and target.hostname in _LOCAL_HOSTS)
    ):
        return _refused_page("the redirect_uri is not an HTTPS address")
    scopes = asked.get("scope", "").split()
    if asked.get("response_type") != "code":
        error, description = "unsupported_response_type", "Ask for a code"
    elif not scopes or not SCOPES.issuperset(scopes):
        error, description = "invalid_scope", "A scope is unknown or missing"
    elif asked.get("code_challenge_method", "plain") not in ("S256", "plain"):
        error, description = "invalid_request", "code_challenge_method"
    else:
        return asked
    return _redirect(asked, {"error": error, "error_description": description})


def _redirect(asked: dict[str, str], answer: dict[str, str]) -> web.Response:
    target = asked["redirect_uri"]
    state = {"state": asked["state"]} if "state" in asked else {}
    joint = "&" if urlsplit(target).query else "?"
    return web.Response(status=302, headers=_HTML | {"Location": target + joint + urlencode(answer | state)})


def _refused_page(reason: str) -> web.Response:
    return web.Response(status=400, text=_REFUSED.format(reason=reason), content_type="text/html", headers=_HTML)
