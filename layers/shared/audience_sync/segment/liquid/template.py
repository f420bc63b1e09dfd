"""Compiles a template of @liquid: texts, outputs in {{ }}, and the tags in {% %} that Segment leaves enabled."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from audience_sync.segment.budget import Budget
from audience_sync.segment.directives.compiler import display
from audience_sync.segment.directives.values import MAX_TEXT, UNDEFINED
from audience_sync.segment.liquid.expressions import Expressions, LiquidFault, Scope, Test
from audience_sync.segment.liquid.values import WHITE_SPACE, TooLarge, is_true, written

MAX_LENGTH = 1_000  # characters; Segment's limit

STEPS_A_PART = 10  # to evaluate an operand, a filter or a tag

_DISABLED = ("case", "for", "include", "layout", "render", "tablerow")
_KNOWN = "assign, capture, comment, echo, if, raw and unless"
_ENDS = ("endif", "endunless", "endcapture", "endcomment", "endraw")
_TAG_NAME = re.compile(rf"[{WHITE_SPACE}]*(#|[\w?-]*)[{WHITE_SPACE}]*", re.ASCII)
_END_OF_RAW = re.compile(rf"\{{%[{WHITE_SPACE}]*endraw[{WHITE_SPACE}]*(-?)%\}}")
_QUOTED = re.compile(r""""(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+'""", re.DOTALL)

type Node = Callable[[Scope], str]


@dataclass(slots=True)
class _Token:
    """A piece of a template: text, output or tag. `start` and `end` are those of what it holds, behind a tag's name."""

    kind: str
    start: int
    end: int
    at: int = 0  # where the braces of an output or tag begin
    name: str = ""  # of a tag
    trims_left: bool = False
    trims_right: bool = False
    is_verbatim: bool = False  # text between raw and endraw


def compile_template(template: str) -> tuple[Callable[[Any, Budget], Any], int]:
    """Compile a template.

    Args:
        template: up to MAX_LENGTH characters.

    Returns:
        The function from an event to the rendered text, UNDEFINED where a text or list is too large; it raises
        RejectedEvent where the budget is used up. And the steps that it takes on any event.

    Raises:
        LiquidFault: the template has no plain meaning, or uses what Segment disables.
    """
    if len(template) > MAX_LENGTH:
        raise LiquidFault(f"over {MAX_LENGTH:,} characters, Segment's limit; shorten it", MAX_LENGTH)
    parser = _Parser(template)
    nodes = parser.nodes()

    def render(event: Any, budget: Budget) -> Any:
        try:
            return _rendered(nodes, Scope(event if isinstance(event, dict) else {}, budget))
        except TooLarge:
            return UNDEFINED

    return render, parser.parts * STEPS_A_PART


def _rendered(nodes: Iterable[Node], scope: Scope) -> str:
    texts: list[str] = []
    characters_left = MAX_TEXT
    for node in nodes:
        text = node(scope)
        if (characters_left := characters_left - len(text)) < 0:
            raise TooLarge
        texts.append(text)
    rendered = "".join(texts)
    scope.budget.spend_on_text(rendered)
    return rendered


class _Parser:
    """Recursive descent over the pieces; a template of 1,000 characters nests blocks some 80 deep."""

    def __init__(self, template: str) -> None:
        self._template = template
        self._tokens = _trimmed(template, _cut(template))
        self._next = 0
        self.parts = 0

    def nodes(self) -> list[Node]:
        nodes, end = self._block(())
        if end:
            raise LiquidFault(f"{{% {end.name} %}} without its beginning", end.at)
        return nodes

    def _block(self, ends: Sequence[str], opening: _Token | None = None) -> tuple[list[Node], _Token | None]:
        """Read up to one of the tags in `ends`, and return it; up to the end of the template where there are none."""
        nodes: list[Node] = []
        while self._next < len(self._tokens):
            token = self._tokens[self._next]
            self._next += 1
            if token.kind == "tag" and (token.name in ends or token.name in ("else", "elsif")):
                if token.name not in ends:
                    raise LiquidFault(f"{{% {token.name} %}} without its beginning", token.at)
                return nodes, token
            if node := self._node(token):
                nodes.append(node)
        if opening:
            raise LiquidFault(f"{{% {opening.name} %}} is not closed", opening.at)
        return nodes, None

    def _node(self, token: _Token) -> Node | None:
        """Read a piece, and all that belongs to it. None where it writes and does nothing."""
        self.parts += 1
        text = self._template[token.start : token.end]
        if token.kind == "text":
            return (lambda _: text) if text else None
        if token.kind == "output":
            return self._echo(token)
        reading = {
            "echo": self._echo,
            "assign": self._assign,
            "capture": self._capture,
            "if": self._if,
            "unless": self._if,
        }.get(token.name)
        if reading:
            return reading(token)
        if token.name == "comment":
            self._skip_comment(token)
            return None
        if token.name == "#" and "\n" not in text:
            return None
        why = "Segment disables it" if token.name in _DISABLED else f"unknown here; known are {_KNOWN}"
        if token.name in _ENDS:
            raise LiquidFault(f"{{% {token.name} %}} without its beginning", token.at)
        raise LiquidFault(f"tag {display(token.name)}: {why}", token.at)

    def _echo(self, token: _Token) -> Node:
        expressions = Expressions(self._template, token.start, token.end)
        value = self._counted(expressions, expressions.filtered())
        return lambda scope: written(value(scope), scope.budget)

    def _assign(self, token: _Token) -> Node:
        expressions = Expressions(self._template, token.start, token.end)
        name = expressions.name()
        expressions.expect("=")
        value = self._counted(expressions, expressions.filtered())

        def assign(scope: Scope) -> str:
            scope.assigned[name] = value(scope)
            return ""

        return assign

    def _capture(self, token: _Token) -> Node:
        expressions = Expressions(self._template, token.start, token.end)
        name = expressions.name()
        expressions.finish("the end after the name")
        nodes = self._closed_block(token, "endcapture")

        def capture(scope: Scope) -> str:
            scope.assigned[name] = _rendered(nodes, scope)
            return ""

        return capture

    def _if(self, token: _Token) -> Node:
        """Read the branches of if or unless; each has a test, that of else holds always."""
        end, branches = f"end{token.name}", list[tuple[Test, list[Node]]]()
        test, part = self._condition(token), token
        if token.name == "unless":
            test = _negated(test)
        while part.name != end:
            ends = (end,) if part.name == "else" else ("elsif", "else", end)
            nodes, following = self._block(ends, token)
            branches.append((test, nodes))
            part = following or token
            if part.name == "elsif":
                test = self._condition(part)
            elif part.start < part.end:
                raise LiquidFault(f"nothing may follow {part.name}", part.start)
            else:
                test = _always

        def choose(scope: Scope) -> str:
            for holds, nodes in branches:
                if holds(scope):
                    return _rendered(nodes, scope)
            return ""

        return choose

    def _skip_comment(self, token: _Token) -> None:
        while self._next < len(self._tokens):
            self._next += 1
            if self._tokens[self._next - 1].name == "endcomment":
                return
        raise LiquidFault("{% comment %} is not closed", token.at)

    def _closed_block(self, token: _Token, end: str) -> list[Node]:
        nodes, closing = self._block((end,), token)
        if closing and closing.start < closing.end:
            raise LiquidFault(f"nothing may follow {end}", closing.start)
        return nodes

    def _condition(self, token: _Token) -> Test:
        expressions = Expressions(self._template, token.start, token.end)
        return self._counted(expressions, expressions.condition())

    def _counted[Read](self, expressions: Expressions, read: Read) -> Read:
        self.parts += expressions.parts
        return read


def _always(_: Scope) -> bool:
    return True


def _negated(test: Test) -> Test:
    return lambda scope: not is_true(test(scope))


def _cut(template: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    while position < len(template):
        starts = [start for start in (template.find("{{", position), template.find("{%", position)) if start >= 0]
        start = min(starts, default=len(template))
        if start > position:
            tokens.append(_Token("text", position, start))
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
    """Return where the closing braces begin. A text in an output may contain braces, one in a tag may not."""
    start = position - 2
    while position < len(template):
        if template.startswith("%}" if is_tag else "}}", position):
            return position
        quoted = None if is_tag else _QUOTED.match(template, position)
        position = quoted.end() if quoted else position + 1
    raise LiquidFault("the tag is not closed with %}" if is_tag else "the output is not closed with }}", start)


def _delimited(template: str, start: int, end: int, *, is_tag: bool) -> _Token:
    at, trims_left = start - 2, template.startswith("-", start, end)
    start += trims_left
    trims_right = end > start and template[end - 1] == "-"
    end -= trims_right
    name = ""
    if is_tag:
        found = _TAG_NAME.match(template, start, end)
        if found is None or not found[1]:
            raise LiquidFault("give the name of a tag", at)
        name, start = found[1], found.end()
    while end > start and template[end - 1] in WHITE_SPACE:
        end -= 1
    return _Token("tag" if is_tag else "output", start, end, at, name, trims_left, trims_right)


def _cut_raw(template: str, raw: _Token, position: int, tokens: list[_Token]) -> int:
    """Read a text that is written as it is, and return where it ends. White space inside it stays."""
    end = _END_OF_RAW.search(template, position)
    if end is None or raw.start < raw.end:
        raise LiquidFault("{% raw %} is not closed with {% endraw %}", raw.at)
    if raw.trims_left:
        tokens.append(_Token("text", position, position, trims_left=True))
    tokens.append(_Token("text", position, end.start(), is_verbatim=True))
    if end[1]:
        tokens.append(_Token("text", position, position, trims_right=True))
    return end.end()


def _trimmed(template: str, tokens: list[_Token]) -> list[_Token]:
    """Take the white space out of texts beside a dash inside braces."""
    for before, token, after in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False):
        if token.trims_left and before and before.kind == "text" and not before.is_verbatim:
            while before.end > before.start and template[before.end - 1] in WHITE_SPACE:
                before.end -= 1
        if token.trims_right and after and after.kind == "text" and not after.is_verbatim:
            while after.start < after.end and template[after.start] in WHITE_SPACE:
                after.start += 1
    return tokens
