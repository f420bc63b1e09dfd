"""The stored mappings: read as they are, and never replaced over a version that was not read."""

from collections.abc import Iterator
from typing import Any

import pytest

from audience_sync.aws.audience_table import MAPPINGS_KEY, AudienceTable
from audience_sync.errors import Unavailable
from audience_sync_cli.frame.stacks import Stack
from audience_sync_cli.stack.mapping_rows import MappingsRows, MappingsStore
from local import resources
from tests.command.conftest import Deployment
from tests.support.aws_fixtures import AwsServer
from tests.support.proxy import FaultProxy, fault_proxy, refuse


class StoreFixture:
    """A stack's audience table: the store behind the proxy, and a writer that no fault affects."""

    def __init__(self, stack: Stack, proxy: FaultProxy) -> None:
        self.direct, self.name = stack.service("dynamodb"), stack["AudienceTable"]
        self.store = MappingsStore(resources.client("dynamodb", proxy.url), self.name)
        self.table = AudienceTable(self.direct, self.name)

    def write(self, attribute: dict[str, Any]) -> None:
        item = {"audienceId": {"S": MAPPINGS_KEY}, "document": attribute}
        self.direct.put_item(TableName=self.name, Item=item)


@pytest.fixture
def proxy(aws_server: AwsServer) -> Iterator[FaultProxy]:
    with fault_proxy(aws_server.url) as made:
        yield made


@pytest.fixture
def fixture(deployment: Deployment, proxy: FaultProxy) -> StoreFixture:
    return StoreFixture(deployment.stack, proxy)


NOTHING = MappingsRows(None, None)


def test_stored_mappings_are_read_back_and_used_by_the_functions(fixture: StoreFixture) -> None:
    assert fixture.store.read() == NOTHING
    assert fixture.store.replace(NOTHING, "[]", b"history")
    assert fixture.store.read() == ({"S": "[]"}, {"B": b"history"})
    assert fixture.table.contents() == ([], [], "[]")


@pytest.mark.parametrize("attribute", [{"S": "{not json"}, {"M": {"version": {"N": "1"}}}], ids=["text", "map"])
def test_even_an_invalid_document_can_be_read_and_replaced(fixture: StoreFixture, attribute: dict[str, Any]) -> None:
    fixture.write(attribute)
    before = fixture.store.read()
    assert before == MappingsRows(attribute, None)
    assert fixture.store.replace(before, "[]", b"1")
    assert fixture.store.read().document == {"S": "[]"}


@pytest.mark.parametrize("before", [None, {"S": "1"}], ids=["nothing", "another document"])
def test_mappings_changed_since_their_reading_are_kept(fixture: StoreFixture, before: dict[str, Any] | None) -> None:
    fixture.write({"S": "2"})
    assert not fixture.store.replace(MappingsRows(before, None), "3", b"1")
    assert fixture.store.read() == ({"S": "2"}, None)


def test_mappings_removed_since_they_were_read_are_not_stored(fixture: StoreFixture) -> None:
    assert not fixture.store.replace(MappingsRows({"S": "1"}, None), "2", b"1")
    assert fixture.store.read() == NOTHING


def test_mappings_whose_history_has_changed_are_not_replaced(fixture: StoreFixture) -> None:
    assert fixture.store.replace(NOTHING, "1", b"1")
    read = fixture.store.read()
    assert not fixture.store.replace(read._replace(history={"B": b"0"}), "2", b"2")
    assert fixture.store.read() == read


def test_removing_the_mappings_keeps_their_history(fixture: StoreFixture) -> None:
    assert fixture.store.replace(NOTHING, "1", b"1")
    assert fixture.store.replace(fixture.store.read(), None, b"2")
    assert fixture.store.read() == (None, {"B": b"2"})
    assert fixture.table.mappings() is None


def test_mappings_are_read_consistently(fixture: StoreFixture, proxy: FaultProxy) -> None:
    fixture.store.read()
    assert [parameters["ConsistentRead"] for name, parameters in proxy.calls if name == "GetItem"] == [True, True]


def test_the_error_of_a_table_failure_names_the_table(fixture: StoreFixture, proxy: FaultProxy) -> None:
    for operation in ("GetItem", "TransactWriteItems"):
        proxy.on(operation, refuse("ThrottlingException"))
    for call in (fixture.store.read, lambda: fixture.store.replace(NOTHING, "[]", b"1")):
        with pytest.raises(Unavailable, match="the audience table does not answer: ThrottlingException"):
            call()
