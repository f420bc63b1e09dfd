"""Which records are sent next where Amazon refuses an upload."""

import pytest

from audience_sync.amazon_ads.bisection import SAMPLE_SIZE
from audience_sync.amazon_ads.destination import amc_connection
from audience_sync.amazon_ads.upload import Target
from audience_sync.delivery.bisect import Chunk, sample_first
from tests.support.builders import change, upload_of

TARGET = Target("1", amc_connection("connection-1", dsp=True))


def chunk(*numbers: int) -> Chunk:
    changes = [change(f"m{number}", audience_id="1") for number in numbers]
    return Chunk(upload_of(TARGET, *(b"%d" % number for number in numbers)), changes)


def numbers_in(each: Chunk) -> list[int]:
    assert [change.member[1] for change in each.changes] == [f"m{int(encoded)}" for encoded in each.upload.encoded]
    return [int(encoded) for encoded in each.upload.encoded]


def test_halves_keep_the_order_of_records_and_changes() -> None:
    first, second = chunk(0, 1, 2, 3, 4).halves()
    assert (numbers_in(first), numbers_in(second)) == ([0, 1], [2, 3, 4])
    assert first.upload.target == second.upload.target == TARGET


def test_an_evenly_spread_sample_of_single_records_is_sent_first() -> None:
    sent = [numbers_in(each) for each in reversed(sample_first([chunk(*range(10, 32)), chunk(*range(10))]))]
    assert sent[:SAMPLE_SIZE] == [[0], [4], [8], [12], [16], [20], [24], [28]]
    assert sent[SAMPLE_SIZE:] == [[number for number in range(32) if number % 4]]


@pytest.mark.parametrize("count", [1, 7, SAMPLE_SIZE])
def test_no_more_records_than_a_sample_are_sent_one_by_one(count: int) -> None:
    sent = sample_first([chunk(*range(count))])
    assert [numbers_in(each) for each in reversed(sent)] == [[number] for number in range(count)]
    assert {each.upload.target for each in sent} == {TARGET}


def test_a_sample_of_nothing_is_empty() -> None:
    assert sample_first([]) == []
