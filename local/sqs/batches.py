"""Batches: up to ten entries in one request, each with its own outcome."""

import re
from collections.abc import Callable
from typing import Any

from local.sqs.errors import (
    BatchEntryIdsNotDistinct,
    EmptyBatchRequest,
    InvalidBatchEntryId,
    SqsError,
    TooManyEntriesInBatchRequest,
)
from local.sqs.parameters import Parameters

_ENTRY_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_MOST_ENTRIES = 10


def entries_of(request: Parameters) -> list[tuple[str, Parameters]]:
    """The entries of a batch with their ids.

    Raises: EmptyBatchRequest, TooManyEntriesInBatchRequest, InvalidBatchEntryId, BatchEntryIdsNotDistinct, each for
    the batch as a whole.
    """
    entries = [(entry.text_or_none("Id") or "", entry) for entry in request.objects("Entries")]
    ids = [entry_id for entry_id, _ in entries]
    if not entries:
        raise EmptyBatchRequest("There should be at least one entry in the request.")
    if len(entries) > _MOST_ENTRIES:
        raise TooManyEntriesInBatchRequest(f"Maximum number of entries per request are {_MOST_ENTRIES}.")
    if not all(_ENTRY_ID.fullmatch(entry_id) for entry_id in ids):
        raise InvalidBatchEntryId("A batch entry id has 1 to 80 alphanumeric characters, hyphens and underscores.")
    if len(set(ids)) < len(ids):
        raise BatchEntryIdsNotDistinct("Two entries of the batch have the same id.")
    return entries


def outcomes[Entry](entries: list[tuple[str, Entry]], act: Callable[[Entry], dict[str, Any]]) -> dict[str, Any]:
    """Act on each entry alone: one that SQS refuses does not stop the others."""
    successful, failed = [], []
    for entry_id, entry in entries:
        try:
            successful.append({"Id": entry_id, **act(entry)})
        except SqsError as error:
            failed.append({"Id": entry_id, "SenderFault": True, "Code": error.query_code, "Message": str(error)})
    return {"Successful": successful, "Failed": failed}
