"""The layers as they ship: bytecode that Lambda can use, licenses, and an SBOM that lists what is in them."""

import hashlib
import json
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from local.template import ROOT, Function, Template

BUILT = ROOT / ".aws-sam/build"
PACKAGE = {"README.txt": "8f0dd355f0607093a34fcd24365c2dcb7e7a5b607d0fb392aef064c825f5f03f"}  # never to change
SBOM = ROOT / ".aws-sam/sbom.cdx.json"
PYTHON = shutil.which("python3.13", path="/usr/bin") or shutil.which("python3.13")
HASHED_UNCHECKED = 0b01  # PEP 552: bit 0 says hash instead of date, bit 1 would have it compared with the source

pytestmark = [
    pytest.mark.skipif(not BUILT.is_dir(), reason="no .aws-sam/build: run `make build` first"),
    pytest.mark.skipif(PYTHON is None, reason="python3.13 is missing: it is what Lambda runs"),
]


@pytest.mark.parametrize("layer", ["DependenciesLayer", "SharedLayer"])
def test_every_module_has_hash_based_bytecode(layer: str) -> None:
    packages = BUILT / layer / "python"
    modules = list(packages.rglob("*.py"))
    assert modules
    for module in modules:
        compiled = module.parent / "__pycache__" / f"{module.stem}.cpython-313.pyc"
        assert compiled.is_file(), f"{module.relative_to(packages)} has no bytecode"
        (flags,) = struct.unpack_from("<I", compiled.read_bytes(), 4)
        assert flags == HASHED_UNCHECKED, f"{module.relative_to(packages)}: flags {flags:#b}"


def test_python_runs_the_shipped_bytecode_without_reading_the_source(tmp_path: Path) -> None:
    shutil.copytree(BUILT / "SharedLayer/python/audience_sync", tmp_path / "audience_sync")
    (tmp_path / "audience_sync/errors.py").write_text("raise SystemExit('the source was read')\n")
    imported = _run(tmp_path, "import audience_sync.errors; print(audience_sync.errors.__cached__)")
    assert imported.returncode == 0, imported.stderr
    assert imported.stdout.strip().endswith("errors.cpython-313.pyc")


def test_a_layer_does_not_contain_the_path_it_was_built_in() -> None:
    for compiled in (BUILT / "SharedLayer").rglob("*.pyc"):
        assert str(ROOT).encode() not in compiled.read_bytes()


@pytest.mark.parametrize("function", Template.load().functions().values(), ids=lambda function: function.name)
def test_code_and_layer_change_in_one_step_since_every_function_consists_of_one_constant_file(
    function: Function,
) -> None:
    """Lambda has no call that changes a function's own code and its layers together (aws-cdk issue 8446)."""
    module, _, name = function.handler.rpartition(".")
    assert f"def {name}(" in (BUILT / "SharedLayer/python" / module.replace(".", "/")).with_suffix(".py").read_text()
    own = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in (BUILT / function.name).iterdir()}
    assert own == PACKAGE


def test_the_dependencies_are_built_for_arm64() -> None:
    libraries = list((BUILT / "DependenciesLayer/python").rglob("*.so"))
    assert libraries
    for library in libraries:
        (machine,) = struct.unpack_from("<H", library.read_bytes(), 18)
        assert machine == 183, f"{library.name} is not for arm64"  # EM_AARCH64 in the ELF header


def test_the_layers_stay_under_60_megabytes() -> None:
    size = sum(file.stat().st_size for file in BUILT.rglob("*") if file.is_file())
    assert size < 60_000_000  # bytes; Lambda takes 250 MB, and a cold start pays for each of them


def test_the_shared_layer_contains_notice_and_licenses() -> None:
    for name in ("NOTICE", "LICENSES/Apache-2.0.txt"):
        assert (BUILT / "SharedLayer" / name).read_bytes() == (ROOT / "layers/shared" / name).read_bytes()


def test_the_sbom_lists_exactly_what_the_lock_pins() -> None:
    if not SBOM.is_file():
        pytest.skip("no .aws-sam/sbom.cdx.json: built without `make build`")
    document = json.loads(SBOM.read_text())
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    lock = (ROOT / "layers/dependencies/requirements.txt").read_text()
    pinned = {
        (name, version): set(re.findall(r"--hash=sha256:(\w+)", hashes))
        for name, version, hashes in re.findall(r"(?m)^([\w.-]+)==(\S+)(.*(?:\n +--hash.*)*)", lock)
    }
    listed = {}
    for component in document["components"]:
        assert component["licenses"], component["name"]
        purl = re.fullmatch(r"pkg:pypi/([\w.-]+)@([\w.+-]+)", component["purl"])
        assert purl, component["purl"]
        references = component["externalReferences"]
        listed[purl[1], purl[2]] = {each["content"] for reference in references for each in reference.get("hashes", [])}
    assert listed == pinned


def test_each_layer_contains_only_its_own_packages() -> None:
    assert not (BUILT / "DependenciesLayer/python/audience_sync").exists()
    assert {each.name for each in (BUILT / "SharedLayer/python").iterdir()} == {"audience_sync", "functions"}


def _run(path: Path, code: str) -> subprocess.CompletedProcess[str]:
    assert PYTHON is not None
    return subprocess.run(
        [PYTHON, "-S", "-c", f"import sys; sys.path.insert(0, {str(path)!r}); {code}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
