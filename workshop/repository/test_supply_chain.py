"""What comes from others: under which license, from which file, and what is known about it."""

import hashlib
import json
import os
import re
import subprocess
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

from local.template import ROOT
from scripts.sbom import joined, numbered
from scripts.vulnerabilities import summary

SHARED = ROOT / "layers/shared"
LOCKS = sorted([*ROOT.glob("requirements/*.txt"), ROOT / "layers/dependencies/requirements.txt"])
APACHE_2 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"  # of the text that apache.org publishes


def test_every_module_derived_from_apache_sources_is_in_the_notice() -> None:
    notice = (SHARED / "NOTICE").read_text()
    named = set(re.findall(r"^audience_sync/\S+\.py$", notice, re.MULTILINE))
    source = re.compile(r"AMC Uploader|libphonenumber|Apache-2\.0")
    modules = {path for path in (SHARED / "audience_sync").rglob("*.py") if source.search(path.read_text())}
    assert named == {str(path.relative_to(SHARED)) for path in modules}


def test_the_apache_license_is_the_original_text() -> None:
    text = (SHARED / "LICENSES/Apache-2.0.txt").read_bytes()
    assert hashlib.sha256(text).hexdigest() == APACHE_2


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_a_lock_pins_each_package_by_hash_and_names_no_host(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert not re.search(r"^\s*-(?!-hash)", text, re.MULTILINE), "an option would say where packages come from"
    for requirement in re.split(r"\n(?=\S)", re.sub(r"(?m)^\s*#.*\n?", "", text)):
        assert re.match(r"[\w.\[\],-]+==\S+", requirement), requirement
        assert "--hash=sha256:" in requirement, requirement


def test_every_lock_is_renewed_by_make_lock() -> None:
    (renewed,) = re.findall(r"^LOCKS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert sorted(ROOT / f"{name}.txt" for name in renewed.split()) == LOCKS


def test_packages_are_installed_from_wheels_only() -> None:
    """The editable install is the one exception: it builds our own source, and takes nothing else."""
    files = [ROOT / "Makefile", *ROOT.glob("layers/*/Makefile"), *ROOT.glob("scripts/*.sh"), ROOT / ".ci/run"]
    commands = [
        command
        for path in files
        for command in re.sub(r"\\\n\s*", "", path.read_text()).splitlines()
        if re.search(r"\bpip (install|sync)\b", command)
    ]
    assert len(commands) >= 5
    for command in commands:
        if command.endswith("--no-deps --no-build-isolation --editable ."):
            continue
        assert re.search(r"--only-binary[ =]:all:", command), command
        assert "--require-hashes" in command, command


def test_everything_that_the_demo_imports_is_in_its_lock() -> None:
    """`make demo` runs with requirements/local.txt alone; here the packages of the tests would hide a missing one."""
    imported = {
        name
        for folder in ("local", "audience_sync_cli", "functions", "layers/shared/audience_sync")
        for path in (ROOT / folder).rglob("*.py")
        for name in re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    locked = {
        name.lower() for name in re.findall(r"^([\w-]+)==", (ROOT / "requirements/local.txt").read_text(), re.MULTILINE)
    }
    distributions = packages_distributions()
    needed = {
        name: distribution.lower().replace("_", "-")
        for name in imported - {"pyarrow"}  # an extra, for Parquet files
        for distribution in distributions.get(name, [])
        if not name.startswith("mypy_boto3")  # types, for the checks
    }
    assert {"moto", "typer", "yaml"} <= needed.keys()
    assert set(needed.values()) <= locked


def component(purl: str, **more: Any) -> dict[str, Any]:
    return {"purl": purl, "externalReferences": []} | more


def test_the_sbom_has_the_license_from_the_layer_and_the_hash_from_the_lock() -> None:
    hashed = {"type": "distribution", "hashes": [{"alg": "SHA-256", "content": "ab"}]}
    layer = {"specVersion": "1.6", "components": [component("pkg:pypi/a@1", licenses=["MIT"])]}
    lock = {"components": [component("pkg:pypi/a@1", externalReferences=[hashed])]}
    assert joined(layer, lock) == {
        "specVersion": "1.6",
        "components": [component("pkg:pypi/a@1", licenses=["MIT"], externalReferences=[hashed])],
    }


def test_an_sbom_has_a_serial_number_that_depends_on_its_content_alone() -> None:
    """actions/attest takes a document without one for no SBOM."""
    one = numbered({"specVersion": "1.6", "components": [component("pkg:pypi/a@1")]})
    same = numbered({"components": [component("pkg:pypi/a@1")], "specVersion": "1.6"})
    other = numbered({"specVersion": "1.6", "components": [component("pkg:pypi/a@2")]})
    assert re.fullmatch(
        r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", one["serialNumber"]
    )
    assert one == same
    assert one["serialNumber"] != other["serialNumber"]


@pytest.mark.parametrize("lock", [["pkg:pypi/a@2"], [], ["pkg:pypi/a@1", "pkg:pypi/b@1"]])
def test_no_sbom_is_written_if_layer_and_lock_differ(lock: list[str]) -> None:
    with pytest.raises(ValueError, match="layer and lock differ"):
        joined({"components": [component("pkg:pypi/a@1")]}, {"components": [component(purl) for purl in lock]})


CLEAN = {"name": "six", "version": "1.17.0", "vulns": []}
VULNERABLE = {"name": "idna", "version": "3.0", "vulns": [{"id": "CVE-2026-1", "fix_versions": ["3.7"]}]}
UNFIXED = {"name": "idna", "version": "3.0", "vulns": [{"id": "CVE-2026-2", "fix_versions": []}]}
SKIPPED = {"name": "lark", "skip_reason": "Dependency not found on PyPI"}


@pytest.mark.parametrize(
    ("packages", "status", "printed"),
    [
        pytest.param([CLEAN], 0, "Known vulnerabilities: 0 in 1 of 1 packages.", id="none"),
        pytest.param(
            [CLEAN, VULNERABLE],
            1,
            "idna 3.0: CVE-2026-1; fixed in 3.7\nKnown vulnerabilities: 1 in 2 of 2 packages.",
            id="one",
        ),
        pytest.param(
            [UNFIXED],
            1,
            "idna 3.0: CVE-2026-2; fixed in -\nKnown vulnerabilities: 1 in 1 of 1 packages.",
            id="one that is not fixed",
        ),
        pytest.param(
            [CLEAN, SKIPPED],
            0,
            "Known vulnerabilities: 0 in 1 of 2 packages.\n"
            "Not checked, because PyPI does not know these versions: lark.",
            id="a package that PyPI does not know",
        ),
    ],
)
def test_known_vulnerabilities_fail_the_check_and_are_named(
    packages: list[dict[str, Any]], status: int, printed: str
) -> None:
    assert summary(json.dumps({"dependencies": packages, "fixes": []})) == (status, printed)


@pytest.mark.parametrize("report", ["", "<html>", "[]", "{}"])
def test_an_unreadable_audit_report_counts_as_not_checked(report: str) -> None:
    status, printed = summary(report)
    assert (status, "not checked" in printed) == (0, True)


@pytest.mark.parametrize("curl", ["printf 404", "printf 000; exit 28"], ids=["a mirror", "no network"])
def test_an_audit_without_network_says_that_nothing_was_checked(tmp_path: Path, curl: str) -> None:
    (tmp_path / "curl").write_text(f"#!/bin/sh\n{curl}\n")
    (tmp_path / "curl").chmod(0o755)
    ended = subprocess.run(
        ["scripts/audit.sh"],
        cwd=ROOT,
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout.startswith("Known vulnerabilities: not checked.")) == (0, True)
