"""`make release`: what it puts into the bucket, and the lines with which anyone launches it."""

import hashlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from local.template import ROOT
from scripts.publish import NotPublished, launch, main, publish, zipped

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
BUCKET = "releases"


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """A build as SAM leaves it: the code of every function and layer is in a folder beside the template."""
    text = (ROOT / "template.yaml").read_text(encoding="utf-8")
    folders = iter(range(100))
    template = re.sub(r"CodeUri: \S+", lambda _: f"CodeUri: Function{next(folders)}", text)
    template = re.sub(r"ContentUri: \S+/(\w+)/", lambda match: f"ContentUri: {match[1].title()}Layer", template)
    (tmp_path / "template.yaml").write_text(template, encoding="utf-8")
    for name in re.findall(r"(?:CodeUri|ContentUri): (\S+)", template):
        (tmp_path / name).mkdir()
        content = "a layer" if name.endswith("Layer") else "the same in each function"
        (tmp_path / name / "file.txt").write_text(content, encoding="utf-8")
    (tmp_path / "sbom.cdx.json").write_text("{}", encoding="utf-8")
    return tmp_path


@pytest.fixture
def s3() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        yield client


def published(s3: Any, build: Path) -> dict[str, bytes]:
    """Publish, and return the objects of the bucket."""
    assert publish(s3, BUCKET, "ads/", build, build / "sbom.cdx.json") == (VERSION, f"ads/{VERSION}/template.yaml")
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    return {key: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}


def test_a_release_is_complete_and_its_template_names_only_code_in_the_bucket(s3: Any, build: Path) -> None:
    objects = published(s3, build)
    template = objects[f"ads/{VERSION}/template.yaml"].decode()
    named = re.findall(r"(?:CodeUri|ContentUri): s3://releases/(\S+)", template)
    assert len(named) == len(re.findall(r"(?:CodeUri|ContentUri):", template)) == 11
    assert set(named) == {key for key in objects if key.startswith("ads/code/")}
    assert len(set(named)) == 3, "functions and two layers"
    files = {"template.yaml", "sbom.cdx.json", "SHA256SUMS"}
    assert objects.keys() - set(named) == {f"ads/{folder}/{file}" for folder in (VERSION, "latest") for file in files}


def test_the_checksums_are_those_of_the_published_files(s3: Any, build: Path) -> None:
    objects = published(s3, build)
    sums = dict(line.split("  ")[::-1] for line in objects["ads/latest/SHA256SUMS"].decode().splitlines())
    assert len(sums) == 5
    for name, digest in sums.items():
        key = f"ads/{name.removeprefix('../')}" if name.startswith("../") else f"ads/latest/{name}"
        assert hashlib.sha256(objects[key]).hexdigest() == digest


def test_a_change_of_code_alters_a_layer_in_the_template_and_no_function(s3: Any, build: Path) -> None:
    before = published(s3, build)[f"ads/{VERSION}/template.yaml"].decode().splitlines()
    (build / "SharedLayer/file.txt").write_text("changed code", encoding="utf-8")
    publish(s3, BUCKET, "next/", build, build / "sbom.cdx.json")
    after = s3.get_object(Bucket=BUCKET, Key="next/latest/template.yaml")["Body"].read().decode().splitlines()
    differing = [line for line, other in zip(before, after, strict=True) if line != other.replace("/next/", "/ads/")]
    assert [line.split("-")[0].strip() for line in differing] == ["ContentUri: s3://releases/ads/code/SharedLayer"]


def test_a_published_version_never_changes_but_may_be_published_again(s3: Any, build: Path) -> None:
    before = published(s3, build)
    assert published(s3, build) == before
    (build / "SharedLayer/file.txt").write_text("changed code", encoding="utf-8")
    template = f"ads/{VERSION}/template.yaml"
    for _ in range(2):
        with pytest.raises(NotPublished, match=r"Raise the version .* or choose another PREFIX"):
            published(s3, build)
        assert {each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET)["Contents"]} | {template} == before.keys()
        s3.delete_object(Bucket=BUCKET, Key=template)  # as while another machine publishes it


def test_nothing_is_published_without_a_build(s3: Any, tmp_path: Path) -> None:
    with pytest.raises(NotPublished, match="make build"):
        publish(s3, BUCKET, "", tmp_path / "none", tmp_path)


@pytest.mark.usefixtures("s3")
def test_a_bucket_that_does_not_exist_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["publish", "nobodys"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "the bucket nobodys: " in (printed := capsys.readouterr()).err
    assert "does not exist" in printed.err
    assert printed.out == ""


def test_the_same_files_give_the_same_zip_whatever_their_dates(build: Path) -> None:
    first = zipped(build)
    (build / "template.yaml").touch()
    assert zipped(build) == first


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("eu-west-1", "console.aws.amazon.com"),
        ("us-gov-west-1", "console.amazonaws-us-gov.com"),
        ("cn-north-1", "console.amazonaws.cn"),
    ],
)
def test_the_launch_link_opens_the_console_of_the_buckets_region(region: str, host: str) -> None:
    lines = launch("https://s3.test", BUCKET, "ads/1.0/template.yaml", region, "1.0").splitlines()
    (link,) = [line for line in lines if line.startswith("https://")]
    assert link.startswith(f"https://{host}/cloudformation/home?region={region}#/stacks/create/review?")
    assert "templateURL=https%3A%2F%2Fs3.test%2Freleases%2Fads%2F1.0%2Ftemplate.yaml&" in link
