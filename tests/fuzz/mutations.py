"""Changes an input in one place: a value of its JSON, a header, or any byte.

Bytes changed at random are rarely JSON any more, and all that lies behind a parser would never be reached. So an input
that is JSON, or has JSON behind its headers, is mostly changed as a tree.
"""

import json
from random import Random
from typing import Any

TEXTS = (
    *("", " ", "\u0000", "\ud800", "\udfff\ud83d", "é", "ﷺ", "İ", "😀", "\u2028", "0", "-1", "1e400", "9" * 30, "true"),
    *("false", "null", "undefined", "NaN", "DENIED", "GRANTED", "US", "uk", "ZZ", "a@b.co", "+1 206 555 0142", "☎"),
    *("$.userId", "$.properties.email", "{{ userId }}", "{{{ a }}}", "$.", "[", "{", '{"a":1}', "x" * 300),
    *(
        "2026-03-04T09:15:22.118Z",
        "2026-03-04",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "20260304T09",
    ),
    *("418273650912345678", "lapsed_premium_buyers", "audience", "journey_step", "delete", "track", "identify"),
    *("Audience Entered", "Audience Exited", "CREATE", "DELETE", "der", "0000001709543722118#1#m", "#", "##"),
    *("ab" * 32, "AB" * 32, "2001:db8::1", "192.0.2.1", "fe80::1%x", "SUCCEEDED", "FAILED", "invalid_grant"),
)
NUMBERS = (
    *(0, -1, 1, 5, 2**31, 2**53 + 1, 2**63, 2**64, 10**15, 10**15 + 1, -(10**15), 10**30, 10**310, 10**4000),
    *(0.5, -0.0, 1e308, 5e-324, 1.0, float("nan"), float("inf"), float("-inf")),
)
HEADERS = (
    *("x-signature: valid", "x-signature: first", "x-signature: " + "0" * 40, "content-encoding: gzip"),
    *("authorization: Bearer event-key-for-the-tests-1", "x-api-key: event-key-for-the-tests-1", "authorization:"),
    *("authorization: Basic OmV2ZW50LWtleS1mb3ItdGhlLXRlc3RzLTE=", "authorization: Basic !", "x-api-key: \xe9\xff"),
    *("content-type: application/json", "content-type: text/plain", "content-type: application/json; charset=utf-7"),
    *("retry-after: 5", "retry-after: -1", "retry-after: Wed, 04 Mar 2026 09:15:22 GMT", "retry-after: \xb2"),
    *("retry-after: " + "9" * 400, "retry-after: Mon, 99 Foo 99999 99:99:99 +9999", "x-amzn-requestid: \x00 a@b.co"),
)
FIRST_LINES = tuple("200 202 204 302 400 401 403 404 408 413 425 429 500 501 502 503 504".split())


def changed(data: bytes, random: Random, max_size: int = 20_000) -> bytes:
    """Return an input like `data`, changed in one to four places."""
    for _ in range(random.randint(1, 4)):
        data = _changed_once(data, random)
    return data[:max_size]


def _changed_once(data: bytes, random: Random) -> bytes:
    head, gap, body = data.partition(b"\n\n")
    if not gap:
        return _json_or_bytes(data, random)
    if random.random() < 0.25:
        change = _json_or_bytes if head.startswith(b"{") else _head
        return change(head, random) + gap + body
    return head + gap + _json_or_bytes(body, random)


def _json_or_bytes(data: bytes, random: Random) -> bytes:
    """Change a value of the JSON, or any byte. What follows the JSON after a zero byte stays, as in a row."""
    text, zero, rest = data.partition(b"\0")
    if random.random() < 0.85:
        try:
            return _written(_tree(json.loads(text), random), random) + zero + rest
        except (ValueError, RecursionError):
            pass
    return _bytes(data, random)


def _head(head: bytes, random: Random) -> bytes:
    lines = head.split(b"\n")
    match random.randrange(4):
        case 0:
            lines[0] = random.choice(FIRST_LINES).encode()
        case 1 if len(lines) > 1:
            del lines[random.randrange(1, len(lines))]
        case 2:
            lines[random.randrange(len(lines))] = _bytes(random.choice(lines), random).replace(b"\n", b"")
        case _:
            lines.insert(random.randint(1, len(lines)), random.choice(HEADERS).encode("latin-1"))
    return b"\n".join(lines)


def _written(tree: Any, random: Random) -> bytes:
    is_ascii = random.random() < 0.7
    return json.dumps(tree, ensure_ascii=is_ascii, separators=(",", ":")).encode("utf-8", "replace")


def _tree(tree: Any, random: Random) -> Any:
    """Return the tree with one node changed."""
    if isinstance(tree, (dict, list)) and tree and random.random() < 0.85:
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        key = random.choice(keys)
        if isinstance(tree, dict) and random.random() < 0.05:
            return {random.choice(TEXTS) if name == key else name: value for name, value in tree.items()}
        tree[key] = _tree(tree[key], random)
        return tree
    if isinstance(tree, dict) and random.random() < 0.7:
        return _members(tree, random)
    if isinstance(tree, list) and random.random() < 0.7:
        return _items(tree, random)
    return _value(tree, random)


def _members(tree: dict[str, Any], random: Random) -> Any:
    if tree and random.random() < 0.5:
        tree.pop(random.choice(list(tree)))
    else:
        tree[random.choice([*TEXTS, *tree])] = _value(None, random)
    return tree


def _items(tree: list[Any], random: Random) -> Any:
    match random.randrange(4):
        case 0 if tree:
            tree.pop(random.randrange(len(tree)))
        case 1 if tree:
            return tree * random.randint(2, 3)
        case 2 if tree:
            tree.append(random.choice(tree))
        case _:
            tree.append(_value(None, random))
    return tree


def _value(old: Any, random: Random) -> Any:
    match random.randrange(10):
        case 0:
            return random.choice((None, True, False, [], {}))
        case 1 | 2:
            return random.choice(NUMBERS)
        case 3:
            return [old]
        case 4:
            return {random.choice(TEXTS): old}
        case 5 if isinstance(old, str) and old:
            cut = random.randrange(len(old))
            return old[:cut] + random.choice(TEXTS) + old[cut:]
        case 6 if isinstance(old, str):
            return old.swapcase() if random.random() < 0.5 else old[: len(old) // 2]
        case 7 if isinstance(old, int | float):
            return str(old)
        case _:
            return random.choice(TEXTS)


def _bytes(data: bytes, random: Random) -> bytes:
    at = random.randrange(len(data) + 1)
    match random.randrange(4):
        case 0 if data:
            return data[:at] + data[at + random.randint(1, 8) :]
        case 1:
            return data[:at] + random.randbytes(random.randint(1, 4)) + data[at:]
        case 2:
            return data[:at] + random.choice(TEXTS).encode("utf-8", "replace") + data[at:]
        case _:
            return data[:at] + data[:at][-16:] + data[at:]
