"""A browser for tests: opens the consent page of Amazon's sandbox and presses Allow, or another button.

Also a command, for the environment variable BROWSER: `python tests/support/browser.py ADDRESS`.
"""

import sys
from html.parser import HTMLParser
from urllib.parse import urljoin

import requests


class _Form(HTMLParser):
    """Reads the first form of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = attributes["action"]
        elif tag == "input":
            self.fields[attributes["name"]] = attributes["value"]


def answer(address: str, button: str = "allow", *, follow: bool = True) -> requests.Response:
    """Open the page, press the button, and return the page that the browser ends at."""
    page = requests.get(address, timeout=10)
    form = _Form()
    form.feed(page.text)
    target = urljoin(address, form.action)
    return requests.post(target, data=form.fields | {"answer": button}, timeout=10, allow_redirects=follow)


if __name__ == "__main__":
    answer(sys.argv[1])
