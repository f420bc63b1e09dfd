"""Every target by its name: a function that takes any bytes, and raises only where something does not hold."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.fuzz import amazon, event_queue, identifiers, ingest, mapping, signature, stored, worker

_CORPUS = Path(__file__).parent / "corpus.json"  # inputs by target and name; one character for each byte (Latin-1)

TARGETS: dict[str, Callable[[bytes], None]] = {
    "events": ingest.accept_events,
    "event-message": event_queue.take_in_message,
    "signature": signature.extend_signed_event,
    "identifiers": identifiers.hash_traits,
    "lambda-event": ingest.read_lambda_event,
    "mappings": mapping.apply_mappings,
    "trigger": mapping.match_trigger,
    "message": stored.read_message,
    "worker": worker.deliver_message,
    "job": worker.check_job,
    "row": stored.read_row,
    "amazon": amazon.read_answer,
    "token": amazon.read_token,
    "retry-after": amazon.read_retry_after,
    "settings": amazon.read_settings,
}


def corpus() -> dict[str, dict[str, bytes]]:
    """Return the inputs kept for each target, by name: one of each kind, and everything that has failed once."""
    kept = json.loads(_CORPUS.read_text(encoding="utf-8"))
    return {target: {name: text.encode("latin-1") for name, text in inputs.items()} for target, inputs in kept.items()}
