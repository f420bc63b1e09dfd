"""Our @liquid against Segment's, with LiquidJS: generated cases, what Segment disables, the differences we chose."""

from functools import cache
from typing import Any, NamedTuple

from audience_sync.errors import InvalidMapping
from audience_sync.segment.liquid.filters import DISABLED, FILTERS
from audience_sync.segment.mapping import resolve
from tests.contract.segment.liquid_cases import Generator
from tests.support import node

SEED = 2026
CASES = 1_500


class Compared(NamedTuple):
    """One case with both outcomes: {"value": ...} or {"fault": ...} for a refusal."""

    template: str
    event: dict[str, Any]
    ours: dict[str, Any]
    theirs: dict[str, Any]

    @property
    def both_refuse(self) -> bool:
        return "fault" in self.ours and "fault" in self.theirs


def ours(template: str, event: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"value": resolve({"@liquid": template}, event)}
    except InvalidMapping as error:
        return {"fault": str(error)}


def compared(*cases: tuple[str, dict[str, Any]]) -> list[Compared]:
    theirs = node.run("liquid.cjs", cases)
    return [Compared(*case, ours(*case), their) for case, their in zip(cases, theirs, strict=True)]


@cache
def generated() -> list[Compared]:
    generator = Generator(SEED)
    return compared(*(generator.case() for _ in range(CASES)))


def is_explained(case: Compared) -> bool:
    """Whether a difference is one that we chose."""
    if "memory alloc limit" in case.theirs.get("fault", ""):
        return True  # theirs counts what a filter might allocate, ours what it does
    return "slice" in case.template  # numbers that are texts: LiquidJS joins them, "1" and 1 become 11


def test_generated_templates_have_segments_results() -> None:
    different = [case for case in generated() if case.ours != case.theirs and not case.both_refuse]
    assert [case for case in different if not is_explained(case)] == []
    assert len(different) <= CASES // 500


def test_most_generated_templates_compile_and_render_text() -> None:
    values = [case.ours["value"] for case in generated() if "value" in case.ours]
    assert len(values) > CASES * 0.8
    assert len({*values}) > CASES * 0.2


DISABLED_TAGS = ["case a", "for x in a", "include 'x'", "layout 'x'", "render 'x'", "tablerow x in a"]


def test_a_filter_that_segment_disables_is_refused_by_both() -> None:
    for case in compared(*((f"{{{{ a | {name}: 'x' }}}}", {"a": "b"}) for name in sorted(DISABLED))):
        assert "Segment disables it" in case.ours["fault"]
        assert "is disabled" in case.theirs["fault"]


def test_a_tag_that_segment_disables_is_refused_by_both() -> None:
    for case in compared(*((f"{{% {tag} %}}", {"a": "b"}) for tag in DISABLED_TAGS)):
        assert "Segment disables it" in case.ours["fault"]
        assert "is disabled" in case.theirs["fault"]


def test_more_than_a_thousand_characters_are_refused_by_both() -> None:
    longest, longer = compared(("x" * 1_000, {}), ("x" * 1_001, {}))
    assert longest.ours == longest.theirs == {"value": "x" * 1_000}
    assert "over 1,000 characters" in longer.ours["fault"]
    assert "1000 characters" in longer.theirs["fault"]


def test_every_filter_is_compared() -> None:
    used = " ".join(case.template for case in generated() if "value" in case.ours)
    assert [name for name in FILTERS if f"| {name}" not in used and f"|{name}" not in used] == []


REFUSED_HERE = [  # template, words of our refusal, Segment's value; None where it fails when an event comes
    ("{{ a | nope }}", "unknown here", "b"),
    ("{{ a | upcas }}", "did you mean upcase?", "b"),
    ("{{ a b }}", "expected a filter", "b"),
    ("{{ a == 'b' }}", "expected a filter", "true"),
    ("{{ a[list] }}", "brackets hold", ""),
    ("{% if a == 'b' | upcase %}x{% endif %}", "expected and, or", "x"),
    ("{% increment a %}", "unknown here", "0"),
    ("{{ 1234567890123456 }}", "15 digits", "1234567890123456"),
    ("{{ a | upcase: 1 }}", "takes no argument", "B"),
    ("{{ a | append }}", "takes one argument", None),
    ("{{ }}", "expected a value", None),
]
OTHER_VALUES: list[tuple[str, dict[str, Any], str, str]] = [  # template, event, our value, Segment's value
    ("{{ id }}", {"id": 2**60 + 1}, str(2**60 + 1), "1152921504606847000"),  # integers stay exact
    ("{{ a.length }}", {"a": "b"}, "", "1"),  # only what the event holds is reached
    ("{{ a | size }}", {"a": "\U0001f600"}, "1", "2"),  # a character beyond the basic plane is one
    ("{{ a | slice: '1' }}", {"a": [1, 2, 3]}, "2", "23"),  # a number that is a text counts as the number
]


def test_an_ambiguous_template_is_refused_here_although_segment_renders_it() -> None:
    cases = compared(*((template, {"a": "b"}) for template, _, _ in REFUSED_HERE))
    for case, (_, words, value) in zip(cases, REFUSED_HERE, strict=True):
        assert words in case.ours["fault"]
        assert case.theirs.get("value") == value, case.template


def test_documented_differences_from_segments_liquid_still_exist() -> None:
    cases = compared(*((template, event) for template, event, _, _ in OTHER_VALUES))
    for case, (_, _, value, theirs) in zip(cases, OTHER_VALUES, strict=True):
        assert (case.ours, case.theirs) == ({"value": value}, {"value": theirs})
