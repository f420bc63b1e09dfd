"""Each recipe of docs/sandbox.md causes the reason that the page promises, until it is off."""

from collections.abc import Callable, Iterator

import pytest
import requests

from local.amazon.recipes import RECIPES, Recipe
from tests.faults.worker_harness import WorkerHarness
from tests.functions.test_jobs import check_jobs
from tests.functions.test_worker import body, change

ONE = body(change("cust_1"))
WAITS = {"authorization_refused", "token_unavailable", "throttled", "service_unavailable", "outcome_unknown"}


@pytest.fixture
def set_recipe(worker_harness: WorkerHarness) -> Iterator[Callable[[str], list[str]]]:
    """Sets a recipe and returns the names of those in force. Other tests use the same sandbox."""

    def change_to(name: str) -> list[str]:
        url = worker_harness.amazon.url
        requests.put(f"{url}/sandbox/faults", json={"recipe": name}, timeout=60).raise_for_status()
        recipes = requests.get(f"{url}/sandbox/recipes", timeout=60).json()
        return [each["name"] for each in recipes if each["active"]]

    yield change_to
    change_to("off")


# Those of Ads Data Manager alone do not concern this audience: tests/contract/test_sandbox_data_manager.py.
OTHERS = [each for each in RECIPES if each.name != "slow" and not each.withholds]


@pytest.mark.parametrize("recipe", [pytest.param(each, id=each.name) for each in OTHERS])
def test_a_recipe_causes_its_reason_until_it_is_off(
    worker_harness: WorkerHarness,
    set_recipe: Callable[[str], list[str]],
    printed: Callable[[], str],
    recipe: Recipe,
) -> None:
    assert set_recipe(recipe.name) == [recipe.name]
    waiting = worker_harness.run(ONE).returned
    check_jobs(worker_harness.cloud)
    parked = worker_harness.dead_letters()
    shown = printed()

    if recipe.reason in WAITS:
        assert (waiting, parked) == ([ONE], {})
        assert f'"deferred":["{recipe.reason}"]' in shown
    elif recipe.name.startswith("job-") and recipe.name != "job-failed":
        assert (waiting, parked) == ([], {})
        assert f'"outcome":"{recipe.reason or "waiting"}"' in shown
    else:
        assert (waiting, parked) == ([], {"cust_1": recipe.reason})

    assert set_recipe("off") == []
    worker_harness.is_warm = False  # another worker: this one does not ask for a token again so soon
    worker_harness.run(body(change("cust_2")))
    assert worker_harness.amazon.actions_sent("cust_2") == ["CREATE"]


def test_slow_uploads_are_delivered_nevertheless(worker_harness: WorkerHarness) -> None:
    (recipe,) = (each for each in RECIPES if each.name == "slow")
    rule, *_ = recipe.rules  # of the first API
    assert 0 < rule["do"]["delay"] < 30, "the worker waits 30 seconds for an answer"
    worker_harness.amazon.fail(rule | {"do": {"delay": 0.5}})
    run = worker_harness.run(ONE)
    assert run.returned == []
    assert run.seconds >= 0.5
