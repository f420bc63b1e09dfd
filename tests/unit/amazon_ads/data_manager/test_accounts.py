"""The account of Ads Data Manager, from one stack parameter to one header."""

import pytest

from audience_sync.amazon_ads.data_manager.accounts import Account
from audience_sync.errors import InvalidSettings


@pytest.mark.parametrize(
    ("value", "header"),
    [
        pytest.param("amzn1.ads1.ma1.x", {"Amazon-Ads-Manager-Account-ID": "amzn1.ads1.ma1.x"}, id="manager"),
        pytest.param(" ENTITY1 ", {"Amazon-Ads-AccountId": "ENTITY1"}, id="DSP, with white space"),
        pytest.param(" ", None, id="none: no datasets"),
    ],
)
def test_the_form_of_an_id_tells_the_kind_of_account_and_its_header(value: str, header: dict[str, str] | None) -> None:
    account = Account.from_parameter(value)
    assert (account and account.header) == header
    assert account is None or account.is_manager == ("ma1" in value)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("my account", id="a space in it"),
        pytest.param("ENTITY1\r\nX: y", id="a second header in it"),
        pytest.param("ENTITYÄ", id="a letter that no header carries"),
        pytest.param("a" * 257, id="too long"),
    ],
)
def test_an_invalid_account_is_refused_by_the_name_of_its_parameter(value: str) -> None:
    with pytest.raises(InvalidSettings, match="DataManagerAccountId is not an account id; copy it") as caught:
        Account.from_parameter(value)
    assert "ENTITY" not in str(caught.value)
