"""Access to the page: it acts with the operator's credentials, and browsers also open other pages.

The server listens on this machine only. Another site can still make the browser send a request here: under its own
name, if that resolves to 127.0.0.1 (DNS rebinding), or across origins. Both show in headers that a browser sends and no
page can set.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from audience_sync_cli.frame.stacks import LOOPBACK


def is_own_host(host: str | None) -> bool:
    """Return whether the header Host names this machine. Any other name would be an attacker's."""
    try:
        return "@" not in (host or "") and urlsplit(f"//{host or ''}").hostname in LOOPBACK
    except ValueError:  # such as "[", which is not a host
        return False


def is_from_page(headers: Mapping[str, str]) -> bool:
    """Return whether the page itself sent this request: changes are not accepted from other origins."""
    headers = {name.lower(): value for name, value in headers.items()}
    host, origin = headers.get("host"), headers.get("origin")
    # A form on another site cannot send JSON without a preflight request, which gets no answer here.
    is_json = headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"
    return is_own_host(host) and origin == f"http://{host}" and is_json
