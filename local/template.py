"""Reads template.yaml as far as a local stack needs it, so that local and deployed stacks cannot diverge."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
ACCOUNT = "123456789012"  # moto's, so that all ARNs of the local stack agree
REGION = "us-east-1"
STACK = "local"

_PSEUDO = {
    "AWS::StackName": STACK,
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::NoValue": None,
}


@dataclass(frozen=True, slots=True)
class Function:
    """One function of the template. `environment` is unresolved."""

    name: str  # logical id
    code: Path
    handler: str
    timeout: float  # seconds
    environment: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Route:
    """One route of the HTTP API."""

    method: str
    path: str
    function: str  # logical id


@dataclass(frozen=True, slots=True)
class QueueSource:
    """A queue that triggers a function, as Lambda's poller is configured."""

    queue: str  # logical id
    function: str
    batch_size: int
    window: float  # seconds
    concurrency: int
    enabled: bool
    may_loop: bool = False  # whether the function may send to its own trigger queue more than 16 times


@dataclass(frozen=True, slots=True)
class ScheduleSource:
    """A schedule that triggers a function."""

    function: str
    every: float  # seconds


class _Loader(yaml.CSafeLoader):  # the loader in Python takes ten times as long
    """YAML with CloudFormation's short forms."""


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        return {name: value.split(".", 1) if suffix == "GetAtt" else value}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)  # noqa: S101 - the third and last kind of node
    return {name: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _short_form)


def read_document(path: Path = ROOT / "template.yaml") -> dict[str, Any]:
    """Read a template unchanged, with CloudFormation's short forms written out: `!Ref x` becomes `{"Ref": "x"}`."""
    return parse(path.read_text(encoding="utf-8"))


def parse(text: str) -> dict[str, Any]:
    """Read the text of a template."""
    document: dict[str, Any] = yaml.load(text, Loader=_Loader)  # noqa: S506 - derives from SafeLoader
    return document


_parse_once = cache(parse)  # 5 ms, and hundreds of tests load the template; a Template changes nothing in it


class Template:
    """The template with its parameters' values. Physical names are added as resources are created."""

    def __init__(self, document: Mapping[str, Any], parameters: Mapping[str, Any] | None = None) -> None:
        self._document = document
        defaults = {name: spec.get("Default", "") for name, spec in document.get("Parameters", {}).items()}
        self._names: dict[str, Any] = _PSEUDO | defaults | dict(parameters or {})
        self._attributes: dict[tuple[str, str], Any] = {}

    @classmethod
    def load(cls, parameters: Mapping[str, Any] | None = None, path: Path = ROOT / "template.yaml") -> "Template":
        """Read the project's template. `parameters` override the defaults."""
        return cls(_parse_once(path.read_text(encoding="utf-8")), parameters)

    def name(self, logical_id: str, ref: str, **attributes: Any) -> None:
        """Set the results of `Ref` and `GetAtt` for a resource."""
        self._names[logical_id] = ref
        self._attributes.update({(logical_id, attribute): value for attribute, value in attributes.items()})

    def resources(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the properties of all resources of one type, by logical id, in the order of the file."""
        return {
            logical_id: resource.get("Properties", {})
            for logical_id, resource in self._document["Resources"].items()
            if resource["Type"] == kind and self._holds(resource.get("Condition"))
        }

    def functions(self) -> dict[str, Function]:
        """Return all functions, by logical id."""
        common = self._document.get("Globals", {}).get("Function", {})
        shared = common.get("Environment", {}).get("Variables", {})
        return {
            name: Function(
                name,
                ROOT / properties["CodeUri"],
                properties.get("Handler", common.get("Handler")),
                float(self.resolve(properties.get("Timeout", common.get("Timeout", 3)))),
                shared | properties.get("Environment", {}).get("Variables", {}),
            )
            for name, properties in self.resources("AWS::Serverless::Function").items()
        }

    def log_groups(self) -> dict[str, str]:
        """Return the log group name of each function, by the function's logical id. The groups must have been named."""
        return {
            name: str(self.resolve(properties["LoggingConfig"]["LogGroup"]))
            for name, properties in self.resources("AWS::Serverless::Function").items()
        }

    def environments(self) -> dict[str, dict[str, str]]:
        """Return the environment variables of all functions. Resources they refer to must have been named."""
        return {
            name: {key: str(value) for key, value in self.resolve(dict(function.environment)).items()}
            for name, function in self.functions().items()
        }

    def routes(self) -> list[Route]:
        """Return the routes of the HTTP API."""
        return [Route(event["Method"].upper(), event["Path"], function) for function, event in self._events("HttpApi")]

    def queue_sources(self) -> list[QueueSource]:
        """Return the queue triggers of functions."""
        functions = self.resources("AWS::Serverless::Function")
        return [
            QueueSource(
                queue=event["Queue"]["Fn::GetAtt"][0],
                function=function,
                batch_size=int(self.resolve(event.get("BatchSize", 10))),
                window=float(self.resolve(event.get("MaximumBatchingWindowInSeconds", 0))),
                concurrency=int(self.resolve(event.get("ScalingConfig", {}).get("MaximumConcurrency", 5))),
                enabled=bool(self.resolve(event.get("Enabled", True))),
                may_loop=functions[function].get("RecursiveLoop") == "Allow",
            )
            for function, event in self._events("SQS")
        ]

    def schedule_sources(self) -> list[ScheduleSource]:
        """Return the schedules of functions."""
        return [ScheduleSource(function, _seconds(event["Schedule"])) for function, event in self._events("Schedule")]

    def resolve(self, value: Any) -> Any:
        """Compute a value: Ref, GetAtt, Sub, If and conditions, also inside lists and mappings.

        Raises:
            KeyError: the template refers to something that does not exist here.
        """
        if isinstance(value, list):
            return [resolved for each in value if (resolved := self.resolve(each)) is not None]  # AWS::NoValue
        if not isinstance(value, dict):
            return value
        if len(value) != 1:
            return {name: self.resolve(each) for name, each in value.items()}
        (name, argument), *_ = value.items()
        return self._intrinsic(name, argument)

    def branch(self, value: Any) -> Any:
        """Return the chosen part of `Fn::If`, unresolved; any other value as it is."""
        if isinstance(value, dict) and "Fn::If" in value:
            condition, holds, otherwise = value["Fn::If"]
            return self.branch(holds if self._holds(condition) else otherwise)
        return value

    def _intrinsic(self, name: str, argument: Any) -> Any:
        match name:
            case "Ref":
                return self._names[argument]
            case "Fn::GetAtt":
                logical_id, attribute = argument if isinstance(argument, list) else argument.split(".", 1)
                return self._attributes[logical_id, attribute]
            case "Fn::Sub":
                text, own = (argument, {}) if isinstance(argument, str) else argument
                return self._substituted(text, self.resolve(own))
            case "Fn::If":
                return self.resolve(argument[1] if self._holds(argument[0]) else argument[2])
            case _:
                return {name: self.resolve(argument)}

    def _events(self, kind: str) -> list[tuple[str, dict[str, Any]]]:
        return [
            (function, event["Properties"])
            for function, properties in self.resources("AWS::Serverless::Function").items()
            for event in properties.get("Events", {}).values()
            if event["Type"] == kind
        ]

    def _substituted(self, text: str, own: Mapping[str, str]) -> str:
        def value(match: re.Match[str]) -> str:
            if match[1] in own:
                return own[match[1]]
            name, _, attribute = match[1].partition(".")
            return str(self._attributes[name, attribute] if attribute else self._names[name])

        return re.sub(r"\$\{([^}]+)\}", value, text)

    def _holds(self, condition: str | None) -> bool:
        return condition is None or self._truth(self._document["Conditions"][condition])

    def _truth(self, expression: dict[str, Any]) -> bool:
        (name, argument), *_ = expression.items()
        match name:
            case "Fn::Equals":
                first, second = (self.resolve(each) for each in argument)
                return bool(str(first) == str(second))
            case "Fn::Not":
                return not self._truth(argument[0])
            case "Fn::And":
                return all(self._truth(each) for each in argument)
            case "Fn::Or":
                return any(self._truth(each) for each in argument)
            case "Condition":
                return self._holds(argument)
            case _:
                raise KeyError(name)


def _seconds(expression: str) -> float:
    """Read `rate(20 minutes)`."""
    count, unit = expression.removeprefix("rate(").removesuffix(")").split()
    return float(count) * {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}[unit.removesuffix("s")]
