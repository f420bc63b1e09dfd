"""The account of Ads Data Manager, from two stack parameters to one header."""

import pytest

from audience_sync.amazon_ads.data_manager.accounts import Account
from audience_sync.errors import InvalidSettings


@pytest.mark.parametrize(
    ("manager", "dsp", "header"),
    [
        pytest.param("amzn1.ads1.ma1.x", "", {"Amazon-Ads-Manager-Account-ID": "amzn1.ads1.ma1.x"}, id="manager"),
        pytest.param(" ", " ENTITY1 ", {"Amazon-Ads-AccountId": "ENTITY1"}, id="DSP, with white space"),
        pytest.param("", " ", None, id="none: no datasets"),
    ],
)
def test_each_kind_of_account_has_its_own_header(manager: str, dsp: str, header: dict[str, str] | None) -> None:
    account = Account.from_parameters(manager, dsp)
    assert (account and account.header) == header
    assert account is None or account.is_manager == bool(manager.strip())


@pytest.mark.parametrize(
    ("manager", "dsp", "named"),
    [
        pytest.param("a", "b", ["DataManagerAccountId", "DataManagerDspAccountId", "alone"], id="both"),
        pytest.param("my account", "", ["DataManagerAccountId", "copy it"], id="a space in it"),
        pytest.param("", "ENTITY1\r\nX: y", ["DataManagerDspAccountId", "copy it"], id="a second header in it"),
        pytest.param("", "ENTITYÄ", ["DataManagerDspAccountId"], id="a letter that no header carries"),
        pytest.param("a" * 257, "", ["DataManagerAccountId"], id="too long"),
    ],
)
def test_invalid_account_parameters_are_refused_by_name(manager: str, dsp: str, named: list[str]) -> None:
    with pytest.raises(InvalidSettings) as caught:
        Account.from_parameters(manager, dsp)
    assert all(word in str(caught.value) for word in named)
    assert "ENTITY" not in str(caught.value)
