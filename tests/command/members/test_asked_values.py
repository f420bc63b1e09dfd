"""Every form in which the stack may hold a value that a person is asked about by."""

import gzip
import json
import zlib
from base64 import b64encode, encodebytes, urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256

import pytest

from audience_sync.amazon_ads.normalize import identifier
from audience_sync_cli.members.asked_values import GOOGLE, LOWER_CASE, MADE, NORMALIZED, PLUS, Wanted, asked
from audience_sync_cli.stack.dead_event_text import MAX_TEXT, named_in

ADDRESS, NUMBER = "Ines.Alvarez@Example.com", "+1 206 555-0142"


EVENT = '{"userId":"web_77","traits":{"email":"Ines.Alvarez@example.com","phone":"+12065550142"}}'
FORMS: dict[str, Callable[[str], str]] = {
    "CSV": lambda _: "web_77;Ines.Alvarez@example.com|+1 206 555-0142",
    "XML": lambda _: "<id>web_77</id><to>mailto:ines.alvarez@example.com.</to><tel n='12065550142'/>",
    "a form": lambda _: "userId=web_77&email=ines.alvarez%40example.com&phone=%2B12065550142",
    "entities": lambda _: "web_77 ines.alvarez&#64;example.com &#43;12065550142",
    "base64": lambda text: b64encode(text.encode()).decode(),
    "base64 of a URL": lambda text: urlsafe_b64encode(f"??{text}>>".encode()).decode().rstrip("="),
    "base64 in lines": lambda text: encodebytes(text.encode()).decode(),
    "base64 in base64": lambda text: b64encode(b64encode(text.encode())).decode(),
    "UTF-16": lambda text: b64encode(text.encode("utf-16-le")).decode(),
    "another encoding": lambda text: b64encode(f"{text} José".encode("cp1252")).decode(),
    "gzip": lambda text: b64encode(gzip.compress(text.encode())).decode(),
    "zlib": lambda text: b64encode(zlib.compress(text.encode())).decode(),
    "hexadecimal": lambda text: text.encode().hex(),
    "percent in all": lambda text: "".join(f"%{each:02X}" for each in text.encode()),
}


TEXTS = {name: form(EVENT) for name, form in FORMS.items()}


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
        ("Ines Alvarez 1204567", "not an e-mail address, phone number, SHA-256 or external user id"),
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
        *(pytest.param(json.dumps({"M": text}), [1, 2, 3], id=f"{name} in JSON") for name, text in TEXTS.items()),
    ],
)
def test_a_value_is_found_in_the_text_of_an_event(text: str, lines: list[int]) -> None:
    assert Wanted(asked([ADDRESS, NUMBER, "web_77"], None)[0]).lines_in(named_in(text)) == lines


NO_TEXT = b64encode(bytes(range(256))).decode()


@pytest.mark.parametrize(
    ("body", "is_whole"),
    [
        pytest.param(b64encode(zlib.compress(b"x" * MAX_TEXT * 2)).decode(), False, id="a bomb"),
        pytest.param(NO_TEXT, False, id="no text in base64"),
        pytest.param(f'{{"data":"{NO_TEXT}"}}', False, id="in JSON"),
        pytest.param(f'{{"userId":"m1","Signature":"{"aB1" * 20}","M":"{"hello " * 20}"}}', True, id="a signature"),
        pytest.param("\n".join(f"personas_2nF7jK9xZq{number:04}" for number in range(99)), True, id="a list of ids"),
        pytest.param("\n".join(map(digest, "abc")), True, id="a list of hashes"),
        pytest.param("4f8c1d2e-1111-4222-8333-444455556666-4f8c1d2e-1111-4222", True, id="like a UUID"),
        pytest.param("", True, id="nothing"),
    ],
)
def test_an_event_of_which_most_is_not_text_is_not_whole(body: str, *, is_whole: bool) -> None:
    assert named_in(body).is_whole is is_whole
