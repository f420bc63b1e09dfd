"""Splits a template of @liquid into text, outputs in {{ }} and tags in {% %}, and strips white space."""

import re
from dataclasses import dataclass

from audience_sync.segment.directives.values import WHITE_SPACE
from audience_sync.segment.liquid.expressions import QUOTED, LiquidFault

_TAG_NAME = re.compile(rf"[{WHITE_SPACE}]*(#|[\w?-]*)[{WHITE_SPACE}]*", re.ASCII)
_END_OF_RAW = re.compile(rf"\{{%[{WHITE_SPACE}]*endraw[{WHITE_SPACE}]*(-?)%\}}")


@dataclass(slots=True)
class LiquidToken:
    """A piece of a template: text, output or tag. `start` and `end` bound its content, after a tag's name."""

    kind: str
    start: int
    end: int
    at: int = 0  # start of the braces of an output or tag
    name: str = ""  # of a tag
    trims_left: bool = False
    trims_right: bool = False
    is_verbatim: bool = False  # text between raw and endraw


def tokens_of(template: str) -> list[LiquidToken]:
    """Split a template into its pieces. Raises LiquidFault: an output, a tag or a raw block is not closed."""
    return _trimmed(template, _cut(template))


def _cut(template: str) -> list[LiquidToken]:
    tokens: list[LiquidToken] = []
    position = 0
    while position < len(template):
        starts = [start for start in (template.find("{{", position), template.find("{%", position)) if start >= 0]
        start = min(starts, default=len(template))
        if start > position:
            tokens.append(LiquidToken("text", position, start))
        if start == len(template):
            break
        is_tag = template[start + 1] == "%"
        end = _end_of(template, start + 2, is_tag=is_tag)
        tokens.append(_delimited(template, start + 2, end, is_tag=is_tag))
        position = end + 2
        if tokens[-1].name == "raw":
            raw = tokens.pop()
            position = _cut_raw(template, raw, position, tokens)
    return tokens


def _end_of(template: str, position: int, *, is_tag: bool) -> int:
    """Return the start of the closing braces. A string in an output may contain braces, one in a tag may not."""
    start = position - 2
    while position < len(template):
        if template.startswith("%}" if is_tag else "}}", position):
            return position
        quoted = None if is_tag else QUOTED.match(template, position)
        position = quoted.end() if quoted else position + 1
    raise LiquidFault("the tag is not closed with %}" if is_tag else "the output is not closed with }}", start)


def _delimited(template: str, start: int, end: int, *, is_tag: bool) -> LiquidToken:
    at, trims_left = start - 2, template.startswith("-", start, end)
    start += trims_left
    trims_right = end > start and template[end - 1] == "-"
    end -= trims_right
    name = ""
    if is_tag:
        found = _TAG_NAME.match(template, start, end)
        if found is None or not found[1]:
            raise LiquidFault("expected the name of a tag", at)
        name, start = found[1], found.end()
    while end > start and template[end - 1] in WHITE_SPACE:
        end -= 1
    return LiquidToken("tag" if is_tag else "output", start, end, at, name, trims_left, trims_right)


def _cut_raw(template: str, raw: LiquidToken, position: int, tokens: list[LiquidToken]) -> int:
    """Read a raw block, and return its end. White space inside it stays."""
    end = _END_OF_RAW.search(template, position)
    if end is None or raw.start < raw.end:
        raise LiquidFault("{% raw %} is not closed with {% endraw %}", raw.at)
    if raw.trims_left:
        tokens.append(LiquidToken("text", position, position, trims_left=True))
    tokens.append(LiquidToken("text", position, end.start(), is_verbatim=True))
    if end[1]:
        tokens.append(LiquidToken("text", position, position, trims_right=True))
    return end.end()


def _trimmed(template: str, tokens: list[LiquidToken]) -> list[LiquidToken]:
    """Strip the white space of text next to a dash inside braces."""
    for before, token, after in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False):
        if token.trims_left and before and before.kind == "text" and not before.is_verbatim:
            while before.end > before.start and template[before.end - 1] in WHITE_SPACE:
                before.end -= 1
        if token.trims_right and after and after.kind == "text" and not after.is_verbatim:
            while after.start < after.end and template[after.start] in WHITE_SPACE:
                after.start += 1
    return tokens
