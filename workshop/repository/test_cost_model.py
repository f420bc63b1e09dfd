"""The models of cost.md and scaling.md make the calls that the handlers make, and other texts state their figures."""

import json
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from botocore.client import BaseClient

from audience_sync.clock import Clock
from audience_sync.operations.renewal import MAX_WAITING
from functions.audit import handler as audit
from functions.ingest import handler as ingest
from functions.refresh import handler as refresh
from functions.renew import handler as renew
from local.sample_profiles import Person, audience_event
from local.template import read_document
from scripts import cost_model as cost
from scripts import delivery_model as delivery
from scripts.delivery_model import WORKER, Traffic, needs, worker
from tests.support.cloud import AUDIENCE, EVENT_KEY, ROOT, Cloud, Context
from tests.support.invocations import check_jobs, deliver
from tests.support.markdown import paragraph
from workshop.documents import dollars

AUDIENCES = (AUDIENCE.audience_id, "418273650912345679")
BATCH, REQUESTS = 20, 4


def _request(number: int) -> str:
    """The fullest example, for distinct members of both audiences in turn."""
    event = json.loads((ROOT / "events/segment/01-track-entered-full-pii.json").read_text())
    text = json.dumps(event | {"timestamp": datetime.now(UTC).isoformat()}, separators=(",", ":"))
    members = (text.replace("cust_48121", f"cust_{10_000 + number * BATCH + place}") for place in range(BATCH))
    return f"[{','.join(each.replace(AUDIENCES[0], AUDIENCES[place % 2]) for place, each in enumerate(members))}]"


def _send(cloud: Cloud, *bodies: str) -> None:
    headers = {"content-type": "application/json", "authorization": f"Bearer {EVENT_KEY}"}
    request = {"version": "2.0", "routeKey": "POST /v1/events", "headers": headers, "isBase64Encoded": False}
    cloud.enter("IngestFunction")
    for body in bodies or map(_request, range(REQUESTS)):
        assert ingest.lambda_handler(request | {"body": body}, Context())["statusCode"] == 200


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts the rows that the functions read and write by their keys."""
    counted: Counter[str] = Counter()
    call = vars(BaseClient)["_make_api_call"]

    def counting(client: BaseClient, operation: str, options: dict[str, Any]) -> Any:
        counted["read"] += sum(len(table["Keys"]) for table in options.get("RequestItems", {}).values())
        counted["written"] += len(options.get("Statements", ()))
        return call(client, operation, options)

    monkeypatch.setattr(BaseClient, "_make_api_call", counting)
    return counted


def _size(row: dict[str, Any]) -> int:
    """Bytes as DynamoDB counts them: names and values; a number takes about a byte for two digits, and one more."""
    sizes = {"S": len, "N": lambda text: (len(text) + 1) // 2 + 1, "B": len}
    return sum(len(name) + sizes[kind](value) for name, held in row.items() for kind, value in held.items())


def test_handlers_make_the_calls_of_the_cost_model_with_as_many_bytes(cloud: Cloud, rows: Counter[str]) -> None:
    events, traffic = BATCH * REQUESTS, Traffic(BATCH * REQUESTS, BATCH, len(AUDIENCES))
    other = replace(AUDIENCE, audience_id=AUDIENCES[1])
    cloud.audiences.put(other, created=0)
    _send(cloud)
    messages = [message.body for message in cloud.queues.peek(cloud.name_of("ChangeQueue"))]
    assert len(messages) == round(REQUESTS * traffic.messages)
    assert deliver(cloud) == []
    assert rows == {"read": 2 * events, "written": events}, "a new member's row, and the person's deletion notice"
    asked = requests.get(f"{cloud.amazon_url}/sandbox/requests?since=0", timeout=60).json()
    uploads = [each["bytes"] for each in asked if each["path"] == "/amc/audiences/records"]
    jobs = [message.body for message in cloud.queues.peek(cloud.name_of("JobQueue"))]
    assert len(jobs) == len(uploads) == round(traffic.starts_with(len(messages)).uploads)
    stored = map(_size, cloud.client("dynamodb").scan(TableName=cloud.name_of("MembershipTable"))["Items"])
    sizes = (REQUESTS * len(_request(0)), len("".join(messages)), sum(uploads), sum(stored), len("".join(jobs)))
    stated = (cost.EVENT, delivery.CHANGE, delivery.RECORD, cost.ROW, cost.JOB_MEMBER)
    assert [size / events for size in sizes] == pytest.approx(stated, rel=0.05)
    rows.clear()
    _send(cloud)
    assert deliver(cloud) == []
    assert rows == {"read": events, "written": events}
    assert delivery.READS == 1 + cost.ROWS
    assert cost.ROW <= cost.KB, "a write would be more than one unit"


def test_the_model_charges_the_metrics_that_a_healthy_stack_publishes(
    cloud: Cloud, printed: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    at, to = datetime.now(UTC), {"audience_id": AUDIENCE.audience_id, "key": "lapsed_premium_buyers"}
    events = [audience_event(Person(number), enters=True, at=at, **to) for number in (0, 1)]
    _send(cloud, json.dumps([*events, audience_event(Person(1), enters=False, at=at, **to)]))
    assert deliver(cloud) == []
    assert check_jobs(cloud) == []
    due = time.time() // audit.ERASURES_EVERY * audit.ERASURES_EVERY
    monkeypatch.setattr(audit, "CLOCK", Clock(now=lambda: due))
    for function, handler in (("Refresh", refresh), ("Audit", audit), ("Renew", renew)):
        cloud.enter(f"{function}Function")
        for _ in range(2):
            handler.lambda_handler({"source": "aws.events"}, Context(900_000))
    lines = [json.loads(line) for line in printed().splitlines() if '"_aws"' in line]
    directives = [(line, each) for line in lines for each in line["_aws"]["CloudWatchMetrics"]]
    named = {(each["Name"], "audience" in line) for line, found in directives for each in found["Metrics"]}
    assert {name for name, of_audience in named if of_audience} == {*cost.DAILY} - {"AudienceSizeDsp"}, "too small"
    assert {name for name, of_audience in named if not of_audience} == {*cost.HOURLY, *cost.SIX_HOURLY}


def test_the_guide_states_how_many_metrics_are_charged() -> None:
    stated = paragraph((ROOT / "docs/cost.md").read_text(), "* **Metrics.**")
    assert f"has values of {len(cost.HOURLY)} in every hour and of {len(cost.SIX_HOURLY)} in four hours a day" in stated
    assert f"${cost.AUDIENCE:.2f} a month for an audience" in stated
    source = (ROOT / "functions/audit/handler.py").read_text()
    assert source.count(": Metric(") + source.count(": ours(") == cost.HOURLY_READS


def test_the_readme_states_what_a_month_costs() -> None:
    stated = paragraph((ROOT / "README.md").read_text(), "**Cost:**")
    million, ten, mixed = (dollars(cost.total(Traffic(*each))) for each in ((1e6,), (1e7,), (1e7, 1_000, 20)))
    assert f"${million} a month for 1 million events in batches" in stated
    assert f"${ten} for 10 million, in one audience, and ${mixed} in 20" in stated


def test_the_guide_of_the_event_queue_states_what_a_message_costs() -> None:
    stated = paragraph((ROOT / "docs/queue.md").read_text(), "**Cost and scale.**")
    assert f"${1e6 * cost.BY_QUEUE:.2f} for a million messages, where HTTP costs ${1e6 * cost.BY_HTTP:.2f}" in stated
    assert f"pollers cost ${cost.QUEUE_STANDING:.2f} a month" in stated
    by_http, by_queue = cost.total(Traffic(1e8, 1)), sum(cost.month_by_queue(Traffic(1e8, 1)).values())
    assert f"cost ${dollars(by_queue)} a month by the queue and ${dollars(by_http)} by HTTP" in stated
    assert by_queue <= by_http / 2


def test_an_outage_makes_the_starts_and_requests_that_the_text_states_for_a_fiftieth_of_a_month() -> None:
    stated = paragraph((ROOT / "docs/cost.md").read_text(), "* **An outage.**")
    decision = paragraph(
        (ROOT / "docs/development/decisions.md").read_text(), "**2026-12-01 · Waiting changes come back"
    )
    for traffic in (Traffic(1e8), Traffic(1e8, 1)):
        made = cost.outage(traffic)
        assert f"${made.dollars:.2f} instead of ${cost.outage(traffic, 300).dollars:.2f}" in decision
        assert f"{round(made.starts, -3):,.0f}" in stated
        assert f"{made.requests / 1e6:.1f} million" in stated
        assert made.dollars < cost.total(traffic) / 50


def test_the_cost_model_includes_the_rows_kept_after_a_removal() -> None:
    stated = paragraph((ROOT / "docs/operate.md").read_text(), "| after the removal |")
    gigabytes = (cost.ROW + cost.OVERHEAD) * 1e6 / 1e9
    assert f"${cost.STORED * 1e9:.2f} a month for each GB" in stated
    assert f"{gigabytes:.1f} GB" in stated
    assert f"${cost.SECRET:.2f} a month each" in stated


def test_settings_that_texts_recommend_are_enough() -> None:
    description = read_document()["Parameters"]["MaximumConcurrency"]["Description"]
    assert f"{round(WORKER.concurrency * worker(2), -2):,.0f} members a second" in description
    scaling = (ROOT / "docs/scaling.md").read_text()
    renewal = paragraph(scaling, "* **Renewal.**")
    assert f"{MAX_WAITING:,} messages" in renewal
    assert f"at {MAX_WAITING // WORKER.window:.0f} single events a second" in renewal
    assert WORKER.concurrency * worker(2, audiences=20, batch=1) * delivery.DAY >= 10e6
    for millions in (100, 1_000):
        about = paragraph(scaling, f"* **{millions:,} million a day:**")
        concurrency, *_ = re.findall(r"`MaximumConcurrency` to (\d+)", about)
        assert 2 * needs(millions * 1e6, 1_000)["`MaximumConcurrency`, in 2 s"] <= int(concurrency)
