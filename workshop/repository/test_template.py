"""What must hold between the numbers and names of template.yaml, and no linter checks."""

import inspect
import json
import re
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any

import pytest

from audience_sync.amazon_ads.advertiser_audiences.audience_settings import MIN_RENEWED_TTL
from audience_sync.audiences.creation import CREATE_TIMEOUT, MAX_CREATED_A_DAY, RESERVE
from audience_sync.aws.audience_table import MAPPINGS_HISTORY_KEY, MAPPINGS_KEY, VERSION_KEY
from audience_sync.aws.checkpoint import AUDIT, DATASETS, PUBLISHED, RENEWAL
from audience_sync.aws.creation_locks import STALE_LOCK_AGE
from audience_sync.aws.membership_rows import KEEP_EXIT, Sharding
from audience_sync.aws.sqs import MAX_DELAY, MAX_ENTRIES
from audience_sync.delivery.backoff import LONG_DELAY, MARK
from audience_sync.delivery.gates.circuit_state import PARTITION as CIRCUITS
from audience_sync.delivery.returning import REQUEUE_AFTER_RECEIVES
from audience_sync.delivery.stopping import RETURN_BEFORE
from audience_sync.ingest.record_rules import MAX_ENTER_AGE
from audience_sync.members.member_state import LONGEST_JOB
from audience_sync.members.member_step import KEEP_REMOVED
from audience_sync.members.membership import EVERY_AUDIENCE
from audience_sync.operations.audit import HOUR, MAX_CRASH_LOOP
from audience_sync.operations.findings import MANY_AUDIENCES
from audience_sync.operations.job_tracking import MIN_TIME_PER_CHECK
from audience_sync.operations.renewal import LATE, LONGEST_MARGIN
from audience_sync.operations.renewal import RESERVE as RENEWAL_RESERVE
from audience_sync.runtime import metric_names
from audience_sync.runtime.ingest_settings import IngestSettings
from audience_sync.runtime.metric_names import NAMESPACE
from audience_sync.runtime.settings import (
    AudiencesSettings,
    AuditSettings,
    DatasetsSettings,
    JobsSettings,
    RefreshSettings,
    RenewSettings,
    WorkerSettings,
)
from audience_sync.segment.request_body import MAX_EVENTS
from functions.audiences.handler import BUDGET
from functions.jobs.handler import AT_ONCE
from local.template import ROOT, Template, read_document
from scripts.delivery_model import READS
from tests.support.markdown import section

TEMPLATE = read_document()
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]


def _properties(name: str) -> dict[str, Any]:
    properties: dict[str, Any] = RESOURCES[name]["Properties"]
    return properties


def _named(kind: str) -> list[str]:
    return [name for name, resource in RESOURCES.items() if resource["Type"] == kind]


FUNCTIONS = _named("AWS::Serverless::Function")
ROLES = _named("AWS::IAM::Role")
LOG_GROUPS = _named("AWS::Logs::LogGroup")
ALARMS = _named("AWS::CloudWatch::Alarm")
CHANGES = _properties("WorkerFunction")["Events"]["Changes"]["Properties"]
JOBS = _properties("JobsFunction")["Events"]["Jobs"]["Properties"]
EVENTS = _properties("EventsFunction")["Events"]["Events"]["Properties"]
DEPLOY = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
OPERATE = (ROOT / "docs/operate.md").read_text(encoding="utf-8")
TOPIC = {"Fn::If": ["HasOwnTopic", {"Ref": "Alarms"}, {"Ref": "AlarmTopicArn"}]}
PAGES = ["IngestErrors", "RequestsUnauthorized", "ErasuresUnusual"]  # events or people are being lost now
PAGER = {"Fn::If": ["HasPageTopic", {"Ref": "PageTopicArn"}, {"Ref": "AWS::NoValue"}]}
MEMBERSHIP_TABLE = {"Fn::GetAtt": ["MembershipTable", "Arn"]}
SOURCES = [
    ("DeadLetterQueue", "ChangeQueue"),
    ("JobDeadLetterQueue", "JobQueue"),
    ("EventsDeadLetterQueue", "EventsQueue"),
]


WITH_QUEUE = Template(TEMPLATE, {"EventQueue": "yes"})


def _statements(role: str) -> Iterator[dict[str, Any]]:
    for policy in _properties(role)["Policies"]:
        yield from policy["PolicyDocument"]["Statement"]


def _watched(alarm: str) -> list[dict[str, Any]]:
    """The metrics of an alarm: one, or those in its expression, with the event queue."""
    queries = [WITH_QUEUE.branch(each) for each in _properties(alarm).get("Metrics", [])]
    return [each["MetricStat"]["Metric"] for each in queries if "MetricStat" in each] or [_properties(alarm)]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize(
    ("queue", "function"),
    [("ChangeQueue", "WorkerFunction"), ("JobQueue", "JobsFunction"), ("EventsQueue", "EventsFunction")],
)
def test_the_visibility_timeout_is_at_least_six_function_timeouts_and_the_batch_window(
    queue: str, function: str
) -> None:
    (trigger,) = _properties(function)["Events"].values()
    window = trigger["Properties"].get("MaximumBatchingWindowInSeconds", 0)
    longest = TEMPLATE["Parameters"][window["Ref"]]["MaxValue"] if isinstance(window, dict) else window
    assert _properties(queue)["VisibilityTimeout"] >= 6 * _properties(function)["Timeout"] + longest


@pytest.mark.parametrize(("dead_letters", "source"), SOURCES)
def test_a_dead_letter_queue_accepts_messages_of_one_queue_and_keeps_them_twice_as_long(
    dead_letters: str, source: str
) -> None:
    queue, allowed = _properties(dead_letters), _properties(dead_letters)["RedriveAllowPolicy"]
    kept = _properties(source)["MessageRetentionPeriod"]
    assert queue["MessageRetentionPeriod"] == 2 * kept == 14 * 86_400  # seconds; the SQS maximum
    (arn,) = allowed["sourceQueueArns"]
    assert allowed["redrivePermission"] == "byQueue"
    assert arn["Fn::Sub"].endswith(":" + _properties(source)["QueueName"]["Fn::Sub"])


def test_waiting_messages_are_requeued_before_the_maximum_receive_count() -> None:
    redrive = _properties("ChangeQueue")["RedrivePolicy"]
    assert redrive["deadLetterTargetArn"] == {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}
    assert REQUEUE_AFTER_RECEIVES < redrive["maxReceiveCount"] == 20, (
        "the worker sends waiting messages again before that"
    )


def test_a_job_is_given_up_before_its_message_is_moved_or_expires() -> None:
    queue = _properties("JobQueue")
    redrive = queue["RedrivePolicy"]
    moved = redrive["maxReceiveCount"] * queue["VisibilityTimeout"]  # seconds
    assert redrive["deadLetterTargetArn"] == {"Fn::GetAtt": ["JobDeadLetterQueue", "Arn"]}
    assert LONGEST_JOB < moved == 2 * 86_400 < queue["MessageRetentionPeriod"]


def test_only_the_functions_that_send_to_their_own_queue_may_run_in_a_loop() -> None:
    allowed = {name for name in FUNCTIONS if _properties(name).get("RecursiveLoop") == "Allow"}
    assert allowed == {"WorkerFunction", "JobsFunction"}


def test_exits_are_remembered_longer_than_an_accepted_enter_can_be_queued() -> None:
    assert MAX_ENTER_AGE + _properties("ChangeQueue")["MessageRetentionPeriod"] * 1000 == KEEP_EXIT * 1000


def test_removed_identities_outlive_a_removal_that_waits_is_parked_and_is_redriven() -> None:
    waits, lies = (_properties(queue)["MessageRetentionPeriod"] for queue in ("ChangeQueue", "DeadLetterQueue"))
    assert waits + lies + waits < KEEP_REMOVED


def test_a_message_that_crashes_the_worker_sets_off_an_alarm_before_it_becomes_a_dead_letter() -> None:
    queue, alarm = _properties("ChangeQueue"), _properties("FunctionErrors")
    assert alarm["DatapointsToAlarm"] * 3600 < queue["RedrivePolicy"]["maxReceiveCount"] * queue["VisibilityTimeout"]


@pytest.mark.parametrize("source", [CHANGES, JOBS, EVENTS])
def test_a_queue_is_read_in_batches_that_fail_message_by_message_up_to_a_maximum_concurrency(
    source: dict[str, Any],
) -> None:
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert source["ScalingConfig"] == {"MaximumConcurrency": {"Ref": "MaximumConcurrency"}}
    assert TEMPLATE["Parameters"]["MaximumConcurrency"]["MinValue"] == 2  # AWS refuses less
    window = TEMPLATE["Parameters"]["BatchWindow"] if source is CHANGES else {}
    assert (
        source["BatchSize"] <= 10 or window.get("MinValue", source["MaximumBatchingWindowInSeconds"]) >= 1
    )  # AWS refuses such a batch without a window


def test_all_messages_of_a_batch_can_be_returned_before_lambda_stops_the_worker() -> None:
    assert CHANGES["BatchSize"] / MAX_ENTRIES * 0.02 < RETURN_BEFORE  # seconds of a request to SQS, assumed


def test_pausing_stops_delivery_and_not_intake() -> None:
    assert CHANGES["Enabled"] == {"Fn::If": ["Delivering", True, False]}
    assert not any("Enabled" in event["Properties"] for event in _properties("IngestFunction")["Events"].values())


def test_all_jobs_of_a_batch_are_checked_at_once_with_time_to_park_rejections() -> None:
    assert JOBS["BatchSize"] <= AT_ONCE
    assert _properties("JobsFunction")["Timeout"] >= 2 * MIN_TIME_PER_CHECK


def test_checks_keep_up_with_the_uploads_of_as_many_workers() -> None:
    uploads = 1 / 2  # of a worker in a second; Amazon answers in two
    assert JOBS["BatchSize"] >= 2 * uploads, "each is checked twice, for a second"


def test_five_workers_reach_amazons_hourly_limit_at_1000_members_a_second() -> None:
    by_default = TEMPLATE["Parameters"]["MaximumConcurrency"]["Default"]
    assert by_default * 1_000 * 3600 >= 15_000_000, "members a second and worker; records an hour"
    assert _properties("WorkerFunction")["MemorySize"] == 1769  # MB; one whole processor


def test_the_audit_waits_for_the_last_delivery_of_a_crashing_message() -> None:
    queue = _properties("ChangeQueue")
    assert queue["RedrivePolicy"]["maxReceiveCount"] * queue["VisibilityTimeout"] + HOUR <= MAX_CRASH_LOOP


@pytest.mark.parametrize("queue", _named("AWS::SQS::Queue"))
def test_a_queue_has_one_policy_which_denies_requests_without_tls(queue: str) -> None:
    policies = map(_properties, _named("AWS::SQS::QueuePolicy"))
    (statements,) = (each["PolicyDocument"]["Statement"] for each in policies if {"Ref": queue} in each["Queues"])
    statement, *allowed = _listed(statements)
    assert bool(allowed) == (queue in ("EventsQueue", *BELIEVED))
    assert (statement["Effect"], statement["Resource"]) == ("Deny", {"Fn::GetAtt": [queue, "Arn"]})
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


# Whoever may send events is believed about events; what these hold is believed to be the stack's own.
BELIEVED = [name for name in _named("AWS::SQS::Queue") if RESOURCES[name].get("Condition") != "HasEventQueue"]
OPERATORS = "arn:aws:iam::123456789012:role/audience-ops*"


@pytest.mark.parametrize("queue", BELIEVED)
@pytest.mark.parametrize("parameters", [{}, {"PublicApi": "no", "EventQueue": "yes"}])
def test_with_a_queue_operator_only_that_role_and_the_queues_own_functions_reach_messages(
    queue: str, parameters: dict[str, str]
) -> None:
    roles = {name: f"arn:{name}" for name in _named("AWS::IAM::Role")}

    def policy(**given: str) -> Any:
        template = Template.load(given)
        for name, arn in ({queue: "arn"} | roles).items():
            template.name(name, "", Arn=arn)
        return template.resolve(_properties(f"{queue}Policy")["PolicyDocument"]["Statement"])

    assert len(policy(**parameters)) == 1
    _, denied = policy(**parameters, QueueOperator=OPERATORS)
    spared = denied["Condition"]["ArnNotLike"]["aws:PrincipalArn"]
    assert (denied["Effect"], denied["Principal"], denied["Resource"]) == ("Deny", "*", "arn")
    assert {"sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage"} <= {*denied["Action"]}
    users = {arn for name, arn in roles.items() if queue in _names(_properties(name).get("Policies", []))}
    assert users - {"arn:IngestRole", "arn:EventsRole"} <= {*spared} <= {OPERATORS, *roles.values()}
    assert ("arn:IngestRole" in spared, "arn:EventsRole" in spared) == (not parameters, bool(parameters))


SENDER = "arn:aws:iam::210987654321:role/segment"


@pytest.mark.parametrize(
    ("sender", "fits"),
    [
        ("", True),
        (SENDER, True),
        ("210987654321", True),
        (SENDER.replace(":role/segment", ":user/path/tealium"), True),
        pytest.param("*", False, id="anybody"),
        pytest.param(SENDER.replace("role/segment", "root"), False, id="an account is given by its id"),
    ],
)
def test_one_sender_may_send_to_the_event_queue_and_do_nothing_else(sender: str, fits: bool) -> None:
    assert bool(re.search(TEMPLATE["Parameters"]["EventQueueSender"]["AllowedPattern"], sender)) == fits
    template = Template.load({"EventQueue": "yes", "EventQueueSender": sender})
    template.name("EventsQueue", "", Arn="arn")
    _, *allowed = template.resolve(_properties("EventsQueuePolicy")["PolicyDocument"]["Statement"])
    may_send = {"Effect": "Allow", "Principal": {"AWS": sender}, "Action": "sqs:SendMessage", "Resource": "arn"}
    assert allowed == ([may_send] if sender else [])


OPTIONAL = {"HasEventQueue": "EventsQueue", "HasPublicApi": "Api", "HasDataManager": "DatasetsFunction"}


def _names(value: Any) -> set[str]:
    """The resources that a part of the template refers to."""
    if isinstance(value, str):
        return {each.partition(".")[0] for each in re.findall(r"\$\{(\w[\w.]+)\}", value)}
    if isinstance(value, list):
        return set().union(*map(_names, value))
    if not isinstance(value, dict):
        return set()
    found = {value[name] if name == "Ref" else value[name][0] for name in ("Ref", "Fn::GetAtt") if name in value}
    return found | set().union(*map(_names, value.values()))


@pytest.mark.parametrize("condition", OPTIONAL)
def test_nothing_else_refers_to_the_parts_that_a_stack_may_not_have(condition: str) -> None:
    def without(value: Any) -> Any:
        """The value as it is where the condition does not hold."""
        if isinstance(value, list):
            return [without(each) for each in value]
        if not isinstance(value, dict):
            return value
        if value.get("Fn::If", [""])[0] == condition:
            return without(value["Fn::If"][2])
        return {name: without(each) for name, each in value.items()}

    rest = {**RESOURCES, **{f"output {name}": each for name, each in TEMPLATE["Outputs"].items()}}
    absent = {name for name, each in rest.items() if each.get("Condition") == condition}
    assert {name: _names(without(each)) & absent for name, each in rest.items() if name not in absent} == {
        name: set() for name in rest.keys() - absent
    }
    assert OPTIONAL[condition] in absent


def test_without_an_account_of_ads_data_manager_no_function_reads_datasets() -> None:
    kinds = ("AWS::Serverless::Function", "AWS::IAM::Role", "AWS::Logs::LogGroup", "AWS::CloudWatch::Alarm")
    every, default = (Template.load(each) for each in ({"DataManagerAccountId": "m"}, {}))
    only = {name for kind in kinds for name in every.resources(kind).keys() - default.resources(kind).keys()}
    assert only == {"DatasetsFunction", "DatasetsRole", "DatasetsLogGroup"}
    reads = _properties("AuditFunction")["Environment"]["Variables"]["READS_DATASETS"]
    assert [each.resolve(reads) for each in (every, default)] == ["yes", "no"]


KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
WITH_KEY: dict[
    str, tuple[dict[str, Any], dict[str, Any]]
] = {  # type of a resource: the properties that a customer's key sets, and those without one
    "AWS::SQS::Queue": (
        {"KmsMasterKeyId": KEY, "SqsManagedSseEnabled": False},
        {"KmsMasterKeyId": None, "SqsManagedSseEnabled": True},
    ),
    "AWS::DynamoDB::Table": (
        {"SSESpecification": {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": KEY}},
        {"SSESpecification": None},
    ),
    "AWS::SecretsManager::Secret": ({"KmsKeyId": KEY}, {"KmsKeyId": None}),
    "AWS::Logs::LogGroup": ({"KmsKeyId": KEY}, {"KmsKeyId": None}),
    "AWS::SNS::Topic": ({"KmsMasterKeyId": KEY}, {"KmsMasterKeyId": None}),
}


@pytest.mark.parametrize("resource", [name for kind in WITH_KEY for name in _named(kind)])
def test_a_customer_managed_key_encrypts_every_stored_resource(resource: str) -> None:
    with_key, without = WITH_KEY[RESOURCES[resource]["Type"]]
    for parameter, expected in ((KEY, with_key), ("", without)):
        template = Template(TEMPLATE, {"KmsKeyArn": parameter})
        assert {name: template.resolve(_properties(resource).get(name)) for name in expected} == expected


def test_roles_may_use_the_customer_key_only_through_the_storing_services() -> None:
    assert TEMPLATE["Parameters"]["KmsKeyArn"]["Default"] == ""
    assert Template.load().resources("AWS::IAM::Policy") == {}
    template = Template.load({"KmsKeyArn": KEY})
    (policy,) = template.resources("AWS::IAM::Policy").values()
    assert [each.get("Ref") or each["Fn::If"][1]["Ref"] for each in policy["Roles"]] == ROLES
    conditions = {each["Fn::If"][1]["Ref"]: each["Fn::If"][0] for each in policy["Roles"] if "Fn::If" in each}
    assert conditions == {role: RESOURCES[role]["Condition"] for role in ROLES if "Condition" in RESOURCES[role]}
    (statement,) = template.resolve(policy["PolicyDocument"]["Statement"])
    assert statement["Resource"] == [KEY]
    assert {"kms:Decrypt", "kms:GenerateDataKey"} <= set(statement["Action"])
    services = ("dynamodb", "secretsmanager", "sqs")
    through = [f"{service}.us-east-1.amazonaws.com" for service in services]
    assert statement["Condition"] == {"StringEquals": {"kms:ViaService": through}}


OLD_KEY = KEY.replace("1234", "0abc")


@pytest.mark.parametrize(
    ("key", "keys"),
    [pytest.param(KEY, [KEY, OLD_KEY], id="another key"), pytest.param("", [OLD_KEY], id="no key of one's own again")],
)
def test_roles_may_still_use_the_previous_key_for_messages_that_are_under_it(key: str, keys: list[str]) -> None:
    template = Template.load({"KmsKeyArn": key, "PreviousKmsKeyArn": OLD_KEY})
    (policy,) = template.resources("AWS::IAM::Policy").values()
    assert template.resolve(policy["PolicyDocument"]["Statement"])[0]["Resource"] == keys
    assert template.resolve(_properties("ChangeQueue")["KmsMasterKeyId"]) == (key or None)


TOPIC_ARN = "arn:aws:sns:eu-west-1:123456789012:on-call"


@pytest.mark.parametrize(
    ("parameter", "arn", "fits"),
    [
        ("KmsKeyArn", "", True),
        ("KmsKeyArn", KEY, True),
        ("KmsKeyArn", "arn:aws-us-gov:kms:us-gov-west-1:123456789012:key/mrk-1234abcd12ab34cd56ef1234567890ab", True),
        pytest.param("KmsKeyArn", KEY.replace("key/", "alias/"), False, id="roles are compared with the key's ARN"),
        pytest.param("KmsKeyArn", KEY.partition("/")[2], False, id="the id of a key"),
        ("PreviousKmsKeyArn", KEY, True),
        ("AlarmTopicArn", "", True),
        ("AlarmTopicArn", TOPIC_ARN, True),
        ("AlarmTopicArn", "arn:aws-us-gov:sns:us-gov-west-1:123456789012:On_Call-1", True),
        pytest.param("AlarmTopicArn", f"{TOPIC_ARN}.fifo", False, id="CloudWatch has no FIFO topics"),
        pytest.param("AlarmTopicArn", TOPIC_ARN.replace("sns", "sqs"), False, id="a queue"),
        pytest.param("AlarmTopicArn", "on-call", False, id="the name of a topic"),
        ("PageTopicArn", TOPIC_ARN, True),
        ("PermissionsBoundary", "", True),
        ("PermissionsBoundary", "arn:aws-us-gov:iam::123456789012:policy/platform/boundary", True),
        pytest.param("PermissionsBoundary", "arn:aws:iam::123456789012:role/boundary", False, id="a role"),
        pytest.param("PermissionsBoundary", "audience-sync-boundary", False, id="the name of a policy"),
    ],
)
def test_a_key_a_topic_and_a_permissions_boundary_are_given_by_their_arns(parameter: str, arn: str, fits: bool) -> None:
    assert bool(re.search(TEMPLATE["Parameters"][parameter]["AllowedPattern"], arn)) is fits


def test_the_guides_key_policy_allows_logs_and_cloudwatch_to_use_the_key() -> None:
    policy = json.loads(re.findall(r"```json\n(.*?)```", section(OPERATE, "A key of your own"), re.DOTALL)[0])
    account, logs, alarms = policy["Statement"]
    assert account["Principal"] == {"AWS": "arn:aws:iam::ACCOUNT:root"}, "or the policies of the roles would not count"
    assert logs["Principal"] == {"Service": "logs.REGION.amazonaws.com"}
    template = Template(TEMPLATE, {"AWS::StackName": "audience-sync"})
    names = [template.resolve(_properties(group)["LogGroupName"]) for group in LOG_GROUPS]
    patterns = logs["Condition"]["ArnLike"]["kms:EncryptionContext:aws:logs:arn"]
    for name in names:
        assert any(fnmatchcase(f"arn:aws:logs:REGION:ACCOUNT:log-group:{name}", pattern) for pattern in patterns)
    assert alarms["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert alarms["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]


@pytest.mark.parametrize("table", _named("AWS::DynamoDB::Table"))
def test_tables_can_be_restored_and_outlive_the_stack(table: str) -> None:
    # The audience table holds no members, so its copies need no shorter period.
    days = {"RecoveryPeriodInDays": {"Ref": "RecoveryPeriodInDays"}} if table == "MembershipTable" else {}
    assert _properties(table)["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True} | days
    assert RESOURCES[table]["DeletionPolicy"] == RESOURCES[table]["UpdateReplacePolicy"] == "Retain"
    assert _properties(table)["DeletionProtectionEnabled"] is True


def test_the_membership_table_is_paid_per_request_unless_units_are_provisioned() -> None:
    by_default = Template.load()
    assert by_default.resolve(_properties("MembershipTable")["BillingMode"]) == "PAY_PER_REQUEST"
    assert by_default.resolve(_properties("MembershipTable")["ProvisionedThroughput"]) is None
    assert by_default.resources("AWS::ApplicationAutoScaling::ScalableTarget") == {}
    template = Template.load({"MembershipUnits": 25})
    assert template.resolve(_properties("MembershipTable")["BillingMode"]) == "PROVISIONED"
    units = template.resolve(_properties("MembershipTable")["ProvisionedThroughput"])
    assert units == {"ReadCapacityUnits": 25, "WriteCapacityUnits": 25}


@pytest.mark.parametrize(("kind", "units_of_a_change"), [("Write", 1), ("Read", READS)])
def test_auto_scaling_reaches_the_hourly_limit_of_one_connection(kind: str, units_of_a_change: float) -> None:
    template = Template.load({"MembershipUnits": 25, "MembershipTable": "members"})
    target = template.resolve(
        template.resources("AWS::ApplicationAutoScaling::ScalableTarget")[f"Membership{kind}Capacity"]
    )
    policy = template.resources("AWS::ApplicationAutoScaling::ScalingPolicy")[f"Membership{kind}Scaling"]
    tracking = policy["TargetTrackingScalingPolicyConfiguration"]
    assert target["ResourceId"] == "table/members"
    assert target["ScalableDimension"] == f"dynamodb:table:{kind}CapacityUnits"
    assert tracking["PredefinedMetricSpecification"]["PredefinedMetricType"] == f"DynamoDB{kind}CapacityUtilization"
    assert policy["ScalingTargetId"] == {"Fn::GetAtt": [f"Membership{kind}Capacity", "Id"]}
    assert target["MinCapacity"] == 25
    needed = units_of_a_change * 15_000_000 / 3600 / tracking["TargetValue"] * 100
    assert needed <= target["MaxCapacity"] < 1.05 * needed, "units may stay when the last change has gone"
    assert TEMPLATE["Parameters"]["MembershipUnits"]["MaxValue"] <= target["MaxCapacity"]


def test_ingest_has_no_start_and_report_lines_and_the_worker_has() -> None:
    assert _properties("IngestFunction")["LoggingConfig"]["SystemLogLevel"] == "WARN"
    queries = re.findall(r"^ask (\w+) .*platform", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    assert set(queries) == {"worker"}
    for function in queries:
        assert "SystemLogLevel" not in _properties(f"{function.capitalize()}Function")["LoggingConfig"]


def test_secrets_that_cannot_be_recreated_outlive_the_stack() -> None:
    kept = {
        name: RESOURCES[name] for name in _named("AWS::SecretsManager::Secret") if "DeletionPolicy" in RESOURCES[name]
    }
    assert kept.keys() == {"IngestSecret", "CredentialsSecret"}
    for secret in kept.values():
        assert (secret["DeletionPolicy"], secret["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
        assert "Name" not in secret["Properties"], "a second stack of that name could not be created"


@pytest.mark.parametrize("group", LOG_GROUPS)
def test_logs_have_a_retention_period(group: str) -> None:
    kept = _properties(group)["RetentionInDays"]
    assert kept == ({"Ref": "LogRetentionDays"} if group != "OperatorLogGroup" else 400)


def test_every_function_has_the_same_constant_code_so_that_an_update_changes_only_its_layer() -> None:
    """Lambda has no call that changes code and layers together; tests/contract/test_built_layers.py pins the code."""
    assert {_properties(name)["CodeUri"] for name in FUNCTIONS} == {"functions/package/"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_has_a_role_and_a_log_group_of_its_own(function: str) -> None:
    name = function.removesuffix("Function")
    assert _properties(function)["Role"] == {"Fn::GetAtt": [f"{name}Role", "Arn"]}
    log = "Ingest" if function == "EventsFunction" else name  # one place for the rejections of both entry points
    assert _properties(function)["LoggingConfig"]["LogGroup"] == {"Ref": f"{log}LogGroup"}
    logging = [each["Resource"] for each in _statements(f"{name}Role") if "logs:PutLogEvents" in each["Action"]]
    assert logging == [{"Fn::GetAtt": [f"{log}LogGroup", "Arn"]}]


@pytest.mark.parametrize("role", ROLES)
def test_roles_use_no_wildcard_for_actions_or_resources(role: str) -> None:
    assert "ManagedPolicyArns" not in _properties(role)
    for statement in _statements(role):
        if statement["Action"] == ["cloudwatch:GetMetricData", "cloudwatch:ListMetrics"]:
            continue  # AWS knows no narrower resource for them than everything
        assert not any("*" in action for action in _listed(statement["Action"]))
        for resource in _listed(statement["Resource"]):
            assert resource.keys() <= {"Ref", "Fn::GetAtt", "Fn::Sub"}
            assert "*" not in json.dumps(resource)


def _granted(action: str) -> set[tuple[str, str]]:
    """Return each role that an action is granted to, with the resource."""
    return {
        (role, resource.get("Ref") or resource["Fn::GetAtt"][0])
        for role in ROLES
        for statement in _statements(role)
        if action in _listed(statement["Action"])
        for resource in _listed(statement["Resource"])
    }


def test_each_function_writes_only_its_own_secret_table_and_queues() -> None:
    assert _granted("secretsmanager:PutSecretValue") == {("RefreshRole", "TokenSecret")}
    writes = [_granted(f"dynamodb:{action}") for action in ("PutItem", "UpdateItem", "DeleteItem")]
    assert {role for each in writes for role, table in each if table == "AudienceTable"} == {"AudiencesRole"}
    queues = {queue for role, queue in _granted("sqs:SendMessage") if role == "JobsRole"}
    assert queues == {"JobQueue", "DeadLetterQueue", "ChangeQueue"}, "whatever the outcome of a job"
    assert ("EventsRole", "IngestSecret") not in _granted("secretsmanager:GetSecretValue"), "senders have no key"


ALL_SETTINGS = (
    *(WorkerSettings, RefreshSettings, AudiencesSettings),
    *(JobsSettings, AuditSettings, RenewSettings, DatasetsSettings),
)


# Amazon's hosts follow from the region, the waiting times from Amazon; only a run on one machine sets others.
LOCAL_ONLY = {
    *("AMAZON_API_URL", "AMAZON_LOGIN_URL"),
    *("SETTLE_SECONDS", "CIRCUIT_SECONDS", "LATE_SECONDS", "LONGEST_JOB_SECONDS"),
}


def test_every_route_except_events_has_a_low_throttle() -> None:
    routes = {f"{route.method} {route.path}" for route in Template.load().routes()}
    limited = _properties("Api")["RouteSettings"]
    assert limited.keys() == routes - {"POST /v1/events"}, "API Gateway refuses settings of a route that does not exist"
    assert all(5 <= each["ThrottlingRateLimit"] <= 10 for each in limited.values())  # requests a second
    assert _properties("Api")["DefaultRouteSettings"] == {"ThrottlingRateLimit": 2000, "ThrottlingBurstLimit": 3000}


def test_at_a_new_accounts_limit_workers_and_job_checks_leave_no_concurrency_for_the_api() -> None:
    workers = TEMPLATE["Parameters"]["MaximumConcurrency"]
    text = section(DEPLOY, "A new AWS account")
    limit = 10  # concurrent executions
    assert 2 * workers["Default"] == limit
    assert f"MaximumConcurrency={workers['MinValue']}'" in text
    assert limit - 2 * workers["MinValue"] == 6, "as the document says"
    queue = _properties("ChangeQueue")
    hours = queue["RedrivePolicy"]["maxReceiveCount"] * queue["VisibilityTimeout"] / 3600
    assert f"after 20 attempts, or {hours:.1f} hours" in " ".join(text.split())


def test_a_guided_deployment_asks_for_each_parameter_and_not_about_public_routes() -> None:
    assert f"asks for each of the {len(TEMPLATE['Parameters'])} parameters" in DEPLOY
    assert _properties("Api")["Auth"], "without it, sam asks; the default answer is no, and ends the deployment"


@pytest.mark.parametrize("function", ["IngestFunction", "EventsFunction"])
def test_ingest_and_events_get_every_variable_that_their_settings_read(function: str) -> None:
    read = set(re.findall(r'"([A-Z]+_[A-Z_]+)"', inspect.getsource(IngestSettings)))
    at_http = {"INGEST_SECRET_ARN", "ALLOWED_SOURCES"}
    not_here = {"EVENT_DEAD_LETTER_QUEUE_URL"} if function == "IngestFunction" else at_http
    assert _properties(function)["Environment"]["Variables"].keys() == read - not_here


def _variables(settings: Any) -> set[str]:
    return {field.alias for field in settings.model_fields.values()}


@pytest.mark.parametrize("settings", ALL_SETTINGS)
def test_a_function_gets_the_variables_that_its_settings_read(settings: Any) -> None:
    function = settings.__name__.replace("Settings", "Function")
    given = _properties(function)["Environment"]["Variables"].keys()
    read = _variables(settings)
    assert given == read - LOCAL_ONLY - TEMPLATE["Globals"]["Function"]["Environment"]["Variables"].keys()


@pytest.mark.parametrize("function", ["IngestFunction", "AudiencesFunction"])
def test_the_longest_parameters_fit_into_the_4_kb_that_lambda_accepts_of_variables(function: str) -> None:
    """Else an update would begin, fail at the function and be rolled back."""
    longest = {name: "x" * TEMPLATE["Parameters"][name]["MaxLength"] for name in ("AllowedTargets", "AllowedSources")}
    longest |= {"AWS::StackName": "x" * 63, "DataManagerAccountId": "x" * 256}
    template = Template.load(dict.fromkeys(RESOURCES, "x" * 140) | longest)  # a URL, a name or an ARN
    variables = template.resolve(dict(template.functions()[function].environment))
    assert len(json.dumps(variables)) <= 4_096


@pytest.mark.parametrize(("queue", "is_allowed"), [("yes", True), ("no", False)])
def test_a_stack_without_an_entry_point_is_refused(queue: str, is_allowed: bool) -> None:
    ((rule,),) = (each["Assertions"] for each in TEMPLATE["Rules"].values())
    template = Template({**TEMPLATE, "Conditions": {"It": rule["Assert"]}}, {"PublicApi": "no", "EventQueue": queue})
    assert template.resolve({"Fn::If": ["It", True, False]}) is is_allowed


def test_every_parameter_is_used() -> None:
    rest = json.dumps({name: part for name, part in TEMPLATE.items() if name not in ("Parameters", "Metadata")})
    assert not [name for name in TEMPLATE["Parameters"] if f'{{"Ref": "{name}"}}' not in rest]


def test_the_membership_table_has_the_key_that_the_rows_have() -> None:
    key = Sharding().key_of(("1", "m"))
    assert {each["AttributeName"] for each in _properties("MembershipTable")["KeySchema"]} == key.keys()
    assert _properties("MembershipTable")["TimeToLiveSpecification"] == {"AttributeName": "expiresAt", "Enabled": True}


def test_alarms_read_the_namespace_and_dimension_that_the_functions_use() -> None:
    variables = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    own = [each for each in chain(*map(_watched, ALARMS)) if not each["Namespace"].startswith("AWS/")]
    assert variables["POWERTOOLS_METRICS_NAMESPACE"] == NAMESPACE
    assert {metric["Namespace"] for metric in own} == {NAMESPACE}
    for metric in own:
        assert metric["Dimensions"] == [{"Name": "service", "Value": variables["POWERTOOLS_SERVICE_NAME"]}]


def _dashboard(**parameters: str) -> str:
    """The dashboard of a stack, with the names of its resources left as they are."""
    text, parts = _properties("Dashboard")["DashboardBody"]["Fn::Sub"]
    template = Template.load(parameters)
    for name, part in parts.items():
        condition, with_it, without = part.get("Fn::If", (None, part, part))
        chosen = with_it if condition is None or template.resolve({"Fn::If": [condition, True, False]}) else without
        text = text.replace(f"${{{name}}}", chosen["Fn::Sub"] if isinstance(chosen, dict) else chosen)
    return str(text)


WITH_ALL = {"EventQueue": "yes", "DataManagerAccountId": "m"}
WIDGETS: list[dict[str, Any]] = json.loads(_dashboard(**WITH_ALL))["widgets"]
GRAPHED = [metric for widget in WIDGETS for metric in widget["properties"].get("metrics", [])]
SEARCHES = [metric[0]["expression"] for metric in GRAPHED if isinstance(metric[0], dict)]


def test_every_metric_of_ours_in_alarms_and_dashboard_exists() -> None:
    ours = {name for key, name in vars(metric_names).items() if key.isupper()} - {NAMESPACE}
    watched = {each["MetricName"] for each in chain(*map(_watched, ALARMS)) if each["Namespace"] == NAMESPACE}
    watched |= {name for each in SEARCHES for name in re.findall(r'MetricName="(\w+)"', each)}
    namespace = ""
    for first, *rest in GRAPHED:
        namespace = first if first not in (".", "...") and isinstance(first, str) else namespace
        if namespace == NAMESPACE and first != "..." and isinstance(first, str):
            watched.add(rest[0])
    assert watched - ours == set()


def test_the_dashboard_shows_every_alarm() -> None:
    (widget,) = [each for each in WIDGETS if each["type"] == "alarm"]
    here = "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:${AWS::StackName}-"
    assert widget["properties"]["alarms"] == [here + alarm for alarm in ALARMS]
    for parameters in ({}, {"PublicApi": "no"}):
        (widget,) = [each for each in json.loads(_dashboard(**parameters))["widgets"] if each["type"] == "alarm"]
        alarms = Template.load(parameters).resources("AWS::CloudWatch::Alarm")
        assert widget["properties"]["alarms"] == [here + alarm for alarm in alarms]


@pytest.mark.parametrize(
    ("metric", "dimension"),
    [
        (metric_names.AUDIENCE_RECEIVED, "audience"),
        (metric_names.AUDIENCE_MATCH_RATE, "audience"),
        (metric_names.EVENTS_REJECTED_BY_REASON, "reason"),
    ],
)
def test_the_dashboard_searches_a_metric_by_its_dimension_in_this_stack(metric: str, dimension: str) -> None:
    (search,) = (each for each in SEARCHES if f'MetricName="{metric}"' in each)
    assert f"SEARCH('{{{NAMESPACE},{dimension},service}}" in search
    assert 'service="${AWS::StackName}"' in search


def test_the_dashboard_shows_as_many_metrics_as_the_cost_guide_states() -> None:
    most = len(GRAPHED) + 9 * len(SEARCHES)  # a search shows the ten largest
    assert f"ours shows up to {most})" in (ROOT / "docs/cost.md").read_text(encoding="utf-8")


def test_the_line_of_an_alarm_on_the_dashboard_is_at_its_threshold() -> None:
    (line,) = re.findall(r'"OldestDeferredChangeAge", .*"horizontal": (\[.*?\])', _dashboard(**WITH_ALL))
    assert json.loads(line) == [{"label": "alarm", "value": _properties("DeliveryStalled")["Threshold"]}]
    assert _properties("OldestMessageAge")["Threshold"] == _properties("DeliveryStalled")["Threshold"], (
        "one line for both"
    )


def test_the_widgets_of_the_dashboard_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for widget in WIDGETS:
        assert widget["x"] + widget["width"] <= 24  # columns of a CloudWatch dashboard
        columns = range(widget["x"], widget["x"] + widget["width"])
        cells = {(x, y) for x in columns for y in range(widget["y"], widget["y"] + widget["height"])}
        assert not cells & taken
        taken |= cells


@pytest.mark.parametrize("alarm", ALARMS)
def test_every_alarm_has_a_name_a_notification_and_a_runbook_link(alarm: str) -> None:
    properties = _properties(alarm)
    assert properties["AlarmName"] == {"Fn::Sub": "${AWS::StackName}-" + alarm}
    assert properties["AlarmActions"] == properties["OKActions"] == [TOPIC, *([PAGER] if alarm in PAGES else [])]
    assert properties["AlarmDescription"].startswith("PAGE: " if alarm in PAGES else "TICKET: ")
    assert properties["AlarmDescription"].endswith(f". What to do: docs/runbook.md, {alarm}.")
    assert len(properties["AlarmDescription"]) <= 1024  # characters; AWS takes no more


def test_the_guide_names_the_alarms_that_start_without_data() -> None:
    first_hour = section(OPERATE, "First hour in an account")
    alarms = Template.load().resources("AWS::CloudWatch::Alarm")
    assert f"gets {len(alarms)} messages from the first deployment" in " ".join(OPERATE.split())
    late = [name for name in alarms if _properties(name)["TreatMissingData"] in ("missing", "ignore")]
    assert f"{len(alarms) - len(late)} mails that begin with OK" in first_hour
    for alarm in late:
        assert alarm in first_hour


@pytest.mark.parametrize("given", ["", TOPIC_ARN])
def test_alarms_go_to_the_given_topic_or_to_the_stacks_own(given: str) -> None:
    template = Template(TEMPLATE, {"AlarmTopicArn": given, "AlarmEmail": "ops@example.com"})
    assert set(template.resources("AWS::SNS::Topic")) == (set() if given else {"Alarms"})
    template.name("Alarms", "the stack's own")
    (subscription,) = template.resources("AWS::SNS::Subscription").values()
    in_use = template.resolve(TEMPLATE["Outputs"]["AlarmTopicArn"]["Value"])
    assert in_use == template.resolve(subscription["TopicArn"]) == (given or "the stack's own")


def test_pages_also_go_to_the_pager_and_a_filter_on_one_topic_lets_only_them_through() -> None:
    actions = _properties("IngestErrors")["AlarmActions"]
    assert Template(TEMPLATE, {"AlarmTopicArn": "t"}).resolve(actions) == ["t"]
    assert Template(TEMPLATE, {"AlarmTopicArn": "t", "PageTopicArn": "p"}).resolve(actions) == ["t", "p"]
    (printed,) = re.findall(r"--attributes '(.*)'", section(OPERATE, "Where alarms go"))
    attributes = json.loads(printed)
    assert attributes["FilterPolicyScope"] == "MessageBody"
    assert json.loads(attributes["FilterPolicy"]) == {"AlarmName": [f"audience-sync-{each}" for each in PAGES]}


def test_access_logs_hold_route_keys_and_nothing_from_the_request() -> None:
    logged = json.loads(_properties("Api")["AccessLogSettings"]["Format"])
    assert "$context.routeKey" in logged.values()
    written_by_sender = ("path", "query", "header", "identity", "requestOverride", "authorizer", "domain")
    assert not [value for value in logged.values() if any(word in value for word in written_by_sender)]


def test_the_token_is_refreshed_three_times_an_hour_within_the_version_quota() -> None:
    schedule = _properties("RefreshFunction")["Events"]["Schedule"]["Properties"]["Schedule"]
    minutes = int(schedule.removeprefix("rate(").removesuffix(" minutes)"))
    assert 60 // minutes >= 3  # a token lives 60 minutes
    assert 24 * 60 // minutes < 100  # versions that Secrets Manager keeps, each for a day


def _conditions_on_members(role: str) -> dict[str, Any]:
    """Return the condition of each action on the membership table."""
    statements = [each for each in _statements(role) if each["Resource"] == MEMBERSHIP_TABLE]
    return {action: each.get("Condition") for each in statements for action in _listed(each["Action"])}


ROWS_OF_MEMBERS = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["*#??"]}}


def _own(*partitions: str) -> dict[str, Any]:
    return {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [*partitions]}}


@pytest.mark.parametrize(
    ("role", "conditions"),
    [
        # Statements of PartiQL have no condition: which keys AWS reads from their parameters is not documented.
        (
            "JobsRole",
            {"dynamodb:BatchGetItem": ROWS_OF_MEMBERS, "dynamodb:PartiQLUpdate": None}
            | dict.fromkeys(("dynamodb:GetItem", "dynamodb:PutItem"), _own(PUBLISHED)),
        ),
        (
            "WorkerRole",
            {"dynamodb:BatchGetItem": ROWS_OF_MEMBERS, "dynamodb:PartiQLInsert": None, "dynamodb:PartiQLUpdate": None}
            | dict.fromkeys(("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"), _own(CIRCUITS)),
        ),
        (
            "RenewRole",
            {"dynamodb:Query": ROWS_OF_MEMBERS}
            | dict.fromkeys(("dynamodb:GetItem", "dynamodb:PutItem"), _own(RENEWAL)),
        ),
        ("DatasetsRole", dict.fromkeys(("dynamodb:GetItem", "dynamodb:PutItem"), _own(DATASETS, PUBLISHED))),
        (
            "AuditRole",
            dict.fromkeys(("dynamodb:BatchGetItem", "dynamodb:Query"), ROWS_OF_MEMBERS)
            | {"dynamodb:PartiQLUpdate": None}
            | {"dynamodb:GetItem": _own(AUDIT, RENEWAL)}
            | dict.fromkeys(("dynamodb:UpdateItem", "dynamodb:PutItem"), _own(AUDIT)),
        ),
    ],
)
def test_a_role_accesses_only_its_own_partitions_of_the_membership_table(role: str, conditions: dict[str, Any]) -> None:
    assert _conditions_on_members(role) == conditions


def test_the_iam_pattern_for_member_rows_matches_only_member_partitions() -> None:
    (pattern,) = ROWS_OF_MEMBERS["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
    for audience_id in ("1", "418273650912345678", EVERY_AUDIENCE):
        assert all(fnmatchcase(partition, pattern) for partition in Sharding().partitions(audience_id))
    assert not any(fnmatchcase(partition, pattern) for partition in (AUDIT, RENEWAL, DATASETS, PUBLISHED, CIRCUITS))


def test_the_audiences_function_cannot_access_the_mappings() -> None:
    (statement,) = (
        each for each in _statements("AudiencesRole") if each["Resource"] == {"Fn::GetAtt": ["AudienceTable", "Arn"]}
    )
    rows = [MAPPINGS_KEY, MAPPINGS_HISTORY_KEY]
    assert statement["Condition"] == {"ForAllValues:StringNotEquals": {"dynamodb:LeadingKeys": rows}}


def test_ingest_scans_the_audience_table_and_gets_only_the_version_row() -> None:
    table = {"Fn::GetAtt": ["AudienceTable", "Arn"]}
    statements = [each for each in _statements("IngestRole") if each["Resource"] == table]
    assert {each["Action"]: each.get("Condition") for each in statements} == {
        "dynamodb:Scan": None,
        "dynamodb:GetItem": _own(VERSION_KEY),
    }


def test_renewal_may_fail_for_fourteen_days_before_members_lapse() -> None:
    assert _properties("RenewFunction")["Events"]["Schedule"]["Properties"]["Schedule"] == "rate(1 day)"
    assert 15 * 86_400 + LATE == LONGEST_MARGIN, "fourteen runs may fail"
    assert MIN_RENEWED_TTL / 2 > 86_400, "the shortest margin is longer than the time between two runs"
    assert 2 * RENEWAL_RESERVE < _properties("RenewFunction")["Timeout"] <= 900  # seconds; Lambda allows no more


def test_a_gap_stays_visible_for_a_day_and_one_late_change_raises_no_alarm() -> None:
    gap, stalled, findings = map(_properties, ("UnaccountedChanges", "DeliveryStalled", "Findings"))
    assert (gap["Period"] * gap["EvaluationPeriods"], gap["DatapointsToAlarm"]) == (86_400, 1)
    assert (stalled["EvaluationPeriods"], stalled["DatapointsToAlarm"]) == (3, 2)
    assert findings["TreatMissingData"] == "ignore"  # the audit sets its state, which stays


def test_audiences_of_a_leaked_key_are_found_far_below_the_limit() -> None:
    assert MANY_AUDIENCES <= MAX_CREATED_A_DAY // 10


def test_one_full_request_of_deletion_notices_sets_off_an_alarm_by_default() -> None:
    limit = TEMPLATE["Parameters"]["ErasuresPerHour"]
    assert limit["Default"] < MAX_EVENTS
    assert f"can erase {MAX_EVENTS:,} people" in limit["Description"]


def test_a_waiting_change_reports_its_age_in_every_period_of_the_stall_alarm() -> None:
    assert _properties("DeliveryStalled")["Period"] >= MARK + LONG_DELAY


def test_the_age_that_sqs_shows_is_not_the_only_one_watched_since_it_leaves_out_messages_that_keep_failing() -> None:
    covering = {"OldestMessageAge": "DeliveryStalled", "OldestEventAge": "OldestEventAge"}
    assert covering.keys() == {each for each in ALARMS if "ApproximateAgeOfOldestMessage" in str(_watched(each))}
    assert all(any(metric["Namespace"] == NAMESPACE for metric in _watched(each)) for each in covering.values())


@pytest.mark.parametrize("queue", ["ChangeQueue", "JobQueue", "EventsQueue"])
def test_a_message_that_no_function_gets_is_received_in_each_period_of_its_alarm(queue: str) -> None:
    alarm = _properties("OldestEventAge" if queue == "EventsQueue" else "OldestMessageAge")
    (period,) = {each["MetricStat"]["Period"] for each in alarm["Metrics"] if "MetricStat" in each}
    assert _properties(queue)["VisibilityTimeout"] < period


def test_a_job_that_fails_twice_is_not_old_for_the_alarm() -> None:
    longest = MAX_DELAY + 2 * _properties("JobQueue")["VisibilityTimeout"]  # the third receive ends the age
    assert longest / 2 < _properties("OldestMessageAge")["Threshold"]


BUSY = {"oldest": 5, "received": 400, "deleted": 390}


@pytest.mark.parametrize(
    ("periods", "rings"),
    [
        pytest.param([BUSY] * 6, False, id="messages are taken in at once"),
        pytest.param([{"received": 1}, {"deleted": 1}] * 3, False, id="few messages, each at the end of a period"),
        pytest.param([BUSY | {"failing": 190}, BUSY | {"failing": 380}] + [BUSY] * 4, False, id="two attempts failed"),
        pytest.param([BUSY | {"failing": 400 + 300 * n} for n in range(5)], True, id="one message always fails"),
        pytest.param([{"oldest": 400 + 300 * n} for n in range(5)], True, id="nobody receives"),
        pytest.param([{"oldest": 380, "received": 1}] * 5, True, id="Lambda receives and can start no function"),
    ],
)
def test_messages_that_wait_in_the_event_queue_for_half_an_hour_set_off_an_alarm(
    periods: list[dict[str, int]], rings: bool
) -> None:
    alarm, functions = (
        _properties("OldestEventAge"),
        {"MAX": max, "IF": lambda holds, one, other: one if holds else other},
    )
    functions["FILL"] = lambda value, other: other if value is None else value
    expression, *metrics = alarm["Metrics"]
    assert alarm["EvaluationPeriods"] * metrics[0]["MetricStat"]["Period"] == 1_800  # seconds
    text = expression["Expression"].replace(" AND ", " and ")
    named = [{metric["Id"]: each.get(metric["Id"]) for metric in metrics} for each in periods]
    breaching = [each for each in named if eval(text, functions, each) > alarm["Threshold"]]  # noqa: S307 - our own
    assert (len(breaching) >= alarm["DatapointsToAlarm"]) == rings


def test_a_stack_without_the_api_has_no_alarm_about_its_requests() -> None:
    alarms = Template.load({"PublicApi": "no", "EventQueue": "yes"}).resources("AWS::CloudWatch::Alarm")
    assert {*ALARMS} - alarms.keys() == {"IngestErrors", "RequestsUnauthorized"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_errors_of_every_function_set_off_an_alarm(function: str) -> None:
    triggers = {event["Type"] for event in _properties(function)["Events"].values()}
    expected = ["AWS/Lambda", "Errors", {"Name": "FunctionName", "Value": {"Ref": function}}]
    alarm = {"RefreshFunction": "TokenRefreshFailed"}.get(function, "FunctionErrors")
    if triggers == {"HttpApi"}:  # counted at the gateway, on all its routes
        alarm, expected = "IngestErrors", ["AWS/ApiGateway", "5xx", {"Name": "ApiId", "Value": {"Ref": "Api"}}]
    watched = [[each["Namespace"], each["MetricName"], *each["Dimensions"]] for each in _watched(alarm)]
    if function in ("RenewFunction", "DatasetsFunction"):  # the audit finds that no run was completed
        assert expected not in watched
    else:
        assert expected in watched


@pytest.mark.parametrize("queue", [dead_letters for dead_letters, _ in SOURCES])
def test_a_dead_letter_sets_off_an_alarm_and_is_on_the_dashboard(queue: str) -> None:
    (watched,) = _properties(queue.removesuffix("Queue") + "s")["Dimensions"]
    assert watched == {"Name": "QueueName", "Value": {"Fn::GetAtt": [queue, "QueueName"]}}
    assert f"${{{queue}.QueueName}}" in _dashboard(EventQueue="yes")


@pytest.mark.parametrize("secret", _named("AWS::SecretsManager::Secret"))
def test_the_template_itself_holds_no_secret(secret: str) -> None:
    properties = _properties(secret)
    written = json.loads(properties.get("SecretString") or properties["GenerateSecretString"]["SecretStringTemplate"])
    assert not any(written.values())


@pytest.mark.parametrize(
    ("partition", "region", "host"),
    [
        ("aws", "eu-west-1", "eu-west-1.console.aws.amazon.com"),
        ("aws-us-gov", "us-gov-west-1", "us-gov-west-1.console.amazonaws-us-gov.com"),
        ("aws-cn", "cn-north-1", "cn-north-1.console.amazonaws.cn"),
    ],
)
def test_the_dashboard_url_is_that_of_the_partition(partition: str, region: str, host: str) -> None:
    template = Template(TEMPLATE, {"AWS::Partition": partition, "AWS::Region": region, "Dashboard": "audience-sync"})
    address = template.resolve(TEMPLATE["Outputs"]["DashboardUrl"]["Value"])
    assert address == f"https://{host}/cloudwatch/home?region={region}#dashboards/dashboard/audience-sync"


def test_the_guide_states_the_longest_stack_name() -> None:
    names = [_properties(queue)["QueueName"]["Fn::Sub"] for queue in _named("AWS::SQS::Queue")]
    longest = 80 - max(len(name.removeprefix("${AWS::StackName}")) for name in names)  # characters; SQS's limit is 80
    question = next(line for line in DEPLOY.splitlines() if line.startswith("| `Stack Name`"))
    assert f"at most {longest} characters" in question


def test_the_stack_states_the_version_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert TEMPLATE["Outputs"]["Version"]["Value"] == project["version"]


def test_the_template_sets_no_variable_for_local_runs() -> None:
    assert not [name for name in LOCAL_ONLY if name in json.dumps(TEMPLATE)]


def test_every_parameter_has_a_description_and_a_group_and_readme_has_the_first_group() -> None:
    shown = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]
    readme = section((ROOT / "README.md").read_text(encoding="utf-8"), "Configure it")
    assert re.findall(r"^\| `(\w+)` \|", readme, re.MULTILINE) == shown["ParameterGroups"][0]["Parameters"]
    grouped = [name for group in shown["ParameterGroups"] for name in group["Parameters"]]
    assert sorted(grouped) == sorted(TEMPLATE["Parameters"]) == sorted(shown["ParameterLabels"])
    assert all(parameter["Description"] for parameter in TEMPLATE["Parameters"].values())


def test_no_fee_is_allowed_unless_the_operator_says_so() -> None:
    parameter = TEMPLATE["Parameters"]["MaxCpmCents"]
    assert (parameter["Default"], parameter["MinValue"]) == (0, 0)


@pytest.mark.parametrize(
    ("prefix", "fits"),
    [("", True), ("Brand A - ", True), ("-A", False), ("A\n", False), ("Ä", False), ("a" * 65, False)],
)
def test_a_prefix_of_names_is_plain_and_leaves_room_for_a_name(prefix: str, fits: bool) -> None:
    parameter = TEMPLATE["Parameters"]["AudienceNamePrefix"]
    assert (bool(re.fullmatch(parameter["AllowedPattern"], prefix)) and len(prefix) <= parameter["MaxLength"]) == fits
    assert parameter["MaxLength"] == AudiencesSettings.model_fields["audience_name_prefix"].metadata[0].max_length


def test_creating_an_audience_ends_before_the_gateway_times_out() -> None:
    assert CREATE_TIMEOUT + RESERVE < BUDGET < _properties("AudiencesFunction")["Timeout"] < 30  # seconds
    assert 2 * _properties("AudiencesFunction")["Timeout"] < STALE_LOCK_AGE / 1000


def test_the_example_requests_use_routes_of_the_template() -> None:
    routes = {f"{route.method} {route.path}" for route in Template.load().routes()}
    events = [json.loads(path.read_text()) for path in (ROOT / "events/lambda").glob("*.json")]
    assert {event["routeKey"] for event in events if "routeKey" in event} <= routes
