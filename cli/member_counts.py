"""Counts members in the membership table: how many are in each audience, by what was last heard of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from audience_sync.membership import Audience
from cli.stack import Stack


@dataclass(frozen=True, slots=True)
class MemberCount:
    """The members of one audience."""

    audience: Audience
    inside: int  # their newest change is an entry
    outside: int  # their newest change is an exit, at most 30 days ago: then the row goes

    def as_json(self) -> dict[str, object]:
        """The numbers for scripts."""
        return {
            "audienceId": self.audience.audience_id,
            "name": self.audience.name,
            "in": self.inside,
            "out": self.outside,
        }


def about(stack: Stack) -> int:
    """Return about how many rows there are, as DynamoDB counts every six hours."""
    table = stack.service("dynamodb").describe_table(TableName=stack["MembershipTable"])["Table"]
    return int(table["ItemCount"])


def member_counts(stack: Stack, audiences: Sequence[Audience], seen: Callable[[int], None]) -> list[MemberCount]:
    """Read every row of some audiences, at half a read unit for 4 KB. `seen` hears of rows as they come."""
    pages = stack.service("dynamodb").get_paginator("query")
    counts = []
    for audience in audiences:
        inside = outside = 0
        for page in pages.paginate(
            TableName=stack["MembershipTable"],
            KeyConditionExpression="audienceId = :audience",
            ExpressionAttributeValues={":audience": {"S": audience.audience_id}},
            ProjectionExpression="version",
        ):
            left = sum(_exits(row["version"]["S"]) for row in page["Items"])
            outside += left
            inside += len(page["Items"]) - left
            seen(len(page["Items"]))
        counts.append(MemberCount(audience, inside, outside))
    return counts


def _exits(version: str) -> bool:
    """Read what aws/membership_rows.py has written: time, exit or not, message id."""
    return version.split("#", 2)[1] == "1"
