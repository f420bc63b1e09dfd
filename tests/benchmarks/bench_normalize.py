"""What normalizing and hashing cost: microseconds a value, hashing apart, and the milliseconds of the imports.

Run: .venv/bin/python tests/benchmarks/bench_normalize.py
"""

import hashlib
import subprocess
import sys
import timeit
from collections.abc import Callable
from functools import partial
from statistics import median

from audience_sync.amazon_ads.normalization import phone
from audience_sync.amazon_ads.normalize import identifier, identifiers, normalize

PERSON = {
    "email": "Jane_Doe@Example.com",
    "phone": "+1 (202) 555-0143",
    "first_name": "Jane",
    "last_name": "O'Brien",
    "address": "123 North Main Street Apt #5",
    "city": "New York",
    "state": "New York",
    "postal": "10001-1234",
}
PERSON_BEYOND_ASCII = PERSON | {
    "first_name": "Jürgen",
    "last_name": "Öztürk",
    "address": "Königsstraße 12-A",
    "city": "München",
    "state": "Baden-Württemberg",
    "postal": "80331",
    "phone": "089 23125 555",
}


def microseconds(call: Callable[[], object], repeats: int = 7) -> float:
    """The best of several runs, since everything else on the machine only adds."""
    number = max(1, int(0.02 / timeit.timeit(call, number=1)))
    return min(timeit.repeat(call, number=number, repeat=repeats)) / number * 1e6


def import_milliseconds(statement: str) -> float:
    """The median of fresh interpreters, bytecode compiled before."""
    program = f"import time\nstart = time.perf_counter()\n{statement}\nprint((time.perf_counter() - start) * 1e3)"
    runs = [
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True) for _ in range(11)
    ]
    return median(float(run.stdout) for run in runs)


def report(label: str, value: float, unit: str) -> None:
    sys.stdout.write(f"{label:<48}{value:>9.2f} {unit}\n")


def main() -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    for field, value in PERSON.items():
        report(f"{field}: normalize", microseconds(partial(normalize, field, value, "US")), "µs")
    for field, value in PERSON_BEYOND_ASCII.items():
        if not value.isascii():
            report(f"{field}: normalize, beyond ASCII", microseconds(partial(normalize, field, value, "DE")), "µs")
    for written in ("+1 (202) 555-0143", "202-555-0143", "+12025550143"):
        phone._from_phonenumbers(written, "US")
        report(f"phone {written}: table", microseconds(partial(phone.normalize_phone, written, "US")), "µs")
        report(f"phone {written}: phonenumbers", microseconds(partial(phone._from_phonenumbers, written, "US")), "µs")
    report("hash one value", microseconds(lambda: hashlib.sha256(b"jane_doe@example.com").hexdigest()), "µs")
    report("pass a digest on", microseconds(lambda: identifier("email", digest, "US")), "µs")
    for label, person, country in (("ASCII", PERSON, "US"), ("beyond ASCII", PERSON_BEYOND_ASCII, "DE")):
        cost = sum(microseconds(partial(normalize, field, value, country)) for field, value in person.items())
        report(f"person of eight fields, {label}: normalize", cost, "µs")
        cost = microseconds(partial(identifiers, person, country))
        report(f"person of eight fields, {label}: with hashes", cost, "µs")
    for megabyte in ("a" * 1_000_000, "é" * 1_000_000):
        cost = max(microseconds(partial(normalize, field, megabyte, "US"), 1) for field in PERSON)
        report("megabyte of text, slowest field", cost, "µs")
    standard = "import hashlib, re, typing, unicodedata, collections.abc"
    ours = "import audience_sync.amazon_ads.normalize"
    report("import of the standard library's part", import_milliseconds(standard), "ms")
    report("import of normalize, standard library included", import_milliseconds(ours), "ms")
    report("import of normalize and phonenumbers", import_milliseconds(f"{ours}\nimport phonenumbers"), "ms")


if __name__ == "__main__":
    main()
