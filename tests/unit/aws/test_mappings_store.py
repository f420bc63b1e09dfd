"""The stored mappings: read as they are, and never replaced over a version that was not read."""

from typing import Any

import pytest

from audience_sync.aws.audience_table import MAPPINGS_KEY, AudienceTable
from audience_sync.aws.mappings_store import MappingsStore
from audience_sync.errors import Unavailable
from local import resources
from tests.aws_fixtures import recreate_tables
from tests.faults.proxy import FaultProxy, refuse


class StoreFixture:
    """The template's audience table: the store behind the proxy, and a writer that no fault affects."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.direct = resources.client("dynamodb", proxy.upstream)
        self.name = recreate_tables(self.direct, "AudienceTable")
        self.store = MappingsStore(resources.client("dynamodb", proxy.url), self.name)
        self.table = AudienceTable(self.direct, self.name)

    def write(self, attribute: dict[str, Any]) -> None:
        item = {"audienceId": {"S": MAPPINGS_KEY}, "document": attribute}
        self.direct.put_item(TableName=self.name, Item=item)


@pytest.fixture
def fixture(proxy: FaultProxy) -> StoreFixture:
    return StoreFixture(proxy)


def test_a_stored_document_is_read_back_and_functions_read_it(fixture: StoreFixture) -> None:
    assert fixture.store.read() is None
    assert fixture.store.replace(None, "[]")
    assert fixture.store.read() == {"S": "[]"}
    assert fixture.table.mappings() == "[]"


@pytest.mark.parametrize("attribute", [{"S": "{not json"}, {"M": {"version": {"N": "1"}}}], ids=["text", "map"])
def test_any_stored_value_can_be_read_and_replaced(fixture: StoreFixture, attribute: dict[str, Any]) -> None:
    fixture.write(attribute)
    assert fixture.store.read() == attribute
    assert fixture.store.replace(attribute, "[]")
    assert fixture.store.read() == {"S": "[]"}


@pytest.mark.parametrize("before", [None, {"S": "1"}], ids=["nothing", "another document"])
def test_a_document_stored_since_is_not_replaced(fixture: StoreFixture, before: dict[str, Any] | None) -> None:
    fixture.write({"S": "2"})
    assert not fixture.store.replace(before, "3")
    assert fixture.store.read() == {"S": "2"}


def test_a_document_removed_since_is_not_stored_again(fixture: StoreFixture) -> None:
    assert not fixture.store.replace({"S": "1"}, "2")
    assert fixture.store.read() is None


def test_reading_is_consistent(fixture: StoreFixture, proxy: FaultProxy) -> None:
    fixture.store.read()
    assert [parameters["ConsistentRead"] for name, parameters in proxy.calls if name == "GetItem"] == [True]


def test_a_table_that_does_not_answer_is_named(fixture: StoreFixture, proxy: FaultProxy) -> None:
    for operation in ("GetItem", "PutItem"):
        proxy.on(operation, refuse("ThrottlingException"))
    for call in (fixture.store.read, lambda: fixture.store.replace(None, "[]")):
        with pytest.raises(Unavailable, match="the audience table does not answer: ThrottlingException"):
            call()
