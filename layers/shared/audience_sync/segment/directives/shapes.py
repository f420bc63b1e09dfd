"""@if, @literal, @arrayPath, @merge, @transform, @flatten and @excludeWhenNull: choosing and reshaping values."""

import json
from collections.abc import Iterator
from typing import Any

from audience_sync.segment.directives.compiler import NOTHING, CompileContext, Compiler, Reader
from audience_sync.segment.directives.paths import path_reader
from audience_sync.segment.directives.values import (
    MAX_TEXT,
    MAX_VALUES,
    UNDEFINED,
    MadeList,
    ObjectValue,
    entries,
    is_absent,
    is_blank,
    is_small,
    is_truthy,
    materialize,
)

type Containers = tuple[type[dict[str, Any]] | type[list[Any]], ...]


def _literal(argument: Any, place: CompileContext) -> Reader:
    return place.read(argument)


def _if(argument: Any, place: CompileContext) -> Reader:
    options = place.options(argument, ("exists", "blank", "then", "else"))
    if not is_truthy(options.get("exists")) and not is_truthy(options.get("blank")):
        raise place.fault("neither exists nor blank has a value; give one of them a directive")
    test = "exists" if "exists" in options else "blank"
    fails = is_absent if test == "exists" else is_blank
    asked = (place / test).read(options[test])
    then = (place / "then").read(options["then"]) if "then" in options else NOTHING
    otherwise = (place / "else").read(options["else"]) if is_truthy(options.get("else")) else NOTHING
    if "then" in options and json.dumps(options["then"]) == json.dumps(options[test]):
        # "This value if there is one", the usual case: read it once.
        return lambda event: otherwise(event) if fails(value := asked(event)) else value
    return lambda event: otherwise(event) if fails(asked(event)) else then(event)


def _array_path(argument: Any, place: CompileContext) -> Reader:
    if not isinstance(argument, list) or not 1 <= len(argument) <= 2:
        raise place.fault("not a list of a path and, where wanted, the shape of an item; give such a list")
    path = argument[0]
    told = path_reader(path, place / 0) if isinstance(path, str) else (place / 0).read_text(path)
    if len(argument) == 1 or argument[1] in ({}, None):
        return told
    if not isinstance(argument[1], dict):
        raise (place / 1).fault("the shape of an item is not an object; give an object or a directive")
    shape = (place / 1).read(argument[1])

    def read(event: Any) -> Any:
        found = told(event)
        if isinstance(found, dict):
            return MadeList([shape(found)])
        if not isinstance(found, list):
            return found
        return MadeList(map(shape, found)) if len(found) <= MAX_VALUES else UNDEFINED

    return read


def _merge(argument: Any, place: CompileContext) -> Reader:
    options = place.options(argument, ("objects", "direction"), ("objects", "direction"))
    direction = (place / "direction").choice(options["direction"], ("right", "left"))
    inside = place / "objects"
    if not isinstance(options["objects"], list):
        raise inside.fault("not a list; give a list of objects or directives")
    readers = [_object(value, inside / position) for position, value in enumerate(options["objects"])]
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


def _transform(argument: Any, place: CompileContext) -> Reader:
    options = place.options(argument, ("apply", "mapping"), ("apply", "mapping"))
    apply = _object(options["apply"], place / "apply")
    mapping = _object(options["mapping"], place / "mapping")
    return lambda event: mapping(materialize(apply(event)))


def _object(value: Any, place: CompileContext) -> Reader:
    if not isinstance(value, dict):
        raise place.fault("neither an object nor a directive; give one of them")
    return place.read(value)


def _flatten(argument: Any, place: CompileContext) -> Reader:
    options = place.options(argument, ("value", "separator", "omitArrays"), ("value", "separator"))
    separator = options["separator"]
    if not isinstance(separator, str) or not separator:
        raise (place / "separator").fault("not a text of at least one character; give one, such as _")
    (place / "separator").read(separator)
    omit_arrays = (place / "omitArrays").choice(options.get("omitArrays", False), (True, False))
    told = (place / "value").read(options["value"])
    containers: Containers = (dict,) if omit_arrays else (dict, list)

    def read(event: Any) -> Any:
        value = told(event)
        flat = ObjectValue()
        room = MAX_TEXT * 8  # characters of all keys together: each repeats those above it
        if not is_small(value):
            return UNDEFINED
        for key, leaf in _leaves(value, "", separator, containers):
            if (room := room - len(key)) < 0:
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


def _exclude_when_null(argument: Any, place: CompileContext) -> Reader:
    told = place.read(argument)

    def read(event: Any) -> Any:
        value = told(event)
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
