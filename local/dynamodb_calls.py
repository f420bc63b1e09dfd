"""The calls of moto's DynamoDB that read and write rows, without its HTTP layer.

That layer takes more than four fifths of such a call's time: it searches for every field of every attribute under
several names. moto's tables, conditions and validations are used unchanged; only the JSON is read and written here.
"""

import base64
from collections.abc import Callable, Mapping
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.dynamodb.responses import DynamoHandler

from local.dynamodb_statements import StatementOutcome
from local.template import ACCOUNT

OPERATIONS: Mapping[str, Callable[[DynamoHandler], Any]] = {
    "BatchGetItem": DynamoHandler.batch_get_item,
    "DeleteItem": DynamoHandler.delete_item,
    "GetItem": DynamoHandler.get_item,
    "PutItem": DynamoHandler.put_item,
    "Query": DynamoHandler.query,
    "Scan": DynamoHandler.scan,
    "UpdateItem": DynamoHandler.update_item,
}


class DynamoDbCalls:
    """Calls of one region. Like the rest of moto, not thread-safe."""

    def __init__(self, region: str) -> None:
        self._region = region

    def put_item(self, parameters: Mapping[str, Any]) -> StatementOutcome:
        """Make a PutItem with the parameters of its JSON request."""
        try:
            self.answer("PutItem", parameters)
        except JsonRESTError as error:
            return StatementOutcome(error.relative_error_type, error.message)
        return StatementOutcome()

    def answer(self, operation: str, parameters: Mapping[str, Any]) -> Any:
        """Answer a request of one of the OPERATIONS, as JSON.

        Raises JsonRESTError if DynamoDB would reject it; nothing has changed then.
        """
        handler = DynamoHandler()
        handler.current_account, handler.region = ACCOUNT, self._region
        handler.body = _from_json(parameters)
        return _as_json(OPERATIONS[operation](handler).result)


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
