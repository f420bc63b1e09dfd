"""Print the template of the last release, with the functions and layers of a build of today.

    python -m scripts.last_release > FOLDER/last-release.yaml

FOLDER is that of `sam build`. The rehearsal deploys this first, as a stack that exists, and updates it then. The code
is today's, because the rehearsal is about resources: a release of before has no build here.
"""

import sys
from pathlib import Path

import yaml
from packaging.version import Version

from local.template import ROOT, read_document

RELEASES = ROOT / "tests/fixtures/releases"


def releases() -> list[Path]:
    """Return the templates that are kept, oldest first. Each is named by its version."""
    return sorted(RELEASES.glob("*.yaml"), key=lambda path: Version(path.stem))


def built(path: Path) -> str:
    """Return a template whose code is in folders beside it, each named by the logical id, as `sam build` leaves it."""
    document = read_document(path)
    for logical_id, resource in document["Resources"].items():
        for code in {"CodeUri", "ContentUri"} & resource.get("Properties", {}).keys():
            resource["Properties"][code] = logical_id
    return yaml.safe_dump(document, sort_keys=False)


def main() -> None:
    """Print it."""
    sys.stdout.write(built(releases()[-1]))


if __name__ == "__main__":
    main()
