"""The table of docs/cost.md is what its model computes, and the model has the limits of the code."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from audience_sync.amazon_ads.apis import upload_rules
from audience_sync.amazon_ads.data_manager.client import MAX_DELETIONS
from audience_sync.amazon_ads.data_manager.members import MEMBERS_SIZE
from audience_sync.amazon_ads.destination import of_data_manager
from audience_sync.aws.membership_rows import Sharding, row_of
from audience_sync.ingest.intake import changes_from, compiled
from audience_sync.members.member_state import Timing
from audience_sync.members.member_step import step
from audience_sync.members.membership import Audience, Destination, MembershipChange
from audience_sync.members.messages import MAX_MESSAGE_BYTES, JobMember, change_as_json, job_messages
from audience_sync.runtime import metric_names
from audience_sync.runtime.settings import WorkerSettings
from audience_sync_cli.dashboard import metrics as dashboard_metrics
from audience_sync_cli.watch.samples import CONSENT
from tests.markdown import model, paragraph, section, table

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/cost.md").read_text()
TEMPLATE = (ROOT / "template.yaml").read_text()
AUDIT = (ROOT / "functions/audit/handler.py").read_text()
DATASETS = (ROOT / "functions/datasets/handler.py").read_text()
EVENTS = (10**6, 10**7, 10**8)
MODEL = model(TEXT)
MONTH: Callable[..., dict[str, float]] = MODEL["month"]


def _of_template(resource: str, name: str) -> int:
    return int(TEMPLATE.split(f"\n  {resource}:\n", 1)[1].split(f"{name}: ", 1)[1].split()[0])


API = TEMPLATE.split("\n  Api:\n", 1)[1].split("\n  AccessLogGroup:\n", 1)[0]
GATEWAY = [int(part.split()[0]) for part in API.split("ThrottlingRateLimit: ")[1:]]  # requests a second


def _formatted(dollars: float) -> str:
    return "under 1" if dollars < 1 else f"{dollars:,.0f}"


def test_the_table_shows_what_the_model_computes() -> None:
    rows = table(TEXT, "| events a month |")
    single = next(index for index, row in enumerate(rows) if row[0] == "one event a request")
    for batch, (total, *parts) in ((1_000, rows[:single]), (1, rows[single:])):
        months = [MONTH(events, batch) for events in EVENTS]
        assert total[1:] == [_formatted(sum(month.values())) for month in months]
        for name, *cells in parts:
            assert cells == [_formatted(month[name]) for month in months], name


def test_the_table_of_both_apis_shows_what_the_model_computes() -> None:
    total, *parts = table(TEXT, "| dollars a month |")
    months = [MONTH(4 * 10**6, api=MODEL[api]) for api in ("AUDIENCES_API", "DATA_MANAGER")]
    assert total[1:] == [f"{sum(month.values()):.2f}" for month in months]
    assert MODEL["DATA_MANAGER"][2] <= MODEL["KB"], "a row would be more than one write unit"
    assert {name: cells for name, *cells in parts} == {
        name: [f"{month[name]:.2f}" for month in months] for name in months[0]
    }


def test_the_batched_part_of_the_table_leaves_nothing_out() -> None:
    assert {row[0] for row in table(TEXT, "| events a month |")} >= MONTH(EVENTS[0]).keys()


def _dollars(amount: float, digits: int = 2) -> str:
    return f"${amount:.{digits}f}"


def _figures() -> Iterator[tuple[Path, str, list[str]]]:
    """Document, words of the paragraph, and the figures that the model computes for it."""
    page, price = ROOT / "docs/cost.md", MODEL["PRICE"]
    batched = [f"${_formatted(sum(MONTH(events, 1_000).values()))}" for events in EVENTS[:2]]
    yield ROOT / "README.md", "**Cost:**", batched
    alarms, secrets = price["alarm"] * MODEL["ALARMS"], price["secret"] * MODEL["SECRETS"]
    polls = price["queue unit"] * 2 * MODEL["POLLERS"] * MODEL["MONTH"] / 20
    yield page, "gets no events", [*map(_dollars, (MODEL["idle"](), alarms, secrets, polls))]
    metrics = [f"{MODEL['METRICS']} of the stack", f"{MODEL['OF_AN_AUDIENCE']} for each", f"{MODEL['ALARMS']} alarms"]
    metrics.append(f"{MODEL['OF_A_DATASET']} if it is a dataset")
    hourly = _dollars(MODEL["READ_HOURLY"] * 720 * price["metric read"])
    hundred = _dollars(100 * MODEL["OF_AN_AUDIENCE"] * price["metric"], 0)
    yield page, "* **Metrics.**", [*metrics, hundred, hourly, _dollars(alarms)]
    windows = [sum(MONTH(10**7, 1, window).values()) for window in (MODEL["WINDOW"], 60)]
    yield page, "* **Few events, many windows.**", [_dollars(each, 0) for each in windows]
    on_demand = MONTH(10**8)["membership table, writes and reads"]
    even = price["write unit an hour"] / 3600 / price["write unit"]
    capacity = [_dollars(MODEL["provisioned"](10**8), 0), _dollars(on_demand, 0), f"{100 * even:.0f} %"]
    yield page, "* **Provisioned capacity.**", capacity
    day = MODEL["stranger"](GATEWAY[0])
    yield page, "Anyone on the internet", [f"{GATEWAY[0]:,} requests", _dollars(sum(day.values()), 0)]
    yield page, "Anyone on the internet", [_dollars(day[part], 0) for part in ("API Gateway", "Lambda", "logs")]
    yield page, "what limits it", [f"{GATEWAY[0]:,} requests", f"{GATEWAY[1]} to each other route"]
    yield page, "The limits reduce", [_dollars(sum(MODEL["stranger"](50).values()), 0)]
    yield page, "* **Renewal**", [_dollars(MODEL["renewal"](10**6, days)) for days in (397, 90)]
    denied = _dollars(MODEL["notices"](10**5, 10))
    yield page, "* **Deletion notices and denied consent**", [_dollars(MODEL["notices"](10**6, 50), 0), denied]
    opened = [_dollars(MODEL["dashboard"](10, 10), 3), _dollars(MODEL["dashboard"](100, 10))]
    yield page, "* **An open dashboard.**", [f"{MODEL['DASHBOARD']} metrics", *opened]
    _, record, _, upload, records, _ = MODEL["DATA_MANAGER"]
    limits = [
        f"{records:,} members or {upload // 10**6} MB",
        f"{upload // record:,} of these",
        f"every {MAX_DELETIONS:,} people",
    ]
    yield page, "No upload to Ads Data Manager", limits
    stored = (MODEL["ROW"] + MODEL["OVERHEAD"]) * 1_000_000 / 1e9
    kept = [_dollars(price["GB stored"]), f"{stored:.1f} GB", _dollars(price["secret"])]
    yield ROOT / "docs/deploy.md", "| after the removal |", kept


@pytest.mark.parametrize(("document", "about", "figures"), list(_figures()))
def test_a_paragraph_states_what_the_model_computes(document: Path, about: str, figures: list[str]) -> None:
    stated = paragraph(document.read_text(encoding="utf-8"), about)
    assert [figure for figure in figures if figure not in stated] == []


def test_what_the_first_hour_must_show_of_the_pollers_is_what_the_model_assumes() -> None:
    hour = section((ROOT / "docs/deploy.md").read_text(), "First hour in an account")
    pause = float(re.findall(r"sleep ([\d.]+); done", hour)[0])  # seconds between two events
    minute = [60 * pollers / (pollers * pause + MODEL["WINDOW"]) for pollers in (MODEL["POLLERS"], 2, 1)]
    stated = paragraph(hour, "*Must be seen:* about")
    assert [each for each in minute if f" {each:.0f}" not in stated] == []


def test_what_provisioned_capacity_saves_is_of_writes_and_of_reads() -> None:
    price = MODEL["PRICE"]
    even = [price[f"{kind} unit an hour"] / 3600 / price[f"{kind} unit"] for kind in ("write", "read")]
    assert even == [pytest.approx(0.289, abs=0.001)] * 2
    assert TEMPLATE.count(f"TargetValue: {MODEL['TARGET'] * 100:.0f}") == 2


def test_the_model_of_an_open_dashboard_has_what_the_dashboard_reads() -> None:
    calls = MODEL["PRICE"]["metric read"] * 72 + MODEL["PRICE"]["queue unit"] * 1080
    for audiences in (10, 100):
        asked = MODEL["PRICE"]["metric read"] * dashboard_metrics.an_hour(audiences, 10)
        assert MODEL["dashboard"](audiences, 10) == pytest.approx(asked + calls)


@pytest.mark.parametrize(
    ("constant", "in_code"),
    [
        pytest.param("MESSAGE", MAX_MESSAGE_BYTES, id="bytes of a message"),
        pytest.param("UPLOAD", WorkerSettings.model_fields["max_upload_bytes"].default, id="bytes of an upload"),
        pytest.param(
            "RECORDS", WorkerSettings.model_fields["max_records_per_upload"].default, id="records of an upload"
        ),
        pytest.param(
            "DATA_MANAGER",
            (*MODEL["DATA_MANAGER"][:3], MEMBERS_SIZE.max_bytes, MEMBERS_SIZE.max_records, 0),
            id="datasets",
        ),
        pytest.param("ALARMS", TEMPLATE.count("Type: AWS::CloudWatch::Alarm\n"), id="alarms"),
        pytest.param(
            "READ_HOURLY", AUDIT.count(": Metric(") + AUDIT.count(": ours("), id="metrics that the audit reads"
        ),
        pytest.param("OF_A_DATASET", DATASETS.count("(metric_names.AUDIENCE_"), id="metrics of a dataset"),
        pytest.param("SECRETS", TEMPLATE.count("Type: AWS::SecretsManager::Secret\n"), id="secrets"),
        pytest.param("MESSAGES", _of_template("WorkerFunction", "BatchSize"), id="messages of a batch"),
        pytest.param("WINDOW", _of_template("BatchWindow", "Default"), id="seconds of a window"),
        pytest.param("WORKER", _of_template("WorkerFunction", "MemorySize") / 1024, id="memory of the worker"),
        pytest.param("JOB", _of_template("JobsFunction", "MemorySize") / 1024, id="memory of the jobs function"),
        pytest.param("JOBS", _of_template("JobsFunction", "BatchSize"), id="job checks at once"),
    ],
)
def test_the_model_has_the_limits_of_code_and_template(constant: str, in_code: Any) -> None:
    assert MODEL[constant] == in_code


def test_the_model_includes_all_metrics() -> None:
    names = {value for name, value in vars(metric_names).items() if name.isupper() and isinstance(value, str)}
    # These depend on what is rejected or counted twice, and on AllowedSources.
    rare = {
        metric_names.EVENTS_REJECTED_BY_REASON,
        metric_names.REQUESTS_FROM_OTHER_SOURCES,
        metric_names.COUNTED_TWICE,
    }
    assert len(names - {metric_names.NAMESPACE} - rare) <= MODEL["METRICS"] + MODEL["OF_AN_AUDIENCE"]


class _AnyAudience:
    """Knows every audience, in the United States."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination

    def by_id(self, audience_id: str) -> list[Audience]:
        return [Audience(audience_id, country="US", destination=self._destination)]

    def by_computation_key(self, _: str) -> list[Audience]:
        return self.by_id("379909525712777677")


def _size(row: dict[str, Any]) -> int:
    """Bytes as DynamoDB counts them: names and values; a number takes about a byte for two digits, and one more."""
    sizes = {"S": len, "N": lambda text: (len(text) + 1) // 2 + 1, "B": len}
    return sum(len(name) + sizes[kind](value) for name, held in row.items() for kind, value in held.items())


def _sizes(event: dict[str, Any], destination: Destination) -> tuple[bytes, MembershipChange, list[int]]:
    """The body of an event, its change, and the bytes of the change, its record and its row."""
    body = json.dumps(event, separators=(",", ":")).encode()
    (change,) = changes_from(body, mappings=compiled(None), audiences=_AnyAudience(destination), now=2**41).changes
    state = step(None, [change], now=change.at // 1000, timing=Timing(0)).state
    row = row_of(state, Sharding(8).key_of(state.member), 1)
    encoded = json.dumps(change_as_json(change), separators=(",", ":"))
    return body, change, [len(encoded), len(upload_rules(destination).encode(change.record)), _size(row)]


def test_the_sizes_are_those_of_the_fullest_example() -> None:
    event = json.loads((ROOT / "events/segment/01-track-entered-full-pii.json").read_text())
    body, change, sizes = _sizes(event, Destination())
    listed = JobMember(change.member[1], change.version.text, removes=False)
    one, two = (len("".join(job_messages("job", change.audience_id, [listed] * count, 0))) for count in (1, 2))
    consenting = event | {"properties": event["properties"] | CONSENT}
    constants = [MODEL[name] for name in ("EVENT", "CHANGE", "RECORD", "ROW", "JOB_MEMBER")]
    of_dataset = _sizes(consenting, of_data_manager())[2]
    for about, stated, measured in (
        ("of an event", constants, [len(body), *sizes, two - one]),
        ("of a change", list(MODEL["DATA_MANAGER"][:3]), of_dataset),
    ):
        assert stated == pytest.approx(measured, rel=0.05)
        row = TEXT.split(f"| bytes {about}", 1)[1].split("\n", 1)[0]
        assert [size for size in stated if f"{size:,}" not in row] == []
