"""Records and cut_uploads, to the byte."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync.amazon_ads.advertiser_audiences.records import encode_record, frame_of, renamed
from audience_sync.amazon_ads.destination import amc_connection
from audience_sync.amazon_ads.ids import amazon_id, audience_id, external_user_id
from audience_sync.amazon_ads.upload import Target, UploadSize, cut_uploads, upload_ends
from audience_sync.errors import RejectedEvent
from tests.support.builders import change, upload_of


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("cust_48121", "cust_48121", id="letters, digits, underscore"),
        pytest.param("A-1", "A-1", id="dash"),
        pytest.param(2**60 + 1, "1152921504606846977", id="a number that a double cannot hold"),
        pytest.param("x" * 128, "x" * 128, id="128 characters"),
        pytest.param(10**128 - 1, "9" * 128, id="a number of 128 digits"),
    ],
)
def test_a_valid_member_id_is_kept(value: Any, expected: str) -> None:
    assert external_user_id(value) == expected


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(None, "member_id_missing", id="missing"),
        pytest.param("", "member_id_missing", id="empty"),
        pytest.param("ada@example.com", "member_id_invalid", id="an e-mail address"),
        pytest.param("+12065550142", "member_id_invalid", id="a phone number"),
        pytest.param("a\n", "member_id_invalid", id="a trailing newline"),
        pytest.param("١٢", "member_id_invalid", id="digits of another script"),
        pytest.param("x" * 129, "member_id_invalid", id="too long"),
        pytest.param(10**128, "member_id_invalid", id="a number of 129 digits"),
        pytest.param(True, "member_id_invalid", id="a boolean"),
        pytest.param(1.0, "member_id_invalid", id="a fraction"),
        pytest.param({}, "member_id_invalid", id="an object"),
    ],
)
def test_an_invalid_member_id_is_rejected_without_repeating_it(value: Any, reason: str) -> None:
    with pytest.raises(RejectedEvent) as caught:
        external_user_id(value)
    assert caught.value.reason == reason
    assert not value or str(value) not in caught.value.detail


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("413642381039213536", "413642381039213536", id="a text"),
        pytest.param(413642381039213536, "413642381039213536", id="a number"),
        pytest.param(" 41\n", "41", id="white space around it"),
        pytest.param("007", "7", id="zeros before it"),
        pytest.param("1", "1", id="the smallest"),
        pytest.param(str(2**64 - 1), "18446744073709551615", id="the largest"),
        pytest.param(str(2**64), None, id="too large"),
        pytest.param("0", None, id="zero"),
        pytest.param(1, "1", id="the smallest, as a number"),
        pytest.param(2**64 - 1, "18446744073709551615", id="the largest, as a number"),
        pytest.param(0, None, id="zero, as a number"),
        pytest.param(4.1e17, None, id="a float"),
        pytest.param(True, None, id="a boolean"),
        pytest.param("٤٢", None, id="digits of another script"),
        pytest.param("", None, id="empty"),
    ],
)
def test_an_amazon_id_is_1_to_20_exact_digits_below_2_to_the_64(value: Any, expected: str | None) -> None:
    assert amazon_id(value) == expected


def test_a_number_of_5_000_digits_is_refused_without_printing_it() -> None:
    number = 10**5_000  # Python refuses to print over 4,300 digits, and takes the square of their number in time
    with pytest.raises(RejectedEvent):
        external_user_id(number)
    assert amazon_id(number) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(7, "7", id="a number"),
        pytest.param(" 7 ", "7", id="digits"),
        pytest.param("adm-ds-7f3k", "adm-ds-7f3k", id="a dataset's id"),
        pytest.param("amzn1.adm.ds:1_2", "amzn1.adm.ds:1_2", id="a dataset's id with points"),
        pytest.param("0" * 21, None, id="too many digits"),
        pytest.param("a@example.com", None, id="an e-mail address"),
        pytest.param("a#1", None, id="a character that separates shards"),
        pytest.param("", None, id="nothing"),
        pytest.param(True, None, id="true"),
    ],
)
def test_an_audience_id_is_a_number_or_a_dataset_id(value: Any, expected: str | None) -> None:
    assert audience_id(value) == expected


def test_an_upload_has_exactly_these_bytes() -> None:
    entering = change("cust_1", "ab", country="US", consent={"consent": {"tcf": "x"}})
    target = Target("413642381039213536")
    (upload,) = cut_uploads(target, frame_of(target), [encode_record(entering)], UploadSize(10, 1000))
    assert upload.body() == (
        b'{"audienceId":413642381039213536,"records":[{"externalUserId":"cust_1","countryCode":"US",'
        b'"action":"CREATE","hashedPII":[{"email":"ab"}],"userConsent":{"consent":{"tcf":"x"}}}]}'
    )


def test_a_field_that_amazon_has_renamed_is_sent_under_its_new_name_wherever_it_stands() -> None:
    identities, consent = [{"email": "ab", "city": "cd"}], {"geo": {"countryCode": "US"}}
    record = {"countryCode": "US", "action": "CREATE", "hashedPII": identities, "userConsent": consent}
    assert renamed(record, {"email": "emailAddress", "countryCode": "country"}) == {
        "country": "US",
        "action": "CREATE",
        "hashedPII": [{"emailAddress": "ab", "city": "cd"}],
        "userConsent": {"geo": {"country": "US"}},
    }


def test_an_empty_consent_and_that_of_a_removal_are_left_out_of_a_record() -> None:
    leaving = change("m", exits=True, consent={"consent": {"tcf": "x"}})
    assert encode_record(leaving) == b'{"externalUserId":"m","action":"DELETE","hashedPII":[]}'
    assert encode_record(change("m")) == b'{"externalUserId":"m","action":"CREATE","hashedPII":[]}'


def test_non_ascii_characters_are_sent_as_utf_8() -> None:
    assert '"gpp":"é"'.encode() in encode_record(change("m", "ab", consent={"consent": {"gpp": "é"}}))


def test_halves_of_an_upload_keep_target_and_order() -> None:
    target = Target("1", amc_connection("c-1", dsp=True))
    first, second = upload_of(target, b"1", b"2", b"3", b"4", b"5").halves()
    assert (first, second) == (upload_of(target, b"1", b"2"), upload_of(target, b"3", b"4", b"5"))


def test_every_upload_names_its_connection() -> None:
    target = Target("1", amc_connection("c-1", dsp=True))
    (upload,) = cut_uploads(target, frame_of(target), [encode_record(change("m", exits=True))], UploadSize(1, 9))
    assert upload.body().endswith(b'],"targetResource":{"connectionId":"c-1","targetTypes":["DSP"]}}')


@pytest.mark.parametrize(
    ("below", "sizes"), [pytest.param(0, [3, 1], id="as it fits"), pytest.param(1, [2, 2], id="a byte less")]
)
def test_an_upload_holds_as_many_records_as_fit_to_the_byte(below: int, sizes: list[int]) -> None:
    encoded = [encode_record(change(f"m{number}", exits=True, country="US")) for number in range(4)]
    (three,) = cut_uploads(Target("1"), frame_of(Target("1")), encoded[:3], UploadSize(9, 10_000))
    chunks = cut_uploads(Target("1"), frame_of(Target("1")), encoded, UploadSize(9, len(three.body()) - below))
    assert [len(chunk.encoded) for chunk in chunks] == sizes


def test_upload_ends_respect_both_limits() -> None:
    frame = len(upload_of(Target("1")).body())
    fits = frame + 3 * 10 + 2  # three records of ten bytes, with commas
    assert list(upload_ends(frame_of(Target("1")), [10] * 7, UploadSize(9, fits))) == [3, 6, 7]
    assert list(upload_ends(frame_of(Target("1")), [10] * 7, UploadSize(2, fits))) == [2, 4, 6, 7]
    assert list(upload_ends(frame_of(Target("1")), [], UploadSize(2, fits))) == []


@given(st.lists(st.integers(0, 400), max_size=40), st.integers(1, 9), st.integers(60, 600))
def test_cutting_uploads_loses_and_repeats_no_record_and_respects_both_limits(
    sizes: list[int], max_records: int, max_bytes: int
) -> None:
    encoded = [json.dumps({"n": number, "fill": "x" * size}).encode() for number, size in enumerate(sizes)]
    chunks = list(cut_uploads(Target("1"), frame_of(Target("1")), encoded, UploadSize(max_records, max_bytes)))
    assert [record for chunk in chunks for record in chunk.encoded] == encoded
    assert all(len(chunk.encoded) <= max_records for chunk in chunks)
    assert all(len(chunk.body()) <= max_bytes or len(chunk.encoded) == 1 for chunk in chunks)
    for chunk in chunks:
        json.loads(chunk.body())
