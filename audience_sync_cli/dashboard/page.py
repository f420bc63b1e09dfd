"""Builds the page from `assets/`, and its headers.

The page is one document, with its style and scripts inline, so that a browser sends one request. Its policy lists them
by digest and allows nothing else, so that no value on the page, such as a log line, can become markup or code.
"""

import base64
import hashlib
import re
from pathlib import Path

ASSETS = Path(__file__).parent / "assets"

HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept",
    "X-Content-Type-Options": "nosniff",
}


def build_page(local_part: str = "") -> str:
    """Return the whole document, with the local stack's own part. Reads the assets again, so a reload shows an edit."""
    page = (ASSETS / "page.html").read_text(encoding="utf-8").replace("  <!-- local part -->\n", local_part)
    page = re.sub(r'<link rel="stylesheet" href="([\w.]+)">', lambda found: _inline("style", found[1]), page)
    return re.sub(r'<script src="([\w.]+)"></script>', lambda found: _inline("script", found[1]), page)


def headers_of(page: str) -> dict[str, str]:
    """Return the headers of the document: no storing, no framing, and its policy."""
    return HEADERS | {"Content-Security-Policy": content_security_policy(page)}


def content_security_policy(page: str) -> str:
    """Allow the style and the scripts in the page, requests to its own origin, and nothing else."""
    return "; ".join(
        [
            "default-src 'none'",
            f"style-src {_digests('style', page)}",
            f"script-src {_digests('script', page)}",
            "connect-src 'self'",
            "img-src data:",  # the empty icon, which saves a request
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    )


def _inline(element: str, file: str) -> str:
    return f"<{element}>\n{(ASSETS / file).read_text(encoding='utf-8')}</{element}>"


def _digests(element: str, page: str) -> str:
    bodies = re.findall(rf"<{element}>(.*?)</{element}>", page, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(body.encode()).digest()).decode() for body in bodies]
    return " ".join(f"'sha256-{digest}'" for digest in digests)
