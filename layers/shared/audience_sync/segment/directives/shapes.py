"""@if, @literal, @arrayPath, @merge, @transform, @flatten and @excludeWhenNull: choosing and reshaping values."""

import json
from typing import Any

from audience_sync.segment.budget import ASCII_A_STEP, Budget
from audience_sync.segment.directives.compiler import NO_VALUE, CompileContext, Compiler, Reader
from audience_sync.segment.directives.paths import first_of_paths, path_reader
from audience_sync.segment.directives.values import (
    MAX_VALUES,
    UNDEFINED,
    ListValue,
    ObjectValue,
    Undefined,
    entries,
    is_absent,
    is_blank,
    is_small,
    is_truthy,
    materialize,
)

MAX_KEYS = 262_144  # characters of all keys that @flatten writes: each repeats its parents

_STEPS_IN_ANY_CASE = 6  # of a directive that walks lists and objects, besides finding them
_WEIGHT_OF_ITEMS = 2  # a step of the shape of an item, resolved again for each, takes longer than others
_STEPS_AN_ENTRY = 2  # to merge one entry of an object, list or string
_STEPS_TO_COPY = 10  # one value of an object under another key, or without its nulls

type Containers = tuple[type[dict[str, Any]] | type[list[Any]], ...]


def _literal(argument: Any, context: CompileContext) -> Reader:
    return context.read(argument)


def _if(argument: Any, context: CompileContext) -> Reader:
    options = context.options(argument, ("exists", "blank", "then", "else"))
    if not is_truthy(options.get("exists")) and not is_truthy(options.get("blank")):
        raise context.fault("neither exists nor blank has a value; give one of them a directive")
    test = "exists" if "exists" in options else "blank"
    is_false = _is_absent if test == "exists" else is_blank
    tested = (context / test).read(options[test])
    then = (context / "then").read_outcome(options["then"]) if "then" in options else NO_VALUE
    context.takes(_STEPS_IN_ANY_CASE if test == "blank" else 0)
    otherwise = (context / "else").read_outcome(options["else"]) if is_truthy(options.get("else")) else NO_VALUE
    if options.get("then", UNDEFINED) == options[test] and json.dumps(options["then"]) == json.dumps(options[test]):
        # A chain of "this path if it has a value" is the usual case: read each path once.
        if chain := first_of_paths(_paths_in_turn(options, test), is_false):
            return chain
        return lambda event, budget: (
            otherwise(event, budget) if is_false(value := tested(event, budget), budget) else value
        )
    return lambda event, budget: (
        otherwise(event, budget) if is_false(tested(event, budget), budget) else then(event, budget)
    )


def _paths_in_turn(options: dict[str, Any], test: str) -> list[str]:
    """Return the paths of "this one if it passes the test, else that one, else ..."; empty for any other form."""
    paths: list[str] = []
    while options.keys() == {test, "then", "else"} and options["then"] == options[test]:
        match options[test], options["else"]:
            case {"@path": str(path), **others}, {"@path": str(last), **others_of_last} if not others | others_of_last:
                return [*paths, path, last]
            case {"@path": str(path), **others}, {"@if": dict(inner), **others_of_inner} if (
                not others | others_of_inner
            ):
                paths.append(path)
                options = inner
            case _:
                break
    return []


def _is_absent(value: Any, _: Budget) -> bool:
    return is_absent(value)


def _array_path(argument: Any, context: CompileContext) -> Reader:
    if not isinstance(argument, list) or not 1 <= len(argument) <= 2:
        raise context.fault("not a list of a path and an optional shape of an item; give such a list")
    path = argument[0]
    read_list = path_reader(path, context / 0) if isinstance(path, str) else (context / 0).read_text(path)
    if len(argument) == 1 or argument[1] in ({}, None):
        return read_list
    if not isinstance(argument[1], dict):
        raise (context / 1).fault("the shape of an item is not an object; give an object or a directive")
    context.takes(_STEPS_IN_ANY_CASE)
    before = context.steps
    shape = (context / 1).read_outcome(argument[1])
    steps_an_item = _WEIGHT_OF_ITEMS * (context.steps - before)

    def read(event: Any, budget: Budget) -> Any:
        found = read_list(event, budget)
        if isinstance(found, dict):
            return ListValue([shape(found, budget)])
        if not isinstance(found, list):
            return found
        if len(found) > MAX_VALUES:
            return UNDEFINED
        budget.spend(len(found) * steps_an_item)
        return ListValue(shape(item, budget) for item in found)

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
    context.takes(_STEPS_IN_ANY_CASE)

    def read(event: Any, budget: Budget) -> ObjectValue:
        merged = ObjectValue()
        for reader in readers:
            value = reader(event, budget)
            if not isinstance(value, dict | list | str) or len(value) > MAX_VALUES:
                continue
            budget.spend(len(value) * _STEPS_AN_ENTRY)
            merged.update(value if isinstance(value, dict) else entries(value))
        return merged

    return read


def _transform(argument: Any, context: CompileContext) -> Reader:
    options = context.options(argument, ("apply", "mapping"), ("apply", "mapping"))
    apply = _object(options["apply"], context / "apply")
    mapping = _object(options["mapping"], context / "mapping")
    return lambda event, budget: mapping(materialize(apply(event, budget)), budget)


def _object(value: Any, context: CompileContext) -> Reader:
    if not isinstance(value, dict):
        raise context.fault("must be an object or a directive")
    return context.read(value)


def _flatten(argument: Any, context: CompileContext) -> Reader:
    options = context.options(argument, ("value", "separator", "omitArrays"), ("value", "separator"))
    separator = options["separator"]
    if not isinstance(separator, str) or not separator:
        raise (context / "separator").fault("must be a string of at least one character, such as _")
    (context / "separator").read(separator)
    omit_arrays = (context / "omitArrays").choice(options.get("omitArrays", False), (True, False))
    read_value = (context / "value").read(options["value"])
    context.takes(_STEPS_IN_ANY_CASE)
    containers: Containers = (dict,) if omit_arrays else (dict, list)

    def read(event: Any, budget: Budget) -> Any:
        value = read_value(event, budget)
        if not is_small(value, budget, steps=_STEPS_TO_COPY):
            return UNDEFINED
        return _flat(value, separator, containers, budget)

    return read


def _flat(value: Any, separator: str, containers: Containers, budget: Budget) -> ObjectValue | Undefined:
    """Map each leaf value to its joined keys, in JavaScript's order."""
    flat = ObjectValue()
    characters_left = MAX_KEYS
    waiting = [("", value)]  # next: the last
    while waiting:
        prefix, value = waiting.pop()
        if not isinstance(value, containers):
            flat[prefix] = value
            continue
        for key, inner in reversed(entries(value)):
            path = f"{prefix}{separator}{key}" if prefix else key
            budget.spend(len(path) // ASCII_A_STEP)
            if (characters_left := characters_left - len(path)) < 0:
                return UNDEFINED
            waiting.append((path, inner))
    return flat


def _exclude_when_null(argument: Any, context: CompileContext) -> Reader:
    read_value = context.read(argument)
    context.takes(_STEPS_IN_ANY_CASE)

    def read(event: Any, budget: Budget) -> Any:
        value = read_value(event, budget)
        if value is None:
            return UNDEFINED
        if not isinstance(value, dict):
            return value
        return _without_nulls(value) if is_small(value, budget, steps=_STEPS_TO_COPY) else UNDEFINED

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
