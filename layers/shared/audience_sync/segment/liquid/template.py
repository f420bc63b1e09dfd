"""Compiles a template of @liquid: text, outputs in {{ }}, and the tags in {% %} that Segment leaves enabled."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from audience_sync.segment.budget import Budget
from audience_sync.segment.directives.compiler import display
from audience_sync.segment.directives.values import MAX_TEXT, UNDEFINED
from audience_sync.segment.liquid.expressions import Expressions, LiquidFault, Scope, Test
from audience_sync.segment.liquid.tokens import LiquidToken, tokens_of
from audience_sync.segment.liquid.values import NIL, ValueMissing, ValueTooLarge, is_true, written

MAX_LENGTH = 1_000  # characters; Segment's limit

STEPS_A_PART = 10  # to evaluate an operand, a filter or a tag

_DISABLED = ("case", "for", "include", "layout", "render", "tablerow")
_KNOWN = "assign, capture, comment, echo, if, raw and unless"
_ENDS = ("endif", "endunless", "endcapture", "endcomment", "endraw")

type Node = Callable[[Scope], str]


def compile_template(template: str, *, needs_all: bool = False) -> tuple[Callable[[Any, Budget], Any], int]:
    """Compile a template.

    Args:
        template: up to MAX_LENGTH characters.
        needs_all: whether there is no value if an output is empty, or no output reads the event.

    Returns:
        A function from an event to the rendered string, UNDEFINED if a string or list is too large; it raises
        RejectedEvent if the budget is used up. And its fixed cost in steps.

    Raises:
        LiquidFault: the template is ambiguous, or uses a feature that Segment disables.
    """
    if len(template) > MAX_LENGTH:
        raise LiquidFault(f"over {MAX_LENGTH:,} characters, Segment's limit; shorten it", MAX_LENGTH)
    parser = _TemplateParser(template, needs_all=needs_all)
    nodes = parser.nodes()

    def render(event: Any, budget: Budget) -> Any:
        scope = Scope(event if isinstance(event, dict) else {}, budget)
        try:
            rendered = _rendered(nodes, scope)
        except (ValueTooLarge, ValueMissing):
            return UNDEFINED
        return rendered if scope.has_read or not needs_all else UNDEFINED

    return render, parser.parts * STEPS_A_PART


def _rendered(nodes: Iterable[Node], scope: Scope) -> str:
    texts: list[str] = []
    characters_left = MAX_TEXT
    for node in nodes:
        text = node(scope)
        if (characters_left := characters_left - len(text)) < 0:
            raise ValueTooLarge
        texts.append(text)
    rendered = "".join(texts)
    scope.budget.spend_on_text(rendered)
    return rendered


class _TemplateParser:
    """Recursive descent over the pieces; a template of 1,000 characters nests blocks some 80 deep."""

    def __init__(self, template: str, *, needs_all: bool) -> None:
        self._template = template
        self._needs_all = needs_all
        self._tokens = tokens_of(template)
        self._next = 0
        self.parts = 0

    def nodes(self) -> list[Node]:
        nodes, end = self._block(())
        if end:
            raise LiquidFault(f"{{% {end.name} %}} is out of place", end.at)
        return nodes

    def _block(self, ends: Sequence[str], opening: LiquidToken | None = None) -> tuple[list[Node], LiquidToken | None]:
        """Read up to one of the tags in `ends`, and return it; without any, up to the end of the template."""
        nodes: list[Node] = []
        while self._next < len(self._tokens):
            token = self._tokens[self._next]
            self._next += 1
            if token.kind == "tag" and (token.name in ends or token.name in ("else", "elsif")):
                if token.name not in ends:
                    raise LiquidFault(f"{{% {token.name} %}} is out of place", token.at)
                return nodes, token
            if node := self._node(token):
                nodes.append(node)
        if opening:
            raise LiquidFault(f"{{% {opening.name} %}} is not closed", opening.at)
        return nodes, None

    def _node(self, token: LiquidToken) -> Node | None:
        """Read a piece with its block. None if it has no effect."""
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
            raise LiquidFault(f"{{% {token.name} %}} is out of place", token.at)
        raise LiquidFault(f"tag {display(token.name)}: {why}", token.at)

    def _echo(self, token: LiquidToken) -> Node:
        expressions = Expressions(self._template, token.start, token.end, needs_all=self._needs_all)
        value = self._counted(expressions, expressions.filtered())
        if not self._needs_all:
            return lambda scope: written(value(scope), scope.budget)

        def write(scope: Scope) -> str:
            if text := written(value(scope), scope.budget):
                return text
            raise ValueMissing

        return write

    def _assign(self, token: LiquidToken) -> Node:
        expressions = Expressions(self._template, token.start, token.end, needs_all=self._needs_all)
        name = expressions.name()
        expressions.expect("=")
        value = self._counted(expressions, expressions.filtered())

        def assign(scope: Scope) -> str:
            scope.assigned[name] = value(scope)
            return ""

        return assign

    def _capture(self, token: LiquidToken) -> Node:
        expressions = Expressions(self._template, token.start, token.end)
        name = expressions.name()
        expressions.finish("the end after the name")
        nodes = self._closed_block(token, "endcapture")

        def capture(scope: Scope) -> str:
            try:
                scope.assigned[name] = _rendered(nodes, scope)
            except ValueMissing:
                scope.assigned[name] = NIL  # the gap counts if the variable is output
            return ""

        return capture

    def _if(self, token: LiquidToken) -> Node:
        """Read the branches of if or unless; each has a test, which always holds for else."""
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

    def _skip_comment(self, token: LiquidToken) -> None:
        while self._next < len(self._tokens):
            self._next += 1
            if self._tokens[self._next - 1].name == "endcomment":
                return
        raise LiquidFault("{% comment %} is not closed", token.at)

    def _closed_block(self, token: LiquidToken, end: str) -> list[Node]:
        nodes, closing = self._block((end,), token)
        if closing and closing.start < closing.end:
            raise LiquidFault(f"nothing may follow {end}", closing.start)
        return nodes

    def _condition(self, token: LiquidToken) -> Test:
        expressions = Expressions(self._template, token.start, token.end)
        return self._counted(expressions, expressions.condition())

    def _counted[Read](self, expressions: Expressions, read: Read) -> Read:
        self.parts += expressions.parts
        return read


def _always(_: Scope) -> bool:
    return True


def _negated(test: Test) -> Test:
    return lambda scope: not is_true(test(scope))
