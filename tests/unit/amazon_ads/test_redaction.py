"""Amazon's messages: what an operator needs of them is kept, and nothing that they may quote of a person."""

import re
import string
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from audience_sync.amazon_ads.redaction import _FIELDS, _WORDS, MAX_QUOTED, redact
from tests.support.sandbox_bodies import REFUSED_AUDIENCES, REFUSED_UPLOADS, Row

USEFUL = [
    "Unauthorized",
    "Too Many Requests",
    "Request Entity Too Large",
    "Audience is invalid",
    "Job not found",
    "invalid record",
    "STRING_VALUE can not be converted to a Long",
    "audienceId: value is out of range for a Long",
    "records must hold 1 to 10000 entries",
    "records[17].hashedPII[0].email is not the lowercase SHA-256 of a value",
    "Unsupported Media Type: application/vnd.amcaudiences.v1+json is required",
    "userConsent.consent.amzn holds an unknown value",
    "hashedPII must contain at most 100 objects.",
    "countryCode is not an accepted country",
    "Access denied: AMC terms are not accepted",
    "ValidationException: value is missing",
    "INVALID_PARAMETER_VALUE",
    "targetResource.connectionId is not a known connection",
    "targetResource: the audience belongs to an advertiser, not to a connection",
    "AMC terms have not been accepted by the authorizing user",
    "members[17].userIdentity.hashedPiis[0].zip must be a string",
    "Forbidden: Amazon-Ads-Manager-Account-ID is needed",
    "Not Acceptable: application/vnd.admAudiences.v1+json is the only type of this answer",
    "A dataset with this name already exists",
    "The account has no data room",
    "Forbidden: one of account_edit, advertiser_campaign_edit, ads_data_manager_edit is needed",
    "metadata must hold audienceMetadata, and nothing else",
]


@pytest.mark.parametrize("message", USEFUL)
def test_a_message_of_known_words_is_kept(message: str) -> None:
    assert redact(message) == message


@pytest.mark.parametrize(
    ("message", "redacted"),
    [
        pytest.param("<ada@example.com>: no such user", "… no such user", id="an e-mail address"),
        pytest.param("invalid value 'ada@example.com' in email", "invalid value … in email", id="an address in quotes"),
        pytest.param("from 2001:db8::77 or ::1", "from … or …", id="an IPv6 address"),
        pytest.param("phone (206) 555-0199 is invalid", "phone … is invalid", id="a phone number in parts"),
        pytest.param("phone 206 555 019 records", "phone …", id="a phone number that ends like a count"),
        pytest.param("firstname ADA, lastname Lovelace", "firstname … lastname …", id="names"),
        pytest.param("lastname ADA_LOVELACE or AdaLovelace", "lastname … or …", id="names written like codes"),
        pytest.param('{"email":"ada@example.com"} is invalid', "… is invalid", id="JSON"),
        pytest.param("member cust_123 of 371552318001631924", "member … of …", id="ids"),
        pytest.param("state[12] and phone.206.555", "… and …", id="a position where there is none"),
        pytest.param(
            "externalUserId does not match ^[0-9a-zA-Z\\-\\_]{1,128}$",
            "externalUserId does not match …",
            id="a pattern",
        ),
        pytest.param(
            "Value at 'records.17.member.externalUserId' failed to satisfy constraint",
            "Value at 'records.17.member.externalUserId' failed to satisfy constraint",
            id="a path with points",
        ),
        pytest.param(
            "/records/17/hashedPII/0/email: invalid", "/records/17/hashedPII/0/email: invalid", id="a pointer"
        ),
        pytest.param("two\n requests\x1f\t and more", "two requests and more", id="on one line"),
        pytest.param("value " * 100, ("value " * 100)[:MAX_QUOTED], id="cut"),
        pytest.param("", "", id="empty"),
    ],
)
def test_everything_but_known_words_is_redacted(message: str, redacted: str) -> None:
    assert redact(message) == redacted


@pytest.mark.parametrize("row", [*REFUSED_UPLOADS, *REFUSED_AUDIENCES], ids=lambda row: row[0])
def test_redaction_keeps_the_field_at_fault(row: Row) -> None:
    """What the simulator of Amazon's API refuses, it names like this."""
    _, _, named = row
    assert redact(named) == named


DIGITS = st.text("0123456789", min_size=5, max_size=14)
NAMES = st.sampled_from(
    "Ada Lovelace Müller Jean-Luc O'Brien MacDonald VAN_DER_BERG SMITH José 山田 Anne-Marie Nguyễn Rivera".split()
)
PHONES = st.one_of(
    DIGITS.map("+{}".format),
    st.builds("({}) {}-{}".format, *[st.integers(100, 999)] * 2, st.integers(1000, 9999)),
    st.lists(st.integers(10, 999).map(str), min_size=3, max_size=5).map(" ".join),
    st.lists(st.integers(100, 9999).map(str), min_size=3, max_size=4).map(".".join),
)
STREETS = st.builds("{} {} {}".format, st.integers(1, 9999), NAMES, st.sampled_from(["Street", "Ave.", "Lane", "ul."]))
TOKENS = st.text(string.ascii_letters + "0123456789-_", min_size=16, max_size=60).map(lambda text: f"9{text}")
PERSONAL = st.one_of(
    NAMES,
    st.builds("{} {}".format, NAMES, NAMES),
    PHONES,
    STREETS,
    st.emails(),
    st.ip_addresses().map(str),
    st.ip_addresses(v=6).map(lambda address: address.exploded),
    st.text("0123456789abcdef", min_size=64, max_size=64).map(lambda text: f"0{text[1:]}"),
    TOKENS,
    TOKENS.map("Bearer {}".format),
    TOKENS.map("Atza|{}".format),
    TOKENS.map("amzn1.oa2-cs.v1.{}".format),
    st.uuids().map(lambda each: f"amzn1.application-oa2-client.{each.hex}"),
)


def tokens(text: str) -> set[str]:
    """Words and numbers, those of paths and codes one by one."""
    return {token.lower() for token in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", text)}


COMMON = tokens(" ".join([*_WORDS, *_FIELDS]))


@settings(max_examples=300)
@given(
    value=PERSONAL, message=st.sampled_from(USEFUL), at=st.integers(0, 80), joined=st.sampled_from(["", " ", '"', "="])
)
@example(value="+12065550199", message=USEFUL[8], at=23, joined=" ")
@example(value="2001:db8::77", message=USEFUL[9], at=7, joined="")
def test_no_part_of_a_personal_value_survives_redaction(value: str, message: str, at: int, joined: str) -> None:
    quoted = redact(f"{message[:at]}{joined}{value}{joined}{message[at:]}")
    assert tokens(quoted) <= COMMON | tokens(message), quoted


@given(st.text(max_size=300))
def test_redaction_keeps_no_number_of_5_digits_and_no_unusual_sign(message: str) -> None:
    redacted = redact(message)
    assert redacted.replace("…", "").isascii()
    assert not re.search(r"@|\||\\|%|&|#|\d{5}", redacted.replace("10000", ""))
    assert redact(redacted) == redacted


@given(st.lists(st.sampled_from(["…", "12", "100 records", "Ada", "value", "1 to 100 entries", "555"]), max_size=12))
def test_redaction_keeps_a_number_only_before_a_counted_noun(chunks: list[str]) -> None:
    kept = redact(" ".join(chunks)).split()
    counted = {"records", "entries", "to"}
    assert all(after in counted for number, after in pairwise([*kept, ""]) if number.isdigit())
