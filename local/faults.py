"""`python -m local.faults`: list the sandbox's faults, or set one by its name, to rehearse the runbook."""

import argparse
import os
import sys

import requests
from rich.console import Console
from rich.table import Table

DEFAULT = "http://127.0.0.1:8080"


def main() -> None:
    """Set the named fault; without a name, list all."""
    parser = argparse.ArgumentParser(prog="python -m local.faults", description=__doc__)
    parser.add_argument("name", nargs="?", help="fault to set instead of the current one; off for none")
    name = parser.parse_args().name
    try:
        api = os.environ.get("AUDIENCE_SYNC_LOCAL", DEFAULT)
        amazon = requests.get(f"{api}/local/resources", timeout=10).json()["urls"]["amazon"]
        if name:
            answer = requests.put(f"{amazon}/sandbox/faults", json={"recipe": name}, timeout=10)
            if not answer.ok:
                sys.exit(answer.json()["error"])
        recipes = requests.get(f"{amazon}/sandbox/recipes", timeout=10).json()
    except requests.RequestException:
        sys.exit(f"no local stack answers at {api}; start one with `python -m local`, or set AUDIENCE_SYNC_LOCAL")
    if name:
        does, runbook = next(((each["does"], each["runbook"]) for each in recipes if each["name"] == name), ("", ""))
        what = does if does.startswith(("Ads", "Amazon", "Login")) else does[:1].lower() + does[1:]
        sys.stdout.write(f"{name} is on: {what}. Runbook: {runbook}.\n" if does else "No fault is on.\n")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("", "fault", "reason", "runbook"):
        table.add_column(heading, no_wrap=True)
    table.add_column("at Amazon")
    for each in recipes:
        mark = "on" if each["active"] else ""
        table.add_row(mark, each["name"], each["reason"] or "-", each["runbook"], each["does"])
    Console().print(table)


if __name__ == "__main__":
    main()
