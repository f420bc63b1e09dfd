"""Publish a build in an S3 bucket, and print how to launch it from there, without a clone, a build or SAM.

python -m scripts.publish BUCKET [--prefix PREFIX] [--build FOLDER] [--sbom FILE]

The bucket then has `PREFIX/0.2.0/template.yaml` with its SBOM and checksums, which never change, the same files of the
version published last in `PREFIX/latest/`, and `PREFIX/code/`, where the name of each zip is made from its content: an
update does not touch code that has not changed.
"""

import argparse
import hashlib
import io
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from scripts.stack_policy import policy

ROOT = Path(__file__).resolve().parent.parent
CODE = re.compile(r"^( +(?:CodeUri|ContentUri): )(\w+)$", re.MULTILINE)
CONSOLES = {"cn": "console.amazonaws.cn", "us-gov": "console.amazonaws-us-gov.com"}  # by the region's first part

LAUNCH = """\
In the console, signed in to the account, with parameters to fill in:

{console}

In AWS CloudShell:

aws cloudformation create-stack --region {region} --stack-name audience-sync --template-url {url} \\
  --capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND --tags Key=version,Value={version} \\
  --stack-policy-body '{policy}' \\
  --parameters ParameterKey=Region,ParameterValue=NA
aws cloudformation wait stack-create-complete --region {region} --stack-name audience-sync
aws cloudformation describe-stacks --region {region} --stack-name audience-sync \\
  --query 'Stacks[0].Outputs' --output table

With Terraform:

resource "aws_cloudformation_stack" "audience_sync" {{
  name         = "audience-sync"
  template_url = "{url}"
  capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
  parameters   = {{ Region = "NA" }}
  tags         = {{ version = "{version}" }}
  policy_body  = <<EOT
{policy}
EOT
}}
output "events_url" {{
  value = aws_cloudformation_stack.audience_sync.outputs["EventsUrl"]
}}
"""


class NotPublished(Exception):
    """The message says why, and the remedy. A version that was published before is unchanged."""


def zipped(folder: Path) -> bytes:
    """Zip the files of a folder without their dates and owners, so that the same files give the same SHA-256."""
    archive = io.BytesIO()
    with ZipFile(archive, "w") as file:
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            entry = ZipInfo(path.relative_to(folder).as_posix())
            entry.external_attr = 0o644 << 16  # Lambda's user must be able to read it
            file.writestr(entry, path.read_bytes(), ZIP_DEFLATED)
    return archive.getvalue()


def packaged(build: Path, bucket: str, prefix: str) -> tuple[str, dict[str, bytes]]:
    """Return the template of a build with its code in the bucket, and the code by its key.

    Raises:
        NotPublished: there is no build.
    """
    template = build / "template.yaml"
    if not template.exists():
        raise NotPublished(f"{build} has no template.yaml. Run `make build` or `make unpack` first.")
    code: dict[str, bytes] = {}

    def place(match: re.Match[str]) -> str:
        content = zipped(build / match[2])
        digest = hashlib.sha256(content).hexdigest()
        name = match[2] if match[2].endswith("Layer") else "Functions"  # all consist of the same file
        key = f"{prefix}code/{name}-{digest[:16]}.zip"
        code[key] = content
        return f"{match[1]}s3://{bucket}/{key}"

    return CODE.sub(place, template.read_text(encoding="utf-8")), code


def publish(s3: Any, bucket: str, prefix: str, build: Path, sbom: Path) -> tuple[str, str]:
    """Upload a build. Return its version and the key of its template.

    Raises:
        NotPublished: there is no build, or its version was published with another content.
    """
    template, code = packaged(build, bucket, prefix)
    (version,) = re.findall(r"^  Version:\n(?:    .*\n)*?    Value: \W?([\w.]+)", template, re.MULTILINE)
    files = {"sbom.cdx.json": sbom.read_bytes(), "template.yaml": template.encode()}
    named = {f"../{name.removeprefix(prefix)}": content for name, content in code.items()} | files
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in named.items()).encode()
    # The checksums claim the version. A launch may happen at any moment: the code comes next, and the template last.
    folder = f"{prefix}{version}/"
    _create(s3, bucket, {f"{folder}SHA256SUMS": sums} | code | {f"{folder}{each}": files[each] for each in files})
    for name, content in ({"SHA256SUMS": sums} | files).items():
        _put(s3, bucket, f"{prefix}latest/{name}", content)
    return version, f"{folder}template.yaml"


def _create(s3: Any, bucket: str, objects: Mapping[str, bytes]) -> None:
    """Write objects that never change. Raises NotPublished if one exists with another content."""
    for key, content in objects.items():
        try:
            _put(s3, bucket, key, content, IfNoneMatch="*")
        except ClientError as error:
            if error.response["Error"]["Code"] != "PreconditionFailed":
                raise
            if s3.get_object(Bucket=bucket, Key=key)["Body"].read() != content:
                raise NotPublished(
                    f"s3://{bucket}/{key} exists, with another content, and a version never changes. "
                    "Raise the version in pyproject.toml and template.yaml, or choose another PREFIX."
                ) from None


def _put(s3: Any, bucket: str, key: str, content: bytes, **condition: str) -> None:
    s3.put_object(Bucket=bucket, Key=key, Body=content, ChecksumAlgorithm="SHA256", **condition)


def launch(endpoint: str, bucket: str, key: str, region: str, version: str) -> str:
    """Return the link, the lines of AWS CLI and the Terraform that launch a published version."""
    url = f"{endpoint}/{bucket}/{key}"
    host = next((host for part, host in CONSOLES.items() if region.startswith(f"{part}-")), "console.aws.amazon.com")
    page = f"#/stacks/create/review?templateURL={quote(url, safe='')}&stackName=audience-sync"
    console = f"https://{host}/cloudformation/home?region={region}{page}"
    return LAUNCH.format(console=console, region=region, url=url, version=version, policy=policy())


def main() -> None:
    """Publish, and print how to launch. Exit with 2 if that is impossible."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bucket")
    parser.add_argument("--prefix", default="")
    parser.add_argument("--build", type=Path, default=ROOT / ".aws-sam/build")
    parser.add_argument("--sbom", type=Path, default=ROOT / ".aws-sam/sbom.cdx.json")
    given = parser.parse_args()
    prefix = f"{given.prefix.strip('/')}/".lstrip("/")
    try:
        # Lambda reads code only from a bucket in its own region, so the bucket decides where stacks can be.
        location = boto3.client("s3").get_bucket_location(Bucket=given.bucket)["LocationConstraint"]
        region = {None: "us-east-1", "EU": "eu-west-1"}.get(location, location)
        s3 = boto3.client("s3", region_name=region)
        version, key = publish(s3, given.bucket, prefix, given.build, given.sbom)
    except (NotPublished, BotoCoreError, ClientError) as error:
        sys.stderr.write(f"Not published in the bucket {given.bucket}: {error}\n")
        sys.exit(2)
    sys.stdout.write(f"Version {version} is in s3://{given.bucket}/{prefix}{version}/, and is the latest there.\n\n")
    sys.stdout.write(launch(s3.meta.endpoint_url, given.bucket, key, region, version))


if __name__ == "__main__":
    main()
