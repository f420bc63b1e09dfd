"""The scripts that hand a build over to another job, and publish a release with the notes of the changelog."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from local.template import ROOT


def _run(clone: Path, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(clone / "scripts" / script), *arguments]
    environment = {"PATH": f"{clone}/bin:{os.environ['PATH']}"} | environment
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A clone with a build."""
    (tmp_path / "scripts").mkdir()
    for name in ("pack.sh", "unpack.sh"):
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts")
    (tmp_path / ".aws-sam/build/IngestFunction").mkdir(parents=True)
    (tmp_path / ".aws-sam/build/IngestFunction/handler.py").write_text("built", encoding="utf-8")
    (tmp_path / ".aws-sam/sbom.cdx.json").write_text("{}", encoding="utf-8")
    return tmp_path


def _packed(built: Path) -> str:
    """The digest that the job hands over."""
    output = built / "output"
    assert _run(built, "pack.sh", GITHUB_OUTPUT=str(output)).returncode == 0
    digest = output.read_text(encoding="utf-8").strip().removeprefix("digest=")
    shutil.rmtree(built / ".aws-sam")  # the other job is on another machine
    return digest


def test_packing_a_build_is_reversible_and_reproducible(built: Path) -> None:
    digest = _packed(built)
    assert _run(built, "unpack.sh", DIGEST=digest).returncode == 0
    assert (built / ".aws-sam/build/IngestFunction/handler.py").read_text(encoding="utf-8") == "built"
    assert (built / ".aws-sam/sbom.cdx.json").exists()
    (built / "output").unlink()
    assert _packed(built) == digest


@pytest.mark.parametrize("digest", ["0" * 64, "", "not a digest"])
def test_a_build_with_another_digest_is_not_unpacked(built: Path, digest: str) -> None:
    _packed(built)
    ended = _run(built, "unpack.sh", DIGEST=digest)
    assert ended.returncode != 0
    assert "SHA-256" in ended.stderr
    assert not (built / ".aws-sam").exists()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of version 1.2.3 with what was built, and a `gh` that prints its arguments and what it reads."""
    for folder in ("scripts", "bin", "dist", ".aws-sam"):
        (tmp_path / folder).mkdir()
    shutil.copy(ROOT / "scripts/release.sh", tmp_path / "scripts")
    (tmp_path / "pyproject.toml").write_text('version = "1.2.3"\n', encoding="utf-8")
    changelog = "# Changelog\n\n## 1.2.3, 2026-11-28\n\n- New.\n\n## 1.2.2, 2026-11-27\n\n- Old.\n"
    (tmp_path / "CHANGELOG.md").write_text(changelog, encoding="utf-8")
    for name in ("dist/build.tar.gz", "dist/audience_sync-1.2.3-py3-none-any.whl", ".aws-sam/sbom.cdx.json"):
        (tmp_path / name).touch()
    (tmp_path / "bin/gh").write_text('#!/bin/sh\necho "$@"\ncat\n', encoding="utf-8")
    (tmp_path / "bin/gh").chmod(0o755)
    return tmp_path


def _release(clone: Path, *arguments: str, tag: str = "v1.2.3") -> subprocess.CompletedProcess[str]:
    return _run(clone, "release.sh", *arguments, GITHUB_REF_NAME=tag)


def test_a_release_has_the_files_and_the_notes_of_its_version(clone: Path) -> None:
    printed = _release(clone).stdout
    assert printed.startswith("release create v1.2.3 --verify-tag --title 1.2.3 --notes-file - ")
    files = printed.splitlines()[0].split(" - ")[1].split()
    assert files == ["dist/build.tar.gz", "dist/audience_sync-1.2.3-py3-none-any.whl", ".aws-sam/sbom.cdx.json"]
    assert "- New." in printed
    assert "- Old." not in printed


def test_checking_a_release_publishes_nothing(clone: Path) -> None:
    ended = _release(clone, "--check")
    assert (ended.returncode, ended.stdout) == (0, "")


@pytest.mark.parametrize("arguments", [[], ["--check"]], ids=["publish", "check"])
@pytest.mark.parametrize(
    ("tag", "version", "message"),
    [
        pytest.param("v1.2.4", "1.2.3", "v1.2.3", id="another version"),
        pytest.param("v1.2.0", "1.2.0", "CHANGELOG.md", id="a version without a date"),
    ],
)
def test_a_tag_that_does_not_match_version_and_changelog_is_refused(
    clone: Path, arguments: list[str], tag: str, version: str, message: str
) -> None:
    (clone / "pyproject.toml").write_text(f'version = "{version}"\n', encoding="utf-8")
    ended = _release(clone, *arguments, tag=tag)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert message in ended.stderr
