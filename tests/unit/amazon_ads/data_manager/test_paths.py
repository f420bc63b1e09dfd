"""Ids in the paths of Ads Data Manager."""

import pytest

from audience_sync.amazon_ads.data_manager.paths import in_path, metrics_of
from audience_sync.errors import InvalidRequest


def test_an_id_is_percent_encoded_as_one_path_segment() -> None:
    assert in_path("amzn1.adm:a/b?c#d ä") == "amzn1.adm%3Aa%2Fb%3Fc%23d%20%C3%A4"
    assert metrics_of("a/b") == "/adm/datasets/a%2Fb/metrics"


@pytest.mark.parametrize("value", ["", " ", ".", ".."])
def test_an_id_that_would_change_the_path_is_refused(value: str) -> None:
    with pytest.raises(InvalidRequest, match="blank"):
        in_path(value)
