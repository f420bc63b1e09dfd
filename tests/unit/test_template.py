"""What must hold between the numbers and names of template.yaml, and no linter checks."""

import json
import re
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from audience_sync import metric_names
from audience_sync.amazon_ads.audience_settings import MIN_RENEWED_TTL
from audience_sync.audiences import CREATE_TIMEOUT, RESERVE, STALE_LOCK_AGE
from audience_sync.aws.audience_table import MAPPINGS_HISTORY_KEY, MAPPINGS_KEY
from audience_sync.aws.checkpoint import AUDIT, RENEWAL
from audience_sync.aws.membership_rows import MAX_SHARDS, Sharding
from audience_sync.delivery.backoff import MARK, MAX_DELAY
from audience_sync.delivery.batch import REQUEUE_AFTER_RECEIVES
from audience_sync.delivery.circuit_state import PARTITION as CIRCUITS
from audience_sync.errors import InvalidSettings
from audience_sync.ingest_settings import IngestSettings
from audience_sync.membership import EVERY_AUDIENCE
from audience_sync.metric_names import NAMESPACE
from audience_sync.operations.audit import HOUR, MAX_CRASH_LOOP
from audience_sync.operations.job_tracking import MAX_AGE, MIN_TIME_PER_CHECK
from audience_sync.operations.renewal import LONGEST_MARGIN
from audience_sync.operations.renewal import RESERVE as RENEWAL_RESERVE
from audience_sync.settings import (
    AudiencesSettings,
    AuditSettings,
    JobsSettings,
    RefreshSettings,
    RenewSettings,
    WorkerSettings,
)
from functions.audiences.handler import BUDGET
from functions.jobs.handler import AT_ONCE
from local.template import ROOT, Template, read_document

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
TOPIC = {"Fn::If": ["HasOwnTopic", {"Ref": "Alarms"}, {"Ref": "AlarmTopicArn"}]}
MEMBERSHIP_TABLE = {"Fn::GetAtt": ["MembershipTable", "Arn"]}
SOURCES = [("DeadLetterQueue", "ChangeQueue"), ("JobDeadLetterQueue", "JobQueue")]


def _statements(role: str) -> Iterator[dict[str, Any]]:
    for policy in _properties(role)["Policies"]:
        yield from policy["PolicyDocument"]["Statement"]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_the_visibility_timeout_is_six_worker_timeouts_and_the_longest_window() -> None:
    longest_window = TEMPLATE["Parameters"]["BatchWindow"]["MaxValue"]
    assert (
        _properties("ChangeQueue")["VisibilityTimeout"] >= 6 * _properties("WorkerFunction")["Timeout"] + longest_window
    )


@pytest.mark.parametrize(("dead_letters", "source"), SOURCES)
def test_dead_letters_are_kept_twice_as_long_as_the_messages_of_their_source(dead_letters: str, source: str) -> None:
    kept = _properties(source)["MessageRetentionPeriod"]
    assert _properties(dead_letters)["MessageRetentionPeriod"] == 2 * kept == 14 * 86_400  # seconds; the SQS maximum


def test_only_a_message_that_crashes_the_worker_reaches_the_maximum_receive_count() -> None:
    redrive = _properties("ChangeQueue")["RedrivePolicy"]
    assert redrive["deadLetterTargetArn"] == {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}
    assert REQUEUE_AFTER_RECEIVES < redrive["maxReceiveCount"] == 20, (
        "the worker sends waiting messages anew before that"
    )


@pytest.mark.parametrize(("dead_letters", "source"), SOURCES)
def test_one_queue_only_has_a_dead_letter_queue_as_its_redrive_target(dead_letters: str, source: str) -> None:
    allowed = _properties(dead_letters)["RedriveAllowPolicy"]
    (arn,) = allowed["sourceQueueArns"]
    assert allowed["redrivePermission"] == "byQueue"
    assert arn["Fn::Sub"].endswith(":" + _properties(source)["QueueName"]["Fn::Sub"])


def test_a_job_is_given_up_before_sqs_moves_its_message_and_that_before_sqs_deletes_it() -> None:
    queue = _properties("JobQueue")
    redrive = queue["RedrivePolicy"]
    moved = redrive["maxReceiveCount"] * queue["VisibilityTimeout"]  # seconds
    assert redrive["deadLetterTargetArn"] == {"Fn::GetAtt": ["JobDeadLetterQueue", "Arn"]}
    assert MAX_AGE < moved == 2 * 86_400 < queue["MessageRetentionPeriod"]


def test_the_worker_may_return_single_messages() -> None:
    assert CHANGES["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_an_alarm_goes_off_when_one_message_crashes_the_worker_a_second_time() -> None:
    alarm, window = _properties("WorkerErrors"), TEMPLATE["Parameters"]["BatchWindow"]["MaxValue"]
    back = _properties("ChangeQueue")["VisibilityTimeout"] + window + _properties("WorkerFunction")["Timeout"]
    assert alarm["DatapointsToAlarm"] == 2
    assert (alarm["EvaluationPeriods"] - 1) * alarm["Period"] >= back


def test_the_number_of_workers_is_capped_where_messages_are_taken() -> None:
    assert CHANGES["ScalingConfig"] == {"MaximumConcurrency": {"Ref": "MaximumConcurrency"}}
    assert TEMPLATE["Parameters"]["MaximumConcurrency"]["MinValue"] == 2  # AWS refuses less


def test_a_batch_of_more_than_ten_has_a_window() -> None:
    assert CHANGES["BatchSize"] > 10
    assert TEMPLATE["Parameters"]["BatchWindow"]["MinValue"] >= 1  # AWS refuses the batch without


def test_pausing_stops_delivery_and_not_intake() -> None:
    assert CHANGES["Enabled"] == {"Fn::If": ["Delivering", True, False]}
    assert not any("Enabled" in event["Properties"] for event in _properties("IngestFunction")["Events"].values())


def test_the_visibility_timeout_of_job_messages_is_six_timeouts_of_the_jobs_function() -> None:
    assert _properties("JobQueue")["VisibilityTimeout"] >= 6 * _properties("JobsFunction")["Timeout"]


def test_an_invocation_checks_its_jobs_side_by_side_and_has_time_to_park_what_they_rejected() -> None:
    assert JOBS["BatchSize"] <= AT_ONCE
    assert JOBS["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert _properties("JobsFunction")["Timeout"] >= 2 * MIN_TIME_PER_CHECK


def test_checks_keep_up_with_two_hundred_audiences_that_get_an_upload_every_ten_seconds() -> None:
    answer = 1.0  # seconds that Amazon takes
    assert JOBS["BatchSize"] * JOBS["ScalingConfig"]["MaximumConcurrency"] / answer >= 2 * 200 / 10


def test_five_workers_of_a_thousand_members_a_second_reach_what_amazon_takes_in_an_hour() -> None:
    by_default = TEMPLATE["Parameters"]["MaximumConcurrency"]["Default"]
    assert by_default * 1_000 * 3600 >= 15_000_000, "members a second and worker; records an hour"
    assert _properties("WorkerFunction")["MemorySize"] == 1769  # MB; one whole processor


def test_the_audit_waits_for_as_long_as_sqs_delivers_a_message_that_crashes_the_worker() -> None:
    queue = _properties("ChangeQueue")
    assert queue["RedrivePolicy"]["maxReceiveCount"] * queue["VisibilityTimeout"] + HOUR <= MAX_CRASH_LOOP


@pytest.mark.parametrize("queue", _named("AWS::SQS::Queue"))
def test_queues_are_encrypted_and_refuse_connections_without_tls(queue: str) -> None:
    assert _properties(queue)["SqsManagedSseEnabled"] is True
    (policy,) = (
        _properties(name) for name in _named("AWS::SQS::QueuePolicy") if {"Ref": queue} in _properties(name)["Queues"]
    )
    statement = policy["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Resource"] == {"Fn::GetAtt": [queue, "Arn"]}
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


@pytest.mark.parametrize("table", _named("AWS::DynamoDB::Table"))
def test_tables_are_encrypted_can_be_restored_and_outlive_the_stack(table: str) -> None:
    assert _properties(table)["SSESpecification"] == {"SSEEnabled": True}
    assert _properties(table)["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert RESOURCES[table]["DeletionPolicy"] == RESOURCES[table]["UpdateReplacePolicy"] == "Retain"
    assert _properties(table)["DeletionProtectionEnabled"] is True


def test_secrets_that_cannot_be_made_again_outlive_the_stack() -> None:
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


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_has_a_role_and_a_log_group_of_its_own(function: str) -> None:
    name = function.removesuffix("Function")
    assert _properties(function)["Role"] == {"Fn::GetAtt": [f"{name}Role", "Arn"]}
    assert _properties(function)["LoggingConfig"]["LogGroup"] == {"Ref": f"{name}LogGroup"}
    logging = [each["Resource"] for each in _statements(f"{name}Role") if "logs:PutLogEvents" in each["Action"]]
    assert logging == [{"Fn::GetAtt": [f"{name}LogGroup", "Arn"]}]


@pytest.mark.parametrize("role", ROLES)
def test_a_role_names_every_action_and_every_resource(role: str) -> None:
    assert "ManagedPolicyArns" not in _properties(role)
    for statement in _statements(role):
        if statement["Action"] == ["cloudwatch:GetMetricData", "cloudwatch:ListMetrics"]:
            continue  # AWS knows no narrower resource for them than everything
        assert not any("*" in action for action in _listed(statement["Action"]))
        for resource in _listed(statement["Resource"]):
            assert resource.keys() <= {"Ref", "Fn::GetAtt", "Fn::Sub"}
            assert "*" not in json.dumps(resource)


def test_refresh_alone_writes_a_secret_and_only_the_token() -> None:
    writers = {
        (role, statement["Resource"]["Ref"])
        for role in ROLES
        for statement in _statements(role)
        if "secretsmanager:PutSecretValue" in _listed(statement["Action"])
    }
    assert writers == {("RefreshRole", "TokenSecret")}


SETTINGS = [
    pytest.param("IngestFunction", IngestSettings, id="ingest"),
    pytest.param("WorkerFunction", WorkerSettings, id="worker"),
    pytest.param("RefreshFunction", RefreshSettings, id="refresh"),
    pytest.param("AudiencesFunction", AudiencesSettings, id="audiences"),
    pytest.param("JobsFunction", JobsSettings, id="jobs"),
    pytest.param("AuditFunction", AuditSettings, id="audit"),
    pytest.param("RenewFunction", RenewSettings, id="renew"),
]
# Amazon's hosts follow from the region, the waiting times from Amazon; only a run on one machine sets others.
LOCAL_ONLY = {"AMAZON_API_URL", "AMAZON_LOGIN_URL", "SETTLE_SECONDS", "CIRCUIT_SECONDS", "LATE_SECONDS"}


def test_every_route_but_that_of_events_has_a_low_limit_and_no_other_route_has_settings() -> None:
    routes = {
        f"{event['Properties']['Method']} {event['Properties']['Path']}"
        for function in FUNCTIONS
        for event in _properties(function).get("Events", {}).values()
        if event["Type"] == "HttpApi"
    }
    limited = _properties("Api")["RouteSettings"]
    assert limited.keys() == routes - {"POST /v1/events"}, "API Gateway refuses settings of a route that does not exist"
    assert all(5 <= each["ThrottlingRateLimit"] <= 10 for each in limited.values())  # requests a second
    assert _properties("Api")["DefaultRouteSettings"] == {"ThrottlingRateLimit": 2000, "ThrottlingBurstLimit": 3000}


def test_with_the_limit_of_a_new_account_workers_and_checks_of_jobs_leave_nothing_for_the_api() -> None:
    jobs, workers = JOBS["ScalingConfig"]["MaximumConcurrency"], TEMPLATE["Parameters"]["MaximumConcurrency"]
    text = (ROOT / "docs/deploy.md").read_text().split("\n## A new AWS account\n")[1].split("\n## ")[0]
    limit = 10  # concurrent executions
    assert workers["Default"] + jobs == limit
    assert "only ten Lambda invocations" in text
    assert f"`MaximumConcurrency={workers['MinValue']}`" in text
    assert limit - workers["MinValue"] - jobs == 3, "as the document says"


def test_a_guided_deployment_does_not_ask_whether_each_route_may_be_public() -> None:
    assert _properties("Api")["Auth"], "without it, sam asks; the default answer is no, and ends the deployment"


class _Recording(dict[str, str]):
    """An environment without variables, and the names of those that were looked up."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return default


def _variables(settings: Any) -> set[str]:
    if settings is not IngestSettings:
        return {field.alias for field in settings.model_fields.values()}
    environment = _Recording()
    with pytest.raises(InvalidSettings):
        settings.from_env(environment)
    return environment.names


@pytest.mark.parametrize(("function", "settings"), SETTINGS)
def test_a_function_gets_the_variables_that_its_settings_read(function: str, settings: Any) -> None:
    given = _properties(function)["Environment"]["Variables"].keys()
    read = _variables(settings)
    assert given == read - LOCAL_ONLY - TEMPLATE["Globals"]["Function"]["Environment"]["Variables"].keys()


@pytest.mark.parametrize(("function", "settings"), SETTINGS)
def test_the_defaults_of_the_parameters_suit_the_settings(function: str, settings: Any) -> None:
    everywhere = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    variables = everywhere | _properties(function)["Environment"]["Variables"]
    parameters = TEMPLATE["Parameters"]
    named = {
        name: str(next(iter(value.values()))) if isinstance(value, dict) else value for name, value in variables.items()
    }
    settings.from_env(
        {name: str(parameters[value]["Default"]) if value in parameters else value for name, value in named.items()}
    )


def test_every_parameter_is_used() -> None:
    rest = json.dumps({name: part for name, part in TEMPLATE.items() if name not in ("Parameters", "Metadata")})
    assert not [name for name in TEMPLATE["Parameters"] if f'{{"Ref": "{name}"}}' not in rest]


def test_every_function_that_computes_a_members_key_gets_the_number_of_shards_which_is_also_an_output() -> None:
    parameter = TEMPLATE["Parameters"]["MembershipShards"]
    variables = {name: _properties(name)["Environment"]["Variables"] for name in FUNCTIONS}
    given = {name: each["MEMBERSHIP_SHARDS"] for name, each in variables.items() if "MEMBERSHIP_SHARDS" in each}
    assert given.keys() == {"WorkerFunction", "JobsFunction", "RenewFunction"}
    assert all(each == {"Ref": "MembershipShards"} for each in given.values())
    assert TEMPLATE["Outputs"]["MembershipShards"]["Value"] == {"Ref": "MembershipShards"}
    assert (parameter["MinValue"], parameter["MaxValue"]) == (1, MAX_SHARDS)
    assert parameter["Default"] == WorkerSettings.model_fields["membership_shards"].default


def test_the_membership_table_has_the_key_that_the_rows_have() -> None:
    key = Sharding(8).key_of(("1", "m"))
    assert {each["AttributeName"] for each in _properties("MembershipTable")["KeySchema"]} == key.keys()
    assert _properties("MembershipTable")["TimeToLiveSpecification"] == {"AttributeName": "expiresAt", "Enabled": True}


def test_alarms_read_the_namespace_and_dimension_that_the_functions_use() -> None:
    variables = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    own = [_properties(alarm) for alarm in ALARMS if not _properties(alarm)["Namespace"].startswith("AWS/")]
    assert variables["POWERTOOLS_METRICS_NAMESPACE"] == NAMESPACE
    assert {alarm["Namespace"] for alarm in own} == {NAMESPACE}
    for alarm in own:
        assert alarm["Dimensions"] == [{"Name": "service", "Value": variables["POWERTOOLS_SERVICE_NAME"]}]


def test_every_metric_of_ours_in_alarms_and_dashboard_exists() -> None:
    ours = {name for key, name in vars(metric_names).items() if key.isupper()} - {NAMESPACE}
    watched = {_properties(alarm)["MetricName"] for alarm in ALARMS if _properties(alarm)["Namespace"] == NAMESPACE}
    assert watched - ours == set()
    assert _shown_metrics() - ours == set()


def _widgets() -> list[dict[str, Any]]:
    widgets: list[dict[str, Any]] = json.loads(_properties("Dashboard")["DashboardBody"]["Fn::Sub"])["widgets"]
    return widgets


def _shown_metrics() -> set[str]:
    shown, namespace = set(), ""
    for widget in _widgets():
        for metric in widget["properties"].get("metrics", []):
            if isinstance(metric[0], dict):
                shown |= set(re.findall(r'MetricName="(\w+)"', metric[0]["expression"]))
                continue
            namespace = metric[0] if metric[0] not in {".", "..."} else namespace
            if namespace == NAMESPACE and metric[0] != "...":
                shown.add(metric[1])
    return shown


def test_the_dashboard_shows_every_alarm() -> None:
    (widget,) = [each for each in _widgets() if each["type"] == "alarm"]
    here = "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:${AWS::StackName}-"
    assert widget["properties"]["alarms"] == [here + alarm for alarm in ALARMS]


def test_the_dashboard_shows_audiences_and_reasons_of_this_stack_by_their_dimensions() -> None:
    searched = [
        metric[0]["expression"]
        for widget in _widgets()
        for metric in widget["properties"].get("metrics", [])
        if isinstance(metric[0], dict)
    ]
    assert len(searched) == 3
    for expression in searched:
        assert f"SEARCH('{{{NAMESPACE}," in expression
        assert 'service="${AWS::StackName}"' in expression
    dimensions = {
        metric_names.AUDIENCE_RECEIVED: "audience",
        metric_names.AUDIENCE_MATCH_RATE: "audience",
        metric_names.EVENTS_REJECTED_BY_REASON: "reason",
    }
    for name, dimension in dimensions.items():
        assert any(f'{{{NAMESPACE},{dimension},service}} MetricName="{name}"' in each for each in searched), name


def test_the_dashboard_shows_as_many_metrics_as_the_cost_says() -> None:
    entries = [metric for widget in _widgets() for metric in widget["properties"].get("metrics", [])]
    most = sum(10 if isinstance(each[0], dict) else 1 for each in entries)  # a search shows the ten largest
    assert f"ours shows up to {most})" in (ROOT / "docs/cost.md").read_text()


def test_the_widgets_of_the_dashboard_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for widget in _widgets():
        assert widget["x"] + widget["width"] <= 24  # columns of a CloudWatch dashboard
        columns = range(widget["x"], widget["x"] + widget["width"])
        cells = {(x, y) for x in columns for y in range(widget["y"], widget["y"] + widget["height"])}
        assert not cells & taken
        taken |= cells


@pytest.mark.parametrize("alarm", ALARMS)
def test_an_alarm_has_its_own_name_notifies_the_operator_and_says_what_it_means(alarm: str) -> None:
    properties = _properties(alarm)
    assert properties["AlarmName"] == {"Fn::Sub": "${AWS::StackName}-" + alarm}
    assert properties["AlarmActions"] == properties["OKActions"] == [TOPIC]
    assert properties["AlarmDescription"].endswith(f". What to do: docs/runbook.md, {alarm}.")
    assert len(properties["AlarmDescription"]) <= 1024  # characters; AWS takes no more


@pytest.mark.parametrize("given", ["", "arn:aws:sns:eu-west-1:123456789012:on-call"])
def test_alarms_go_to_the_topic_that_the_operator_names_and_else_to_one_of_the_stack(given: str) -> None:
    template = Template(TEMPLATE, {"AlarmTopicArn": given, "AlarmEmail": "ops@example.com"})
    assert set(template.resources("AWS::SNS::Topic")) == (set() if given else {"Alarms"})
    template.name("Alarms", "the stack's own")
    (subscription,) = template.resources("AWS::SNS::Subscription").values()
    in_use = template.resolve(TEMPLATE["Outputs"]["AlarmTopicArn"]["Value"])
    assert in_use == template.resolve(subscription["TopicArn"]) == (given or "the stack's own")


@pytest.mark.parametrize(
    ("arn", "fits"),
    [
        ("", True),
        ("arn:aws:sns:eu-west-1:123456789012:on-call", True),
        ("arn:aws-us-gov:sns:us-gov-west-1:123456789012:On_Call-1", True),
        pytest.param("arn:aws:sns:eu-west-1:123456789012:on-call.fifo", False, id="CloudWatch has no FIFO topics"),
        pytest.param("arn:aws:sqs:eu-west-1:123456789012:on-call", False, id="a queue"),
        pytest.param("on-call", False, id="a name"),
    ],
)
def test_the_topic_is_named_by_the_arn_of_a_standard_topic(arn: str, fits: bool) -> None:
    assert bool(re.search(TEMPLATE["Parameters"]["AlarmTopicArn"]["AllowedPattern"], arn)) is fits


def test_access_logs_hold_route_keys_and_nothing_a_sender_wrote() -> None:
    logged = json.loads(_properties("Api")["AccessLogSettings"]["Format"])
    assert "$context.routeKey" in logged.values()
    written_by_sender = ("path", "query", "header", "identity", "requestOverride", "authorizer", "domain")
    assert not [value for value in logged.values() if any(word in value for word in written_by_sender)]


def test_the_token_is_refreshed_three_times_before_it_expires_and_within_the_quota_of_versions() -> None:
    schedule = _properties("RefreshFunction")["Events"]["Schedule"]["Properties"]["Schedule"]
    minutes = int(schedule.removeprefix("rate(").removesuffix(" minutes)"))
    assert 60 // minutes >= 3  # a token lives 60 minutes
    assert 24 * 60 // minutes < 100  # versions that Secrets Manager keeps, each for a day


def test_the_audit_may_access_only_its_own_row_of_the_membership_table() -> None:
    (statement,) = (each for each in _statements("AuditRole") if "dynamodb:GetItem" in _listed(each["Action"]))
    assert statement["Condition"] == {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [AUDIT]}}


def _conditions_on_members(role: str) -> dict[str, Any]:
    """Return the condition of each action on the membership table."""
    statements = [each for each in _statements(role) if each["Resource"] == MEMBERSHIP_TABLE]
    return {action: each.get("Condition") for each in statements for action in _listed(each["Action"])}


ROWS_OF_MEMBERS = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["*#??"]}}


def test_the_worker_writes_members_by_statements_and_single_rows_of_its_circuit_breakers_only() -> None:
    own = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [CIRCUITS]}}
    members = ("dynamodb:BatchGetItem", "dynamodb:PartiQLInsert", "dynamodb:PartiQLUpdate")
    circuits = ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem")
    assert _conditions_on_members("WorkerRole") == dict.fromkeys(members, ROWS_OF_MEMBERS) | dict.fromkeys(
        circuits, own
    )


def test_jobs_change_rows_of_members_and_add_none() -> None:
    actions = ("dynamodb:BatchGetItem", "dynamodb:PartiQLUpdate")
    assert _conditions_on_members("JobsRole") == dict.fromkeys(actions, ROWS_OF_MEMBERS)


def test_the_pattern_of_members_rows_fits_all_their_partitions_and_no_other() -> None:
    (pattern,) = ROWS_OF_MEMBERS["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
    for audience_id in ("1", "418273650912345678", EVERY_AUDIENCE):
        assert all(fnmatchcase(partition, pattern) for partition in Sharding(MAX_SHARDS).partitions(audience_id))
    assert not any(fnmatchcase(partition, pattern) for partition in (AUDIT, RENEWAL, CIRCUITS))


def test_the_audiences_function_cannot_access_the_mappings() -> None:
    (statement,) = (
        each for each in _statements("AudiencesRole") if each["Resource"] == {"Fn::GetAtt": ["AudienceTable", "Arn"]}
    )
    rows = [MAPPINGS_KEY, MAPPINGS_HISTORY_KEY]
    assert statement["Condition"] == {"ForAllValues:StringNotEquals": {"dynamodb:LeadingKeys": rows}}


def test_jobs_send_to_every_queue_that_the_outcome_of_a_job_may_concern() -> None:
    (sending,) = (each["Resource"] for each in _statements("JobsRole") if each["Action"] == "sqs:SendMessage")
    assert {each["Fn::GetAtt"][0] for each in sending} == {"JobQueue", "DeadLetterQueue", "ChangeQueue"}


def test_renewal_reads_members_and_writes_only_its_checkpoint() -> None:
    own = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [RENEWAL]}}
    assert _conditions_on_members("RenewRole") == {
        "dynamodb:Query": ROWS_OF_MEMBERS,
        "dynamodb:GetItem": own,
        "dynamodb:PutItem": own,
    }


def test_renewal_runs_often_enough_to_fail_for_days_and_its_alarm_covers_each_run() -> None:
    assert _properties("RenewFunction")["Events"]["Schedule"]["Properties"]["Schedule"] == "rate(1 day)"
    assert 14 * _properties("RenewErrors")["Period"] == LONGEST_MARGIN
    assert MIN_RENEWED_TTL / 2 > 86_400, "the shortest margin is longer than the time between two runs"
    assert 2 * RENEWAL_RESERVE < _properties("RenewFunction")["Timeout"] <= 900  # seconds; Lambda allows no more


def test_the_alarm_of_a_gap_stays_for_a_day_since_each_gap_is_counted_once() -> None:
    alarm, schedule = _properties("UnaccountedChanges"), _properties("AuditFunction")["Events"]["Schedule"]
    assert schedule["Properties"]["Schedule"] == "rate(1 hour)"
    assert alarm["Period"] * alarm["EvaluationPeriods"] == 24 * 3600
    assert alarm["DatapointsToAlarm"] == alarm["Threshold"] == 1


def test_the_alarm_of_a_stall_depends_on_waiting_time_and_a_single_429_does_not_cause_it() -> None:
    alarm = _properties("DeliveryStalled")
    assert (alarm["MetricName"], alarm["Statistic"]) == ("OldestDeferredChangeAge", "Maximum")
    assert alarm["Threshold"] == _properties("OldestMessageAge")["Threshold"] == 1800  # seconds
    assert alarm["Period"] >= MARK + MAX_DELAY, "a waiting change is published in nearly every period"
    assert (alarm["DatapointsToAlarm"], alarm["EvaluationPeriods"]) == (2, 3)


@pytest.mark.parametrize(
    ("alarm", "function"),
    [
        ("WorkerErrors", "WorkerFunction"),
        ("JobsErrors", "JobsFunction"),
        ("RefreshErrors", "RefreshFunction"),
        ("AuditErrors", "AuditFunction"),
        ("RenewErrors", "RenewFunction"),
    ],
)
def test_every_function_without_a_caller_has_an_alarm_on_errors(alarm: str, function: str) -> None:
    properties = _properties(alarm)
    assert (properties["Namespace"], properties["MetricName"]) == ("AWS/Lambda", "Errors")
    assert properties["Dimensions"] == [{"Name": "FunctionName", "Value": {"Ref": function}}]


@pytest.mark.parametrize("queue", ["DeadLetterQueue", "JobDeadLetterQueue"])
def test_a_dead_letter_sets_off_an_alarm_and_is_on_the_dashboard(queue: str) -> None:
    properties = _properties(queue.removesuffix("Queue") + "s")
    assert properties["MetricName"] == "ApproximateNumberOfMessagesVisible"
    assert properties["Dimensions"] == [{"Name": "QueueName", "Value": {"Fn::GetAtt": [queue, "QueueName"]}}]
    assert properties["Threshold"] == 0
    assert f"${{{queue}.QueueName}}" in _properties("Dashboard")["DashboardBody"]["Fn::Sub"]


def test_errors_of_the_functions_behind_the_gateway_are_counted_there() -> None:
    assert _properties("IngestErrors")["Dimensions"] == [{"Name": "ApiId", "Value": {"Ref": "Api"}}]  # all its routes
    watched = {"WorkerFunction", "JobsFunction", "RefreshFunction", "AuditFunction", "RenewFunction"}
    for function in set(FUNCTIONS) - watched:
        assert {event["Type"] for event in _properties(function)["Events"].values()} == {"HttpApi"}


@pytest.mark.parametrize("secret", _named("AWS::SecretsManager::Secret"))
def test_the_template_itself_holds_no_secret(secret: str) -> None:
    properties = _properties(secret)
    written = json.loads(properties.get("SecretString") or properties["GenerateSecretString"]["SecretStringTemplate"])
    assert not any(written.values())


def test_the_stack_states_the_version_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert TEMPLATE["Outputs"]["Version"]["Value"] == project["version"]


def test_the_template_sets_no_variable_that_is_for_one_machine_only() -> None:
    assert not [name for name in LOCAL_ONLY if name in json.dumps(TEMPLATE)]


def test_every_parameter_has_a_description_and_a_group() -> None:
    shown = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [name for group in shown["ParameterGroups"] for name in group["Parameters"]]
    assert sorted(grouped) == sorted(TEMPLATE["Parameters"]) == sorted(shown["ParameterLabels"])
    assert all(parameter["Description"] for parameter in TEMPLATE["Parameters"].values())


def test_no_fee_is_allowed_unless_the_operator_says_so() -> None:
    parameter = TEMPLATE["Parameters"]["MaxCpmCents"]
    assert (parameter["Default"], parameter["MinValue"]) == (0, 0)


def test_an_audience_is_created_within_the_gateways_timeout_and_amazon_has_most_of_it() -> None:
    assert CREATE_TIMEOUT + RESERVE < BUDGET < _properties("AudiencesFunction")["Timeout"] < 30  # seconds
    assert 2 * _properties("AudiencesFunction")["Timeout"] < STALE_LOCK_AGE / 1000


def test_only_the_audiences_function_writes_the_audience_table() -> None:
    writing = {"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"}
    writers = {
        role
        for role in ROLES
        for statement in _statements(role)
        if {"Fn::GetAtt": ["AudienceTable", "Arn"]} in _listed(statement["Resource"])
        and writing & set(_listed(statement["Action"]))
    }
    assert writers == {"AudiencesRole"}


@pytest.mark.parametrize(
    ("function", "event"),
    [
        pytest.param(function, event, id=event.stem)
        for function in ("IngestFunction", "AudiencesFunction")
        for event in sorted((ROOT / "events/lambda").glob(f"{function.removesuffix('Function').lower()}-*.json"))
    ],
)
def test_the_example_requests_use_routes_of_the_template(function: str, event: Path) -> None:
    routes = {
        f"{route['Properties']['Method']} {route['Properties']['Path']}"
        for route in _properties(function)["Events"].values()
    }
    assert json.loads(event.read_text())["routeKey"] in routes
