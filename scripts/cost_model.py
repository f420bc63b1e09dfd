"""What a month costs in AWS: the model of docs/cost.md. Dollars, at the list prices of us-east-1 in September 2026."""

from math import ceil
from typing import NamedTuple

from audience_sync.delivery.backoff import MARK
from audience_sync.members.envelope import MAX_MESSAGE_BYTES
from audience_sync_cli.dashboard.plots import an_hour
from local.template import Template
from scripts import delivery_model as delivery
from scripts.delivery_model import CHANGE, DAY, HOUR, JOBS, MONTH, READS, RECORD, TEMPLATE, Traffic

KB = 1024
API_REQUEST = 1.00e-6  # HTTP API, a started 512 KB
INVOCATION, GB_SECOND = 0.20e-6, 13.3334e-6  # arm64
QUEUE_REQUEST = 0.40e-6  # or a started 64 KB of one
WRITE, READ = 0.625e-6, 0.125e-6  # DynamoDB on demand: of a row of 1 KB, and consistent
PROVISIONED_WRITE, PROVISIONED_READ = 0.65e-3, 0.13e-3  # units, an hour
STORED, LOGGED, SENT = 0.45e-9, 0.50e-9, 0.09e-9  # a byte; stored with point-in-time recovery
METRIC, METRIC_READ, ALARM, SECRET, SECRET_READ = 0.30, 0.01e-3, 0.10, 0.40, 0.05 / 10_000
KEY, KEY_REQUEST = 1.00, 0.03 / 10_000

EVENT, ROW, JOB_MEMBER, NOTICE = 1_350, 500, 77, 390  # bytes
OVERHEAD = 100  # bytes that DynamoDB adds to a row that it stores
# Bytes of logs, assumed: of a request, in the access log and by ingest; of an invocation, of an upload or check.
REQUEST_LOG, INVOCATION_LOG, UPLOAD_LOG = 0.7 * KB, 2 * KB, 0.5 * KB
CHECKS, CHECK = 2, 1  # of a job; seconds; assumed
PUT_BACK = 0.01  # seconds to hide ten messages until their next try; assumed
ROWS = 1 / 4  # for each change: a member changes four times a month; assumed
# With a value in every hour of a healthy stack, in four hours a day; of an audience of a steady size in one hour a day.
# CloudWatch charges a metric for the hours in which it has a value; all others have one when something happens.
HOURLY = (
    *("EventsAccepted", "ChangesAccepted", "ChangesDelivered", "ChangesSuperseded", "ChangesCompleted", "UploadsSent"),
    "AuditLagSeconds",
)
SIX_HOURLY = ("ErasuresOverdue", "ErasuresUncheckedAge")
DAILY = ("AudienceReceived", "AudienceMatchRate", "AudienceProcessed", "AudienceSizeDsp")
METRICS = METRIC * (len(HOURLY) + len(SIX_HOURLY) * 4 / 24)
AUDIENCE = METRIC * len(DAILY) / 24
HOURLY_READS = 18  # metrics that the audit reads
SECRET_READS = 20 * MONTH / 60  # at most: twenty warm environments, assumed, read a secret once a minute
GB: dict[str, float] = {name: properties.get("MemorySize", 0) / 1024 for name, properties in delivery.FUNCTIONS.items()}
REFRESHES = MONTH / 1200
POLLS = QUEUE_REQUEST * 2 * delivery.POLLERS * MONTH / 20  # of two queues, for twenty seconds each


def _alarms(template: Template) -> float:
    """Return what the alarms of a stack cost: each metric of an alarm is charged."""
    metrics = 0
    for alarm in template.resources("AWS::CloudWatch::Alarm").values():
        given = alarm.get("Metrics", [alarm])
        chosen = [template.branch(each) for each in given]
        metrics += sum("MetricName" in str(each) for each in chosen)
    return ALARM * metrics


ALARMS, ALARMS_WITH_QUEUE = _alarms(TEMPLATE), _alarms(delivery.WITH_EVENT_QUEUE)
SECRETS = SECRET * len(TEMPLATE.resources("AWS::SecretsManager::Secret"))
QUEUE_STANDING = ALARMS_WITH_QUEUE - ALARMS + POLLS / 2
# Up to the start of the function; what follows is the same. A message is sent, received and deleted, alone at worst.
BY_HTTP, BY_QUEUE = API_REQUEST + INVOCATION, 3 * QUEUE_REQUEST + INVOCATION
STANDING = ALARMS + SECRETS + METRIC_READ * HOURLY_READS * MONTH / HOUR


class Outage(NamedTuple):
    """Tries of waiting changes."""

    starts: float  # of workers
    requests: float  # charged by SQS
    dollars: float


def month(traffic: Traffic) -> dict[str, float]:
    """Return the cost of a month, by service."""
    requests, starts = traffic.events / traffic.batch, traffic.starts()
    messages = requests * traffic.messages
    size = min(traffic.batch / traffic.messages * CHANGE, MAX_MESSAGE_BYTES)
    checks = CHECKS * starts.uploads
    job_runs = checks / min(JOBS.batch_size, traffic.audiences)  # the uploads of one audience end one after the other
    sent = requests * _units(min(traffic.batch * CHANGE, 1_000_000))
    received = starts.receives * messages / 10 * _units(10 * size)  # ten at a time
    settled = (2 * starts.receives - 1) * messages / 10  # deleted; before that, made visible again
    checked = checks * (2 * _units(JOB_MEMBER * traffic.events / starts.uploads) + 1)  # sent, received, deleted
    ingest = GB["IngestFunction"] * requests * (delivery.INGEST + delivery.INGEST_EVENT * traffic.batch)
    jobs = GB["JobsFunction"] * job_runs * CHECK + GB["RefreshFunction"] * REFRESHES
    logged = REQUEST_LOG * requests + INVOCATION_LOG * (starts.number + job_runs + REFRESHES)
    # An environment without an invocation reads nothing: ingest its secret, the others the credentials and the token.
    secret_reads = min(SECRET_READS, requests + 2 * (starts.number + job_runs + REFRESHES))
    return {
        "API Gateway": API_REQUEST * requests * ceil(traffic.batch * EVENT / (512 * KB)),
        "ingest, Lambda": INVOCATION * requests + GB_SECOND * ingest,
        "worker, Lambda": INVOCATION * starts.number + GB_SECOND * GB["WorkerFunction"] * starts.seconds,
        "jobs and refresh, Lambda": INVOCATION * (job_runs + REFRESHES) + GB_SECOND * jobs,
        "queues": QUEUE_REQUEST * (sent + received + settled + checked) + POLLS,
        "membership table, writes and reads": traffic.events * (WRITE + READS * READ)
        + starts.uploads * READ,  # the numbers of an audience that are published already, at a job's end
        "membership table, storage": STORED * ROWS * traffic.events * (ROW + OVERHEAD),
        "logs": LOGGED * (logged + UPLOAD_LOG * (starts.uploads + checks)),
        "traffic to Amazon": SENT * traffic.events * RECORD,
        "metrics, alarms, secrets": METRICS + AUDIENCE * traffic.audiences + SECRET_READ * secret_reads + STANDING,
    }


def month_by_queue(traffic: Traffic) -> dict[str, float]:
    """Return the cost of a month of messages of the event queue. Up to ten are received and deleted at a time."""
    behind = traffic.behind_event_queue()
    costs, together = month(behind), min(10, behind.batch / traffic.batch)
    costs["queues"] += QUEUE_REQUEST * traffic.events / traffic.batch * (1 + 2 / together) + QUEUE_STANDING
    return costs | {"API Gateway": 0.0}


def total(traffic: Traffic) -> float:
    """Return the cost of a month."""
    return sum(month(traffic).values())


def others() -> dict[str, float]:
    """Return costs beside a month of events."""
    asked = METRIC_READ * (HOUR / 60 + HOUR / 300) + QUEUE_REQUEST * 3 * HOUR / 10  # alarms, reasons, three queues
    return {
        "a month without events": _idle(),
        "a month of a million members with four changes each": total(Traffic(4e6)),
        "a million deletion notices about strangers, with 50 audiences": _notices(1e6, 50),
        "a month of `renew` for a million members, with a TTL of 397 days": _renewal(1e6, 397),
        "a month of a key of your own (`KmsKeyArn`), with the most reads of secrets": KEY + KEY_REQUEST * SECRET_READS,
        "a month of a million requests by HTTP, up to the start of the function": 1e6 * BY_HTTP,
        "the same as messages of the event queue, each read alone": QUEUE_STANDING + 1e6 * BY_QUEUE,
        "an hour of the open dashboard, with ten audiences and ten reasons": METRIC_READ * an_hour(10, 10) + asked,
        "writes and reads of 100 million changes, on demand": 1e8 * (WRITE + READS * READ),
        "the same, provisioned, with eight alarms": _provisioned(1e8 / MONTH) * MONTH / HOUR + 8 * ALARM,
        "a day at the highest capacity that one connection can need, provisioned": 24 * _provisioned(delivery.AMAZON),
        "twelve hours without Amazon, at 100 million events a month, batched": outage(Traffic(1e8)).dollars,
        "the same, single": outage(Traffic(1e8, 1)).dollars,
        f"a day of {delivery.API_GATEWAY:,} requests a second without a credential": _stranger(delivery.API_GATEWAY),
        "a day of 50 such requests a second": _stranger(50),
        "1,000 requests with the event key, each of 10,000 additions": total(Traffic(1e7, 10_000)) - total(Traffic(1)),
        "the same of deletion notices, with 1 audience": _notices(1e7, 1),
        "the same of deletion notices, with 200 audiences": _notices(1e7, 200),
        f"a day of these at the table's quota of {delivery.TABLE:,} reads a second": DAY * delivery.TABLE * READ,
    }


def outage(traffic: Traffic, mark: float = MARK) -> Outage:
    """Return what waiting changes cost in twelve hours without Amazon, while circuit breakers are open.

    At every mark, as many come back as are in flight and the workers have time for. None is read or written.
    """
    arrive, starts = traffic.events / traffic.batch * traffic.messages / MONTH, 0.0
    seconds = delivery.START + PUT_BACK * traffic.full / 10
    for number in range(round(12 * HOUR / mark)):
        waiting = min(arrive * mark * number, delivery.IN_FLIGHT)
        starts += min(waiting / traffic.full, delivery.WORKER.concurrency * mark / seconds)
    tens = starts * traffic.full / 10  # received and made visible ten at a time
    requests = tens * (1 + _units(10 * min(traffic.batch / traffic.messages * CHANGE, MAX_MESSAGE_BYTES)))
    run = INVOCATION + GB_SECOND * GB["WorkerFunction"] * seconds + LOGGED * INVOCATION_LOG
    return Outage(starts, requests, starts * run + QUEUE_REQUEST * requests)


def _units(size: float) -> int:
    return ceil(size / (64 * KB))


def _idle() -> float:
    """Refresh, audit, renewal: about a second each. AuditLagSeconds has values."""
    runs = REFRESHES + MONTH / HOUR + MONTH / DAY
    run = INVOCATION + GB_SECOND * 0.5 + LOGGED * INVOCATION_LOG
    return STANDING + POLLS + METRIC * (1 + len(SIX_HOURLY) * 4 / 24) + SECRET_READ * 2 * REFRESHES + run * runs


def _notices(number: float, audiences: int) -> float:
    """Each writes a row, which four audits a day read for forty days, and has two rows of each audience read."""
    audited = 40 * 4 * READ * NOTICE / (4 * KB) / 2  # eventually consistent
    return number * (WRITE + 2 * READ * (audiences + 1) + audited)


def _renewal(rows: float, days: int) -> float:
    """Every row is read daily, eventually consistent, a megabyte in 50 ms (assumed), and written when it is due."""
    read = 30 * rows * ROW
    due = 30 * rows / (days - min(15, days / 2 + 1))
    return READ * read / (4 * KB) / 2 + GB_SECOND * read / 1e6 * 0.05 + (READ + WRITE) * due


def _provisioned(changes: float) -> float:
    """Return the cost of an hour with so many changes a second. Auto scaling keeps 70 % of the capacity in use."""
    return changes / 0.70 * (PROVISIONED_WRITE + READS * PROVISIONED_READ)


def _stranger(requests: float) -> float:
    """Return the cost of a day of so many refused requests a second, 2 ms of Lambda each (assumed)."""
    run = INVOCATION + GB_SECOND * GB["IngestFunction"] * 0.002
    return DAY * requests * (API_REQUEST + run + LOGGED * REQUEST_LOG)
