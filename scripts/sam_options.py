"""The stack, region and parameters that `sam deploy` will use, from its arguments and samconfig.toml.

SAM leaves out what it does not understand, such as a word without an option, and deploys. A guard has to know what is
deployed: whatever SAM would leave out, or read from elsewhere, is refused.
"""

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.parameter_overrides import CannotDeploy, read_overrides

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_TEMPLATE = "template.yaml"
TEMPLATE = ("--template-file", "--template", "-t")
READ = ("--region", "--profile", "--stack-name", "--config-env", *TEMPLATE)  # one value each
FLAGS = frozenset(
    """--guided -g --debug --help --express --no-express --force-upload --use-json --save-params --no-progressbar
    --confirm-changeset --no-confirm-changeset --no-execute-changeset --fail-on-empty-changeset
    --no-fail-on-empty-changeset --disable-rollback --no-disable-rollback --resolve-s3 --no-resolve-s3
    --resolve-image-repos --language-extensions --no-language-extensions --beta-features --no-beta-features""".split()
)
ELSEWHERE = "{0} is not possible here. Settings are read from samconfig.toml: give {1}."
INSTEAD = {
    "--config-file": "--config-env, and add an environment of that name",
    "SAM_TEMPLATE_FILE": "--template-file",
    "template": "--template-file",
    "template_file": "--template-file",
}


@dataclass(frozen=True, slots=True)
class Target:
    """Choices of the arguments and samconfig.toml; None if left to the environment."""

    region: str | None
    profile: str | None
    stack: str
    guided: bool
    parameters: Mapping[str, str] = field(default_factory=dict)  # given or saved values
    disable_rollback: bool = False


def read_target(arguments: Sequence[str]) -> Target:
    """Read the arguments, and the samconfig.toml that SAM reads: beside the template.

    Raises:
        CannotDeploy: SAM would read something else than these, or less.
    """
    if "SAM_TEMPLATE_FILE" in os.environ:
        raise _elsewhere("SAM_TEMPLATE_FILE")
    given = _given(arguments)
    template = ROOT / [DEFAULT_TEMPLATE, *(words[0] for option, words in given.items() if option in TEMPLATE)][-1]
    if not template.is_file():
        raise CannotDeploy(f"There is no template {template}.")
    try:
        config = tomllib.loads((template.parent / "samconfig.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CannotDeploy(f"samconfig.toml cannot be read beside the template: {error}") from None
    return target(arguments, config, template)


def target(arguments: Sequence[str], config: Mapping[str, Any], template: Path = ROOT / DEFAULT_TEMPLATE) -> Target:
    """Read the arguments of `sam deploy` as SAM does: samconfig.toml has the defaults. Raises CannotDeploy."""
    given = _given(arguments)
    saved = _saved(config, given.get("--config-env", ["default"])[-1])
    chosen: dict[str, str | None] = {}
    for option in ("--region", "--profile", "--stack-name"):
        value = given[option][0] if option in given else saved.get(option[2:].replace("-", "_"))
        if value is not None and (not isinstance(value, str) or not value.strip()):
            raise CannotDeploy(f"{option} is empty, or is not a string in samconfig.toml. Give one.")
        chosen[option] = value
    guided = bool({"--guided", "-g"} & given.keys()) or _is_on(saved.get("guided"))
    stack = chosen["--stack-name"] or ("sam-app" if guided else None)  # which SAM offers
    if stack is None:
        raise CannotDeploy("No stack is named. Give --stack-name, or stack_name in samconfig.toml.")
    without_rollback = {"--disable-rollback": True, "--no-disable-rollback": False}
    said = [without_rollback[each] for each in given if each in without_rollback]
    return Target(
        region=chosen["--region"],
        profile=chosen["--profile"],
        stack=stack,
        guided=guided,
        parameters=read_overrides(given.get("--parameter-overrides", saved.get("parameter_overrides", [])), template),
        disable_rollback=said[-1] if said else _is_on(saved.get("disable_rollback")),
    )


def _elsewhere(name: str) -> CannotDeploy:
    return CannotDeploy(ELSEWHERE.format(name, INSTEAD[name]))


def _is_on(value: Any) -> bool:
    return str(value).lower() in ("true", "t", "1", "yes", "y", "on")  # what SAM takes for true, also in quotes


def _given(arguments: Sequence[str]) -> dict[str, list[str]]:
    """Return the words of each option, the last one's of those that are repeated, as SAM does; in their order."""
    given: dict[str, list[str]] = {}
    words = list(arguments)
    while words:
        word = words.pop(0)
        option, is_joined, joined = word.partition("=")
        if option in INSTEAD:
            raise _elsewhere(option)
        if option in FLAGS and not is_joined:
            values: list[str] = []
        elif option not in FLAGS and (re.match("--.", option) or word == "-t"):
            values = [joined] if is_joined else []
            while words and not words[0].startswith("-") and not (values and option in READ):
                values.append(words.pop(0))
        else:
            raise CannotDeploy(f"SAM would leave out {word}, which is not an option or not its value.")
        if not values and option not in FLAGS:
            raise CannotDeploy(f"{option} has no value here, or this guard does not know it.")
        given.pop(option, None)
        given[option] = values
    return given


def _saved(config: Mapping[str, Any], environment: str) -> dict[str, Any]:
    """Return what samconfig.toml has for `sam deploy` in an environment."""
    known = [name for name, each in config.items() if isinstance(each, dict)]
    if environment not in known:
        raise CannotDeploy(f"samconfig.toml has no environment {environment}. It has: {', '.join(known)}.")
    saved: dict[str, Any] = {}
    for section in ("global", "deploy"):
        table: Any = config[environment].get(section, {})
        values = table.get("parameters", {}) if isinstance(table, dict) else None
        if not isinstance(values, dict):
            raise CannotDeploy(f"samconfig.toml has no table [{environment}.{section}.parameters].")
        saved |= values
    for name in saved.keys() & INSTEAD:
        raise _elsewhere(name)
    return saved
