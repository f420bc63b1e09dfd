"""The facts of a deployed stack, read from CloudWatch, the tables and the queues of a local AWS."""

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from audience_sync.aws.checkpoint import AUDIT, FINDINGS, Checkpoint
from audience_sync.ingest.record_rules import erasing_exit
from audience_sync.operations.findings import AuditFinding, Findings
from audience_sync_cli.checks.status import status
from audience_sync_cli.dashboard import deployed, plots
from audience_sync_cli.dashboard.deployed import DeployedStack
from audience_sync_cli.dashboard.ranges import RANGES
from audience_sync_cli.frame.errors import NotThere, OperatorError, WrongUsage
from audience_sync_cli.frame.times import DAY, HOUR
from audience_sync_cli.stack.dead_letters import DeadLetters
from audience_sync_cli.stack.function_logs import FUNCTIONS
from tests.command.conftest import Deployment, change
from tests.support.aws_fixtures import AUDIENCE
from tests.support.doubles.clocks import ManualClock
from tests.support.waiting import wait_until

NOW = datetime(2026, 3, 4, 9, 34, tzinfo=UTC).timestamp()
OURS, OF_AUDIENCE = {"service": "mine"}, {"audience": AUDIENCE.audience_id}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def shown(deployment: Deployment, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[DeployedStack]:
    monkeypatch.setattr(deployed, "PATIENT", 60.0)  # on a busy machine, every part is read
    stack = replace(deployment.stack, name="mine", local=None, created=NOW - 40 * DAY)
    shown = DeployedStack(stack, clock, "What it costs.")
    yield shown
    shown.close()


def put(deployment: Deployment, at: float, about: Mapping[str, str] = OURS, /, **metrics: float) -> None:
    deployment.publish(at, {**OURS, **about}, **metrics)


def alarm(deployment: Deployment, name: str, **metric: Any) -> None:
    usual = {"AlarmDescription": "It says.", "EvaluationPeriods": 1, "Threshold": 1}
    deployment.stack.service("cloudwatch").put_metric_alarm(
        AlarmName=name, ComparisonOperator="GreaterThanThreshold", **usual, **metric
    )


def checkpoint(deployment: Deployment, *part: str) -> Checkpoint:
    return Checkpoint(deployment.stack.service("dynamodb"), deployment.stack["MembershipTable"], AUDIT, *part)


def test_counts_go_back_to_creation_and_bars_one_day(deployment: Deployment, shown: DeployedStack) -> None:
    put(deployment, NOW - 20 * DAY, ChangesAccepted=9, EventsAccepted=5)
    put(deployment, NOW - 2 * DAY, RequestsUnauthorized=3)
    put(deployment, NOW - 2 * HOUR, EventsAccepted=7)
    put(deployment, NOW - 60, EventsRejected=1, ChangesDelivered=4, ChangesParked=2)
    facts = shown.read("")
    assert (facts.counts.events_accepted, facts.counts.accepted, facts.counts.waiting) == (12, 9, 3)
    assert (len(facts.activity.arrived), facts.activity.period) == (144, 600)
    assert (sum(facts.activity.arrived), facts.activity.arrived[-1], facts.activity.arrived[-13]) == (8, 1, 7)
    assert facts.activity.completed[-1] == 6
    assert facts.warnings.unauthorized == 0, "a wrong key of the day before yesterday is no warning"
    assert (facts.place.kind, facts.place.name, facts.place.note) == ("deployed", "mine", "What it costs.")


def test_reasons_are_listed_with_the_most_frequent_first(deployment: Deployment, shown: DeployedStack) -> None:
    for reason, times in (("consent_missing", 2), ("no_identifier", 5), ("consent_missing", 1)):
        put(deployment, NOW - HOUR, {"reason": reason}, EventsRejectedByReason=times)
    rejected = [(each.reason, each.times) for each in shown.read("").rejected]
    assert rejected == [("no_identifier", 5), ("consent_missing", 3)]


def test_audiences_have_a_history_of_sizes_and_match_rates(deployment: Deployment, shown: DeployedStack) -> None:
    deployment.list_audience()
    for hours, size, rate in ((30, 100, 50.0), (20, 180, 60.0), (1, 250, 70.0)):
        put(deployment, NOW - hours * HOUR, OF_AUDIENCE, AudienceReceived=size, AudienceMatchRate=rate)
    (audience,) = shown.read("").audiences
    assert (audience.name, audience.size, audience.match_rate) == (AUDIENCE.name, 250, 70.0)
    assert [value for _, value in audience.sizes] == [100, 180, 250]
    assert [value for _, value in audience.match_rates] == [50, 60, 70]


@pytest.mark.parametrize(
    ("chosen", "arrived", "rejected", "wrong_keys", "oldest"),
    [
        pytest.param("", 3, 1, 1, 50, id="usual"),
        pytest.param("1h", 1, 1, 0, 180, id="one hour"),
        pytest.param("24h", 3, 1, 1, 50, id="24 hours"),
        pytest.param("7d", 7, 3, 1, 50, id="seven days"),
        pytest.param("14d", 7, 3, 1, 50, id="fourteen days"),
        pytest.param("30d", 15, 3, 1, 50, id="thirty days"),
    ],
)
def test_the_range_applies_to_bars_warnings_reasons_and_charts(
    deployment: Deployment, shown: DeployedStack, chosen: str, arrived: int, rejected: int, wrong_keys: int, oldest: int
) -> None:
    deployment.list_audience()
    for days, events in ((0.01, 1), (0.5, 2), (3, 4), (20, 8)):
        put(deployment, NOW - days * DAY, EventsAccepted=events)
    for days, times in ((0.01, 1), (3, 2)):
        put(deployment, NOW - days * DAY, {"reason": "consent_missing"}, EventsRejectedByReason=times)
    put(deployment, NOW - 2 * HOUR, RequestsUnauthorized=1)
    for hours, size in ((500, 50), (20, 100), (2, 180), (0.2, 250)):
        put(deployment, NOW - hours * HOUR, OF_AUDIENCE, AudienceReceived=size)
    facts = shown.read(chosen)
    assert facts.range == chosen
    assert sum(facts.activity.arrived) == arrived
    assert len(facts.activity.arrived) * facts.activity.period == RANGES[chosen].span
    assert (sum(each.times for each in facts.rejected), facts.warnings.unauthorized) == (rejected, wrong_keys)
    (audience,) = facts.audiences
    sizes = [each for each in (50, 100, 180, 250) if each >= oldest]
    assert ([value for _, value in audience.sizes], audience.size) == (sizes, 250)
    assert audience.sizes[0][0] >= NOW - RANGES[chosen].history


def test_a_moved_audience_without_a_job_has_a_mark_and_no_numbers(deployment: Deployment, shown: DeployedStack) -> None:
    deployment.list_audience(replace(AUDIENCE, moved_to="8"))
    (audience,) = shown.read("").audiences
    assert (audience.size, audience.match_rate, audience.sizes, audience.mark) == (None, None, (), "moved to 8")


@pytest.mark.usefixtures("event_queue")
def test_the_event_queue_is_read_beside_the_change_queue(deployment: Deployment, shown: DeployedStack) -> None:
    deployment.send("EventsDeadLetterQueue", "{")
    assert shown.read("").as_json()["eventQueue"] == {"messages": 0, "deadLetters": 1}


def test_dead_letters_are_shown_and_redriven(deployment: Deployment, shown: DeployedStack, clock: ManualClock) -> None:
    deployment.park(change("m1"), change("m2", exits=True), reason="access_denied")
    deployment.park(change("m3"), reason="request_rejected", at=NOW)
    facts = shown.read("")
    assert facts.dead_letters == 3
    assert [each.reason for each in facts.parked.listed].count("access_denied") == 2
    assert (sum(each.exits for each in facts.parked.listed), facts.parked.is_complete) == (1, True)

    assert shown.redrive("access_denied") == ["2 dead letters redriven."]
    assert len(deployment.bodies("ChangeQueue")) == 2
    clock.now += 1
    facts = shown.read("")
    assert [each.reason for each in facts.parked.listed] == ["request_rejected"]
    assert (facts.dead_letters, facts.queue.visible) == (1, 2)
    assert [shown.redrive("") for _ in range(2)] == [["1 dead letter redriven."], ["No dead letters match."]]
    clock.now += 1
    facts = shown.read("")
    assert (facts.dead_letters, facts.parked.listed) == (0, ())


def test_dead_letters_are_read_only_when_their_number_changes(
    deployment: Deployment, shown: DeployedStack, clock: ManualClock
) -> None:
    received = calls_of(deployment, "sqs", "ReceiveMessage")
    deployment.park(change("m1"))
    shown.read("")
    before = len(received)
    assert before > 0
    for _ in range(5):
        clock.now += 60
        shown.read("")
    assert len(received) == before
    deployment.park(change("m2"))
    clock.now += 60
    assert len(shown.read("").parked.listed) == 2
    assert len(received) > before


def test_a_redrive_on_the_page_waits_until_its_dead_letters_are_read(
    deployment: Deployment, shown: DeployedStack
) -> None:
    done: list[str] = []
    redrive = threading.Thread(target=lambda: done.extend(shown.redrive("")))

    def press(**_: Any) -> None:
        """Press the button when the last of them is read, and hidden from other readers."""
        if not redrive.ident:
            redrive.start()
            redrive.join(0.3)

    deployment.stack.service("sqs").meta.events.register("before-call.sqs.ChangeMessageVisibilityBatch", press)
    deployment.park(change("m1"), change("m2"))
    shown.read("")
    redrive.join()
    assert done == ["2 dead letters redriven."]


def test_dead_letters_are_not_read_while_a_command_redrives_them(
    deployment: Deployment, shown: DeployedStack, clock: ManualClock
) -> None:
    received = calls_of(deployment, "sqs", "ReceiveMessage")

    def after(deletions: int) -> tuple[int, int]:
        """Return how many are listed once some are gone, and the calls that this took."""
        with DeadLetters.of(deployment.stack).reader(limit=deletions) as reader:
            reader.delete([message for messages in reader.batches() for message in messages][:deletions])
        received.clear()
        clock.now += 60
        return len(shown.read("").parked.listed), len(received)

    deployment.park(*(change(f"m{n}") for n in range(30)))
    shown.read("")
    assert [after(10), after(10)] == [(30, 0), (30, 0)], "reading would hide the rest from the command"
    listed, calls = after(0)
    assert (listed, calls > 0) == (10, True), "the command has ended"


@pytest.mark.parametrize("state", ["a change waits", "none waits", "an upload was accepted since"])
def test_a_refused_authorization_is_shown_even_if_no_change_waits_and_until_an_upload_is_accepted(
    deployment: Deployment, shown: DeployedStack, clock: ManualClock, state: str
) -> None:
    clock.now = time.time()
    if state == "a change waits":
        deployment.send("ChangeQueue", "{}")
    deployment.log("Refresh", "token refresh failed", reason="authorization_refused")
    if state == "an upload was accepted since":
        deployment.log("Worker", "delivery incomplete", audience_ids=["1"], deferred=["authorization_refused"])
        time.sleep(0.002)  # the log knows milliseconds
        deployment.log("Worker", "upload accepted", audience_id="1", records=4_000)
    told = [(each.needs_person, each.remedy) for each in shown.read("").blockers]
    assert told == [(True, "Run `audience-sync connect`.")] * (state != "an upload was accepted since")


def test_the_log_shows_every_function_that_tail_reads(deployment: Deployment, shown: DeployedStack) -> None:
    for function in FUNCTIONS:
        deployment.log(function, "something is wrong", level="WARNING")
    assert {line.function for line in shown.read("").log} == {function.lower() for function in FUNCTIONS}


def test_a_dataset_shows_the_shares_last_read(deployment: Deployment, shown: DeployedStack, clock: ManualClock) -> None:
    clock.now = time.time()
    deployment.list_audience()
    share = {"shareId": "sr-1", "application": "DSP_AUDIENCES", "account": "ENTITY1", "revokedBy": ""}
    states = ({"status": "ACTIVE", "revokedAt": None}, {"status": "REVOKED_BY_USER", "revokedAt": 5.0})
    for read in (*([share | state] for state in states), None):
        deployment.log("Datasets", "dataset read", audience_id=AUDIENCE.audience_id, shares=read)
    (audience,) = shown.read("").audiences
    (each,) = audience.shares
    expected = ("DSP advertiser ENTITY1", "revoked by user", True, 5.0)
    assert (each.account, each.state, each.is_revoked, each.revoked_at) == expected


def test_only_alarms_of_this_stack_are_shown(deployment: Deployment, shown: DeployedStack) -> None:
    cloudwatch = deployment.stack.service("cloudwatch")
    for name in ("mine-DeadLetters", "mine-FunctionErrors", "mine-too-DeadLetters", "another-DeadLetters"):
        alarm(deployment, name, Metrics=[{"Id": "any", "Expression": "FILL(any, 0)"}])  # without the name of a metric
    cloudwatch.set_alarm_state(AlarmName="mine-DeadLetters", StateValue="ALARM", StateReason="one dead letter")
    alarms = shown.read("").alarms
    assert alarms is not None
    assert [(each.name, each.state == "ALARM") for each in alarms] == [("DeadLetters", True), ("FunctionErrors", False)]


def test_the_audit_shows_how_far_it_is_and_the_sentences_of_its_open_findings_which_status_prints(
    deployment: Deployment, shown: DeployedStack
) -> None:
    alarm(deployment, "mine-Findings", Namespace="AudienceSync", MetricName="Findings", Period=86_400, Statistic="Sum")
    opened = (AuditFinding("consent_ending", "Consent ends."), AuditFinding("refresh_stopped", "It has stopped."))
    checkpoint(deployment, FINDINGS).save(Findings(opened).fields)
    checkpoint(deployment).advance(1_700_000_000)
    facts = shown.read("")
    assert facts.audited_until == 1_700_000_000
    (found,) = facts.alarms or ()
    assert found.description == "Consent ends.\nIt has stopped."
    answer = deployment.json(status)
    assert [each["name"] for each in answer["findings"]] == ["consent_ending", "refresh_stopped"]
    assert answer["needs"] == [], "they can wait"


def test_a_denied_part_is_named_and_the_others_are_shown(deployment: Deployment, shown: DeployedStack) -> None:
    put(deployment, NOW - HOUR, EventsAccepted=5)
    denied = ClientError({"Error": {"Code": "AccessDenied"}}, "DescribeAlarms")
    deployment.fail("cloudwatch.DescribeAlarms", denied)
    facts = shown.read("")
    said = {each.part: each.message for each in facts.problems}
    assert said["alarms"] == "AWS does not allow you to call DescribeAlarms."
    assert (facts.alarms, facts.counts.events_accepted) == (None, 5)


def test_a_slow_part_is_named_until_it_has_been_read(
    deployment: Deployment, shown: DeployedStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployed, "PATIENT", 0.0)
    allowed = threading.Event()

    def wait(**_: Any) -> None:
        allowed.wait(60)

    deployment.list_audience()
    deployment.stack.service("dynamodb").meta.events.register("before-call.dynamodb.Scan", wait)
    facts = shown.read("")
    assert ("audiences" in facts.unread, facts.audiences) == (True, ())
    allowed.set()
    wait_until(lambda: shown.read(""), lambda facts: not facts.unread)
    assert [each.name for each in shown.read("").audiences] == [AUDIENCE.name]


@pytest.mark.parametrize(
    ("wanted", "titles"),
    [
        pytest.param("m1", [f"Member of {AUDIENCE.name}", "Deletion notice", "Dead letter"], id="a member"),
        pytest.param("m2", ["Dead letter"], id="a member of a dead letter"),
        pytest.param("message-m2", ["Dead letter"], id="Segment's message id of a parked change"),
        pytest.param("ajs-next-4", ["Rejected event"], id="Segment's message id of a rejected event"),
        pytest.param("m3", ["Denied consent"], id="a person who denied consent"),
        pytest.param("ajs-next-5", ["Event that denies consent"], id="the message id of the denial"),
    ],
)
def test_find_shows_everything_stored_under_an_id_but_hashes_and_consent(
    deployment: Deployment, shown: DeployedStack, clock: ManualClock, wanted: str, titles: list[str]
) -> None:
    clock.now = time.time()
    deployment.list_audience()
    deployment.record(change("m1"), erasing_exit("m1", 9, "notice"))
    deployment.record(erasing_exit("m3", 9, "ajs-next-5", denies_consent=True))
    deployment.log("Ingest", "consent denied", reason="consent_denied", message_id="ajs-next-5")
    deployment.park(change("m1"), change("m2"))
    deployment.reject(("no_identifier", "ajs-next-4"), ("no_identifier", "ajs-next-41"))
    found = shown.find({"id": wanted})
    assert [each["title"] for each in found] == titles
    assert "0" * 64 not in str(found)
    assert not [each for each in found if each["facts"].get("consent")]
    assert len(deployment.bodies("DeadLetterQueue")) == 2
    short = shown.read("").parked.listed[0].message_id[:8]  # as `parked list` prints it
    assert [each["title"] for each in shown.find({"id": short})] == ["Dead letter"]


@pytest.mark.parametrize(
    ("wanted", "error"),
    [("a@b.co", WrongUsage), ("+1 206", WrongUsage), ("12065550142", NotThere), ("", WrongUsage), ("nobody", NotThere)],
)
def test_find_refuses_an_invalid_or_unknown_id_without_repeating_it(
    deployment: Deployment, shown: DeployedStack, wanted: str, error: type[OperatorError]
) -> None:
    deployment.list_audience()
    with pytest.raises(error) as raised:
        shown.find({"id": wanted})
    said = f"{raised.value} {raised.value.remedy}"
    assert not wanted or wanted not in said
    assert "is searched by hash with `audience-sync member find`" in said
    assert "stored under" not in said, "an address may be, as a hash"


def calls_of(deployment: Deployment, service: str, operation: str) -> list[dict[str, Any]]:
    """Return a list that gets the parameters of each call from now on."""
    calls: list[dict[str, Any]] = []
    events = deployment.stack.service(service).meta.events
    events.register(f"before-parameter-build.{service}.{operation}", lambda params, **_: calls.append(params))
    return calls


@pytest.mark.parametrize("chosen", [[""], ["30d"], ["", "30d"]])
def test_an_open_page_requests_as_many_metrics_an_hour_as_the_cost_guide_states(
    deployment: Deployment, shown: DeployedStack, clock: ManualClock, chosen: list[str]
) -> None:
    deployment.list_audience()
    put(deployment, NOW - 60, {"reason": "consent_missing"}, EventsRejectedByReason=1)
    asked = calls_of(deployment, "cloudwatch", "GetMetricData")
    depths = calls_of(deployment, "sqs", "GetQueueAttributes")
    for _ in range(plots.EVERY_AUDIENCE // deployed.QUEUES):  # in which everything is read at least once
        for each in chosen:
            shown.read(each)
        clock.now += deployed.QUEUES
    hours = plots.EVERY_AUDIENCE / HOUR
    read = sum(len(each["MetricDataQueries"]) for each in asked)
    assert read <= len(chosen) * plots.an_hour(audiences=1, reasons=1) * hours
    assert len(depths) <= 3 * plots.EVERY_AUDIENCE / deployed.QUEUES
