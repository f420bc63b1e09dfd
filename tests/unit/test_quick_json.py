"""The quick reader and writer of JSON have the outcome of the standard library's, whatever they are given."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from audience_sync import quick_json
from audience_sync.json_input import parse_json
from audience_sync.quick_json import compact_json, read_json, read_json_in_parts

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None))
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
PIECES = [
    *'{}[],:"- \t\n\\0',
    '"a":',
    '"x"',
    "é",
    "\x00",
    "\ufeff",
    "true",
    "null",
    "NaN",
    "-Infinity",
    "-0",
    "1.5",
    "1e400",
]
LONGER = ["9" * 19, "9" * 40, "18446744073709551616", '"\\ud800"', '"\\ud83d\\ude00"', "[1]", '{"a":1,"a":2}']
_NUMBER = re.compile(r"[-+.0-9eE]+")  # 1e-05 can be written in several ways
TOKENS = st.sampled_from([*PIECES, *LONGER])


def outcome(parse: Any, body: bytes) -> str:
    """What a parser makes of a body, with types and the order of keys; or the kind of its refusal."""
    try:
        return repr(parse(body))
    except UnicodeDecodeError:
        return "not UTF-8"
    except (ValueError, RecursionError):
        return "refused"


def strict(body: bytes) -> Any:
    return parse_json(body.decode("utf-8"))


@given(st.lists(TOKENS, max_size=12).map(lambda tokens: "".join(tokens).encode()) | st.binary())
@example(b"[" * 1_030 + b"]" * 1_030)
@example(b"[" * 200_000)
@example(b'"\xed\xa0\x80"')
@example(b"")
def test_any_bytes_are_read_as_the_standard_library_reads_them(body: bytes) -> None:
    assert outcome(read_json, body) == outcome(strict, body)


@pytest.mark.parametrize("before", ["", "[", "[1,", '{"a":', "[\n", "[\t", "[\r", "[ ", "-", "[-"])
@pytest.mark.parametrize("digits", [str(2**63 - 1), str(2**63), str(2**63 + 1), str(2**64 - 1), str(2**64), "9" * 300])
def test_an_integer_beyond_64_bits_keeps_its_digits(before: str, digits: str) -> None:
    after = "}" if "{" in before else "]" if "[" in before else ""
    body = (before + digits + after).encode()
    assert outcome(read_json, body) == outcome(strict, body)
    assert digits in repr(read_json(body))


def test_strings_with_many_digits_stay_with_the_quick_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick_json, "parse_json", lambda _: pytest.fail("the slow reader was asked"))
    body = b'[{"messageId":"personas_in00000000000000000042","audienceId":"41827365091234567890"}]'
    assert read_json(body) == json.loads(body)


@given(VALUES)
@example({"a": float("nan")})
@example([1e-05, 1e22])
@example(["\ud800", "é", None, 2**64, 1e16])
def test_compact_json_is_ascii_and_reads_back_the_same(value: Any) -> None:
    text = compact_json(value)
    assert text.isascii()
    assert repr(json.loads(text)) == repr(json.loads(json.dumps(value)))
    assert len(_NUMBER.sub("0", text)) <= len(_NUMBER.sub("0", json.dumps(value, separators=(",", ":"))))


def put_together(body: bytes) -> Any:
    """The value of a body that is read in parts."""
    parts = list(read_json_in_parts(body))
    if not isinstance(parts[0], list):
        (value,) = parts
        return value
    return [element for part in parts for element in part]


@pytest.fixture(scope="module")
def short_parts() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quick_json, "PART", 20)
        yield


OBJECTS = st.dictionaries(st.sampled_from("abc"), VALUES | st.sampled_from(['},{"a":1', [{"a": 1}, {"a": 2}]]))


@pytest.mark.usefixtures("short_parts")
@given(st.lists(OBJECTS | VALUES), st.booleans())
def test_an_array_read_in_parts_equals_the_array_read_at_once(array: list[Any], ascii_only: bool) -> None:
    written = json.dumps(array, ensure_ascii=ascii_only, separators=(",", ":"))
    body = written.encode("utf-8", "surrogatepass")
    assert outcome(put_together, body) == outcome(strict, body)


OBJECT_PIECES = [
    '{"a":',
    '},{"a":',
    '{"a":1},',
    "[",
    "]",
    "{",
    "}",
    ",",
    "1",
    '"',
    '"x"',
    '\\"',
    "]}",
    " ",
    "NaN",
    "9" * 20,
]


@pytest.mark.usefixtures("short_parts")
@given(st.lists(st.sampled_from(OBJECT_PIECES), max_size=40).map(lambda pieces: '[{"a":' + "".join(pieces)))
@example('[{"a":[{"a":1},{"a":1},{"a":1},{"a":1},{"a":1},{"a":1},{"a":1},{"a":1}]},{"a":2}]')
@example('[{"a":"},{","b":"},{"},{"a":"},{"},{"a":"},{"a":"},{"a":"},{"a":"},{"a":"},{"a":"},{"a":"}]')
@example('[{"a":1}},{"a":1},{"a":1},{"a":1},{"a":1},{"a":1},{"a":1},{"a":1},{"a":1},{"a":1},{"a":1}]')
@example('[{"a":1},{"a":1},{"a":1},{"a":1},{"a":1},{"a":1},{"a":1},{"a":1},{"a":1},{"a":1},{"a":1}]]')
def test_text_like_an_array_of_objects_is_read_in_parts_as_at_once(text: str) -> None:
    assert outcome(put_together, text.encode()) == outcome(strict, text.encode())


@pytest.mark.usefixtures("short_parts")
@pytest.mark.parametrize(("count", "parts"), [(1, [1]), (5, [5]), (6, [3, 3]), (10, [3, 3, 4])])
def test_a_part_ends_with_the_object_that_fills_it_and_the_rest_is_not_small(count: int, parts: list[int]) -> None:
    body = json.dumps([{"a": 1}] * count, separators=(",", ":")).encode()
    assert [len(part) for part in read_json_in_parts(body)] == parts


def test_a_long_array_of_similar_objects_is_read_in_short_parts() -> None:
    objects = [{"a": number, "b": "x" * 1_000, "c": [{"d": 1}, {"d": 2}]} for number in range(1_000)]
    parts = list(read_json_in_parts(json.dumps(objects, separators=(",", ":")).encode()))
    assert [each for part in parts for each in part] == objects
    assert len(parts) > 25
    assert max(map(len, parts)) < 70


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda objects: json.dumps(objects, indent=1), id="with white space"),
        pytest.param(lambda objects: json.dumps([{"b": 1}, *objects], separators=(",", ":")), id="of various objects"),
        pytest.param(lambda objects: json.dumps({"a": objects}, separators=(",", ":")), id="inside an object"),
    ],
)
def test_any_other_long_body_is_read_in_one_piece(write: Callable[[Any], str]) -> None:
    body = write([{"a": "x" * 1_000}] * 200).encode()
    assert list(read_json_in_parts(body)) == [json.loads(body)]
