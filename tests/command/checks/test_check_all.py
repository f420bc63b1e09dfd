"""`test`: one line for each part, and a remedy for each problem. The checks have tests of their own, in report/."""

from audience_sync_cli.checks.check_all import test as run
from audience_sync_cli.frame.errors import AlreadyReported, OperatorError, WrongUsage
from tests.command.conftest import CLIENT_SECRET, Deployment
from tests.support.aws_fixtures import EVENT_KEY


def findings(deployment: Deployment) -> dict[str, tuple[str, str]]:
    found = deployment.json(run, raises=AlreadyReported)["findings"]  # there is no gateway here
    return {each["part"]: (each["state"], each["remedy"]) for each in found}


def test_a_new_stack_shows_what_to_do_first(deployment: Deployment) -> None:
    found = findings(deployment)
    first = {
        "event key": ("ok", ""),
        "Amazon credentials": ("problem", "audience-sync connect"),
        "audience key": ("note", "audience-sync keys rotate audience"),
        "audience table": ("note", "audience-sync audiences link"),
    }
    assert (found | first, found["Amazon Ads"][0]) == (found, "problem")


def test_a_connected_stack_is_in_order_but_for_the_gateway_and_shows_no_secret(deployment: Deployment) -> None:
    deployment.connect()
    deployment.list_audience()
    deployment.stack.service("lambda").invoke(FunctionName="RefreshFunction", Payload=b"{}")
    found = findings(deployment)
    assert [part for part, (state, _) in found.items() if state == "problem"] == ["gateway"]
    shown = deployment.printed(run, raises=AlreadyReported)
    assert shown.out.splitlines()[-1] == "1 problem: events may not reach Amazon."
    assert [secret for secret in (EVENT_KEY, CLIENT_SECRET) if secret in "".join(shown)] == []


def test_an_unreadable_secret_does_not_hide_other_parts(deployment: Deployment) -> None:
    deployment.stack.service("secretsmanager").put_secret_value(
        SecretId=deployment.stack["IngestSecret"], SecretString="no json"
    )
    found = findings(deployment)
    assert found["ingest secret"][0] == "problem"
    assert found["change queue"][0] == "ok"


def test_an_alarm_is_set_off_after_asking_and_only_if_it_is_not_on(deployment: Deployment) -> None:
    deployment.printed(run, alarms=True, raises=WrongUsage)  # a local stack
    deployment.stack.local = None
    metrics, name = deployment.stack.service("cloudwatch"), f"{deployment.stack.name}-DeadLetters"
    metrics.put_metric_alarm(
        AlarmName=name, MetricName="m", Namespace="n", Period=60, EvaluationPeriods=1, Threshold=1,
        ComparisonOperator="GreaterThanThreshold", Statistic="Sum",
    )  # fmt: skip
    assert f"Set off the alarm {name}?" in deployment.declined(run, alarms=True)
    deployment.printed(run, alarms=True, yes=True, raises=AlreadyReported)  # nothing else is connected
    (alarm,) = metrics.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert (alarm["StateValue"], "nothing is wrong" in alarm["StateReason"]) == ("ALARM", True)
    deployment.printed(run, alarms=True, yes=True, raises=OperatorError)
    metrics.delete_alarms(AlarmNames=[name])
