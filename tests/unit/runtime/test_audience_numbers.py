"""The numbers of an audience that are published again on the same day."""

import pytest

from audience_sync.runtime.audience_numbers import is_news
from audience_sync.runtime.metric_names import AUDIENCE_MATCH_RATE, AUDIENCE_PROCESSED, AUDIENCE_RECEIVED


@pytest.mark.parametrize(
    ("name", "before", "value", "expected"),
    [
        pytest.param(AUDIENCE_RECEIVED, None, 0, True, id="the first of the day, even 0"),
        pytest.param(AUDIENCE_RECEIVED, 0, 0, False, id="still empty"),
        pytest.param(AUDIENCE_RECEIVED, 1000, 1100, False, id="a tenth more"),
        pytest.param(AUDIENCE_RECEIVED, 1000, 1101, True, id="over a tenth more"),
        pytest.param(AUDIENCE_MATCH_RATE, 60.0, 53.9, True, id="over a tenth less"),
        pytest.param(AUDIENCE_PROCESSED, 100.0, 99.5, True, id="a job that rejected records"),
        pytest.param(AUDIENCE_PROCESSED, 50.0, 100.0, False, id="a better job"),
    ],
)
def test_a_number_is_published_again_if_it_has_changed(
    name: str, before: float | None, value: float, *, expected: bool
) -> None:
    assert is_news(name, value, before) is expected
