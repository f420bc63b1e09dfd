"""DynamoDB's BatchExecuteStatement, limited to the statements for the membership table: moto answers it wrongly.

moto (5.2) fails on an INSERT with parameters, and reports success if the condition of an UPDATE fails. Two forms of
statement are supported, with a parameter for every value:

    INSERT INTO "table" VALUE {'key': ?, 'range': ?, 'c': ?}
    UPDATE "table" SET c=?, d=? WHERE key=? AND range=? AND c=?

Each becomes one PutItem with a condition. So an UPDATE must name every attribute of its row, and must set the attribute
of its condition. Other statements are rejected.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

MAX_STATEMENTS = 25  # of one request; DynamoDB's limit

_TABLE = r'"(?P<table>[\w.-]{3,255})"'
_INSERT = re.compile(rf"INSERT INTO {_TABLE} VALUE \{{(?P<values>[^{{}}]+)\}}")
_UPDATE = re.compile(rf"UPDATE {_TABLE} SET (?P<changes>.+?) WHERE (?P<conditions>.+)")  # noqa: S608 - reads SQL
_VALUE = re.compile(r"'(\w+)': ?\?")
_EQUALITY = re.compile(r'(?:(\w+)|"(\w+)") ?= ?\?')
_CODES = {  # the exception of PutItem: the code in the result of a statement
    "ResourceNotFoundException": "ResourceNotFound",
    "ValidationException": "ValidationError",
}
_MESSAGES = {
    "DuplicateItem": "Duplicate primary key exists in table",
    "ConditionalCheckFailed": "The conditional request failed",
}


class InvalidStatementError(ValueError):
    """The whole request is rejected; the message says why."""


class Write(NamedTuple):
    """One statement as PutItem."""

    parameters: dict[str, Any]  # of PutItem
    refusal: str  # code of its result if the condition fails


class Outcome(NamedTuple):
    """The answer of PutItem."""

    exception: str = ""  # its name; empty if the row was written
    message: str = ""


def execute(request: Mapping[str, Any], put: Callable[[dict[str, Any]], Outcome]) -> dict[str, Any]:
    """Answer a request.

    Args:
        request: the parameters of BatchExecuteStatement.
        put: makes a PutItem with these parameters.

    Raises:
        InvalidStatementError: a statement has neither form, or there are too many. Then nothing is written.
    """
    statements = request.get("Statements", [])
    if not 1 <= len(statements) <= MAX_STATEMENTS:
        raise InvalidStatementError(f"a batch has 1 to {MAX_STATEMENTS} statements, this one has {len(statements)}")
    writes = [write_of(each["Statement"], each.get("Parameters", [])) for each in statements]
    return {"Responses": [_result(write, put(write.parameters)) for write in writes]}


def write_of(statement: str, values: list[Any]) -> Write:
    """Translate one statement. Raises InvalidStatementError."""
    if insert := _INSERT.fullmatch(statement):
        names = _names(_VALUE, insert["values"], ", ")
        return Write(
            {
                "TableName": insert["table"],
                "Item": _paired(names, values),
                "ConditionExpression": "attribute_not_exists(#key)",
                "ExpressionAttributeNames": {"#key": names[0]},
            },
            "DuplicateItem",
        )
    if update := _UPDATE.fullmatch(statement):
        return _update(update, values)
    raise InvalidStatementError("the statement has none of the forms that are supported here")


def _update(update: re.Match[str], values: list[Any]) -> Write:
    changed, where = _names(_EQUALITY, update["changes"], ", "), _names(_EQUALITY, update["conditions"], " AND ")
    if len(values) != len(changed) + len(where):
        raise InvalidStatementError("the number of parameters differs from the number of question marks")
    changes = _paired(changed, values[: len(changed)])
    conditions = _paired(where, values[len(changed) :])
    compared = [name for name in where if name in changes]
    if len(compared) != 1:
        raise InvalidStatementError("one of the attributes that are set must be in the condition, beside the key")
    return Write(
        {
            "TableName": update["table"],
            "Item": conditions | changes,
            "ConditionExpression": "#compared = :compared",
            "ExpressionAttributeNames": {"#compared": compared[0]},
            "ExpressionAttributeValues": {":compared": conditions[compared[0]]},
        },
        "ConditionalCheckFailed",
    )


def _names(pattern: re.Pattern[str], text: str, separator: str) -> list[str]:
    found = [pattern.fullmatch(part) for part in text.split(separator)]
    names = [next(filter(None, match.groups())) for match in found if match]
    if len(names) != len(found) or len(set(names)) != len(names):
        raise InvalidStatementError("every value must be a question mark, and every attribute may be named once")
    return names


def _paired(names: list[str], values: list[Any]) -> dict[str, Any]:
    if len(names) != len(values):
        raise InvalidStatementError("the number of parameters differs from the number of question marks")
    return dict(zip(names, values, strict=True))


def _result(write: Write, outcome: Outcome) -> dict[str, Any]:
    if not outcome.exception:
        return {}
    if outcome.exception == "ConditionalCheckFailedException":
        return {"Error": {"Code": write.refusal, "Message": _MESSAGES[write.refusal]}}
    code = _CODES.get(outcome.exception, "InternalServerError")
    return {"Error": {"Code": code, "Message": outcome.message}}
