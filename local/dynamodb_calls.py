"""PutItem and BatchGetItem of moto's DynamoDB, without its HTTP layer.

That layer takes more than four fifths of such a call's time: it searches for every field of every attribute under
several names. moto's tables, conditions and validations are used unchanged; only the JSON is read and written here.
"""

import base64
from collections.abc import Mapping
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.dynamodb.responses import DynamoHandler

from local.dynamodb_statements import StatementOutcome
from local.template import ACCOUNT


class DynamoDbCalls:
    """Calls of one region. Like the rest of moto, not thread-safe."""

    def __init__(self, region: str) -> None:
        self._region = region

    def put_item(self, parameters: Mapping[str, Any]) -> StatementOutcome:
        """Make a PutItem with the parameters of its JSON request."""
        try:
            self._handler(parameters).put_item()
        except JsonRESTError as error:
            return StatementOutcome(error.relative_error_type, error.message)
        return StatementOutcome()

    def batch_get_item(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a BatchGetItem, as JSON. Raises JsonRESTError if DynamoDB would reject it."""
        answer: Any = self._handler(parameters).batch_get_item().result
        names = ("Responses", "UnprocessedKeys")
        return {name: _as_json(answer[name]) for name in names}

    def _handler(self, parameters: Mapping[str, Any]) -> DynamoHandler:
        handler = DynamoHandler()
        handler.current_account, handler.region = ACCOUNT, self._region
        handler.body = _from_json(parameters)
        return handler


def _from_json(value: Any) -> Any:
    """Decode binary attributes, {"B": "base64"}, anywhere in a request."""
    if isinstance(value, list):
        return [_from_json(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"B"} and isinstance(value["B"], str):
        return {"B": base64.b64decode(value["B"])}
    return {name: _from_json(each) for name, each in value.items()}


def _as_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list):
        return [_as_json(each) for each in value]
    if isinstance(value, dict):
        return {name: _as_json(each) for name, each in value.items()}
    return value
