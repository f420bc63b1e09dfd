"""Every form in which the stack may hold a value that a person is asked about by."""

from hashlib import sha256

import pytest

from audience_sync.amazon_ads.normalize import identifier
from audience_sync_cli.members.asked_values import GOOGLE, LOWER_CASE, MADE, NORMALIZED, PLUS, Wanted, asked

ADDRESS, NUMBER = "Ines.Alvarez@Example.com", "+1 206 555-0142"


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
        ("Ines Alvarez", "not an e-mail address, phone number, SHA-256 or external user id"),
    ],
)
def test_an_unsearchable_value_is_refused_by_line_number_and_the_rest_are_read(typed: str, problem: str) -> None:
    values, refused = asked([typed, ADDRESS], None)
    assert ([*refused], [each.line for each in values]) == ([1], [2])
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
    ],
)
def test_a_value_is_found_in_the_text_of_an_event(text: str, lines: list[int]) -> None:
    assert Wanted(asked([ADDRESS, NUMBER, "web_77"], None)[0]).lines_in(text) == lines
