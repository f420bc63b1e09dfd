"""The table of docs/cost.md is what its model computes, and the model has the limits of the code."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audience_sync import metric_names
from audience_sync.amazon_ads.record import encode_record
from audience_sync.aws.membership_rows import Sharding, row_of
from audience_sync.intake import changes_from, compiled
from audience_sync.member_state import Timing
from audience_sync.member_step import step
from audience_sync.membership import Audience
from audience_sync.messages import MAX_MESSAGE_BYTES, JobMember, change_as_json, job_messages
from audience_sync.settings import WorkerSettings
from audience_sync_cli.dashboard import metrics as dashboard_metrics

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/cost.md").read_text()
TEMPLATE = (ROOT / "template.yaml").read_text()
AUDIT = (ROOT / "functions/audit/handler.py").read_text()
FLOWING = " ".join(TEXT.split())
EVENTS = (10**6, 10**7, 10**8)


def _model() -> dict[str, Any]:
    (block,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(block, "docs/cost.md", "exec"), names)  # noqa: S102 - our own text
    return names


MODEL = _model()
MONTH: Callable[..., dict[str, float]] = MODEL["month"]


def _formatted(dollars: float) -> str:
    return "under 1" if dollars < 1 else f"{dollars:,.0f}"


def _rows() -> list[list[str]]:
    table = TEXT.split("| --- | --- | --- | --- |\n", 1)[1].split("\n\n", 1)[0]
    return [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_the_table_shows_what_the_model_computes() -> None:
    rows = _rows()
    single = next(index for index, row in enumerate(rows) if row[0] == "one event a request")
    for batch, (total, *parts) in ((1_000, rows[:single]), (1, rows[single:])):
        months = [MONTH(events, batch) for events in EVENTS]
        assert total[1:] == [_formatted(sum(month.values())) for month in months]
        for name, *cells in parts:
            assert cells == [_formatted(month[name]) for month in months], name


def test_the_readme_states_what_batched_events_cost() -> None:
    million, ten_million = (_formatted(sum(MONTH(events, 1_000).values())) for events in EVENTS[:2])
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert f"about ${million} a month for 1 million events in batches, ${ten_million} for 10 million" in readme


def test_the_batched_part_of_the_table_leaves_nothing_out() -> None:
    assert {row[0] for row in _rows()} >= MONTH(EVENTS[0]).keys()


def test_the_cost_of_metrics_and_alarms_is_what_the_model_computes() -> None:
    price = MODEL["PRICE"]
    assert f"{MODEL['METRICS']} of the stack and {MODEL['OF_AN_AUDIENCE']} for each audience" in TEXT
    assert f"100 active audiences are ${100 * MODEL['OF_AN_AUDIENCE'] * price['metric']:.0f} a month" in TEXT
    assert f"the audit ${MODEL['READ_HOURLY'] * 720 * price['metric read']:.2f}" in TEXT
    assert f"the {MODEL['ALARMS']} alarms are ${MODEL['ALARMS'] * price['alarm']:.2f}" in TEXT


def test_the_cost_of_an_idle_stack_is_what_the_model_computes() -> None:
    price = MODEL["PRICE"]
    polls = price["queue unit"] * 2 * MODEL["POLLERS"] * MODEL["MONTH"] / 20
    secrets = price["secret"] * MODEL["SECRETS"]
    assert (
        f"no events costs ${MODEL['idle']():.2f} a month: alarms ${price['alarm'] * MODEL['ALARMS']:.2f}, "
        f"secrets ${secrets:.2f}, the polling of two queues ${polls:.2f}"
    ) in FLOWING


def test_five_pollers_start_five_times_as_many_workers_as_one_until_batches_are_full() -> None:
    starts = MODEL["MONTH"] / MODEL["WINDOW"]  # of one poller
    seldom, often = (MONTH(events, 1)["worker, Lambda"] for events in (10**5, 10**7))
    assert MONTH(10**5, 1, 1)["worker, Lambda"] == pytest.approx(seldom, rel=0.1), "each message has its own worker"
    one = starts * (MODEL["PRICE"]["invocation"] + MODEL["PRICE"]["GB-second"] * MODEL["WORKER"] * 2.3)
    assert one * 4 < often < one * 5


def test_what_the_first_hour_must_show_of_the_pollers_is_what_the_model_assumes() -> None:
    section = (ROOT / "docs/deploy.md").read_text().split("\n## First hour in an account\n")[1].split("\n## ")[0]
    pause = float(re.findall(r"sleep ([\d.]+); done", section)[0])  # seconds between two events

    def a_minute(pollers: int) -> float:
        return float(60 * pollers / (pollers * pause + MODEL["WINDOW"]))

    text = " ".join(section.split())
    assert f"about {a_minute(MODEL['POLLERS']):.0f} a minute" in text
    assert f"Two pollers would make {a_minute(2):.0f}, one {a_minute(1):.0f}" in text


def test_what_a_longer_window_saves_is_what_the_model_computes() -> None:
    short, long = (sum(MONTH(10**7, 1, window).values()) for window in (MODEL["WINDOW"], 60))
    assert f"10 million of them a month cost ${short:.0f}, and ${long:.0f} with `BatchWindow=60`" in FLOWING


def test_what_provisioned_capacity_saves_is_what_the_model_computes() -> None:
    price = MODEL["PRICE"]
    on_demand = MONTH(10**8)["membership table, writes and reads"]
    assert f"cost ${MODEL['provisioned'](10**8):.0f} instead of ${on_demand:.0f}" in FLOWING
    even = [price[f"{kind} unit an hour"] / 3600 / price[f"{kind} unit"] for kind in ("write", "read")]
    assert even == [pytest.approx(0.289, abs=0.001)] * 2
    assert f"if more than {even[0]:.0%} of what".replace("%", " %") in FLOWING
    assert TEMPLATE.count(f"TargetValue: {MODEL['TARGET']:.0%}".removesuffix("%")) == 2


def test_the_cost_of_a_stranger_is_what_the_model_computes_at_the_limits_of_the_template() -> None:
    api = TEMPLATE.split("\n  Api:\n", 1)[1].split("\n  AccessLogGroup:\n", 1)[0]
    limit, of_other_routes = (int(part.split()[0]) for part in api.split("ThrottlingRateLimit: ")[1:])
    day = MODEL["stranger"](limit)
    assert f"{limit:,} requests a second, that is\n**${sum(day.values()):.0f} a day**" in TEXT
    assert ", ".join(f"${day[part]:.0f} for {part}" for part in ("API Gateway", "Lambda")) in TEXT.replace(" and", ",")
    assert f"${day['logs']:.0f} for logs" in TEXT
    assert f"above {limit:,} requests a second to `/v1/events` and {of_other_routes} to each other route" in TEXT
    assert f"down to ${sum(MODEL['stranger'](50).values()):.0f}." in TEXT


@pytest.mark.parametrize("days", [397, 90])
def test_the_cost_of_renewal_is_what_the_model_computes(days: int) -> None:
    dollars = MODEL["renewal"](10**6, days)
    assert f"${dollars:.2f}" in TEXT


def test_the_cost_of_deletion_notices_is_what_the_model_computes() -> None:
    dollars = MODEL["notices"](10**6, 50)
    assert f"a million of them, with 50 audiences, cost ${dollars:.0f} to look up" in TEXT


def test_the_cost_of_an_open_dashboard_is_what_the_model_computes_with_what_it_reads() -> None:
    for audiences, reasons in ((10, 10), (100, 10)):
        asked = dashboard_metrics.an_hour(audiences, reasons)
        calls = MODEL["PRICE"]["metric read"] * 72 + MODEL["PRICE"]["queue unit"] * 1080
        assert MODEL["dashboard"](audiences, reasons) == pytest.approx(MODEL["PRICE"]["metric read"] * asked + calls)
    assert f"for {MODEL['DASHBOARD']} metrics a minute" in TEXT
    few, many = MODEL["dashboard"](10, 10), MODEL["dashboard"](100, 10)
    assert f"is ${few:.3f} with ten audiences and ten reasons, ${many:.2f} with a hundred audiences" in TEXT


@pytest.mark.parametrize(
    ("constant", "in_code"),
    [
        pytest.param("MESSAGE", MAX_MESSAGE_BYTES, id="bytes of a message"),
        pytest.param("UPLOAD", WorkerSettings.model_fields["max_upload_bytes"].default, id="bytes of an upload"),
        pytest.param(
            "RECORDS", WorkerSettings.model_fields["max_records_per_upload"].default, id="records of an upload"
        ),
        pytest.param("ALARMS", TEMPLATE.count("Type: AWS::CloudWatch::Alarm\n"), id="alarms"),
        pytest.param(
            "READ_HOURLY", AUDIT.count(": Metric(") + AUDIT.count(": ours("), id="metrics that the audit reads"
        ),
        pytest.param("SECRETS", TEMPLATE.count("Type: AWS::SecretsManager::Secret\n"), id="secrets"),
    ],
)
def test_the_model_has_the_limits_of_the_code(constant: str, in_code: int) -> None:
    assert MODEL[constant] == in_code


def test_the_model_has_the_batches_of_the_template() -> None:
    assert f"BatchSize: {MODEL['MESSAGES']} " in TEMPLATE
    window = TEMPLATE.split("\n  BatchWindow:\n", 1)[1].split("Default: ", 1)[1].split("\n", 1)[0]
    assert int(window) == MODEL["WINDOW"]


@pytest.mark.parametrize(("constant", "function"), [("WORKER", "WorkerFunction"), ("JOB", "JobsFunction")])
def test_the_model_has_the_memory_of_the_template(constant: str, function: str) -> None:
    memory = TEMPLATE.split(f"\n  {function}:\n", 1)[1].split("MemorySize: ", 1)[1].split()[0]
    assert MODEL[constant] == int(memory) / 1024


def test_the_model_has_as_many_job_checks_at_once_as_the_template() -> None:
    jobs = TEMPLATE.split("\n  JobsFunction:\n", 1)[1]
    assert int(jobs.split("BatchSize: ", 1)[1].split()[0]) == MODEL["JOBS"]


def test_the_model_includes_all_metrics() -> None:
    names = {value for name, value in vars(metric_names).items() if name.isupper() and isinstance(value, str)}
    # These depend on what is rejected, and on AllowedSources.
    rare = {metric_names.EVENTS_REJECTED_BY_REASON, metric_names.REQUESTS_FROM_OTHER_SOURCES}
    assert len(names - {metric_names.NAMESPACE} - rare) <= MODEL["METRICS"] + MODEL["OF_AN_AUDIENCE"]


class _AnyAudience:
    """Knows every audience, in the United States."""

    def by_id(self, audience_id: str) -> Audience:
        return Audience(audience_id, country="US")

    def by_computation_key(self, _: str) -> list[Audience]:
        return [Audience("379909525712777677", country="US")]


def _size(row: dict[str, Any]) -> int:
    """Bytes as DynamoDB counts them: names and values; a number takes about a byte for two digits, and one more."""
    sizes = {"S": len, "N": lambda text: (len(text) + 1) // 2 + 1, "B": len}
    return sum(len(name) + sizes[kind](value) for name, held in row.items() for kind, value in held.items())


def test_the_sizes_are_those_of_the_fullest_example() -> None:
    event = json.loads((ROOT / "events/segment/01-track-entered-full-pii.json").read_text())
    body = json.dumps(event, separators=(",", ":")).encode()
    result = changes_from(body, mappings=compiled(None), audiences=_AnyAudience(), now=2**41)
    (change,) = result.changes
    state = step(None, [change], now=change.at // 1000, timing=Timing(0)).state
    listed = JobMember(change.member[1], change.version.text, removes=False)
    one, two = (len("".join(job_messages("job", change.audience_id, [listed] * count, 0))) for count in (1, 2))
    measured = {
        "EVENT": len(body),
        "CHANGE": len(json.dumps(change_as_json(change), separators=(",", ":"))),
        "RECORD": len(encode_record(change.record)),
        "ROW": _size(row_of(state, Sharding(8).key_of(state.member), 1)),
        "JOB_MEMBER": two - one,
    }
    for name, size in measured.items():
        assert MODEL[name] == pytest.approx(size, rel=0.05), name
        assert f"{MODEL[name]:,}" in TEXT.split("| bytes of an event", 1)[1].split("\n", 1)[0], name


def test_what_is_kept_of_a_removed_stack_costs_what_the_model_says() -> None:
    deploy = (ROOT / "docs/deploy.md").read_text()
    stored = (MODEL["ROW"] + MODEL["OVERHEAD"]) * 1_000_000 / 1e9
    price = MODEL["PRICE"]
    assert f"${price['GB stored']:.2f} a month for each GB" in deploy
    assert f"a million members with all identifiers are {stored:.1f} GB" in deploy
    assert f"${price['secret']:.2f} a month each" in deploy
