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
    assert found["event key"] == ("ok", "")
    assert found["Amazon credentials"] == ("problem", "audience-sync connect")
    assert found["Amazon Ads"][0] == "problem"
    assert found["audience key"] == ("note", "audience-sync keys rotate audience")
    assert found["audience table"] == ("note", "audience-sync audiences link")


def test_a_connected_stack_is_in_order_but_for_the_gateway(deployment: Deployment) -> None:
    deployment.connect()
    deployment.list_audience()
    deployment.stack.service("lambda").invoke(FunctionName="RefreshFunction", Payload=b"{}")
    found = findings(deployment)
    assert [part for part, (state, _) in found.items() if state == "problem"] == ["gateway"]
    last_line = deployment.printed(run, raises=AlreadyReported).out.splitlines()[-1]
    assert last_line == "1 problem: events may not reach Amazon."


def test_an_unreadable_secret_does_not_hide_other_parts(deployment: Deployment) -> None:
    deployment.stack.service("secretsmanager").put_secret_value(
        SecretId=deployment.stack["IngestSecret"], SecretString="no json"
    )
    found = findings(deployment)
    assert found["ingest secret"][0] == "problem"
    assert found["change queue"][0] == "ok"


def test_no_secret_is_shown(deployment: Deployment) -> None:
    deployment.connect()
    shown = "".join(deployment.printed(run, raises=AlreadyReported))
    assert EVENT_KEY not in shown
    assert CLIENT_SECRET not in shown


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
