"""Which addresses may call the API."""

import pytest

from audience_sync.access.sources import AllowedSources
from audience_sync.errors import SourceNotAllowed

LISTED = "192.0.2.10, 198.51.100.0/24,2001:db8::/32 ,203.0.113.7/30"


@pytest.mark.parametrize(
    ("source", "is_allowed"),
    [
        pytest.param("192.0.2.10", True, id="an address"),
        pytest.param("192.0.2.11", False, id="the address beside it"),
        pytest.param("198.51.100.0", True, id="the first of a network"),
        pytest.param("198.51.100.255", True, id="the last of it"),
        pytest.param("198.51.101.0", False, id="the one behind it"),
        pytest.param("2001:db8::1", True, id="IPv6"),
        pytest.param("2001:db9::1", False, id="another of IPv6"),
        pytest.param("203.0.113.4", True, id="a network that is written with bits behind its prefix"),
        pytest.param("", False, id="none"),
        pytest.param("198.51.100.1, 192.0.2.10", False, id="a list"),
        pytest.param("localhost", False, id="a name"),
    ],
)
def test_an_address_is_allowed_if_it_is_listed_or_in_a_listed_network(source: str, is_allowed: bool) -> None:
    sources = AllowedSources(LISTED)
    if is_allowed:
        sources.require(source)
    else:
        with pytest.raises(SourceNotAllowed):
            sources.require(source)


@pytest.mark.parametrize("source", ["192.0.2.1", "2001:db8::1", "", "unknown"])
def test_an_empty_list_allows_every_source(source: str) -> None:
    AllowedSources().require(source)
    AllowedSources(" ").require(source)


@pytest.mark.parametrize("listed", ["192.0.2", "999.0.0.1", "192.0.2.0/33", "192.0.2.1,", "example.com"])
def test_a_list_with_an_invalid_address_is_refused(listed: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        AllowedSources(listed)
