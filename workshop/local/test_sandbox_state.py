import random
from collections import Counter
from pathlib import Path
from typing import Literal

import pytest

import local.amazon
from local.amazon import ledger
from local.amazon.app import build_app
from local.amazon.audiences import Audience
from local.amazon.data_manager.membership import Membership
from local.amazon.exchange import SANDBOX
from local.amazon.jobs import Scheduler
from local.amazon.records import Record
from tests.support.sandbox_bodies import AUDIENCE


def test_the_oldest_bodies_are_dropped_before_they_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "KEPT_BODY_BYTES", 1_000)
    requests = ledger.Requests()
    for number in range(5):
        entry = requests.open(0.0, "POST", f"/{number}", "", {})
        requests.keep_body(entry, b"x" * 300)
    shown = [entry.as_json(with_body=True) for entry in requests.since(0)]
    assert [entry["path"] for entry in shown] == ["/0", "/1", "/2", "/3", "/4"]
    assert [entry["bytes"] for entry in shown] == [None, None, 300, 300, 300]


def test_the_oldest_requests_are_forgotten_and_still_counted() -> None:
    requests = ledger.Requests()
    for _ in range(ledger.KEPT_REQUESTS + 5):
        requests.keep_body(requests.open(0.0, "GET", "/", "", {}), b"")
    assert requests.received == ledger.KEPT_REQUESTS + 5
    assert [entry.n for entry in requests.since(0)][:1] == [6]


def test_late_scheduled_calls_run_in_order_of_their_time() -> None:
    happened: list[tuple[str, float]] = []
    scheduler = Scheduler()

    def first(now: float) -> None:
        happened.append(("first", now))
        scheduler.at(15.0, 0.0, lambda later: happened.append(("follows from the first", later)))

    scheduler.at(20.0, 0.0, lambda now: happened.append(("last", now)))
    scheduler.at(10.0, 0.0, first)
    scheduler.run_due(100.0)
    assert happened == [("first", 10.0), ("follows from the first", 15.0), ("last", 20.0)]


def test_sizes_stay_right_through_additions_removals_and_expiry() -> None:
    audience = Audience(1, "Lapsed buyers", "", "US", 5, None, {"ttl": 100}, match_share=0.5)
    for step in range(200):
        user, digest = f"m{step % 17}", f"{step * 2654435761 % 2**32:08x}".ljust(64, "0")
        action: Literal["CREATE", "DELETE"] = "DELETE" if step % 5 == 0 else "CREATE"
        held = audience.members(float(step)).get(user)
        identity = held.identifiers if held and action == "DELETE" else (("email", digest),)
        audience.apply([Record(user, action, (identity,), None, "absent", None)], float(step))
        members = audience.members(float(step))
        counted = Counter(member.matched for member in members.values())
        sizes = audience.sizes(float(step))
        assert (sizes["receivedRecordSize"], sizes["idResolutionCount"]) == (len(members), counted[True])
    assert 0 < counted[True] < len(members), "the loop saw both kinds"


@pytest.mark.parametrize("finding", ["id", "identity"])
def test_a_removal_from_a_dataset_equals_a_linear_search(finding: Literal["id", "identity"]) -> None:
    chance, membership = random.Random(1), Membership()
    expected: dict[str, set[tuple[str, str]]] = {}
    for step in range(2_000):
        user = f"m{chance.randrange(9)}"
        pairs = tuple(("email", f"{chance.randrange(12)}") for _ in range(chance.randrange(1, 4)))
        if chance.random() < 0.5:
            membership.add(user, pairs, float(step), matched=step % 2 == 0, request=step)
            expected.setdefault(user, set()).update(pairs)
        else:
            membership.remove(user, pairs, finding)
            for other, held in expected.items():
                held.difference_update(pairs if finding == "identity" else held.copy() if other == user else ())
            expected = {other: held for other, held in expected.items() if held}
        assert {user: set(member.identifiers) for user, member in membership.by_id.items()} == expected
        assert membership.matched == sum(member.matched for member in membership.by_id.values())


def test_a_reset_restores_seeded_audiences() -> None:
    sandbox = build_app(client_id="client", client_secret="secret", refresh_token="Atzr|token")[SANDBOX]
    sandbox.seed(418273650912345678, AUDIENCE)
    sandbox.audience("418273650912345678").description = "changed since"
    sandbox.reset()
    assert sandbox.audience("418273650912345678").description == AUDIENCE["description"]


def test_the_sandbox_imports_nothing_of_the_product() -> None:
    modules = sorted(Path(local.amazon.__path__[0]).rglob("*.py"))
    assert len(modules) > 10
    assert [module.name for module in modules if "audience_sync" in module.read_text(encoding="utf-8")] == []
