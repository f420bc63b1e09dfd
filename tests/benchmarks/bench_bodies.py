"""What the slowest request bodies within the limits cost ingest: seconds of processor, and megabytes at the peak.

Run: .venv/bin/python tests/benchmarks/bench_bodies.py [part of a name ...]

Each body is read in a process of its own, after the check of a wrong signature, without a deadline. One core. Nothing
may take 2 seconds, also where 50 mappings apply to every event, with as many events as MAX_WORK lets through. Only what
one event may take of its own budget is not limited for all of them together: in Lambda, the deadline ends that.
"""

import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from audience_sync.amazon_ads.countries import NAMING_A_COUNTRY
from audience_sync.amazon_ads.normalization.phone import MAX_LENGTH as MAX_PHONE
from audience_sync.amazon_ads.normalize import COUNTRIES
from audience_sync.credentials import Keyring
from audience_sync.errors import AudienceSyncError
from audience_sync.fields import IDENTIFIERS
from audience_sync.intake import MAX_BODY, MAX_EVENTS, changes_from, compiled
from audience_sync.membership import Audience
from audience_sync.segment.mapping_config import DEFAULT_MAPPING
from audience_sync.translation import LONG_PHONE, MAX_WORK, STEPS_A_CHANGE, STEPS_A_PHONE_CHARACTER

NOW = 1_774_000_000_000  # epoch milliseconds
KEYRING = Keyring.from_json({"signingSecret": "one-signing-secret", "previousSigningSecret": "the-one-before-it"})
AUDIENCES = [Audience(str(1_000 + number), country="DE", computation_key="k") for number in range(1_000)]
SIZE = MAX_BODY - 20_000  # bytes; what a body is filled to


class Audiences:
    """A thousand audiences in memory; every id and key is that of the first one."""

    def by_id(self, _: str) -> Audience | None:
        return AUDIENCES[0]

    def by_computation_key(self, _: str) -> Sequence[Audience]:
        return AUDIENCES[:1]

    def all(self) -> Sequence[Audience]:
        return AUDIENCES


class Body(NamedTuple):
    """How a body is made, and the stored mappings, Segment's own where there are none."""

    make: Callable[[], bytes]
    mappings: str | None = None


def event(number: int, **traits: Any) -> dict[str, Any]:
    return {
        "type": "identify",
        "messageId": f"m{number}",
        "userId": f"u{number}",
        "traits": {"k": True, "amznUserData": "GRANTED", **traits},
        "context": {"personas": {"computation_class": "audience", "computation_key": "k"}},
    }


def events(one: Callable[[int], bytes], at_most: int = MAX_EVENTS) -> Body:
    """As many events as fit into a body, MAX_EVENTS at most."""

    def make() -> bytes:
        texts: list[bytes] = []
        left = SIZE
        while len(texts) < at_most and (left := left - len(text := one(len(texts))) - 1) > 0:
            texts.append(text)
        return b"[" + b",".join(texts) + b"]"

    return Body(make)


def encoded(value: Any, *, ascii_only: bool = False) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=ascii_only).encode()


def person(number: int, traits: dict[str, str]) -> bytes:
    """An event with these traits; # is the number of the event."""
    return encoded(event(number, **{name: value.replace("#", str(number)) for name, value in traits.items()}))


def people(**traits: str) -> Body:
    """As many events with these traits as there may be."""
    return events(lambda number: person(number, traits))


def all_match(traits: dict[str, str], *, by_country: bool = True) -> Body:
    """Events that 50 mappings read, each for a country of its own or all alike; as many as MAX_WORK lets through."""
    fields = {"external_user_id": {"@path": "$.userId"}, "amzn_user_data": "GRANTED"}
    fields |= {name: {"@path": f"$.traits.{trait}"} for name, trait in zip(NAMES, FIELDS, strict=True)}
    document = [
        {"name": code, "trigger": 'type = "identify"', "fields": fields | ({"country": code} if by_country else {})}
        for code in CODES[:50]
    ]
    stored = json.dumps(document)
    phone = min(len(traits.get("phone", "").replace("#", "999")), MAX_PHONE)
    steps = [STEPS_A_CHANGE + each.steps + each.steps_of_trigger for each in compiled(stored)]
    phones = STEPS_A_PHONE_CHARACTER * phone * len(steps) if phone > LONG_PHONE else 0
    return events(lambda number: person(number, traits), MAX_WORK // (sum(steps) + phones))._replace(mappings=stored)


def filled(before: bytes, unit: bytes, after: bytes) -> Body:
    """One text, repeated between two others."""
    return Body(lambda: before + unit * ((SIZE - len(before) - len(after)) // len(unit)) + after)


def large(unit: bytes, *, around: tuple[bytes, bytes] = (b"[", b"1]"), message_id: bytes = b'"m1"') -> Body:
    """One event with a large value beside its fields."""
    start = encoded(event(1)).replace(b'"m1"', message_id)[:-1] + b',"x":'
    return filled(start + around[0], unit, around[1] + b"}")


def mappings(count: int, fields: dict[str, Any], trigger: str = 'type = "identify"') -> str:
    return json.dumps([{"name": str(number), "trigger": trigger, "fields": fields} for number in range(count)])


def deletion(rest: str, message_id: str = "") -> bytes:
    return encoded({"type": "delete", "userId": "u1", "x": rest} | ({"messageId": message_id} if message_id else {}))


NAMES = [field.name for field in IDENTIFIERS]
CODES = [*sorted(COUNTRIES), *sorted(NAMING_A_COUNTRY - COUNTRIES)]
FIELDS = ("email", "phone", "firstName", "lastName", "address", "city", "state", "postal")
ENGLISH = dict(zip(FIELDS, "a#@b.co +491701234567 Ann Lee 12~Main~Street Bonn Bavaria 80331".split(), strict=True))
GERMAN = dict(
    zip(
        FIELDS,
        "jürgen#@exämple.de ٤٩٨٩٢٣١٢٥٥٥٥ Jürgen Öztürk Königsstraße~12-A München Köln ٨٠٣٣١".split(),
        strict=True,
    )
)
RUSSIAN = dict(
    zip(FIELDS, "иван#@пример.рф +7(٤٩٨)ext Иван Петров улица~Ленина~12 Москва Москва ٨٠٣٣١".split(), strict=True)
)
ONE_FIELD = {"external_user_id": {"@path": "$.userId"}, "email": {"@path": "$.traits.email"}}
COSTLY = ONE_FIELD | {"city": [{"@case": {"operator": "upper", "value": {"@path": "$.traits.note"}}}] * 300}
SEARCHES = " or ".join(f'contains(traits.note, "{"é" * 49}b")' for _ in range(50))
LONG_NUMBER = b"9" * 4_200
NESTED = b"[" * 900 + b"]" * 900

LONG = {
    "U+FDFB": "\ufdfb" * 990 + "#",
    "U+FDFA": "\ufdfa" * 56,
    "é": "é#" * 330,
    "Cyrillic": "улица#-й " * 90,
    "dots": "a#." * 200,
    "numbers": "A#1-" * 170,
    "words": "12-a street# " * 70,
    "spaces": "a# " * 200,
    "controls": "é\u200d\u0085#" * 150,
}
PHONE = {"phone": "+491701234#"}
PHONES = {
    "zeros": "0 " * 47 + "#",
    "words": "1-800-" + "FLOWERS" * 12 + "#",
    "extensions": "+49 89 2312 # ext. " + "1" * 20,
    "digits": "1 " * 14 + "#",
}

BODIES: dict[str, Body] = {
    "50 mappings, ordinary values": all_match(ENGLISH),
    "50 mappings, German": all_match(GERMAN),
    "50 mappings, Cyrillic": all_match(RUSSIAN),
    "50 like mappings, Cyrillic": all_match(RUSSIAN, by_country=False),
    "50 like mappings, long U+FDFB": all_match(dict.fromkeys(FIELDS, LONG["U+FDFB"]) | PHONE, by_country=False),
    **{f"50 mappings, long {name}": all_match(dict.fromkeys(FIELDS, value) | PHONE) for name, value in LONG.items()},
    **{f"50 mappings, phones of {name}": all_match({"phone": value}) for name, value in PHONES.items()},
    "all identifiers, ASCII": people(**ENGLISH),
    "all identifiers, German": people(**GERMAN),
    "all identifiers, Cyrillic": people(**RUSSIAN),
    "all identifiers, U+FDFA": people(**dict.fromkeys(FIELDS, "\ufdfa" * 7)),
    "addresses of U+FDFA": people(address="\ufdfa" * 56),
    "addresses of U+FDFA, too long": people(address="\ufdfa" * 340),
    "addresses of U+3316": people(address="\u3316" * 80),
    "addresses of U+1FA7 and a ligature": people(address="\u1fa7" * 80 + "\ufb03"),
    "addresses of combining characters": people(address="a" + "\u0315\u0300\u0301\u0321" * 30),
    "addresses of controls and spaces": people(address="é" + "\u200d\u0085 " * 30),
    "addresses of numbers": people(address="A#1-" * 50),
    "addresses of dots": people(address="a." * 100),
    "lone surrogates": events(lambda number: encoded(event(number, address="\ud800" * 35), ascii_only=True)),
    "phones of signs": people(phone="1" + "~" * 97 + "1"),
    "phones of spaces": people(phone="1" + " " * 97 + "1"),
    "phones of zeros": people(phone="0 " * 49),
    "phones of words": people(phone="1-800-" + "FLOWERS" * 13),
    "phones with extensions": people(phone="+49 89 2312 555 ext. " + "1" * 20),
    "consent strings": people(
        email="a#@b.co", tcf="CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA", gpp="DBABMA~" + "C" * 100
    ),
    "one member, 10,000 times": events(lambda number: encoded(event(7, email=f"a{number}@b.co", k=bool(number % 2)))),
    "no identifier": people(),
    "no identifier, 50 small mappings": people()._replace(mappings=mappings(50, ONE_FIELD)),
    "no identifier, 50 default mappings": people()._replace(mappings=mappings(50, DEFAULT_MAPPING.fields)),
    "all identifiers, 5 default mappings": people(**GERMAN)._replace(mappings=mappings(5, DEFAULT_MAPPING.fields)),
    "50 mappings that do not apply": people()._replace(mappings=mappings(50, ONE_FIELD, 'type = "track"')),
    "one event, costly mapping": large(b"1,")._replace(mappings=mappings(50, COSTLY)),
    "1,000 events, costly mapping": people(note="é" * 1_900)._replace(mappings=mappings(1, COSTLY)),
    "100 events, costly triggers": people(note="é" * 22_000)._replace(mappings=mappings(50, ONE_FIELD, SEARCHES)),
    "long numbers as userId": events(lambda _: encoded(event(1)).replace(b'"u1"', LONG_NUMBER))._replace(
        mappings=mappings(50, ONE_FIELD)
    ),
    "long numbers": large(LONG_NUMBER + b",", message_id=b"null"),
    "deletion notice": filled(deletion("")[:-3] + b"[", b"1.5,", b"1]}"),
    "deletion notice, 50 mappings": filled(deletion("")[:-3] + b"[", b"1.5,", b"1]}")._replace(
        mappings=mappings(50, ONE_FIELD)
    ),
    "50 deletion notices": Body(lambda: b"[" + b",".join([deletion("", f"m{number}") for number in range(50)]) + b"]"),
    "floats": large(b"1.2345678901234567e-200,", message_id=b"null"),
    "floats in a message id": filled(
        encoded(event(1)).partition(b'"m1"')[0] + b"[", b"1.5,", b"1]" + encoded(event(1)).partition(b'"m1"')[2]
    ),
    "short floats, 50 mappings": large(b"1.5,", message_id=b"null")._replace(mappings=mappings(50, ONE_FIELD)),
    "small objects": large(b'{"a":1},', message_id=b"null"),
    "empty objects": large(b"{},", message_id=b"null"),
    "escapes": large(b"\\n", around=(b'"', b'"'), message_id=b"null"),
    "escaped halves of characters": large(b"\\ud83d", around=(b'"', b'"'), message_id=b"null"),
    "one key again and again": large(b'"x":[[]],', around=(b"{", b'"x":1}'), message_id=b"null"),
    "nested lists": filled(b"[", NESTED + b",", b"1]"),
    "events with nested lists": events(
        lambda number: encoded(event(number)).replace(f'"m{number}"'.encode(), b"null")[:-1] + b',"x":' + NESTED + b"}"
    ),
    "opening brackets": filled(b"", b"[", b""),
    "opening objects": filled(b"", b'{"a":', b""),
    "no events": events(lambda _: b'{"type":1,"context":{"personas":{"computation_key":1}},"traits":1,"event":1}'),
    "texts instead of events": events(lambda _: b'"' + b"x" * 440 + b'"'),
    "extras as text": Body(
        lambda: encoded(event(1)).replace(
            b'"computation_key":"k"',
            b'"computation_key":"k","audience_settings":{"extras":"[' + b"1," * 2_200_000 + b'1]"}',
        ),
        mappings(50, ONE_FIELD),
    ),
}


def measure(name: str, results: "multiprocessing.Queue[tuple[float, float, str]]") -> None:
    """Read one body; put seconds of processor, megabytes at the peak, and the result."""
    body, stored = BODIES[name].make(), compiled(BODIES[name].mappings)
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        KEYRING.authenticate_events({"x-signature": "0" * 40}, body, accept_first_event=True, now=0.0)
    except AudienceSyncError as refused:
        result = type(refused).__name__
    try:
        read = changes_from(body, mappings=stored, audiences=Audiences(), now=NOW)
        reasons = {rejection.reason for rejection in read.rejections}
        result = f"{read.accepted} accepted, {len(read.rejections)} rejected {', '.join(sorted(reasons))}"
    except AudienceSyncError as refused:
        result = type(refused).__name__
    seconds = time.process_time() - started
    results.put((seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, result))


def main() -> None:
    fork = multiprocessing.get_context("fork")
    sys.stdout.write(f"{'body':<38}{'MB':>5}{'seconds':>9}{'peak MB':>9}  result\n")
    for name, body in BODIES.items():
        if len(sys.argv) > 1 and not any(part in name for part in sys.argv[1:]):
            continue
        results = fork.Queue()
        process = fork.Process(target=measure, args=(name, results))
        process.start()
        seconds, peak, result = results.get()
        process.join()
        size = len(body.make()) / 1e6
        sys.stdout.write(f"{name:<38}{size:>5.1f}{seconds:>9.2f}{peak:>9.0f}  {result}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
