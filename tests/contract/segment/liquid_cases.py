"""Templates of @liquid and events, generated at random from a seed: all that is supported, on values of all kinds."""

import random
from typing import Any

NAMES = ["a", "b", "name", "list", "deep", "missing"]
TEXTS = ["", " ", "Ada", "LOVELACE", "straße", " a b  c ", "1", "12.5", "-3", "0x1f", "1e3", "a,b,,c,", "true", "é\n"]
NUMBERS = [0, 1, -1, 2, 10, 42, 1.0, -0.5, 0.1, 2.5, 1e21, 1e-7, 123456789012, 100.25, 1.005]
SCALARS: list[Any] = [*TEXTS, *NUMBERS, True, False, None]
LITERALS = ["true", "false", "nil", "null", "0", "1", "-2", "2.5", "''", '"Ada"', "'a'", "' '", "','", "'1'"]
OPERATORS = ["==", "!=", "<", ">", "<=", ">=", "contains"]
STEPS = [".name", ".x", "['a b']", '["x"]', "[0]", "[ 1 ]", "[-1]", ".first", ".last", ".size", ".0"]
OTHERS = ["{% comment %} {{ a }} {% endcomment %}", "{%- raw -%} {{ a }} {% endraw -%} ", "{% # no %}"]
NO_ARGUMENT = [
    *("downcase", "upcase", "capitalize", "strip", "lstrip", "rstrip", "strip_newlines", "squish", "size", "first"),
    *("last", "ceil", "floor", "abs", "round", "truncate", "join"),
]
ONE_ARGUMENT = [
    *("append", "prepend", "remove", "remove_first", "remove_last", "split", "join", "default", "plus", "minus"),
    *("times", "divided_by", "modulo", "round", "at_least", "at_most", "truncate", "slice", "strip"),
]
TWO_ARGUMENTS = ["replace", "replace_first", "replace_last", "slice", "truncate", "divided_by"]


class Generator:
    """Generates cases from one seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def case(self) -> tuple[str, dict[str, Any]]:
        event = {name: self._value(2) for name in self._random.sample(NAMES[:-1], k=self._random.randint(2, 5))}
        return self._block(2), event

    def _pick(self, options: list[Any]) -> Any:
        return self._random.choice(options)

    def _value(self, depth: int) -> Any:
        kind = self._random.random()
        if depth == 0 or kind < 0.6:
            return self._pick(SCALARS)
        if kind < 0.8:
            return [self._value(depth - 1) for _ in range(self._random.randint(0, 3))]
        return {self._pick(["name", "x", "a b"]): self._value(depth - 1) for _ in range(self._random.randint(0, 2))}

    def _operand(self) -> str:
        if self._random.random() < 0.35:
            return str(self._pick(LITERALS))
        path = str(self._pick(NAMES))
        while self._random.random() < 0.3:
            path += self._pick(STEPS)
        return path

    def _filtered(self) -> str:
        text = self._operand()
        while self._random.random() < 0.5:
            kind = self._random.random()
            if kind < 0.4:
                text += f" | {self._pick(NO_ARGUMENT)}"
            elif kind < 0.8:
                text += f" | {self._pick(ONE_ARGUMENT)}: {self._operand()}"
            else:
                text += f"|{self._pick(TWO_ARGUMENTS)}:{self._operand()} , {self._operand()}"
        return text

    def _test(self) -> str:
        text = self._operand()
        if self._random.random() < 0.8:
            text += f" {self._pick(OPERATORS)} {self._pick([self._operand(), self._operand(), 'empty', 'blank'])}"
        return f"not {text}" if self._random.random() < 0.1 else str(text)

    def _condition(self) -> str:
        word: str = self._pick([" and ", " or "])
        return word.join(self._test() for _ in range(self._pick([1, 1, 1, 2, 3])))

    def _block(self, depth: int) -> str:
        return "".join(self._piece(depth) for _ in range(self._random.randint(1, 3)))

    def _piece(self, depth: int) -> str:
        left, right = self._pick(["{%", "{%", "{%-"]), self._pick(["%}", "%}", "-%}"])
        kind = self._random.random()
        if kind < 0.25:
            return str(self._pick([" ", "-", " \n x ", "}", "{", "text"]))
        if kind < 0.6 or depth == 0:
            return f"{{{{{self._pick(['', '-'])} {self._filtered()} {self._pick(['', '-'])}}}}}"
        if kind < 0.7:
            return f"{left} assign {self._pick(NAMES)} = {self._filtered()} {right}"
        if kind < 0.75:
            return f"{left} capture {self._pick(NAMES)} {right}{self._block(depth - 1)}{left} endcapture {right}"
        if kind < 0.8:
            return str(self._pick(OTHERS))
        word = self._pick(["if", "if", "unless"])
        text = f"{left} {word} {self._condition()} {right}{self._block(depth - 1)}"
        if self._random.random() < 0.3:
            text += f"{left} elsif {self._condition()} {right}{self._block(depth - 1)}"
        if self._random.random() < 0.5:
            text += f"{left} else {right}{self._block(depth - 1)}"
        return f"{text}{left}end{word}{right}"
