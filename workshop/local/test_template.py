"""The project's template is read as CloudFormation would, as far as a local stack needs it."""

from typing import Any

import pytest

from local.template import ACCOUNT, REGION, ROOT, STACK, Route, ScheduleSource, Template


@pytest.fixture
def template() -> Template:
    template = Template.load({"BatchWindow": 10})
    template.name("ChangeQueue", "http://queue/work", Arn="arn:work")
    return template


@pytest.mark.parametrize(
    ("value", "resolved"),
    [
        pytest.param({"Ref": "BatchWindow"}, 10, id="a parameter"),
        pytest.param({"Ref": "ChangeQueue"}, "http://queue/work", id="a resource's name"),
        pytest.param([{"Ref": "AWS::Region"}, {"Ref": "AWS::AccountId"}], [REGION, ACCOUNT], id="pseudo parameters"),
        pytest.param({"Ref": "AWS::NoValue"}, None, id="no value"),
        pytest.param({"Fn::GetAtt": ["ChangeQueue", "Arn"]}, "arn:work", id="an attribute"),
        pytest.param({"Fn::GetAtt": "ChangeQueue.Arn"}, "arn:work", id="an attribute, written with a dot"),
        pytest.param(
            {"Fn::Sub": "${AWS::StackName}/${ChangeQueue.Arn}/${BatchWindow}s"}, f"{STACK}/arn:work/10s", id="Sub"
        ),
        pytest.param({"Fn::If": ["Delivering", {"Ref": "BatchWindow"}, 0]}, 10, id="a condition that holds"),
        pytest.param({"Fn::If": ["HasKey", 1, {"Ref": "BatchWindow"}]}, 10, id="a condition that does not"),
        pytest.param([{"Only": {"Ref": "BatchWindow"}}, {}, "text"], [{"Only": 10}, {}, "text"], id="inside others"),
    ],
)
def test_intrinsic_functions_are_resolved(template: Template, value: Any, resolved: Any) -> None:
    assert template.resolve(value) == resolved


@pytest.mark.parametrize(
    "value",
    [
        {"Ref": "Nothing"},
        {"Fn::GetAtt": ["ChangeQueue", "Nothing"]},
        {"Fn::Sub": "${Nothing}"},
        {"Fn::If": ["Nothing", 1, 2]},
    ],
    ids=["Ref", "GetAtt", "Sub", "If"],
)
def test_an_unknown_reference_is_an_error(template: Template, value: Any) -> None:
    with pytest.raises(KeyError):
        template.resolve(value)


def test_parameters_override_defaults_and_conditions_follow() -> None:
    changed = Template.load({"Enabled": "no", "MembershipUnits": 25})
    assert changed.resources("AWS::ApplicationAutoScaling::ScalableTarget")
    assert not Template.load().resources("AWS::ApplicationAutoScaling::ScalableTarget")
    assert [each.enabled for each in changed.queue_sources() if each.function == "WorkerFunction"] == [False]


def test_functions_inherit_missing_properties_from_globals(template: Template) -> None:
    worker = template.functions()["WorkerFunction"]
    assert (worker.code, worker.handler) == (
        ROOT / "functions/package",
        "functions.worker.handler.lambda_handler",
    )
    assert worker.environment["POWERTOOLS_METRICS_NAMESPACE"] == "AudienceSync"
    assert template.resolve(worker.environment["CHANGE_QUEUE_URL"]) == "http://queue/work"


def test_routes_queues_and_schedules_trigger_their_functions(template: Template) -> None:
    assert Route("GET", "/v1/health", "IngestFunction") in template.routes()
    (worker,) = (each for each in template.queue_sources() if each.function == "WorkerFunction")
    assert (worker.queue, worker.window, worker.enabled, worker.may_loop) == ("ChangeQueue", 10.0, True, True)
    assert ScheduleSource("RefreshFunction", 20 * 60.0) in template.schedule_sources()
