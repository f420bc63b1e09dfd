"""Which bodies are read as JSON, by what their headers declare."""

import pytest

from audience_sync.json_input import is_json, parse_json


@pytest.mark.parametrize(
    "content_type",
    [
        pytest.param("application/json", id="no charset"),
        pytest.param('Application/JSON ; Charset = "Utf-8"', id="quoted, with spaces"),
        pytest.param("application/json; charset=utf8", id="without the hyphen"),
        pytest.param("application/vnd.segment+json; v=2; charset=utf-8", id="behind another parameter"),
    ],
)
def test_json_in_utf_8_is_accepted(content_type: str) -> None:
    assert is_json({"content-type": content_type})


@pytest.mark.parametrize(
    "content_type",
    [
        pytest.param("", id="nothing declared"),
        pytest.param("text/plain; charset=utf-8", id="not JSON"),
        pytest.param("application/json; charset=utf-7", id="UTF-7"),
        pytest.param("application/json; charset=utf-16le", id="UTF-16"),
        pytest.param('application/json; charset="X-UTF-8X"', id="a name that holds it"),
        pytest.param("application/json; charset=XUTF-8", id="a name that ends like it, in capitals"),
        pytest.param("application/json; charset=utf-7=utf-8", id="a second equals sign"),
        pytest.param("application/json; charset=utf-8; charset=utf-7", id="two charsets"),
        pytest.param("application/json; charset=utf-8, application/json; charset=utf-7", id="a header sent twice"),
    ],
)
def test_another_media_type_or_charset_is_refused(content_type: str) -> None:
    assert not is_json({"content-type": content_type})


def test_a_body_without_a_content_type_is_refused() -> None:
    assert not is_json({})


@pytest.mark.parametrize(
    ("encoding", "expected"), [("identity", True), (" Identity ", True), ("", True), ("gzip", False)]
)
def test_a_compressed_body_is_refused(encoding: str, expected: bool) -> None:
    assert is_json({"content-type": "application/json", "content-encoding": encoding}) is expected


def test_every_kind_of_json_value_is_parsed() -> None:
    assert parse_json('{"a": [1, 2.5, null, true, "é"]}') == {"a": [1, 2.5, None, True, "é"]}


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": -Infinity}', "", "{", "'a'"])
def test_nan_infinity_and_other_invalid_json_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)


def test_json_that_is_nested_too_deep_is_refused() -> None:
    with pytest.raises(RecursionError):
        parse_json("[" * 100_000)
