"""Print the template of the last release, or of a commit, with functions and layers of the current build.

    python -m scripts.last_release [COMMIT] > FOLDER/last-release.yaml

FOLDER is the output folder of `sam build`. The rehearsal deploys this as the existing stack, and then updates it. The
code is current, because the rehearsal is about resources: earlier releases have no build here.
"""

import subprocess
import sys
from typing import Any

import yaml
from packaging.version import Version

from local.template import ROOT, Template, parse, read_document

BEFORE_THE_FIRST = ("e31a0adc", "985c439d")  # the commits that were deployed before there was a release


def tags() -> list[str]:
    """Return the tags of the releases, oldest first."""
    return sorted(_git("tag", "--list", "v*").split(), key=Version)


def releases() -> dict[str, dict[str, Any]]:
    """Return the template of every release out of git, oldest first; empty if the history is not there."""
    texts = {commit: _git("show", f"{commit}:./template.yaml") for commit in tags() or BEFORE_THE_FIRST}
    return {commit: parse(text) for commit, text in texts.items() if text}


def _git(*words: str) -> str:
    found = subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True, check=False)  # noqa: S603, S607
    return found.stdout


def built(document: dict[str, Any]) -> str:
    """Return a template with its code in adjacent folders named by logical id, like the output of `sam build`."""
    current = Template.load().functions()
    for logical_id, resource in document["Resources"].items():
        if logical_id in current:
            resource["Properties"]["Handler"] = current[logical_id].handler
        for code in {"CodeUri", "ContentUri"} & resource.get("Properties", {}).keys():
            resource["Properties"][code] = logical_id
    return yaml.safe_dump(document, sort_keys=False)


def main() -> None:
    """Print it, or this version's if there is no history."""
    known = releases()
    *_, (name, document) = (
        ("", read_document()),
        *(each for each in known.items() if each[0] in (sys.argv[1:] or known)),
    )
    if not name:
        sys.stderr.write("skipped: the update of the last release, since this copy has no git history\n")
    sys.stdout.write(built(document))


if __name__ == "__main__":
    main()
