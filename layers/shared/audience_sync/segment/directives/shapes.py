"""@if, @literal, @arrayPath, @merge, @transform, @flatten and @excludeWhenNull: choosing and reshaping values."""

import json
from collections.abc import Iterator
from typing import Any

from audience_sync.segment.directives.compiler import NO_VALUE, CompileContext, Compiler, Reader
from audience_sync.segment.directives.paths import path_reader
from audience_sync.segment.directives.values import (
    MAX_TEXT,
    MAX_VALUES,
    UNDEFINED,
    ListValue,
    ObjectValue,
    entries,
    is_absent,
    is_blank,
    is_small,
    is_truthy,
    materialize,
)

type Containers = tuple[type[dict[str, Any]] | type[list[Any]], ...]


def _literal(argument: Any, context: CompileContext) -> Reader:
    return context.read(argument)


def _if(argument: Any, context: CompileContext) -> Reader:
    options = context.options(argument, ("exists", "blank", "then", "else"))
    if not is_truthy(options.get("exists")) and not is_truthy(options.get("blank")):
        raise context.fault("neither exists nor blank has a value; give one of them a directive")
    test = "exists" if "exists" in options else "blank"
    is_false = is_absent if test == "exists" else is_blank
    tested = (context / test).read(options[test])
    then = (context / "then").read(options["then"]) if "then" in options else NO_VALUE
    otherwise = (context / "else").read(options["else"]) if is_truthy(options.get("else")) else NO_VALUE
    if "then" in options and json.dumps(options["then"]) == json.dumps(options[test]):
        # "This value if there is one" is the usual case: read it once.
        return lambda event: otherwise(event) if is_false(value := tested(event)) else value
    return lambda event: otherwise(event) if is_false(tested(event)) else then(event)


def _array_path(argument: Any, context: CompileContext) -> Reader:
    if not isinstance(argument, list) or not 1 <= len(argument) <= 2:
        raise context.fault("not a list of a path and, where wanted, the shape of an item; give such a list")
    path = argument[0]
    read_list = path_reader(path, context / 0) if isinstance(path, str) else (context / 0).read_text(path)
    if len(argument) == 1 or argument[1] in ({}, None):
        return read_list
    if not isinstance(argument[1], dict):
        raise (context / 1).fault("the shape of an item is not an object; give an object or a directive")
    shape = (context / 1).read(argument[1])

    def read(event: Any) -> Any:
        found = read_list(event)
        if isinstance(found, dict):
            return ListValue([shape(found)])
        if not isinstance(found, list):
            return found
        return ListValue(map(shape, found)) if len(found) <= MAX_VALUES else UNDEFINED

    return read


def _merge(argument: Any, context: CompileContext) -> Reader:
    options = context.options(argument, ("objects", "direction"), ("objects", "direction"))
    direction = (context / "direction").choice(options["direction"], ("right", "left"))
    inner = context / "objects"
    if not isinstance(options["objects"], list):
        raise inner.fault("not a list; give a list of objects or directives")
    readers = [_object(value, inner / position) for position, value in enumerate(options["objects"])]
    if direction == "left":
        readers.reverse()

    def read(event: Any) -> ObjectValue:
        merged = ObjectValue()
        for reader in readers:
            value = reader(event)
            if isinstance(value, dict):
                merged.update(value)
            elif isinstance(value, list | str):
                merged.update(entries(value[:MAX_VALUES]))
        return merged

    return read


def _transform(argument: Any, context: CompileContext) -> Reader:
    options = context.options(argument, ("apply", "mapping"), ("apply", "mapping"))
    apply = _object(options["apply"], context / "apply")
    mapping = _object(options["mapping"], context / "mapping")
    return lambda event: mapping(materialize(apply(event)))


def _object(value: Any, context: CompileContext) -> Reader:
    if not isinstance(value, dict):
        raise context.fault("neither an object nor a directive; give one of them")
    return context.read(value)


def _flatten(argument: Any, context: CompileContext) -> Reader:
    options = context.options(argument, ("value", "separator", "omitArrays"), ("value", "separator"))
    separator = options["separator"]
    if not isinstance(separator, str) or not separator:
        raise (context / "separator").fault("not a text of at least one character; give one, such as _")
    (context / "separator").read(separator)
    omit_arrays = (context / "omitArrays").choice(options.get("omitArrays", False), (True, False))
    read_value = (context / "value").read(options["value"])
    containers: Containers = (dict,) if omit_arrays else (dict, list)

    def read(event: Any) -> Any:
        value = read_value(event)
        flat = ObjectValue()
        characters_left = MAX_TEXT * 8  # characters of all keys together: each repeats those above it
        if not is_small(value):
            return UNDEFINED
        for key, leaf in _leaves(value, "", separator, containers):
            if (characters_left := characters_left - len(key)) < 0:
                return UNDEFINED
            flat[key] = leaf
        return flat

    return read


def _leaves(value: Any, prefix: str, separator: str, containers: Containers) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, containers):
        yield prefix, value
        return
    for key, inner in entries(value):
        yield from _leaves(inner, f"{prefix}{separator}{key}" if prefix else key, separator, containers)


def _exclude_when_null(argument: Any, context: CompileContext) -> Reader:
    read_value = context.read(argument)

    def read(event: Any) -> Any:
        value = read_value(event)
        if value is None:
            return UNDEFINED
        if not isinstance(value, dict):
            return value
        return _without_nulls(value) if is_small(value) else UNDEFINED

    return read


def _without_nulls(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return ObjectValue((key, UNDEFINED if inner is None else _without_nulls(inner)) for key, inner in value.items())


SHAPES: dict[str, Compiler] = {
    "@if": _if,
    "@literal": _literal,
    "@arrayPath": _array_path,
    "@merge": _merge,
    "@transform": _transform,
    "@flatten": _flatten,
    "@excludeWhenNull": _exclude_when_null,
}
