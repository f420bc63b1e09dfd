"""Decides who may ask: the page acts with the operator's credentials, and a browser opens other pages, too.

The server listens on this machine only. Another site can still have the browser send a request here: under its own
name, if that name is made to mean 127.0.0.1 (DNS rebinding), or across origins. Both show in headers that a browser
sends and no page can set.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from audience_sync_cli.stack import LOOPBACK


def is_own_host(host: str | None) -> bool:
    """Whether the header Host names this machine. Another name for it would be an attacker's."""
    try:
        return urlsplit(f"//{host or ''}").hostname in LOOPBACK
    except ValueError:  # as of "[", which is no host
        return False


def is_from_page(headers: Mapping[str, str]) -> bool:
    """Whether the page itself sends this request: one that changes something must come from no other origin.

    Args:
        headers: of the request, under whatever case of their names.
    """
    headers = {name.lower(): value for name, value in headers.items()}
    host, origin = headers.get("host"), headers.get("origin")
    # A form of another site cannot send JSON without asking first, and nothing here answers that question.
    is_json = headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"
    return is_own_host(host) and origin == f"http://{host}" and is_json
