"""Compare docs/deployer-policy.json with the calls that SAM made in a rehearsal.

    python -m scripts.deployer_policy CALLS [--write]

CALLS is the file of scripts/recorder/sitecustomize.py. Exits with 1 if the policy does not allow a call, or if
tests/fixtures/sam-calls.txt differs from the recording; --write updates that file.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
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
    "s3:ListObjectsV2": "s3:ListBucket",
}
STACKS = tuple(
    f"arn:aws:cloudformation:eu-west-1:123456789012:stack/{name}/1"
    for name in ("audience-sync", "audience-sync-staging")
)
STACK_OF_SAM = "arn:aws:cloudformation:eu-west-1:123456789012:stack/aws-sam-cli-managed-default/1"
BUCKET = "arn:aws:s3:::aws-sam-cli-managed-default-samclisourcebucket-1"
RESOURCES = {  # resources by permission or service, for SAM's own calls; any account and region
    "cloudformation": STACKS,
    "cloudformation:DescribeStacks": (*STACKS, STACK_OF_SAM),  # an administrator has created SAM's bucket
    "s3": (f"{BUCKET}/audience-sync/1.template", f"{BUCKET}/audience-sync-staging/1"),
    "s3:ListBucket": (BUCKET,),
}
CONTEXT = {"s3:prefix": "audience-sync/"}  # of SAM's calls


def statements(policy: Path = POLICY) -> list[dict[str, Any]]:
    """Read the policy's statements."""
    read: list[dict[str, Any]] = json.loads(policy.read_text(encoding="utf-8"))["Statement"]
    return read


def listed(value: str | list[str]) -> list[str]:
    """Return the values of a field that may hold one or several."""
    return [value] if isinstance(value, str) else value


def _arn_like(arn: str, pattern: str) -> bool:
    parts, patterns = arn.split(":", 5), pattern.split(":", 5)  # a * matches within one part
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


COMPARE: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": str.__eq__,
    "StringLike": fnmatchcase,
    "ArnLike": _arn_like,
}


def allows(
    policy: Iterable[dict[str, Any]], action: str, resource: str, context: Mapping[str, str] | None = None
) -> bool:
    """Return whether a statement allows the action on the resource, as IAM compares them; all statements are Allow.

    Args:
        policy: its statements.
        action: as in `sqs:CreateQueue`, in any case.
        resource: an ARN, or * for an action without one.
        context: the request's condition keys. A key that a request lacks satisfies no condition.
    """
    return any(
        any(fnmatchcase(action.lower(), each.lower()) for each in listed(statement["Action"]))
        and any(fnmatchcase(resource, each) for each in listed(statement["Resource"]))
        and _holds(statement.get("Condition", {}), context or {})
        for statement in policy
    )


def _holds(condition: Mapping[str, Mapping[str, str | list[str]]], context: Mapping[str, str]) -> bool:
    return all(
        key in context and any(COMPARE[operator](context[key], value) for value in listed(values))
        for operator, keys in condition.items()
        for key, values in keys.items()
    )


def refused(policy: list[dict[str, Any]], calls: Iterable[str]) -> list[str]:
    """Return the permissions for SAM's calls that are missing in the policy, each with its resource."""
    permissions = {PERMISSIONS.get(call, call) for call in calls}
    needed = {
        (action, resource)
        for action in permissions
        for resource in RESOURCES.get(action, RESOURCES[action.partition(":")[0]])
    }
    return [f"{action} on {arn}" for action, arn in sorted(needed) if not allows(policy, action, arn, CONTEXT)]


def main() -> None:
    """Compare, and print the differences."""
    calls = sorted(set(Path(sys.argv[1]).read_text(encoding="utf-8").split()))
    text = "\n".join(calls) + "\n"
    if "--write" in sys.argv[2:]:
        RECORDED.write_text(text, encoding="utf-8")
    lacking = refused(statements(), calls)
    for each in lacking:
        sys.stderr.write(f"{POLICY.relative_to(ROOT)} does not allow {each}\n")
    if renewed := RECORDED.read_text(encoding="utf-8") != text:
        sys.stderr.write(f"{RECORDED.relative_to(ROOT)} differs from the recording:\n{text}")
    if lacking or renewed:
        sys.exit(1)
    sys.stdout.write(f"ok: the deployer's policy allows the {len(calls)} kinds of calls that SAM made\n")


if __name__ == "__main__":
    main()
