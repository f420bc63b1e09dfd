"""The tables of docs/scaling.md are what its model computes, and the model has the code's limits."""

import pytest

from audience_sync.delivery.sending import SHUTDOWN_RESERVE
from audience_sync.delivery.uploads import Limits
from audience_sync.members.messages import MAX_MESSAGE_BYTES
from audience_sync.runtime.settings import WorkerSettings
from local.template import ROOT
from tests.benchmarks import bench_worker
from tests.benchmarks.scaling_plot import DOCUMENT
from tests.markdown import model, paragraph, table

TEXT = DOCUMENT.read_text()
TEMPLATE = (ROOT / "template.yaml").read_text()
COST = (ROOT / "docs/cost.md").read_text()
MODEL, OF_COST = model(TEXT), model(COST)
MILLIONS = (10, 100, 1_000)
BEGINS = MODEL["TIMEOUT"] - MODEL["UPLOAD_TIMEOUT"] - MODEL["RESERVE"]  # seconds; later a worker begins no upload


def _formatted(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 or number == int(number) else f"{number:.1f}"


def _of_template(resource: str, name: str) -> int:
    return int(TEMPLATE.split(f"\n  {resource}:\n", 1)[1].split(f"{name}: ", 1)[1].split()[0])


def test_the_table_of_settings_shows_what_the_model_computes() -> None:
    rows = table(TEXT, "| changes a day |")
    single = next(place for place, row in enumerate(rows) if row[0] == "one event a request")
    assert [row[0] for row in rows[1:single]] == list(MODEL["needs"](1e6))
    for batch, part in ((1_000, rows[1:single]), (1, rows[single + 1 :])):
        needs = [MODEL["needs"](millions * 1e6, batch) for millions in MILLIONS]
        for name, *cells, _ in part:
            assert cells == [_formatted(each[name]) for each in needs], name


def test_what_single_events_change_is_in_the_table() -> None:
    batched, single = MODEL["needs"](1e8), MODEL["needs"](1e8, 1)
    rows = table(TEXT, "| changes a day |")
    last = [row[0] for row in rows[[row[0] for row in rows].index("one event a request") + 1 :]]
    assert last == [name for name in batched if batched[name] != single[name]]


def test_the_table_of_limits_shows_what_the_model_computes() -> None:
    assert table(TEXT, "| limit |") == [[name, _formatted(round(each))] for name, each in MODEL["most"]().items()]


def test_the_recommended_settings_are_enough() -> None:
    hundred, thousand = MODEL["needs"](1e8), MODEL["needs"](1e9)
    slow, usual = ("concurrent workers, answer in 10 s", "concurrent workers, answer in 2 s")
    assert hundred[slow] <= 10
    assert 2 * thousand[usual] <= 25
    assert max(thousand[slow], thousand["concurrent workers, 20 audiences"]) <= MODEL["MOST_WORKERS"] == 50
    assert thousand["concurrent jobs, 20 audiences"] < MODEL["JOB_WORKERS"] == 5
    assert max(each["shards"] for each in (hundred, thousand)) <= MODEL["SHARDS"]


@pytest.mark.parametrize(
    ("about", "figures"),
    [
        ("* **100 million a day:**", ["`MaximumConcurrency` to 10"]),
        ("* **1,000 million a day:**", ["`MaximumConcurrency` to 25", "50"]),
        ("* **1,000 million a day:**", [f"{MODEL['catch_up'](1e9, stacks):.0f}" for stacks in (3, 4)]),
        ("* **Segment.**", [f"{each * MODEL['DAY'] / 1e6:.0f}" for each in (MODEL["SEGMENT"], 1_500)]),
        (
            "* **Erasures.**",
            [f"{MODEL['erasures'](333_000)['GB']:.1f} GB", f"{MODEL['erasures'](333_000)['runs']} runs"],
        ),
        ("* **Erasures.**", [f"{MODEL['erasures'](1)['a day in one run'] // 1_000:,.0f},000 a day"]),
        ("* **The table.**", [f"{MODEL['AMAZON_AN_HOUR'] / MODEL['HOUR']:,.0f} units"]),
        ("* **API Gateway.**", [f"bursts of {_of_template('Api', 'ThrottlingBurstLimit'):,}"]),
        ("* **Lambda.**", [f"{_of_template(f'{each}Function', 'MemorySize'):,} MB" for each in ("Ingest", "Worker")]),
        ("begins no further upload", [f"{BEGINS} of its {MODEL['TIMEOUT']} seconds"]),
    ],
)
def test_a_paragraph_states_the_figures_of_model_and_template(about: str, figures: list[str]) -> None:
    assert [figure for figure in figures if figure not in paragraph(TEXT, about)] == []


def test_the_template_promises_of_the_workers_what_the_model_computes() -> None:
    members = MODEL["WORKERS"] * MODEL["worker"](2)
    description = TEMPLATE.split("\n  MaximumConcurrency:\n", 1)[1].split("Description: ", 1)[1].split("\n", 1)[0]
    assert f"{round(members, -2):,.0f} members a second" in description


@pytest.mark.parametrize(
    ("constant", "in_code"),
    [
        pytest.param("GATEWAY", _of_template("Api", "ThrottlingRateLimit"), id="requests a second"),
        pytest.param("WORKERS", _of_template("MaximumConcurrency", "Default"), id="workers"),
        pytest.param("MOST_WORKERS", _of_template("MaximumConcurrency", "MaxValue"), id="most workers"),
        pytest.param("SHARDS", _of_template("MembershipShards", "Default"), id="shards"),
        pytest.param("JOB_WORKERS", _of_template("JobsConcurrency", "Default"), id="jobs functions"),
        pytest.param("JOBS", _of_template("JobsFunction", "BatchSize"), id="jobs of an invocation"),
        pytest.param("TIMEOUT", _of_template("WorkerFunction", "Timeout"), id="worker's timeout"),
        pytest.param("UPLOAD_TIMEOUT", Limits().timeout, id="upload's timeout"),
        pytest.param("RESERVE", SHUTDOWN_RESERVE, id="reserve"),
        pytest.param("RECORDS", Limits().max_records, id="records of an upload"),
        pytest.param("MEMBERS", bench_worker.MEMBERS, id="members of an invocation"),
    ],
)
def test_the_model_has_the_limits_of_the_code(constant: str, in_code: float) -> None:
    assert MODEL[constant] == in_code


def test_the_model_has_the_sizes_of_the_cost_model() -> None:
    assert MODEL["PER_UPLOAD"] == WorkerSettings.model_fields["max_upload_bytes"].default // OF_COST["RECORD"]
    assert MODEL["PER_MESSAGE"] == MAX_MESSAGE_BYTES // OF_COST["CHANGE"]
    assert MODEL["READS"] == OF_COST["READS"]
    assert OF_COST["ROW"] <= OF_COST["KB"], "a write would be more than one unit"


def test_the_model_assumes_the_durations_of_the_cost_model() -> None:
    assert f"({MODEL['INGEST']} + {MODEL['INGEST_EVENT']} * batch)" in COST
    assert f"({MODEL['START']} * starts + 2 * uploads + {MODEL['MEMBER_SECONDS']} * events)" in COST
    assert 2 in MODEL["ANSWERS"]
    assert f"job_runs * {MODEL['CHECK']} +" in COST
