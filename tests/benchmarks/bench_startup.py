"""What a start costs: of each function and each package, as multiples of boto3's own, and of the command.

Run: .venv/bin/python -m tests.benchmarks.bench_startup [--rounds N]

Every start is a fresh process, with bytecode compiled before, as in the layers. The programs take turns, so that all
meet the same load, and it is the processor's time that counts, not the clock's. The tables are those of
docs/development/performance.md.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

ROOT = Path(__file__).parents[2]
REFERENCE = "boto3 and one client"
FUNCTIONS = sorted(path.parent.name for path in ROOT.glob("functions/*/handler.py"))
ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "INGEST_SECRET_ARN": "none",
    "AUDIENCE_TABLE": "none",
    "CHANGE_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/000000000000/none",
}
AFTER_BOTO3 = "import boto3"


@dataclass(frozen=True)
class Statements:
    """Python statements to time, after others that are not timed."""

    timed: str
    before: str = ""


@dataclass(frozen=True)
class Command:
    """Arguments of `audience-sync`, or a line that the shell completes; timed with the start of the interpreter."""

    arguments: tuple[str, ...] = ()
    completes: str = ""


IMPORTS = {
    REFERENCE: Statements("import boto3; boto3.client('sqs')"),
    **{name: Statements(f"import functions.{name}.handler") for name in FUNCTIONS},
    "ingest, with its three clients": Statements("import functions.ingest.handler as ingest; ingest.dependencies()"),
}
PACKAGES = {
    "boto3": Statements("import boto3"),
    "aws-lambda-powertools: logger and metrics": Statements(
        "from aws_lambda_powertools import Logger, Metrics", AFTER_BOTO3
    ),
    "pydantic, with one model": Statements(
        "from pydantic import BaseModel\nclass Model(BaseModel):\n    name: str", AFTER_BOTO3
    ),
    "requests": Statements("import requests", AFTER_BOTO3),
    "phonenumberslite": Statements("import phonenumbers", AFTER_BOTO3),
    "our own part of ingest": Statements(
        "import functions.ingest.handler", "import boto3; from aws_lambda_powertools import Logger, Metrics"
    ),
}
COMMANDS = {
    "`audience-sync --help`": Command(("--help",)),
    "`audience-sync --version`": Command(("--version",)),
    "`audience-sync mappings check FILE`": Command(("mappings", "check", "{mappings}")),
    "completion of the name of a group": Command(completes="audience-sync m"),
    "completion of the name of a command in a group": Command(completes="audience-sync mappings "),
}


@dataclass(frozen=True)
class Measurement:
    """Processor milliseconds of one program, over all rounds."""

    runs: list[float]

    @property
    def median(self) -> float:
        return median(self.runs)

    @property
    def quartiles(self) -> tuple[float, float]:
        low, _, high = quantiles(self.runs, n=4, method="inclusive")
        return low, high


class Starts:
    """Starts programs in fresh processes that share a folder of bytecode."""

    def __init__(self, folder: Path) -> None:
        self._mappings = folder / "mappings.json"
        self._mappings.write_text(
            '[{"name": "Mine", "trigger": "type = \\"track\\"", "fields": {"external_user_id": {"@path": "$.userId"}}}]'
        )
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON"))}
        self._environment = inherited | ENVIRONMENT | {"PYTHONPYCACHEPREFIX": str(folder / "bytecode")}

    def milliseconds(self, program: Statements | Command) -> float:
        if isinstance(program, Statements):
            lines = ("import time", program.before, "start = time.process_time()", program.timed)
            return float(self._run("-c", "\n".join((*lines, "print(time.process_time() - start)")))[1]) * 1e3
        arguments = [each.format(mappings=self._mappings) for each in program.arguments]
        completion = {
            "_AUDIENCE_SYNC_COMPLETE": "complete_bash",
            "COMP_WORDS": program.completes,
            "COMP_CWORD": str(program.completes.count(" ")),
        }
        return self._run("-m", "audience_sync_cli", *arguments, **completion if program.completes else {})[0]

    def _run(self, *arguments: str, **variables: str) -> tuple[float, str]:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self._environment | variables,
            check=True,
            capture_output=True,
            text=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3, run.stdout


def measure(rounds: int) -> dict[str, Measurement]:
    programs: dict[str, Statements | Command] = {**IMPORTS, **PACKAGES, **COMMANDS}
    runs: dict[str, list[float]] = {name: [] for name in programs}
    with tempfile.TemporaryDirectory() as folder:
        starts = Starts(Path(folder))
        for number in range(rounds + 1):
            for name, program in programs.items():
                milliseconds = starts.milliseconds(program)
                if number:  # the first round compiles
                    runs[name].append(milliseconds)
    return {name: Measurement(each) for name, each in runs.items()}


def tables(measured: dict[str, Measurement]) -> Iterator[str]:
    """The tables of docs/development/performance.md, line by line."""
    reference = measured[REFERENCE].median
    for programs, head in ((IMPORTS, "what is imported"), (PACKAGES, "package")):
        yield f"| {head} | processor's time | middle half of the runs |\n| --- | --- | --- |"
        for name in programs:
            low, high = (each / reference for each in measured[name].quartiles)
            yield f"| {name} | {measured[name].median / reference:.2f} | {low:.2f} to {high:.2f} |"
        yield ""
    yield "| command | processor's time, ms | middle half of the runs |\n| --- | --- | --- |"
    for name in COMMANDS:
        low, high = measured[name].quartiles
        yield f"| {name} | {measured[name].median:.0f} | {low:.0f} to {high:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    sys.stdout.write("\n".join(tables(measure(parser.parse_args().rounds))) + "\n")


if __name__ == "__main__":
    main()
