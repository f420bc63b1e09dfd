"""Figures that the fault tests measure, for the table of docs/development/fault-matrix.md. `matrix` collects them."""

import json
import os
from pathlib import Path

VARIABLE = "FAULT_MEASUREMENTS"  # a file to append to; without it figures are not kept


def record(row: int, case: str, **figures: object) -> None:
    """Record the figures of one case of a row: `record(15, "Retry-After 2", requests=1)`."""
    if path := os.environ.get(VARIABLE):
        with Path(path).open("a") as lines:
            lines.write(json.dumps({"row": row, "case": case, "figures": figures}) + "\n")
