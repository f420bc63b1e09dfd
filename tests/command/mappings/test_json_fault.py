"""A file that is no JSON: the line, the column, what is wrong there, and the line with a caret below the fault."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync_cli.mappings.json_fault import SHOWN, JsonFault, read_json_text

FAULTS = [
    pytest.param('{"a": 1,\n}', 1, 8, "comma before the end", id="trailing comma in an object"),
    pytest.param('["a",\n "b",\n]', 2, 5, "comma before the end", id="trailing comma in a list"),
    pytest.param('{"a": 1},', 1, 9, "document ends before", id="comma after the document"),
    pytest.param("{'a': 1}", 1, 2, "single quotes", id="name in single quotes"),
    pytest.param("{\"a\": 'x'}", 1, 7, "single quotes", id="text in single quotes"),
    pytest.param("{“a”: 1}", 1, 2, "curly quotes", id="curly quotes"),
    pytest.param('{"a": 1, // why\n "b": 2}', 1, 10, "a comment", id="comment at the end of a line"),
    pytest.param('{\n  # why\n "a": 1}', 2, 3, "a comment", id="comment with #"),
    pytest.param('{"a": /* why */ 1}', 1, 7, "a comment", id="comment inside a line"),
    pytest.param('{"a": "x,\n "b": 2}', 1, 7, "quote is missing", id="no closing quote"),
    pytest.param('{"a": "x', 1, 7, "quote is missing", id="no closing quote at the end of the file"),
    pytest.param('{"a: "x"}', 1, 2, "name that begins here is not closed", id="no closing quote of a name"),
    pytest.param('{"a": x"}', 1, 7, "quote is missing", id="no opening quote"),
    pytest.param('{a": 1}', 1, 2, "quote is missing", id="no opening quote of a name"),
    pytest.param("{a: 1}", 1, 2, "quote is missing", id="name without quotes"),
    pytest.param('{"a": "say "hi" now"}', 1, 12, r"write \"", id="quote inside a text"),
    pytest.param('{"a": True}', 1, 7, "JSON writes true", id="True"),
    pytest.param('{"a": None}', 1, 7, "JSON writes null", id="None"),
    pytest.param('{"a": "x"\n "b": 1}', 1, 10, "comma is missing", id="no comma at the end of a line"),
    pytest.param("[1 2]", 1, 3, "comma is missing", id="no comma between values"),
    pytest.param('{"a" 1}', 1, 5, "colon is missing", id="no colon"),
    pytest.param("[1,,2]", 1, 4, "comma without a value", id="two commas"),
    pytest.param('{"a": }', 1, 7, "expected a value", id="no value"),
    pytest.param('{"a": *}', 1, 7, "not a JSON value", id="a sign that begins no value"),
    pytest.param('{"a": [1}', 1, 9, "found }, expected ]", id="the other bracket"),
    pytest.param('{"a": [1],\n "b": {"]": 2}', 2, 15, "the { of line 1 is not closed", id="no closing bracket"),
    pytest.param('{"a": {\n "b": 1\n', 2, 8, "the { of line 1 is not closed", id="two closing brackets missing"),
    pytest.param("[1] [2]", 1, 5, "one list", id="two documents"),
    pytest.param('{"a": "\\d"}', 1, 8, "two backslashes", id="an unknown escape"),
    pytest.param('{"a": "x\ty"}', 1, 9, "a tab", id="a tab inside a text"),
    pytest.param("", 1, 1, "empty", id="nothing"),
    pytest.param("[" * 100_000, 1, 1, "nested too deeply", id="nested too deeply"),
]


@pytest.mark.parametrize(("text", "line", "column", "part"), FAULTS)
def test_a_fault_is_found_where_a_person_has_to_look_and_explained(
    text: str, line: int, column: int, part: str
) -> None:
    fault = read_json_text(text)
    assert isinstance(fault, JsonFault)
    assert (fault.line, fault.column) == (line, column)
    assert part in fault.sentence


def test_the_caret_stands_below_the_fault() -> None:
    fault = read_json_text('{\n  "a": 1,\n  "b": \'x\'\n}')
    assert isinstance(fault, JsonFault)
    assert fault.excerpt == "  \"b\": 'x'\n       ^"


def test_of_a_long_line_only_the_surroundings_of_the_fault_are_shown() -> None:
    fault = read_json_text('{"a": "' + "x" * 500 + "\", 'b': \"" + "y" * 500 + '"}')
    assert isinstance(fault, JsonFault)
    line, caret = fault.excerpt.split("\n")
    assert len(line) == SHOWN + 2
    assert line[len(caret) - 1] == "'"


def test_a_byte_order_mark_is_passed_over() -> None:
    assert read_json_text("\ufeff[1]") == [1]


@given(st.text(alphabet="{}[]\",:' \n\\a1/#é\r\t“.-", max_size=40))
def test_what_python_reads_is_read_and_all_else_has_a_place_in_the_text(text: str) -> None:
    read = read_json_text(text)
    if isinstance(read, JsonFault):
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)
        lines = text.split("\n")
        assert 1 <= read.line <= len(lines)
        assert 1 <= read.column <= len(lines[read.line - 1]) + 1
        shown, caret = read.excerpt.split("\n")
        assert caret.strip() == "^"
        assert len(caret) <= len(shown) + 1
    else:
        assert read == json.loads(text)
