"""Compare the API files that Amazon publishes with the contract that this project was written against.

    python -m scripts.watch [--adopt]     with --adopt, the files as they are now become the contract

Exit code: 0 if nothing has changed that is sent or read here, 1 if something has, 5 if a file could not be compared.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from audience_sync.amazon_ads.transport import TotalTimeoutAdapter, read_within
from audience_sync.errors import OutcomeUnknown
from scripts.api_changes import Parts, changes, compared, operations, sentences

CONTRACT = Path(__file__).resolve().parent.parent / "tests/fixtures/amazon-contract.json"
MAX_FILE = 20_000_000  # bytes; the files have 0.1 MB
TIMEOUT = 60.0  # seconds, for each file
SAME, CHANGED, NOT_COMPARED = 0, 1, 5
MOVED = (
    "If it has moved, correct its address in tests/fixtures/amazon-contract.json;"
    " https://advertising.amazon.com/API/docs/en-us/reference/openapi-download lists them."
)


class NotCompared(Exception):
    """A file that cannot be compared, and what to do."""


def published(session: requests.Session, address: str) -> dict[str, Parts]:
    """Fetch one file and return its operations. Raises NotCompared."""
    try:
        with (
            TotalTimeoutAdapter.mount_on(session).limit(TIMEOUT),
            session.get(address, timeout=(5, TIMEOUT), stream=True) as answer,
        ):
            body = read_within(answer, max_bytes=MAX_FILE)
    except (requests.RequestException, HTTPError, OSError, OutcomeUnknown) as error:
        reason = error if isinstance(error, OutcomeUnknown) else type(error).__name__
        raise NotCompared(f"{address} cannot be read ({reason}). Try again, from a machine with a network.") from None
    if answer.status_code != 200:  # Amazon's storage answers 403 for a file that does not exist
        raise NotCompared(f"{address} answers {answer.status_code}. {MOVED}")
    try:
        if found := operations(json.loads(body)):
            return found
        fault = "it holds no operations"
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        fault = f"{type(error).__name__}: {error}"
    raise NotCompared(f"{address} cannot be read as OpenAPI 3 ({fault}). {MOVED}")


def compare(contract: dict[str, Any], fetch: Callable[[str], dict[str, Parts]]) -> tuple[int, list[str]]:
    """Return the exit code and what to print, and put what is published into the contract."""
    lines, codes = [], {SAME}
    for name, api in contract.items():
        try:
            now = fetch(api["address"])
        except NotCompared as error:
            codes.add(NOT_COMPARED)
            lines.append(f"{name}: not compared. {error}")
            continue
        found = list(changes(api["operations"], now, api["used"]))
        used = sum(bool(each.use) for each in found)
        codes.add(CHANGED if used else SAME)
        lines += [f"{name}: changes {len(found)}, sent or read here {used}", *sentences(found)]
        api["operations"] = {each: compared(parts, api["used"].get(each)) for each, parts in now.items()}
    return next(code for code in (CHANGED, NOT_COMPARED, SAME) if code in codes), lines


def laid_out(value: Any, depth: int = 4) -> str:
    """Write JSON with one line for each part of an operation."""
    if not depth or not isinstance(value, dict):
        return json.dumps(value, sort_keys=True)
    margin = " " * (5 - depth)
    lines = (f"{margin}{json.dumps(name)}: {laid_out(value[name], depth - 1)}" for name in sorted(value))
    return "{\n" + ",\n".join(lines) + f"\n{margin[1:]}}}"


def main() -> int:
    """Print what has changed and return the exit code."""
    contract = json.loads(CONTRACT.read_text(encoding="utf-8"))
    with requests.Session() as session:
        code, lines = compare(contract, lambda address: published(session, address))
    if "--adopt" in sys.argv[1:]:
        CONTRACT.write_text(laid_out(contract) + "\n", encoding="utf-8")
    print("\n".join(lines))  # noqa: T201  # the output of a script
    return code


if __name__ == "__main__":
    sys.exit(main())
