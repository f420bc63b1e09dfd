"""Writes the SBOM of a build: every package of the dependencies layer, with version, license, purl and hashes.

CycloneDX's own tool reads the built layer, which has no hashes, and the lock, which has no licenses. This script joins
both: each package of the layer gets the hashes allowed by the lock.
"""

import json
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LAYER = ROOT / ".aws-sam/build/DependenciesLayer/python"
LOCK = ROOT / "layers/dependencies/requirements.txt"
SBOM = ROOT / ".aws-sam/sbom.cdx.json"

type Document = dict[str, Any]


def joined(layer: Document, lock: Document) -> Document:
    """Return the layer's SBOM with the lock's references, hashes included.

    Raises:
        ValueError: packages or versions of the layer differ from the lock.
    """
    pinned = {component["purl"]: component for component in lock["components"]}
    built = {component["purl"]: component for component in layer["components"]}
    if built.keys() != pinned.keys():
        raise ValueError(f"layer and lock differ: {', '.join(sorted(built.keys() ^ pinned.keys()))}; build again")
    components = [
        component | {"externalReferences": component.get("externalReferences", []) + pinned[purl]["externalReferences"]}
        for purl, component in built.items()
    ]
    return layer | {"components": components}


def numbered(document: Document) -> Document:
    """Return the SBOM with a serial number computed from its content, so that builds stay reproducible."""
    content = json.dumps(document, sort_keys=True)
    return document | {"serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, content).urn}


def _cyclonedx(tool: Path, *arguments: str) -> Document:
    command = [str(tool / "bin/cyclonedx-py"), *arguments, "--output-reproducible", "--of", "JSON"]
    made = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S603  # our own words
    document: Document = json.loads(made.stdout)
    return document


def main(tool: Path) -> None:
    """Write the SBOM beside the build. `tool` is the environment with cyclonedx-bom."""
    with tempfile.TemporaryDirectory() as folder:
        # The tool asks an interpreter for its packages: this one names only the layer.
        interpreter = Path(folder) / "python"
        interpreter.write_text(f'#!/bin/sh\nPYTHONPATH="{LAYER}" exec "{sys.executable}" "$@"\n')
        interpreter.chmod(0o700)
        layer = _cyclonedx(
            tool, "environment", "-S", "--pyproject", "pyproject.toml", "--mc-type", "application", str(interpreter)
        )
    lock = _cyclonedx(tool, "requirements", str(LOCK.relative_to(ROOT)))
    SBOM.write_text(json.dumps(numbered(joined(layer, lock)), indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
