"""Each recipe of docs/sandbox.md causes the reason that the page promises, until it is off."""

from collections.abc import Callable, Iterator

import pytest
import requests

from audience_sync.amazon_ads.destination import Api
from local.amazon.recipes import RECIPES, Recipe
from tests.faults.worker_harness import WorkerHarness
from tests.functions.test_jobs import check_jobs
from tests.functions.test_worker import change

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


def concerns(recipe: Recipe, api: Api) -> bool:
    return not recipe.withholds if api is Api.AUDIENCES else not recipe.name.startswith("job-")


@pytest.mark.parametrize(
    ("worker_harness", "recipe"),
    [
        pytest.param(api, each, id=f"{api}: {each.name}")
        for api in Api
        for each in RECIPES
        if each.name != "slow" and concerns(each, api)
    ],
    indirect=["worker_harness"],
)
def test_a_recipe_causes_its_reason_until_it_is_turned_off(
    worker_harness: WorkerHarness,
    set_recipe: Callable[[str], list[str]],
    printed: Callable[[], str],
    recipe: Recipe,
) -> None:
    assert set_recipe(recipe.name) == [recipe.name]
    one = worker_harness.message(change("cust_1"))
    waiting = worker_harness.run(one).returned
    check_jobs(worker_harness.cloud)
    parked = worker_harness.dead_letters()
    shown = printed()

    if recipe.reason in WAITS:
        assert (waiting, parked) == ([one], {})
        assert f'"deferred":["{recipe.reason}"]' in shown
    elif recipe.name.startswith("job-") and recipe.name != "job-failed":
        assert (waiting, parked) == ([], {})
        assert f'"outcome":"{recipe.reason or "waiting"}"' in shown
    else:
        reason = "request_rejected" if worker_harness.amazon.api is Api.DATA_MANAGER else "job_rejected"
        expected = reason if recipe.name == "bad-records" else recipe.reason
        assert (waiting, parked) == ([], {"cust_1": expected})

    assert set_recipe("off") == []
    worker_harness.is_warm = False  # another worker: this one does not ask for a token again so soon
    worker_harness.run(worker_harness.message(change("cust_2")))
    assert worker_harness.amazon.actions_sent("cust_2") == ["CREATE"]


def test_slow_uploads_are_delivered(worker_harness: WorkerHarness) -> None:
    (recipe,) = (each for each in RECIPES if each.name == "slow")
    assert all(0 < rule["do"]["delay"] < 30 for rule in recipe.rules), "the worker waits 30 seconds for an answer"
    worker_harness.amazon.fail(*(rule | {"do": {"delay": 0.5}} for rule in recipe.rules))
    run = worker_harness.run(worker_harness.message(change("cust_1")))
    assert run.returned == []
    assert run.seconds >= 0.5
