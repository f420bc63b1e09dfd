"""The open findings of the hourly audit, as it has stored them."""

from audience_sync.aws.checkpoint import AUDIT, FINDINGS, Checkpoint
from audience_sync.operations.findings import AuditFinding, Findings
from audience_sync_cli.frame.stacks import Stack


def open_findings(stack: Stack) -> tuple[AuditFinding, ...]:
    """Return the findings, the most urgent first; none before the first audit. Raises Unavailable."""
    row = Checkpoint(stack.service("dynamodb"), stack["MembershipTable"], AUDIT, FINDINGS)
    return Findings.from_fields(row.position()).open
