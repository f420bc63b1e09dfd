"""Directives and events generated at random from a seed: mostly valid, some broken, values of every kind."""

import copy
import random
from typing import Any

NAMES = ["email", "first_name", "a", "b", "list", "deep", "missing", "0", "x y"]
TEXTS = [
    *(
        "",
        " ",
        "Ada",
        "LOVELACE",
        "straße",
        "İstanbul ΟΔΟΣ",
        "a.b,c",
        "+1 (555) 010-0199",
        "\ufb01t \u017f\u212a",
        "$&",
        "{{a}",
        "tab\t",
    ),
    *("true", "0", "42", "-1.5e3", '{"b":1,"1":[null,"x"]}', "[1,2", '"quoted"', "emoji 😀", "\u2028", "NaN", "$.a"),
]
NUMBERS = [0, 1, -1, 42, 1.0, -0.0, 0.1, 1.5, 1e21, 1e-7, 1.5e300, 5e-324, 123456789012, 100.25, 1e20, 1.25e-5, -2.5e25]
SCALARS: list[Any] = [*TEXTS, *NUMBERS, True, False, None]
PATTERNS = ["a", "A", ".", "(", "[", "\\", "^", "$", " ", "-", "ß", "s", "k", "é", "+1", "*", "|", "{", "\t", "e", "0"]
REPLACEMENTS = ["", "x", "$&", "$$", "<$&>", "$$&", "$1", "$", "long", "$0$&$"]


class Generator:
    """Generates cases from one seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def case(self) -> tuple[Any, dict[str, Any]]:
        """Return a directive and an event. One directive in eight is broken in one place."""
        directive = self._directive(depth=3)
        if self._random.random() < 0.125:
            directive = self._broken(directive)
        return directive, {name: self._value(3) for name in self._random.sample(NAMES, k=self._random.randint(3, 8))}

    def _pick(self, options: list[Any]) -> Any:
        return copy.deepcopy(self._random.choice(options))

    def _value(self, depth: int) -> Any:
        kind = self._random.random()
        if depth == 0 or kind < 0.55:
            return self._pick(SCALARS)
        if kind < 0.75:
            return [self._value(depth - 1) for _ in range(self._random.randint(0, 3))]
        return {self._pick(NAMES): self._value(depth - 1) for _ in range(self._random.randint(0, 3))}

    def _path(self) -> str:
        names = [self._pick(NAMES) for _ in range(self._random.choice([1, 1, 1, 2, 2, 3]))]
        text: str = names[0]
        for name in names[1:]:
            text += self._pick([f".{name}", f"['{name}']", f'["{name}"]', "[0]", "[1]", "[01]", ".0", f"..{name}"])
        if self._random.random() < 0.05:
            return str(
                self._pick(["$.", "", ".", "$", "$.$.a", "a.", "a]", "list[0", "'a'", "a.b.c.list.0.first_name"])
            )
        return f"{self._pick(['$.', '$.', '$.', ''])}{text}"

    def _template(self) -> str:
        pieces = [
            self._pick(
                [
                    f"{{{{ {self._path()} }}}}",
                    f"{{{{{{{self._path()}}}}}}}",
                    f"{{{{\u00a0{self._pick(NAMES)}}}}}",
                    "-",
                    "}",
                    "{",
                ]
            )
            for _ in range(self._random.randint(0, 3))
        ]
        return "".join(pieces)

    def _text(self, depth: int) -> Any:
        return self._directive(depth - 1) if self._random.random() < 0.9 else self._pick(TEXTS)

    def _any(self, depth: int) -> Any:
        kind = self._random.random()
        if kind < 0.7:
            return self._directive(depth - 1)
        return self._shape(depth - 1) if kind < 0.85 else self._value(1)

    def _shape(self, depth: int) -> Any:
        kind = self._random.random()
        if depth <= 0 or kind < 0.4:
            return self._directive(depth - 1)
        if kind < 0.6:
            return [self._any(depth - 1) for _ in range(self._random.randint(0, 3))]
        return {self._pick(NAMES): self._any(depth - 1) for _ in range(self._random.randint(0, 3))}

    def _object(self, depth: int) -> Any:
        return {self._pick(NAMES): self._any(depth - 1) for _ in range(self._random.randint(1, 3))}

    def _options(self, **options: Any) -> dict[str, Any]:
        """Leave some of the optional ones out: those that come as None."""
        return {name.rstrip("_"): value for name, value in options.items() if value is not None}

    def _directive(self, depth: int) -> Any:
        if depth <= 0:
            return self._pick([{"@path": self._path()}, {"@template": self._template()}, {"@path": self._path()}])
        make = self._random.choice(
            [
                *(self._plain, self._if, self._case_of, self._replace, self._list, self._json, self._merge),
                *(self._transform, self._flatten, self._without_null, self._computed_path),
            ]
        )
        directive: dict[str, Any] = make(depth)
        if self._random.random() < 0.03:
            directive["_metadata"] = {"label": "note"}
        return directive

    def _plain(self, depth: int) -> Any:
        return self._pick([{"@path": self._path()}, {"@template": self._template()}, {"@literal": self._any(depth)}])

    def _computed_path(self, depth: int) -> Any:
        inner = {"@literal": self._path()} if self._random.random() < 0.7 else self._directive(depth - 1)
        return {self._pick(["@path", "@template"]): inner}

    def _if(self, depth: int) -> Any:
        options = self._options(then=self._any(depth), else_=self._pick([None, self._any(depth)]))
        return {"@if": options | {self._pick(["exists", "blank"]): self._any(depth)}}

    def _case_of(self, depth: int) -> Any:
        return {"@case": {"operator": self._pick(["lower", "upper"]), "value": self._text(depth)}}

    def _replace(self, depth: int) -> Any:
        options = self._options(
            pattern=self._pick(PATTERNS),
            replacement=self._pick([None, *REPLACEMENTS]),
            value=self._text(depth),
            ignorecase=self._pick([None, None, False, True]),
            global_=self._pick([None, None, False, True]),
            pattern2=self._pick([None, None, "", *PATTERNS]),
        )
        return {"@replace": options}

    def _list(self, depth: int) -> Any:
        items = self._pick([self._path(), self._directive(depth - 1)])
        return {
            "@arrayPath": self._pick(
                [[items], [items, self._object(depth)], [items, self._directive(depth - 1)], [items, {}]]
            )
        }

    def _json(self, depth: int) -> Any:
        return {"@json": {"mode": self._pick(["encode", "decode"]), "value": self._any(depth)}}

    def _merge(self, depth: int) -> Any:
        objects = [
            self._pick([self._object(depth), self._directive(depth - 1)]) for _ in range(self._random.randint(0, 3))
        ]
        return {"@merge": {"objects": objects, "direction": self._pick(["left", "right"])}}

    def _transform(self, depth: int) -> Any:
        return {"@transform": {"apply": self._object(depth), "mapping": self._object(depth)}}

    def _flatten(self, depth: int) -> Any:
        options = self._options(separator=self._pick([".", "_", "::"]), omitArrays=self._pick([None, True, False]))
        return {"@flatten": options | {"value": self._any(depth)}}

    def _without_null(self, depth: int) -> Any:
        return {"@excludeWhenNull": self._any(depth)}

    def _broken(self, directive: Any) -> Any:
        """Break a directive in one place: a wrong value, a misspelt name, something added or left out."""
        holder, key = directive, next(iter(directive))
        while isinstance(holder[key], dict | list) and holder[key] and self._random.random() < 0.6:
            holder = holder[key]
            key = self._pick(list(holder) if isinstance(holder, dict) else list(range(len(holder))))
        fault = self._random.randint(0, 4)
        if fault == 0 or isinstance(holder, list):
            holder[key] = self._value(1)
        elif fault == 1:
            holder[f"{key}s"] = holder.pop(key)
        elif fault == 2:
            holder[self._pick(["@path", "@case", "extra", "mode"])] = self._value(1)
        elif fault == 3:
            del holder[key]
        else:
            holder[key] = {"@unknown": holder[key]}
        return directive
