"""Who may ask the dashboard: programs of this machine under its own name, and for its buttons the page alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync_cli.dashboard.access import is_from_page, is_own_host

FROM_PAGE = {"Host": "127.0.0.1:8080", "Origin": "http://127.0.0.1:8080", "Content-Type": "application/json"}


OWN = ["127.0.0.1", "127.0.0.1:8080", "localhost:1", "[::1]:8080", "LOCALHOST"]
OTHERS = [None, "", "rebound.example", "127.0.0.1.example", "localhost.example:80", "[", "user@127.0.0.1", "192.0.2.1"]


@pytest.mark.parametrize("host", [*OWN, *OTHERS])
def test_only_loopback_names_are_this_machine(host: str | None) -> None:
    assert is_own_host(host) is (host in OWN)


@given(st.text())
def test_any_text_as_a_host_raises_nothing(host: str) -> None:
    is_own_host(host)


def test_header_names_of_the_page_are_case_insensitive() -> None:
    assert is_from_page(FROM_PAGE)
    assert is_from_page({name.lower(): value for name, value in FROM_PAGE.items()})


@pytest.mark.parametrize(
    "header",
    [
        pytest.param({"Origin": "https://elsewhere.example"}, id="another site"),
        pytest.param({"Origin": "null"}, id="a page without an origin"),
        pytest.param({"Origin": "http://127.0.0.1:8081"}, id="another port of this machine"),
        pytest.param({"Origin": "https://127.0.0.1:8080"}, id="another scheme"),
        pytest.param({"Origin": "http://rebound.example", "Host": "rebound.example"}, id="a name that was rebound"),
        pytest.param({"Content-Type": "text/plain"}, id="a form, which needs no permission to be sent"),
        pytest.param({"Content-Type": ""}, id="no type"),
    ],
)
def test_requests_from_elsewhere_are_not_from_the_page(header: dict[str, str]) -> None:
    assert not is_from_page(FROM_PAGE | header)
