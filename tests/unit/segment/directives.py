"""Directives of a mapping with their options in one line, for tables."""

from typing import Any

type Directive = dict[str, Any]


def case(operator: str, value: Any) -> Directive:
    return {"@case": {"operator": operator, "value": value}}


def replace(value: Any, pattern: Any, **options: Any) -> Directive:
    return {"@replace": {"value": value, "pattern": pattern, **options}}


def merge(direction: str, *objects: Any) -> Directive:
    return {"@merge": {"direction": direction, "objects": [*objects]}}


def encode(value: Any) -> Directive:
    return {"@json": {"mode": "encode", "value": value}}


def decode(value: Any) -> Directive:
    return {"@json": {"mode": "decode", "value": value}}


def flatten(value: Any, separator: str, **options: Any) -> Directive:
    return {"@flatten": {"value": value, "separator": separator, **options}}


def either(test: str, value: Any, then: Any, otherwise: Any) -> Directive:
    return {"@if": {test: value, "then": then, "else": otherwise}}


def transform(apply: Any, mapping: Any) -> Directive:
    return {"@transform": {"apply": apply, "mapping": mapping}}
