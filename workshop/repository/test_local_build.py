"""scripts/local-build.sh: what was built once is not built again for this machine."""

import os
import platform
import subprocess
from pathlib import Path

from local.template import ROOT

COMPILED = Path("DependenciesLayer/python/core.cpython-313-{}-linux-gnu.so")


def local_build(folder: Path, built: Path, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"BUILT": str(built), "PATH": path}
    command = [ROOT / "scripts/local-build.sh", folder]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


def write(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("built")


def test_a_build_for_this_machine_is_copied_unchanged(tmp_path: Path) -> None:
    built, folder = tmp_path / "built", tmp_path / "folder"
    compiled = str(COMPILED).format(platform.machine())
    for name in ("template.yaml", compiled):
        write(built / name)
    write(folder / "of an earlier build")
    assert local_build(folder, built).returncode == 0
    assert {str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file()} == {
        "template.yaml",
        compiled,
    }


def test_packages_for_another_architecture_are_built_again(tmp_path: Path) -> None:
    built, folder, programs = tmp_path / "built", tmp_path / "folder", tmp_path / "programs"
    other = "aarch64" if platform.machine() == "x86_64" else "x86_64"
    for name in ("template.yaml", str(COMPILED).format(other)):
        write(built / name)
    for name in ("make", "python3.13"):  # in their place: shows which layer would be built, and for what
        write(programs / name)
        (programs / name).write_text('#!/bin/bash\necho "$@"\n')
        (programs / name).chmod(0o755)
    ended = local_build(folder, built, f"{programs}:{os.environ['PATH']}")
    assert ended.returncode == 0, ended.stderr
    assert f"ARTIFACTS_DIR={folder}/DependenciesLayer LAYER_MACHINE={platform.machine()}" in ended.stdout
    assert not (folder / "DependenciesLayer").exists()
    assert (folder / "template.yaml").exists()
    assert (built / str(COMPILED).format(other)).exists()
