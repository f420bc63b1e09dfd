"""The template is read as CloudFormation would, as far as a local stack needs it."""

from pathlib import Path
from typing import Any

import pytest

from local.template import ACCOUNT, REGION, ROOT, STACK, Function, QueueSource, Route, ScheduleSource, Template

TEXT = """
Parameters:
  Enabled: { Type: String, Default: "yes" }
  Window: { Type: Number, Default: 10 }
Conditions:
  Delivering: !Equals [!Ref Enabled, "yes"]
  Paused: !Not [!Condition Delivering]
  Slow: !And [!Condition Delivering, !Equals [!Ref Window, 10]]
  Odd: !Or [!Condition Paused, !Equals [!Ref Window, 7]]
Globals:
  Function:
    Handler: handler.lambda_handler
    Timeout: 7
    Environment: { Variables: { LEVEL: INFO, QUEUE: none } }
Resources:
  Work: { Type: AWS::SQS::Queue, Properties: { QueueName: !Sub "${AWS::StackName}-work" } }
  Spare: { Type: AWS::SQS::Queue, Condition: Paused }
  Taker:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/taker/
      Environment: { Variables: { QUEUE: !Ref Work, ARN: !GetAtt Work.Arn } }
      Events:
        Take: { Type: HttpApi, Properties: { Method: post, Path: /v1/things } }
        Look: { Type: HttpApi, Properties: { Method: GET, Path: "/v1/things/{id}" } }
        Work:
          Type: SQS
          Properties:
            Queue: !GetAtt Work.Arn
            Enabled: !If [Delivering, true, false]
            BatchSize: 50
            MaximumBatchingWindowInSeconds: !Ref Window
            ScalingConfig: { MaximumConcurrency: 3 }
  Clock:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/clock
      Handler: clock.tick
      Timeout: 90
      Events:
        Often: { Type: Schedule, Properties: { Schedule: rate(20 minutes) } }
        Seldom: { Type: ScheduleV2, Properties: { ScheduleExpression: rate(1 hour) } }
        Queue: { Type: SQS, Properties: { Queue: !GetAtt Work.Arn } }
"""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "template.yaml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def template(written: Path) -> Template:
    template = Template.load(path=written)
    template.name("Work", "http://queue/work", Arn="arn:work", QueueName="local-work")
    return template


@pytest.mark.parametrize(
    ("value", "resolved"),
    [
        pytest.param({"Ref": "Window"}, 10, id="a parameter's default"),
        pytest.param({"Ref": "Work"}, "http://queue/work", id="a resource's name"),
        pytest.param({"Ref": "AWS::Region"}, REGION, id="the region"),
        pytest.param({"Ref": "AWS::AccountId"}, ACCOUNT, id="the account"),
        pytest.param({"Ref": "AWS::NoValue"}, None, id="no value"),
        pytest.param({"Fn::GetAtt": ["Work", "Arn"]}, "arn:work", id="an attribute"),
        pytest.param({"Fn::GetAtt": "Work.Arn"}, "arn:work", id="an attribute, written with a dot"),
        pytest.param({"Fn::Sub": "plain"}, "plain", id="nothing to substitute"),
        pytest.param({"Fn::Sub": "${AWS::StackName}/${Work.Arn}/${Window}s"}, f"{STACK}/arn:work/10s", id="several"),
        pytest.param({"Fn::If": ["Delivering", {"Ref": "Window"}, 0]}, 10, id="a condition that holds"),
        pytest.param({"Fn::If": ["Paused", 1, {"Ref": "Window"}]}, 10, id="a condition that does not"),
        pytest.param({"Fn::If": ["Slow", 1, 2]}, 1, id="and"),
        pytest.param({"Fn::If": ["Odd", 1, 2]}, 2, id="or"),
        pytest.param([{"Ref": "Window"}, {"a": {"Ref": "Window"}, "b": 1}], [10, {"a": 10, "b": 1}], id="inside"),
        pytest.param({"Only": {"Ref": "Window"}}, {"Only": 10}, id="a mapping of one entry"),
        pytest.param({}, {}, id="an empty mapping"),
        pytest.param("text", "text", id="text"),
    ],
)
def test_a_value_is_computed(template: Template, value: Any, resolved: Any) -> None:
    assert template.resolve(value) == resolved


@pytest.mark.parametrize(
    "value",
    [
        {"Ref": "Nothing"},
        {"Fn::GetAtt": ["Work", "Nothing"]},
        {"Fn::Sub": "${Nothing}"},
        {"Fn::If": ["Nothing", 1, 2]},
    ],
    ids=["Ref", "GetAtt", "Sub", "If"],
)
def test_what_does_not_exist_is_an_error_and_not_a_blank(template: Template, value: Any) -> None:
    with pytest.raises(KeyError):
        template.resolve(value)


def test_parameters_override_defaults_and_conditions_follow(written: Path) -> None:
    paused = Template.load({"Enabled": "no", "Window": 7}, path=written)
    assert list(paused.resources("AWS::SQS::Queue")) == ["Work", "Spare"]
    assert paused.resolve({"Fn::If": ["Odd", {"Ref": "Window"}, 0]}) == 7
    assert not paused.queue_sources()[0].enabled


def test_functions_take_from_globals_what_they_do_not_say(template: Template) -> None:
    taker = {"LEVEL": "INFO", "QUEUE": {"Ref": "Work"}, "ARN": {"Fn::GetAtt": ["Work", "Arn"]}}
    assert template.functions() == {
        "Taker": Function("Taker", ROOT / "functions/taker", "handler.lambda_handler", 7.0, taker),
        "Clock": Function("Clock", ROOT / "functions/clock", "clock.tick", 90.0, {"LEVEL": "INFO", "QUEUE": "none"}),
    }
    assert template.resolve(taker) == {"LEVEL": "INFO", "QUEUE": "http://queue/work", "ARN": "arn:work"}


def test_what_triggers_which_function(template: Template) -> None:
    assert template.routes() == [Route("POST", "/v1/things", "Taker"), Route("GET", "/v1/things/{id}", "Taker")]
    assert template.queue_sources() == [
        QueueSource("Work", "Taker", batch_size=50, window=10.0, concurrency=3, enabled=True),
        QueueSource("Work", "Clock", batch_size=10, window=0.0, concurrency=5, enabled=True),
    ]
    assert template.schedule_sources() == [ScheduleSource("Clock", 1200.0), ScheduleSource("Clock", 3600.0)]
