"""`python -m local`: start the whole pipeline on this machine and print its URLs and keys."""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import threading

from local.resources import DATA_MANAGER_ACCOUNTS
from local.serving import PortInUse
from local.stack import Stack, StackOptions


def main() -> None:
    """Run until interrupted. When everything is ready, prints one line of JSON to standard output, and nothing else."""
    with contextlib.suppress(KeyboardInterrupt):
        try:
            asyncio.run(_run(options_from(sys.argv[1:])))
        except PortInUse as error:
            sys.exit(str(error))


def options_from(arguments: list[str]) -> StackOptions:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    default = StackOptions()
    parser.add_argument("--port", type=int, default=default.port, help="of the API; 0 takes any free one (%(default)s)")
    parser.add_argument(
        "--amazon-port", type=int, default=default.amazon_port, help="of Amazon's sandbox (%(default)s)"
    )
    parser.add_argument("--batch-window", type=float, default=default.batch_window, metavar="SECONDS")
    parser.add_argument("--job-delay", type=float, default=default.job_delay, metavar="SECONDS")
    parser.add_argument("--settle", type=float, default=default.settle, metavar="SECONDS")
    parser.add_argument(
        "--data-manager-account",
        choices=DATA_MANAGER_ACCOUNTS,
        default=default.data_manager_account,
        help="the stack's account of Ads Data Manager (%(default)s)",
    )
    parser.add_argument("--event-queue", action="store_true", help="also accept events from an SQS queue")
    parser.add_argument("--no-public-api", dest="public_api", action="store_false", help="with --event-queue")
    parser.add_argument("--name-prefix", default=default.name_prefix, help="AudienceNamePrefix of the stack")
    parser.add_argument("--no-status-page", dest="status_page", action="store_false")
    parser.add_argument(
        "--end-with-stdin",
        action="store_true",
        help="end with standard input, that is, with the program that started this one",
    )
    return StackOptions(**vars(parser.parse_args(arguments)))


def next_steps(announcement: dict[str, str]) -> str:
    """Print the next steps for a person at the terminal. Programs read only the line of JSON."""
    page = f"It runs. Its page: {announcement['status']}\n" if "status" in announcement else "It runs.\n"
    return (
        f"{page}In another terminal:\n"
        f"  export AUDIENCE_SYNC_LOCAL={announcement['api']} AMAZON={announcement['amazon']}\n"
        f"  export EVENT_KEY={announcement['eventKey']}\n"
        "  .venv/bin/audience-sync test\n"
        "Ctrl-C ends it."
    )


async def _run(options: StackOptions) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    if options.end_with_stdin:
        # A thread, because an event loop cannot wait for every kind of standard input.
        threading.Thread(target=_wait_for_end, args=(asyncio.get_running_loop(), ended), daemon=True).start()
    is_watched = sys.stderr.isatty() and not options.end_with_stdin  # by a person, not by a program
    async with Stack(options).running(_say if is_watched else lambda _: None) as stack:
        if not ended.is_set():
            announcement = stack.announcement()
            print(json.dumps(announcement), flush=True)  # noqa: T201 - the contract of this command
            if is_watched:
                _say(next_steps(announcement))
        await ended.wait()


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201


def _wait_for_end(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    while os.read(0, 1024):
        pass
    with contextlib.suppress(RuntimeError):  # the loop has already ended
        loop.call_soon_threadsafe(ended.set)
