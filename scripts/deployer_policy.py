"""Compare docs/deployer-policy.json with the calls that SAM made in a rehearsal.

    python -m scripts.deployer_policy CALLS [--write]

CALLS is the file of scripts/recorder/sitecustomize.py. Exits with 1 where the policy does not allow a call, or where
tests/fixtures/sam-calls.txt is not what was recorded; --write writes that file.
"""

import json
import sys
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
POLICY = ROOT / "docs/deployer-policy.json"
RECORDED = ROOT / "tests/fixtures/sam-calls.txt"

# Calls whose permission has another name. Source: Amazon S3's page of the Service Authorization Reference.
PERMISSIONS = {
    "s3:HeadObject": "s3:GetObject",
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:UploadPart": "s3:PutObject",
    "s3:CompleteMultipartUpload": "s3:PutObject",
}
RESOURCES = {  # what SAM's own calls concern, by service; any account and region
    "cloudformation": (
        "arn:aws:cloudformation:eu-west-1:123456789012:stack/audience-sync/1",
        "arn:aws:cloudformation:eu-west-1:123456789012:stack/audience-sync-staging/1",
        "arn:aws:cloudformation:eu-west-1:123456789012:stack/aws-sam-cli-managed-default/1",
    ),
    "s3": ("arn:aws:s3:::aws-sam-cli-managed-default-samclisourcebucket-1/audience-sync/1.template",),
}


def statements() -> list[dict[str, Any]]:
    """Read the policy's statements."""
    read: list[dict[str, Any]] = json.loads(POLICY.read_text(encoding="utf-8"))["Statement"]
    return read


def listed(value: str | list[str]) -> list[str]:
    """Return the values of a field that may hold one or several."""
    return [value] if isinstance(value, str) else value


def allows(policy: Iterable[dict[str, Any]], action: str, resource: str) -> bool:
    """Return whether a statement allows the action on the resource, as IAM compares them; all statements are Allow."""
    return any(
        any(fnmatchcase(action.lower(), each.lower()) for each in listed(statement["Action"]))
        and any(fnmatchcase(resource, each) for each in listed(statement["Resource"]))
        for statement in policy
    )


def refused(policy: list[dict[str, Any]], calls: Iterable[str]) -> list[str]:
    """Return the permissions for SAM's calls that the policy lacks, each with its resource."""
    needed = {
        (PERMISSIONS.get(call, call), resource) for call in calls for resource in RESOURCES[call.partition(":")[0]]
    }
    return [f"{action} on {resource}" for action, resource in sorted(needed) if not allows(policy, action, resource)]


def main() -> None:
    """Compare, and print what differs."""
    calls = sorted(set(Path(sys.argv[1]).read_text(encoding="utf-8").split()))
    text = "\n".join(calls) + "\n"
    if "--write" in sys.argv[2:]:
        RECORDED.write_text(text, encoding="utf-8")
    lacking = refused(statements(), calls)
    for each in lacking:
        sys.stderr.write(f"{POLICY.relative_to(ROOT)} does not allow {each}\n")
    if renewed := RECORDED.read_text(encoding="utf-8") != text:
        sys.stderr.write(f"{RECORDED.relative_to(ROOT)} is not what was recorded:\n{text}")
    if lacking or renewed:
        sys.exit(1)
    sys.stdout.write(f"ok: the deployer's policy allows the {len(calls)} kinds of calls that SAM made\n")


if __name__ == "__main__":
    main()
