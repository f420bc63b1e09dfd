"""docs/delivery.md agrees with the code, and the layer holds what its functions use."""

import json
import re

import grimp

from audience_sync.members.messages import ChangeMessage, DeliveryHistory, Untracked, change_as_json
from local.template import ROOT
from tests.support.markdown import section

PACKAGE = ROOT / "layers/shared/audience_sync"
DELIVERY = (ROOT / "docs/delivery.md").read_text(encoding="utf-8")


def test_the_layer_holds_only_what_a_function_uses() -> None:
    graph = grimp.build_graph("audience_sync", "functions", cache_dir=None)
    used: set[str] = set()
    to_follow = [name for name in graph.modules if name.startswith("functions")]
    while to_follow:
        used.add(name := to_follow.pop())
        to_follow += graph.find_modules_directly_imported_by(name) - used
    unused = {name for name in graph.modules - used if not graph.find_children(name)}
    assert unused == set()


def test_at_most_20_names_of_an_upload_have_to_be_known_and_each_is_in_its_file() -> None:
    rows = re.findall(
        r"^\| ((?:`\w+` ?)+) \| `([\w/.]+)` \|", section(DELIVERY, "Delivery, in eleven steps"), re.MULTILINE
    )
    named = [(name, place) for names, place in rows for name in re.findall(r"\w+", names)]
    assert 15 < len(named) <= 20
    missing = [pair for pair in named if not re.search(rf"\b{pair[0]}\b", (PACKAGE / pair[1]).read_text())]
    assert missing == []


def test_the_worker_reads_the_message_that_the_document_shows() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", DELIVERY, re.DOTALL)
    message = ChangeMessage.from_body(example)
    optional = DeliveryHistory(1, 1, True, True, Untracked("job", 1, True), 1, "id").as_json()
    explained = " ".join(re.findall(r"^\| (`.+`) \| a (?:message|change|dead letter) \|", DELIVERY, re.MULTILINE))
    assert {*optional, "erase", "namedAt", "failure"} == {*re.findall(r"\w+", explained)}
    assert [change.exits for change in message.changes] == [False]
    assert json.loads(example)["changes"] == [change_as_json(change) for change in message.changes]
