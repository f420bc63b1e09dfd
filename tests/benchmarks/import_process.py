"""Runs `audience-sync import` once and prints what it took; bench_import.py starts it.

It imports nothing but the command and its packages, so that the memory is the command's.
"""

import json
import resource
import sys
import time
from contextlib import suppress
from typing import Any

import boto3

from audience_sync.amazon_ads.regions import HOSTS
from audience_sync_cli.errors import NotConfirmed
from audience_sync_cli.member_files.import_members import import_members
from audience_sync_cli.screen import Screen
from audience_sync_cli.session import Session
from audience_sync_cli.stack import CALLS, Stack


def imported(file: str, audience: str, server: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Import a file.

    Args:
        file: its path.
        audience: its id.
        server: arguments of a boto3 client.
        names: of the queue and the table, by logical id.
    """
    sent = 0

    def client(service: str) -> Any:
        return boto3.client(service, config=CALLS, **server)  # type: ignore[call-overload]

    def add(params: dict[str, Any], **_: Any) -> None:
        nonlocal sent
        sent += len(params["body"])

    stack = Stack("benchmark", client, "", HOSTS["NA"], {}, 0, None, names)
    stack.service("sqs").meta.events.register("before-call.sqs.SendMessageBatch", add)
    used = time.process_time()
    with suppress(NotConfirmed):
        import_members(Session(Screen(as_json=True, answers=lambda _: "n"), lambda: stack), file, audience)
    checked = time.process_time() - used
    begun, used = time.perf_counter(), time.process_time()
    import_members(Session(Screen(as_json=True, assume_yes=True), lambda: stack), file, audience)
    return {
        "seconds": round(time.perf_counter() - begun, 2),
        "processorSeconds": round(time.process_time() - used, 2),
        "processorSecondsBeforeQuestion": round(checked, 2),  # which --yes does not ask
        "bytesSent": sent,
        "peakMegabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


if __name__ == "__main__":
    figures = imported(**json.load(sys.stdin))
    sys.stdout.write(f"\n#{json.dumps(figures)}")
