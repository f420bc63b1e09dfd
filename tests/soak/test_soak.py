"""The real handlers on one simulated clock: the promises of delivery hold, whichever call fails."""

from typing import Any

import pytest

from audience_sync.delivery import member_delivery
from functions.worker import handler as worker
from tests.soak.__main__ import describe, fewest_events, repeat, run
from tests.soak.checks import findings
from tests.soak.finding import failures
from tests.soak.profiles import PROFILES
from tests.soak.uploads import uploads_by_member

EVENTS, SEED = 120, 1


@pytest.mark.parametrize("profile", PROFILES)
def test_no_member_is_lost_stale_or_unerased_after_faults(profile: str) -> None:
    simulation, found = run(SEED, EVENTS, profile)
    broken = failures(found)
    assert not broken, f"{describe(simulation, broken)}\n{repeat(SEED, EVENTS, profile)}"


def test_a_seed_replays_the_same_calls() -> None:
    first, second = run(3, EVENTS // 2, "all")[0], run(3, EVENTS // 2, "all")[0]
    assert first.network.calls.total() > 1000
    assert first.network.digest.hexdigest() == second.network.digest.hexdigest()


def test_the_soak_finds_a_worker_that_acknowledges_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = worker.lambda_handler

    def acknowledge_everything(event: dict[str, Any], context: Any) -> dict[str, Any]:
        return handler(event, context) | {"batchItemFailures": []}

    monkeypatch.setattr(worker, "lambda_handler", acknowledge_everything)
    kinds = {each.kind for seed in (1, 2, 3) for each in run(seed, 200, "amazon-errors")[1]}
    assert "accounting" in kinds
    assert kinds & {"lost", "stale", "resurrected", "unerased"}, "which of them depends on the seed"


def test_the_events_of_a_failed_seed_are_halved_as_long_as_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(member_delivery, "repetition_messages", lambda *_: ())
    fewest = fewest_events(1, EVENTS, "disorder")
    assert 1 < fewest < EVENTS
    assert f"shorter: make soak SEED=1 EVENTS={fewest} PROFILE=disorder" in repeat(1, EVENTS, "disorder")
    fails = [bool(failures(run(1, events, "disorder")[1])) for events in (fewest, fewest // 2)]
    assert fails == [True, False]


def test_the_soak_finds_uploads_that_never_stop() -> None:
    simulation, _ = run(1, 20, "calm")
    uploads = next(each for each in uploads_by_member(simulation) if each.records)
    simulation.amazon.received[uploads.member] += [simulation.clock.now] * uploads.allowed_after
    assert "repeated" in {each.kind for each in findings(simulation) if each.member == uploads.member}
