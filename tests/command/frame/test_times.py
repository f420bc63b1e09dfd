"""Times and ages, as the operator types them."""

import pytest

from audience_sync_cli.frame.errors import WrongUsage
from audience_sync_cli.frame.times import DAY, HOUR, MINUTE, read_time

NOW = 1_800_000_000.0  # 2027-01-15T08:00Z, epoch seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("90m", NOW - 90 * MINUTE, id="minutes ago"),
        pytest.param("12h", NOW - 12 * HOUR, id="hours ago"),
        pytest.param("3d", NOW - 3 * DAY, id="days ago"),
        pytest.param("2027-01-15T08:00Z", NOW, id="a time with its zone"),
        pytest.param("2027-01-15T08:00", NOW, id="a time without one is UTC"),
        pytest.param("2027-01-15T09:00+01:00", NOW, id="a time in another zone"),
        pytest.param("2027-01-15", NOW - 8 * HOUR, id="a day begins at midnight, UTC"),
    ],
)
def test_a_time_and_an_age_are_read_as_epoch_milliseconds(text: str, seconds: float) -> None:
    assert read_time(text, NOW) == seconds * 1000


@pytest.mark.parametrize("text", ["yesterday", "3w", "12:00", "-3h"])
def test_an_invalid_time_is_refused_and_an_empty_string_is_none(text: str) -> None:
    assert read_time("", NOW) is None
    with pytest.raises(WrongUsage):
        read_time(text, NOW)
