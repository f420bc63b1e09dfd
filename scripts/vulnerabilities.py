"""Summarizes a report of pip-audit, for scripts/audit.sh."""

import json
import sys
from pathlib import Path
from typing import Any


def summary(report: str) -> tuple[int, str]:
    """Read pip-audit's JSON. Return the exit status (1 if a package has a known vulnerability) and the text."""
    try:
        packages: list[dict[str, Any]] = json.loads(report)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return 0, "Known vulnerabilities: not checked. pip-audit ended without a report."
    found = [
        f"{package['name']} {package['version']}: {fault['id']}; fixed in {', '.join(fault['fix_versions']) or '-'}"
        for package in packages
        for fault in package.get("vulns", [])
    ]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    checked = len(packages) - len(skipped)
    lines = [*found, f"Known vulnerabilities: {len(found)} in {checked} of {len(packages)} packages."]
    if skipped:
        lines.append(f"Not checked, because PyPI does not know these versions: {', '.join(skipped)}.")
    return int(bool(found)), "\n".join(lines)


if __name__ == "__main__":
    status, text = summary(Path(sys.argv[1]).read_text())
    print(text)  # noqa: T201  # the output of a script
    sys.exit(status)
