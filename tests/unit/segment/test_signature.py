"""X-Signature, checked on the bytes received."""

import hmac
import json
import re
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync.amazon_ads.advertiser_audiences.audience_settings import _CHANGEABLE, _FIXED
from audience_sync.segment.signature import EXTRA_NAMES, MAX_EVENT, is_signed, sign
from local.template import ROOT

SETUP = (ROOT / "docs/segment-setup.md").read_text(encoding="utf-8")
SECRET = "a-shared-secret-of-some-length"
EVENT = '{"type":"track","messageId":"m1","properties":{"x":1e-7,"y":2.0,"z":"\\u2028]}"}}'
EXTRAS = ',"advertiserId":"1","countryCode":"US"}'
OF_A_DATASET = ',"api":"data-manager","shares":[{"amcInstanceId":"amc1","marketplace":"DE"}],"idRetention":true}'
OTHER = '{"type":"track","messageId":"m2"}'


def signed(text: str, secret: str = SECRET) -> str:
    return sign(text.encode(), secret)


@pytest.mark.parametrize(
    ("body", "text", "first_event", "expected"),
    [
        pytest.param(EVENT, EVENT, False, True, id="a single event, whole"),
        pytest.param(f"[{EVENT},{OTHER}]", EVENT, False, False, id="an array, first event only: refused by default"),
        pytest.param(f"[{EVENT},{OTHER}]", EVENT, True, True, id="an array, first event only: accepted on request"),
        pytest.param(f"[{EVENT},{OTHER}]", OTHER, True, False, id="an array signed by its second event"),
        pytest.param(f'[{{"json":{EVENT}}}]', EVENT, True, True, id="an Extensible Webhook's array"),
        pytest.param(EVENT[:-1] + EXTRAS, EVENT, False, True, id="a single event with extras behind it"),
        pytest.param(EVENT[:-1] + OF_A_DATASET, EVENT, False, True, id="a single event with the extras of a dataset"),
        pytest.param(f"[{EVENT[:-1]}{EXTRAS},{OTHER}]", EVENT, True, True, id="an array with extras"),
        pytest.param(f"[{EVENT[:-1]}{EXTRAS},{OTHER}]", EVENT, False, False, id="an array with extras, by default"),
        pytest.param(EVENT[:-1] + ',"userId":"me"}', EVENT, False, False, id="an event field behind the signed text"),
        pytest.param(EVENT[:-1] + ',"email":"a@b.co"}', EVENT, False, False, id="a name that a mapping may read"),
        pytest.param(EVENT[:-1] + EXTRAS[:-1] + ',"x":1}', EVENT, False, False, id="any other name behind extras"),
        pytest.param(
            EVENT[:-1] + ',"properties":{}}', EVENT, False, False, id="a repeated field behind the signed text"
        ),
        pytest.param('{"ttl":1,"n":1,"ttl":2}', '{"ttl":1,"n":1}', False, False, id="a signed field repeated behind"),
        pytest.param(EVENT + " ", EVENT, False, False, id="a space more"),
        pytest.param('{"a":1,"ttl":1}', '{"a":1}', False, True, id="an event of one member, with an extra"),
        pytest.param('{ "a" : 1 ,  "ttl" : 1 } \n', '{ "a" : 1}', False, True, id="an event with white space anywhere"),
        pytest.param(EVENT[:-1] + EXTRAS + "\v", EVENT, False, False, id="an event, and white space that JSON has not"),
        pytest.param('{1:2,"ttl":1}', "{1:2}", False, False, id="a member whose name is no text"),
        pytest.param(
            f'[{{ "json":{EVENT}}}]', f'{{ "json":{EVENT}}}', True, True, id="an unusual array is not unwrapped"
        ),
        pytest.param('[{"json":1,"a":[{}]}]', '{"json":1,"a":[{}]}', True, True, id="an event with a field named json"),
        pytest.param('[{"json":[1]}]', "[1]", True, True, id="an Extensible Webhook's array of anything"),
        pytest.param("[]", EVENT, True, False, id="an empty array"),
        pytest.param("", EVENT, True, False, id="an empty body"),
    ],
)
def test_a_signature_covers_an_event_less_its_extras(body: str, text: str, first_event: bool, expected: bool) -> None:
    assert is_signed(body.encode(), signed(text), [SECRET], accept_first_event=first_event) is expected


@pytest.mark.parametrize(
    "signature",
    [
        pytest.param(None, id="missing"),
        pytest.param("", id="empty"),
        pytest.param("0" * 40, id="wrong"),
        pytest.param(signed(EVENT) + "," + signed(EVENT), id="sent twice"),
        pytest.param("é" * 40, id="not ASCII"),
        pytest.param("a" * 1_000_000, id="very long"),
        pytest.param(signed(EVENT)[:-1], id="cut off"),
    ],
)
def test_a_malformed_signature_is_refused(signature: str | None) -> None:
    assert not is_signed(EVENT.encode(), signature, [SECRET])


@pytest.mark.parametrize(
    ("signature", "secrets"),
    [
        pytest.param(signed(EVENT), [SECRET.encode()], id="a secret as bytes"),
        pytest.param(signed(EVENT, "previous"), [SECRET, "previous"], id="the previous secret"),
        pytest.param(f" {signed(EVENT)}\t", [SECRET], id="white space around it"),
        pytest.param(signed(EVENT).upper(), [SECRET], id="upper-case digits"),
    ],
)
def test_a_signature_may_have_white_space_capitals_or_the_previous_secret(
    signature: str, secrets: list[str | bytes]
) -> None:
    assert is_signed(EVENT.encode(), signature, secrets)
    assert not is_signed(f"[{EVENT},{OTHER}]".encode(), signature, secrets), "a batch by its first event, unasked"
    assert not is_signed(EVENT.encode(), sign(EVENT.encode(), ""), ["", b"", *secrets]), "an empty secret"


@pytest.mark.parametrize(("members", "expected"), [(1_000, True), (1_001, False)])
def test_extras_are_stripped_from_events_with_up_to_1_000_members(members: int, expected: bool) -> None:
    event = "{" + ",".join(f'"m{number}":1' for number in range(members - 1)) + "}"
    assert is_signed((event[:-1] + ',"ttl":1}').encode(), signed(event), [SECRET]) is expected


def test_each_extra_is_cut_off_once() -> None:
    each = "".join(f',"{name}":1' for name in sorted(EXTRA_NAMES))
    assert is_signed((EVENT[:-1] + each + "}").encode(), signed(EVENT), [SECRET])
    assert not is_signed((EVENT[:-1] + each + ',"ttl":1}').encode(), signed(EVENT), [SECRET])


def test_extra_names_match_the_audience_settings_and_the_setup_guide() -> None:
    section = SETUP.split("| extra | |\n")[1].split("\n\n")[0]
    documented = {name for row in section.splitlines()[1:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert documented == EXTRA_NAMES
    settings = {*_FIXED, *_CHANGEABLE} - {"name", "audienceName", "targetResource"}  # Segment's own, and Amazon's
    assert settings | {"computationKey", "api", "shares", "idRetention"} == EXTRA_NAMES


def event_of(size: int) -> str:
    """An event of this many bytes with its extras behind it."""
    return EVENT[:-1] + f',"n":"{"x" * (size - len(EVENT) - len(EXTRAS) - 6)}"' + EXTRAS


@pytest.mark.parametrize(("size", "expected"), [(MAX_EVENT, True), (MAX_EVENT + 1, False)])
def test_extras_are_stripped_from_events_of_up_to_128_kib(size: int, expected: bool) -> None:
    body = event_of(size)
    text = body.removesuffix(EXTRAS) + "}"
    assert len(body) == size
    assert is_signed(body.encode(), signed(text), [SECRET]) is expected
    assert is_signed(text.encode(), signed(text), [SECRET])


@pytest.mark.parametrize("rest", [OTHER, '{"a":"é"},' * 20_000 + OTHER, "é" * 100_000, f'"{"é" * 99_999}x"'])
def test_the_first_event_is_found_whatever_follows_it(rest: str) -> None:
    body = f"[{EVENT[:-1]}{EXTRAS},{rest}]"
    assert is_signed(body.encode(), signed(EVENT), [SECRET], accept_first_event=True)


@pytest.mark.parametrize(("size", "expected"), [(MAX_EVENT - 2, True), (MAX_EVENT, False)])
def test_the_first_event_of_an_array_has_at_most_128_kib(size: int, expected: bool) -> None:
    first = event_of(size)
    body = f"[{first},{OTHER}]".encode()
    assert is_signed(body, signed(first), [SECRET], accept_first_event=True) is expected


HOSTILE = [
    pytest.param(b'{"a":[' + b"[]," * 1_400_000 + b"[]]}", id="an object of lists"),
    pytest.param(b"[[" + b"1," * 2_000_000 + b"1]]", id="an array in an array"),
    pytest.param(b"[" + b" " * 4_000_000 + b"{}]", id="white space"),
    pytest.param(b"[" * 4_400_000, id="brackets"),
    pytest.param(b'{"a":"' + "é".encode() * 2_000_000 + b'"}', id="a long text"),
]


@pytest.mark.parametrize("body", HOSTILE)
def test_an_unsigned_large_body_is_never_parsed(body: bytes) -> None:
    tracemalloc.start()
    try:
        assert not is_signed(body, "0" * 40, [SECRET], accept_first_event=True)
        assert tracemalloc.get_traced_memory()[1] < 16 * MAX_EVENT  # bytes at the peak; parsing all would take 40 MB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("secrets", [[], ["", b""]])
def test_no_signature_is_computed_without_a_secret(secrets: list[str | bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audience_sync.segment.signature._signed_texts", None)  # calling it would raise
    assert not is_signed(EVENT.encode(), signed(EVENT), secrets)


def test_every_secret_is_tried_on_every_candidate_even_after_a_match(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = []
    compare = hmac.compare_digest

    def counted(ours: str, theirs: str) -> bool:
        digests.append(ours)
        return compare(ours, theirs)

    monkeypatch.setattr("hmac.compare_digest", counted)
    for secrets in ([SECRET, "previous"], ["previous", SECRET]):
        digests.clear()
        assert is_signed((EVENT[:-1] + EXTRAS).encode(), signed(EVENT), secrets)
        assert len(digests) == 2 * 3  # the whole, less one extra, less two: each with both secrets


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(json_values, min_size=1, max_size=4), st.booleans())
def test_the_first_element_of_any_array_is_cut_out_exactly(values: list[Any], ascii_only: bool) -> None:
    texts = [json.dumps(value, separators=(",", ":"), ensure_ascii=ascii_only) for value in values]
    body = f"[{','.join(texts)}]".encode("utf-8", "surrogatepass")
    first = texts[0].encode("utf-8", "surrogatepass")
    assert is_signed(body, sign(first, SECRET), [SECRET], accept_first_event=True)
