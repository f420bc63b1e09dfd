"""Fuzzes one target from the command line: `python -m tests.fuzz --target events --seconds 60`.

Guided by coverage where atheris is installed (Linux on x86-64), by Hypothesis elsewhere. What reaches new code is kept
in .fuzz/TARGET, and the next run starts from there.
"""

import argparse
import importlib
import importlib.util
import json
import shutil
import sys
import time
from pathlib import Path
from random import Random

from local.template import ROOT

SCRATCH = ROOT / ".fuzz"
MAX_SIZE = 20_000  # bytes of one input
READS_DATES = ("email.utils", "email._parseaddr")  # Python's, which the header Retry-After goes through
TIMEOUT = 20  # seconds that one input may take; slower is a finding


def guided(target: str, seconds: int, runs: int) -> None:
    """Fuzz with atheris, which ends the process."""
    atheris = importlib.import_module("atheris")
    for name in READS_DATES:
        sys.modules.pop(name, None)  # imported already, without instrumentation
    with atheris.instrument_imports(include=["audience_sync", "functions", *READS_DATES], enable_loader_override=False):
        targets = importlib.import_module("tests.fuzz.targets")
    changed = importlib.import_module("tests.fuzz.mutations").changed

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        if seed % 4 == 0:
            mutated: bytes = atheris.Mutate(data, max_size)
            return mutated
        return bytes(changed(data, Random(seed), max_size))

    found, corpus = SCRATCH / target, SCRATCH / f"{target}-corpus"
    found.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(corpus, ignore_errors=True)
    corpus.mkdir()
    for name, kept in targets.corpus()[target].items():
        (corpus / name).write_bytes(kept)
    options = [f"-max_total_time={seconds}", f"-runs={runs}", f"-max_len={MAX_SIZE}", f"-timeout={TIMEOUT}"]
    options += [f"-artifact_prefix={SCRATCH}/{target}-", "-print_final_stats=1", "-rss_limit_mb=4096"]
    atheris.Setup(
        [sys.argv[0], *options, str(found), str(corpus)],
        targets.TARGETS[target],
        custom_mutator=mutate,
    )
    atheris.Fuzz()


def unguided(target: str, seconds: int, runs: int) -> None:
    """Fuzz with Hypothesis, with one seed after the other."""
    strategies = importlib.import_module("tests.fuzz.strategies")
    due, seed = time.monotonic() + seconds, 0
    while time.monotonic() < due and (runs < 0 or seed * strategies.EXAMPLES < runs):
        strategies.run(target, seed)
        seed += 1
    print(f"{seed * strategies.EXAMPLES} inputs, without guidance by coverage")  # noqa: T201 - a command line


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    names = sorted(json.loads((Path(__file__).parent / "corpus.json").read_text(encoding="utf-8")))
    parser.add_argument("--target", choices=names, required=True)
    parser.add_argument("--seconds", type=int, default=60, help="how long to search")
    parser.add_argument("--runs", type=int, default=-1, help="how many inputs; by default as many as the time allows")
    options = parser.parse_args()
    fuzz = guided if importlib.util.find_spec("atheris") else unguided
    fuzz(options.target, options.seconds, options.runs)


if __name__ == "__main__":
    main()
