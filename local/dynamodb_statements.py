"""DynamoDB's BatchExecuteStatement, limited to the statements for the membership table: moto answers it wrongly.

moto (5.2) fails on an INSERT with parameters, and reports success if the condition of an UPDATE fails. Two forms of
statement are supported, with a parameter for every value:

    INSERT INTO "table" VALUE {'key': ?, 'range': ?, 'c': ?}
    UPDATE "table" SET c=?, d=? WHERE key=? AND range=? AND c=?

Each becomes one PutItem with a condition. So an UPDATE must name every attribute of its row, and must set the attribute
of its condition. Other statements are rejected. The tests' table in memory (tests/support/doubles/dynamodb.py) reads
statements here as well.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

MAX_STATEMENTS = 25  # of one request; DynamoDB's limit

_TABLE = r'"(?P<table>[\w.-]{3,255})"'
_INSERT = re.compile(rf"INSERT INTO {_TABLE} VALUE \{{(?P<values>[^{{}}]+)\}}")
_UPDATE = re.compile(rf"UPDATE {_TABLE} SET (?P<changes>.+?) WHERE (?P<conditions>.+)")  # noqa: S608 - reads SQL
_VALUE = re.compile(r"'(\w+)': ?\?")
_EQUALITY = re.compile(r'(?:(\w+)|"(\w+)") ?= ?\?')
_CLAUSES = (("changes", ", "), ("conditions", " AND "))
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


class Statement(NamedTuple):
    """One statement with its parameters."""

    table: str
    attributes: dict[str, Any]  # inserted or set
    where: dict[str, Any]  # equal to; empty for an INSERT


class StatementOutcome(NamedTuple):
    """The answer of PutItem."""

    exception: str = ""  # its name; empty if the row was written
    message: str = ""


def execute(request: Mapping[str, Any], put: Callable[[dict[str, Any]], StatementOutcome]) -> dict[str, Any]:
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
    writes = [read_statement(each["Statement"], each.get("Parameters", [])) for each in statements]
    puts = [_put_item(write) for write in writes]
    return {"Responses": [_result(write, put(each)) for write, each in zip(writes, puts, strict=True)]}


def read_statement(text: str, parameters: Sequence[Any]) -> Statement:
    """Read a statement. Raises InvalidStatementError."""
    table, names, conditions = _parsed(text)
    if len(parameters) != len(names) + len(conditions):
        raise InvalidStatementError("the number of parameters differs from the number of question marks")
    attributes = dict(zip(names, parameters, strict=False))
    return Statement(table, attributes, dict(zip(conditions, parameters[len(names) :], strict=True)))


@lru_cache(maxsize=64)
def _parsed(text: str) -> tuple[str, list[str], list[str]]:
    """Return the table, the attributes that are written, and those that are compared."""
    if insert := _INSERT.fullmatch(text):
        return insert["table"], _names(_VALUE, insert["values"], ", "), []
    if update := _UPDATE.fullmatch(text):
        changes, conditions = (_names(_EQUALITY, update[part], by) for part, by in _CLAUSES)
        return update["table"], changes, conditions
    raise InvalidStatementError("the statement has none of the forms that are supported here")


def _names(pattern: re.Pattern[str], text: str, separator: str) -> list[str]:
    found = [pattern.fullmatch(part) for part in text.split(separator)]
    names = [next(filter(None, match.groups())) for match in found if match]
    if len(names) != len(found) or len(set(names)) != len(names):
        raise InvalidStatementError("every value must be a question mark, and every attribute may be named once")
    return names


def _put_item(write: Statement) -> dict[str, Any]:
    """Return the parameters of a PutItem that does the same."""
    if not write.where:
        condition = {"ConditionExpression": "attribute_not_exists(#key)"}
        names = {"#key": next(iter(write.attributes))}
        return {"TableName": write.table, "Item": write.attributes, "ExpressionAttributeNames": names} | condition
    compared = [name for name in write.where if name in write.attributes]
    if len(compared) != 1:
        raise InvalidStatementError("one of the attributes that are set must be in the condition, beside the key")
    return {
        "TableName": write.table,
        "Item": write.where | write.attributes,
        "ConditionExpression": "#compared = :compared",
        "ExpressionAttributeNames": {"#compared": compared[0]},
        "ExpressionAttributeValues": {":compared": write.where[compared[0]]},
    }


def _result(write: Statement, outcome: StatementOutcome) -> dict[str, Any]:
    if not outcome.exception:
        return {}
    if outcome.exception == "ConditionalCheckFailedException":
        refusal = "ConditionalCheckFailed" if write.where else "DuplicateItem"
        return {"Error": {"Code": refusal, "Message": _MESSAGES[refusal]}}
    code = _CODES.get(outcome.exception, "InternalServerError")
    return {"Error": {"Code": code, "Message": outcome.message}}
