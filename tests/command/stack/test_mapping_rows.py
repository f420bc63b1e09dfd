"""The stored mappings: read as they are, and never replaced over a version that was not read."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from audience_sync.aws.audience_table import MAPPINGS_KEY
from audience_sync.errors import Unavailable
from audience_sync_cli.stack.mapping_rows import MappingsRows, MappingsStore
from local import resources
from tests.command.conftest import Deployment
from tests.support.aws_fixtures import AwsServer
from tests.support.proxy import FaultProxy, fault_proxy, refuse


@pytest.fixture
def proxy(aws_server: AwsServer) -> Iterator[FaultProxy]:
    with fault_proxy(aws_server.url) as made:
        yield made


@pytest.fixture
def store(deployment: Deployment, proxy: FaultProxy) -> MappingsStore:
    """The store of a stack, behind the proxy."""
    return MappingsStore(resources.client("dynamodb", proxy.url), deployment.stack["AudienceTable"])


def write(deployment: Deployment, attribute: dict[str, Any]) -> None:
    """Store a document, whatever the proxy does."""
    item = {"audienceId": {"S": MAPPINGS_KEY}, "document": attribute}
    deployment.stack.service("dynamodb").put_item(TableName=deployment.stack["AudienceTable"], Item=item)


NOTHING = MappingsRows(None, None)


def test_stored_mappings_are_read_back_consistently_and_used_by_the_functions(
    deployment: Deployment, store: MappingsStore, proxy: FaultProxy
) -> None:
    assert store.read() == NOTHING
    assert [parameters["ConsistentRead"] for name, parameters in proxy.calls if name == "GetItem"] == [True, True]
    assert store.replace(NOTHING, "[]", b"history")
    assert store.read() == ({"S": "[]"}, {"B": b"history"})
    assert deployment.session().audiences.contents() == ([], [], "[]")


@pytest.mark.parametrize("attribute", [{"S": "{not json"}, {"M": {"version": {"N": "1"}}}], ids=["text", "map"])
def test_even_an_invalid_document_can_be_read_and_replaced(
    deployment: Deployment, store: MappingsStore, attribute: dict[str, Any]
) -> None:
    write(deployment, attribute)
    before = store.read()
    assert before == MappingsRows(attribute, None)
    assert store.replace(before, "[]", b"1")
    assert store.read().document == {"S": "[]"}


@pytest.mark.parametrize(
    ("read", "stored"),
    [
        pytest.param(None, {"S": "2"}, id="nothing, and stored since"),
        pytest.param({"S": "1"}, {"S": "2"}, id="another document"),
        pytest.param({"S": "1"}, None, id="a document that was removed since"),
    ],
)
def test_mappings_changed_since_their_reading_are_kept(
    deployment: Deployment, store: MappingsStore, read: Any, stored: Any
) -> None:
    if stored:
        write(deployment, stored)
    assert not store.replace(MappingsRows(read, None), "3", b"1")
    assert store.read() == (stored, None)


def test_mappings_whose_history_has_changed_are_not_replaced_and_removing_them_keeps_it(
    deployment: Deployment, store: MappingsStore
) -> None:
    assert store.replace(NOTHING, "1", b"1")
    read = store.read()
    assert not store.replace(read._replace(history={"B": b"0"}), "2", b"2")
    assert store.read() == read
    assert store.replace(read, None, b"2")
    assert store.read() == (None, {"B": b"2"})
    assert deployment.session().audiences.mappings() is None


def test_the_error_of_a_table_failure_names_the_table(store: MappingsStore, proxy: FaultProxy) -> None:
    calls: dict[str, Callable[[], object]] = {
        "GetItem": store.read,
        "TransactWriteItems": lambda: store.replace(NOTHING, "[]", b"1"),
    }
    for operation, call in calls.items():
        proxy.on(operation, refuse("ThrottlingException"))
        with pytest.raises(Unavailable, match="the audience table does not answer: ThrottlingException"):
            call()
