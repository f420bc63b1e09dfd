"""The stored document of mappings: read whatever somebody has made of it, and replaced by nobody unseen."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from botocore.exceptions import ClientError

from audience_sync.aws.audience_table import MAPPINGS_KEY
from audience_sync.segment.mapping_config import DEFAULT_MAPPING
from cli.errors import OperatorError
from cli.session import Session

MAX_DOCUMENT = 380_000  # bytes; a DynamoDB item holds 400 KB


@dataclass(frozen=True, slots=True)
class Stored:
    """What is stored. It may have been written by hand, so that nothing about it is certain."""

    held: Mapping[str, Any] | None  # the attribute as DynamoDB has it, whatever it holds; None where there is none
    listed: Any = None  # the mappings, for parse_mappings to check
    version: int = 0
    is_readable: bool = True  # JSON that may hold mappings
    is_versioned: bool = True  # its version is one, or left out

    @property
    def document(self) -> dict[str, Any]:
        """What `apply` takes, sound or not."""
        return {"version": self.version, "mappings": self.listed}


def read(session: Session) -> Stored:
    """Read what is stored, without the cache and consistently: a write will depend on it."""
    row = session.stack.service("dynamodb").get_item(
        TableName=session.stack["AudienceTable"], Key={"audienceId": {"S": MAPPINGS_KEY}}, ConsistentRead=True
    )
    held = row.get("Item", {}).get("document")
    return Stored(None, [asdict(DEFAULT_MAPPING)]) if held is None else _stored_as(held)


def _stored_as(held: Mapping[str, Any]) -> Stored:
    try:
        told = json.loads(held.get("S", ""))
    except (ValueError, RecursionError):
        told = None
    match told:
        case list():
            return Stored(held, told)
        case dict():
            version = told.get("version", 0)
            is_versioned = type(version) is int and version >= 0
            return Stored(held, told.get("mappings"), version if is_versioned else 0, is_versioned=is_versioned)
    return Stored(held, is_readable=False)


def replace(session: Session, stored: Stored, text: str) -> None:
    """Store a document in place of what was read. Raises OperatorError where somebody has stored another since."""
    if len(text.encode()) > MAX_DOCUMENT:
        raise OperatorError("The mappings are too large to store.", f"Keep them below {MAX_DOCUMENT // 1000} KB.")
    condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(document)"}
    if stored.held is not None:
        condition = {"ConditionExpression": "document = :held", "ExpressionAttributeValues": {":held": stored.held}}
    try:
        session.stack.service("dynamodb").put_item(
            TableName=session.stack["AudienceTable"],
            Item={"audienceId": {"S": MAPPINGS_KEY}, "document": {"S": text}},
            **condition,
        )
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == "ConditionalCheckFailedException":
            raise overtaken(stored.version, "another version") from None
        raise


def overtaken(made_from: Any, version: Any) -> OperatorError:
    """Say that somebody else was faster."""
    return OperatorError(
        f"The file was made from version {made_from}, and {version} is in force.",
        "Take over your changes into what `mappings show --json` prints now.",
    )
