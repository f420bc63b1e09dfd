"""Says what has changed between two versions of an OpenAPI file, and whether it is sent or read here. Pure."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

type Json = dict[str, Any]
type Facts = dict[str, Any]  # such as {"type": "string", "maxLength": 128}
type Parts = dict[str, Facts]  # of an operation, such as `request.records[].action` and `header.Amazon-Ads-AccountId`
type Used = Mapping[str, Collection[str]]  # of each operation that is called, the parts that are used

_METHODS = ("get", "put", "post", "patch", "delete")
_FACTS = """type format enum pattern nullable deprecated minimum maximum minLength maxLength minItems maxItems
    uniqueItems""".split()
_BODIES = ("request", "answer", "error")
_NEW = "is new"


class Change(NamedTuple):
    """A change of one part of an operation."""

    operation: str
    part: str
    text: str
    use: str = ""  # empty if it is not used here

    @property
    def name(self) -> str:
        """The name of the part, without what it is in."""
        return self.operation if self.part == "operation" else f"`{self.part.rpartition('.')[2]}`"

    @property
    def sentence(self) -> str:
        """The change in words."""
        place, _, name = self.part.partition(".")
        subject = f"the {place} parameter `{name}`" if name and place not in _BODIES else f"`{name}` of the {place}"
        return f"{self.operation}: {subject if name else f'the {place}'} {self.text}; {self.use or 'not used here'}."


def operations(document: Json) -> dict[str, Parts]:
    """Return the parts of each operation, such as `POST /amc/audiences/records`.

    Raises:
        LookupError, TypeError, AttributeError: it is not OpenAPI 3, or refers to nothing.
    """
    schemas = document["components"]["schemas"]
    return {
        f"{method.upper()} {path}": _parts(operation, schemas)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in _METHODS
    }


def compared(parts: Parts, used: Collection[str] | None) -> Parts:
    """Return what is compared of an operation: what is used, and what lies beside it; little, if it is not called."""
    if used is None:
        return {"operation": parts["operation"]}
    return {part: facts for part, facts in parts.items() if "." not in part or _is_used(parent(part), used)}


def changes(pinned: Mapping[str, Parts], published: Mapping[str, Parts], used: Used) -> Iterator[Change]:
    """Yield the changes, in the order of their operations."""
    for operation in sorted(pinned.keys() | published.keys()):
        whole, mine = Change(operation, "operation", _NEW), used.get(operation)
        if operation not in pinned:
            yield whole
        elif operation not in published:
            yield whole._replace(text="is gone", use="" if mine is None else "sent here")
        else:
            old, new = (compared(version[operation], mine) for version in (pinned, published))
            for part in sorted(old.keys() | new.keys()):
                yield from _changes_of(whole._replace(part=part), old, new, mine)


def sentences(found: Collection[Change]) -> list[str]:
    """Write one sentence for each change, what is used here first, and one for all that is only new.

    A schema that several operations share changes in all of them at once: that is also one sentence.
    """
    alike: dict[tuple[str, str, str], list[Change]] = {}
    for each in sorted(found, key=lambda each: not each.use):
        alike.setdefault((each.name, each.text, each.use), []).append(each)
    lines = []
    for first, *others in alike.values():
        elsewhere = dict.fromkeys(each.operation for each in others if each.operation != first.operation)
        text = f"{first.text}, also in {', '.join(elsewhere)}" if elsewhere else first.text
        lines += [first._replace(text=text).sentence] * (first.text != _NEW)
    new = [name for name, text, _ in alike if text == _NEW]
    return lines + ([f"New, and not used here: {', '.join(new)}."] if new else [])


def parent(part: str) -> str:
    """Return the part around a part: `request.records` for `request.records[]`."""
    return re.sub(r"( media type|\.[^.\[{]+|\[\]|\{\})$", "", part)


def _changes_of(part: Change, old: Parts, new: Parts, used: Collection[str] | None) -> Iterator[Change]:
    name, around = part.part, parent(part.part)
    is_read = name.startswith(("answer", "error"))
    use = ("read here" if is_read else "sent here") if _is_used(name, used) else ""
    if name in old and name in new:
        for text in _differences(old[name], new[name]):
            yield part._replace(text=text, use=use)
    elif around != name and (around in old) != (around in new):
        return  # what it is in is new or gone, which says it all
    elif name in old:
        yield part._replace(text="is gone", use=use)
    elif new[name].get("required") and not is_read:
        yield part._replace(text="is new and required", use="not sent here yet, so Amazon will refuse the request")
    else:
        yield part


def _is_used(part: str, used: Collection[str] | None) -> bool:
    """Return whether a part is used, or a part in it. Some parts are used in every operation that is called."""
    if used is None or part.startswith("path.") or ("." not in part and part not in _BODIES):
        return used is not None
    return any(each == part or each.startswith((f"{part}.", f"{part}[", f"{part}{{")) for each in used)


def _differences(old: Facts, new: Facts) -> Iterator[str]:
    for fact in sorted(old.keys() | new.keys()):
        before, now = old.get(fact), new.get(fact)
        if before == now:
            continue
        if fact in ("required", "deprecated"):
            yield f"is {'now' if now else 'no longer'} {fact}"
        elif fact == "enum" and before and now:
            gone, added = ([each for each in one if each not in other] for one, other in ((before, now), (now, before)))
            told = {"no longer allows": gone, "now also allows": added}
            yield " and ".join(f"{verb} {', '.join(values)}" for verb, values in told.items() if values)
        else:
            yield f"has {fact} {now} instead of {before}"


def _parts(operation: Json, schemas: Json) -> Parts:
    parts: Parts = {"operation": {"deprecated": True} if operation.get("deprecated") else {}}
    for each in operation.get("parameters", ()):
        parts |= _fields(each["schema"], f"{each['in']}.{each['name']}", schemas, required=each.get("required", False))
    bodies = {"request": operation.get("requestBody", {})}
    for status, answer in operation["responses"].items():
        # Of errors, only those of a bad request have fields of their own that are read.
        bodies |= {"answer": answer} if status.startswith("2") else {"error": answer} if status == "400" else {}
    for place, body in bodies.items():
        if content := body.get("content"):
            parts[f"{place} media type"] = {"enum": sorted(content)}
            schema = content[min(content)]["schema"]  # of several versions, the oldest
            parts |= _fields(schema, place, schemas, required=body.get("required", False))
    return parts


def _fields(schema: Json, name: str, schemas: Json, inside: tuple[str, ...] = (), *, required: bool = False) -> Parts:
    """Return a schema and the fields in it, by name."""
    while reference := schema.get("$ref"):
        if reference in inside:
            return {}
        inside += (reference,)
        schema = schemas[reference.removeprefix("#/components/schemas/")]
    facts = {fact: schema[fact] for fact in _FACTS if fact in schema} | ({"required": True} if required else {})
    parts: Parts = {name: facts | ({"enum": sorted(facts["enum"])} if "enum" in facts else {})}
    for each in schema.get("allOf", ()):
        parts = _fields(each, name, schemas, inside) | parts
    for each in (*schema.get("oneOf", ()), *schema.get("anyOf", ())):
        parts = (
            _fields(each | {"required": ()}, name, schemas, inside) | parts
        )  # what only one of them needs is optional
    for field, inner in schema.get("properties", {}).items():
        parts |= _fields(inner, f"{name}.{field}", schemas, inside, required=field in schema.get("required", ()))
    for key, sign in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(schema.get(key), dict):
            parts |= _fields(schema[key], name + sign, schemas, inside)
    return parts
