"""Print the template of the last release, with functions and layers of the current build.

    python -m scripts.last_release > FOLDER/last-release.yaml

FOLDER is the output folder of `sam build`. The rehearsal deploys this as the existing stack, and then updates it. The
code is current, because the rehearsal is about resources: earlier releases have no build here.
"""

import sys
from pathlib import Path

import yaml
from packaging.version import Version

from local.template import ROOT, Template, read_document

RELEASES = ROOT / "tests/fixtures/releases"


def releases() -> list[Path]:
    """Return the stored templates, oldest first. Each is named by its version."""
    return sorted(RELEASES.glob("*.yaml"), key=lambda path: Version(path.stem))


def built(path: Path) -> str:
    """Return a template with its code in adjacent folders named by logical id, like the output of `sam build`."""
    document, current = read_document(path), Template.load().functions()
    for logical_id, resource in document["Resources"].items():
        if logical_id in current:
            resource["Properties"]["Handler"] = current[logical_id].handler
        for code in {"CodeUri", "ContentUri"} & resource.get("Properties", {}).keys():
            resource["Properties"][code] = logical_id
    return yaml.safe_dump(document, sort_keys=False)


def main() -> None:
    """Print it."""
    sys.stdout.write(built(releases()[-1]))


if __name__ == "__main__":
    main()
