"""Every form in which the stack may hold a value that a person is asked about by."""

import gzip
import json
import sys
from base64 import b64encode, b85encode, encodebytes, urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256

import pytest

from audience_sync.amazon_ads.normalize import identifier
from audience_sync_cli.members.asked_values import GOOGLE, LOWER_CASE, MADE, NORMALIZED, PLUS, Wanted, asked
from audience_sync_cli.stack.dead_event_text import MAX_NAMES, MAX_TEXT, named_in

ADDRESS, NUMBER = "Ines.Alvarez@Example.com", "+1 206 555-0142"


EVENT = '{"userId":"web_77","traits":{"email":"Ines.Alvarez@example.com","phone":"+12065550142"}}'
TEXTS = {
    "CSV": "web_77;Ines.Alvarez@example.com|+1 206 555-0142",
    "XML": "<id>web_77</id><to>mailto:ines.alvarez@example.com.</to><tel n='12065550142'/>",
    "wide characters": "web_77 ines.alvarez\uff20example.com \uff0b1\u00a0206\u00a0555\u00a00142",
    "apart": "web_77 ines.alvarez @ example.com 011 1_206\u2013555\u20130142",
    "a soft hyphen": "web_77 ines.al\u00advarez@example.com 1 (206) / 5 55 01 42",
    "a name of a field": '{"Ines.Alvarez@example.com":"web_77","12065550142":1}',
    "in an id": '["x-ines.alvarez@example.com/ines.alvarez@example.com","web_77","+12065550142"]',
}
NOT_TEXT: dict[str, Callable[[str], str]] = {
    "a form": lambda _: "userId=web_77&email=ines.alvarez%40example.com&phone=%2B12065550142",
    "entities": lambda _: "web_77 ines.alvarez&#64;example.com &#43;12065550142",
    "base64": lambda text: b64encode(text.encode()).decode(),
    "base64 of a URL": lambda text: urlsafe_b64encode(f"??{text}>>".encode()).decode().rstrip("="),
    "base64 in lines": lambda text: encodebytes(text.encode()).decode(),
    "base64 in a longer text": lambda text: f"{'one more line of text\n' * 99}{b64encode(text.encode()).decode()}",
    "UTF-16": lambda text: b64encode(text.encode("utf-16-le")).decode(),
    "UTF-16 as text": lambda text: text.encode("utf-16-le").decode("latin-1"),
    "gzip": lambda text: b64encode(gzip.compress(text.encode())).decode(),
    "hexadecimal": lambda text: text.encode().hex(),
    "a buffer of Node": lambda text: json.dumps({"type": "Buffer", "data": [*text.encode()]}),
    "quoted-printable": lambda text: text.replace("@", "=40"),
    "UTF-7": lambda text: text.encode().decode("latin-1").replace("@", "+AEA-"),
    "base85": lambda text: b85encode(text.encode()).decode(),
    "bytes apart": lambda text: text.encode().hex(" "),
    "an address for people": lambda text: text.replace("@", "(at)"),
    "an escape of Python": lambda text: text.replace("@", "\\x40"),
}


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("typed", "member", "stored", "form"),
    [
        (ADDRESS, "m1", identifier("email", " INES.alvarez@example.com ", None), NORMALIZED),
        pytest.param("sam+news@x.com", "m1", digest("samnews@x.com"), NORMALIZED, id="as Amazon reads a plus"),
        pytest.param("Sam+news@x.com", "m1", digest("sam+news@x.com"), LOWER_CASE, id="hashed by the sender"),
        pytest.param("In.es+a@gmail.com", "m1", digest("ines+a@gmail.com"), GOOGLE, id="without points"),
        pytest.param("In.es+a@googlemail.com", "m1", digest("ines@googlemail.com"), GOOGLE, id="nor the tag"),
        pytest.param("in.es@x.com", "m1", digest("ines@x.com"), None, id="not of other providers"),
        pytest.param(ADDRESS, digest(ADDRESS.lower()), "", MADE, id="an id by @sha256"),
        (NUMBER, "m1", identifier("phone", "(206) 555 0142", "US"), NORMALIZED),
        ("001 206 5550142", "m1", digest("12065550142"), NORMALIZED),
        ("206.555.0142", "m1", digest("12065550142"), NORMALIZED),
        ("(office) +1 206 555 0142 Durchwahl 12", "m1", digest("12065550142"), NORMALIZED),
        ("tel:+1\u2011206\u2011555\u20110142", "m1", digest("12065550142"), NORMALIZED),
        (NUMBER, "m1", digest("+12065550142"), PLUS),
        pytest.param("207 946 0958", "m1", digest("442079460958"), None, id="not tried with other countries"),
        pytest.param(NUMBER, "12065550142", "", MADE, id="the number as an id"),
        pytest.param("2065550142", "2065550142", "", NORMALIZED, id="a number, or an id"),
        (digest("x").upper(), "m1", digest("x"), NORMALIZED),
        (digest("x"), digest("x"), "", NORMALIZED),
        ("123456", "123456", "", NORMALIZED),
        ("web_77", "web_7", "", None),
    ],
)
def test_a_value_matches_in_each_form(typed: str, member: str, stored: str, form: str | None) -> None:
    values, refused = asked(["", f" {typed} ", "other"], "US")
    wanted = Wanted(values)
    wanted.compare(member, [(1, {"firstname": digest("ines")}), (1, {"email": stored})])
    found = [(name, each.line, each.form) for name, matches in wanted.found.items() for each in matches]
    assert (found, refused) == ([] if form is None else [(member, 2, form)], {})


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ("(206) 555-0142", "needs --country"),
        ("12065550142", "`audience-sync member show` finds an external user id"),
        ("+1 206 55501", "too short or too long"),
        ("ines@localhost", "not an e-mail address"),
        ("+1 206", "not an e-mail address, phone number, SHA-256 or external user id"),
        ("Ines Alvarez 1204567", "needs --country"),
        ("Ines Alvarez", "not an e-mail address, phone number, SHA-256 or external user id"),
        ("cust_1;ines.alvarez@example.com;+1 206 555 0142", "it holds 2 values; write one a line"),
        ("ines@example..com", "not an e-mail address"),
        ("cust;mail;phone", "not an e-mail address, phone number, SHA-256 or external user id"),
        ("ines@example.com " * 100, "longer than 1,000 characters"),
    ],
)
def test_an_unsearchable_value_is_refused_by_line_number_and_the_rest_are_read(typed: str, problem: str) -> None:
    values, refused = asked([typed, ADDRESS, "001 206 5550142"], None)
    assert ([*refused], [each.line for each in values]) == ([1], [2, 3])
    assert (problem in refused[1], typed in refused[1]) == (True, False)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('{"traits":{"email":"INES.ALVAREZ@example.com"}}', [1]),
        pytest.param('{"email":"ines.alvarez\\u0040example.com', [1], id="escaped, and not JSON"),
        pytest.param(r'{"M":"{\"email\":\"ines.alvarez\\u0040example.com\"}"}', [1], id="JSON in JSON"),
        ("<mailto:ines.alvarez@example.com>", [1]),
        (f'"{digest("ines.alvarez@example.com").upper()}"', [1]),
        ('{"phone":"(206) 555-0142"}', [2]),
        ('{"phone":12065550142,"email":"a@b.co"}', [2]),
        ('{"phone":"0012065550142"}', [2]),
        ('{"userId":"web_77","at":1709543722118}', [3]),
        ('{"userId":"web_777","email":"alvarez@example.com","phone":"555-01"}', []),
        pytest.param("a" * 200_000 + "1 " * 20_000, [], id="long"),
        *(pytest.param(text, [1, 2, 3], id=name) for name, text in TEXTS.items()),
        *(pytest.param(json.dumps({"M": text}), [1, 2, 3], id=f"{name}, in JSON") for name, text in TEXTS.items()),
    ],
)
def test_a_value_is_found_in_the_text_of_an_event(text: str, lines: list[int]) -> None:
    assert Wanted(asked([ADDRESS, NUMBER, "web_77"], None)[0]).lines_in(named_in(text)) == lines


@pytest.mark.parametrize("form", NOT_TEXT.values(), ids=[*NOT_TEXT])
def test_an_event_that_is_not_text_is_not_whole(form: Callable[[str], str]) -> None:
    assert not named_in(form(EVENT)).is_whole


@pytest.mark.parametrize("name", sorted(NOT_TEXT.keys() - {"base85", "bytes apart"}))  # words, in a string of JSON
def test_nor_is_json_with_a_string_that_is_not_text(name: str) -> None:
    form = NOT_TEXT[name]
    for body in (json.dumps({"M": form(EVENT)}), json.dumps(json.dumps({"M": form(EVENT)}))):
        assert not named_in(body).is_whole


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(EVENT, id="an event"),
        pytest.param(json.dumps({"M": json.dumps({"M": EVENT})}), id="an envelope"),
        pytest.param(f'{{"userId":"m1","Signature":"{"aB1" * 99}","Message":"hello"}}', id="a signature"),
        pytest.param('{"tcf":"CQBXc4AQBXc4AAfKABENBCgAAAAAAAAAAYgAAAAAAAA.f_gAAAAAAAA"}', id="a consent string"),
        pytest.param('{"url":"https://example.com/a-2024/Summer-Sale-of-2025/with-a-long-name?a=%20"}', id="a URL"),
        pytest.param('{"messageId":"personas_2nG4hUx7CeUd6AiYgFkU8lQnWzM"}', id="a message id"),
        pytest.param(json.dumps([*map(digest, "abc")]), id="a list of hashes"),
        pytest.param('["4f8c1d2e-1111-4222-8333-444455556666-4f8c1d2e-1111-4222"]', id="like a UUID"),
        pytest.param("<a>C:\\Users\\m1 &amp; \\u0041</a> ada@example.com", id="backslashes"),
        pytest.param('{"userId":"m1"', id="cut off"),
        pytest.param("cust;mail\n1;ada@example.com", id="CSV"),
    ],
)
def test_an_event_of_plain_text_is_whole(body: str) -> None:
    assert named_in(body).is_whole


def nested(levels: int) -> str:
    body = EVENT
    for _ in range(levels):
        body = json.dumps({"M": body})
    return body


HOSTILE: dict[str, Callable[[int], str]] = {  # as long as a number of characters
    "the digits of an entity": lambda size: "&#" + "6" * size,
    "backslashes": lambda size: "\\" * size,
    "backslashes in a string": lambda size: '"' + "\\" * size,
    "JSON in JSON": lambda size: nested(size.bit_length() - 7),
    "a compressed list of addresses": lambda size: b64encode(gzip.compress(b"@ " * size * 20)).decode(),
    "at signs": lambda size: "@ " * (size // 2),
    "addresses": lambda size: " ".join(f"{number:x}@b.co" for number in range(size // 10)),
    "digits": lambda size: "1 " * (size // 2),
    "quotation marks": lambda size: '"' + r"\"" * (size // 2),
    "percent signs": lambda size: "%25" * (size // 3),
    "accents": lambda size: "\u0301\u0316" * (size // 2),
    "brackets": lambda size: "[" * size,
    "spaces after a string": lambda size: ('"a"' + " " * 100) * (size // 100),
}


def lines_run(body: str) -> int:
    """Count the lines of Python that reading a body runs."""
    count = 0

    def trace(_frame: object, event: str, _argument: object) -> object:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        named_in.__wrapped__(body)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("body", HOSTILE.values(), ids=[*HOSTILE])
def test_a_message_of_twice_the_size_takes_twice_the_steps(body: Callable[[int], str]) -> None:
    """Whoever may write to the event queue could otherwise keep a search from ending."""
    once, twice = (lines_run(body(size)) for size in (20_000, 40_000))
    assert twice <= 2.2 * once + 1_000


@pytest.mark.parametrize("body", HOSTILE.values(), ids=[*HOSTILE])
def test_a_message_of_the_largest_size_ends(body: Callable[[int], str]) -> None:
    """In under a second each; with a quadratic expression, in an hour."""
    named_in(body(2**20))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(" ".join(f"{number:x}" for number in range(MAX_NAMES + 1)), id="too many words"),
        pytest.param("x" * (MAX_TEXT + 1), id="too many characters"),
    ],
)
def test_an_event_beyond_the_budget_is_not_whole(body: str) -> None:
    assert not named_in(body).is_whole


PASTED = [
    "Ines Alvarez <ines.alvarez@example.com>",
    '"Alvarez, Ines" <Ines.Alvarez@Example.com>',
    "mailto:ines.alvarez@example.com?subject=Data",
    "E-Mail: ines.alvarez@example.com",
    "cust_1001;ines.alvarez@example.com;Ines",
    "cust_1001,ines.alvarez@example.com,2024",
    "ines.alvarez@example.com (private)",
    "My address is ines.alvarez@example.com.",
    "Tel. +1 (206) 555-0142",
    "cust 1001 +1 206 555 0142",
    "1001;+1 206 555 0142;DE",
]


@pytest.mark.parametrize("typed", PASTED)
def test_of_a_pasted_line_the_one_value_in_it_is_searched(typed: str) -> None:
    (value,), refused = asked([typed], None)
    own = [digest("ines.alvarez@example.com"), digest("12065550142")]
    assert (refused, [each in value.digests for each in own].count(True), bool(value.part)) == ({}, 1, True)


@pytest.mark.parametrize(
    "typed",
    [
        *("ines.alvarez@example.com.", "<ines.alvarez@example.com>", "'ines.alvarez@example.com';"),
        "https://example.com/?email=ines.alvarez@example.com",
        *("email=ines.alvarez@example.com", "ines.alvarez@example.com/ines"),
        *("ines.alvarez @ example.com", "ines.alvarez\uff20example.com", "\u200bines.alvarez@example.com"),
    ],
)
def test_what_surrounds_a_value_is_left_out(typed: str) -> None:
    (value,), _ = asked([typed], None)
    assert (digest("ines.alvarez@example.com") in value.digests, value.part) == (True, "")
