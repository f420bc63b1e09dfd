"""The stored mappings: read as they are, and never replaced over a version that was not read."""

from typing import Any

import pytest

from audience_sync.aws.audience_table import MAPPINGS_KEY, AudienceTable
from audience_sync.aws.mappings_store import MappingsStore
from audience_sync.errors import Unavailable
from local import resources
from local.template import Template
from tests.faults.proxy import Front, refuse
from tests.unit.aws.conftest import Clock


class Row:
    """The template's own audience table: the store behind the front, and a writer that no fault concerns."""

    def __init__(self, front: Front, clock: Clock) -> None:
        template = Template.load()
        self.direct = resources.client("dynamodb", front.upstream)
        for name in self.direct.list_tables()["TableNames"]:
            self.direct.delete_table(TableName=name)
        resources._tables(template, self.direct)
        self.name = template.resolve({"Ref": "AudienceTable"})
        self.store = MappingsStore(resources.client("dynamodb", front.url), self.name)
        self.table = AudienceTable(self.direct, self.name, clock)

    def write(self, attribute: dict[str, Any]) -> None:
        item = {"audienceId": {"S": MAPPINGS_KEY}, "document": attribute}
        self.direct.put_item(TableName=self.name, Item=item)


@pytest.fixture
def row(front: Front, clock: Clock) -> Row:
    return Row(front, clock)


def test_what_was_stored_is_read_back_and_is_what_functions_read(row: Row) -> None:
    assert row.store.read() is None
    assert row.store.replace(None, "[]")
    assert row.store.read() == {"S": "[]"}
    assert row.table.mappings() == "[]"


@pytest.mark.parametrize("attribute", [{"S": "{not json"}, {"M": {"version": {"N": "1"}}}], ids=["text", "map"])
def test_whatever_is_stored_can_be_read_and_replaced(row: Row, attribute: dict[str, Any]) -> None:
    row.write(attribute)
    assert row.store.read() == attribute
    assert row.store.replace(attribute, "[]")
    assert row.store.read() == {"S": "[]"}


@pytest.mark.parametrize("before", [None, {"S": "1"}], ids=["nothing", "another document"])
def test_a_document_stored_since_is_not_replaced(row: Row, before: dict[str, Any] | None) -> None:
    row.write({"S": "2"})
    assert not row.store.replace(before, "3")
    assert row.store.read() == {"S": "2"}


def test_a_document_removed_since_is_not_stored_again(row: Row) -> None:
    assert not row.store.replace({"S": "1"}, "2")
    assert row.store.read() is None


def test_reading_is_consistent(row: Row, front: Front) -> None:
    row.store.read()
    assert [parameters["ConsistentRead"] for name, parameters in front.calls if name == "GetItem"] == [True]


def test_a_table_that_does_not_answer_is_named(row: Row, front: Front) -> None:
    for operation in ("GetItem", "PutItem"):
        front.on(operation, refuse("ThrottlingException"))
    for call in (row.store.read, lambda: row.store.replace(None, "[]")):
        with pytest.raises(Unavailable, match="the audience table does not answer: ThrottlingException"):
            call()
