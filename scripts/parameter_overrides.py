"""The parameters that `sam deploy` reads from --parameter-overrides, or from parameter_overrides in samconfig.toml.

SAM reads what it understands of a value and of a name, and leaves out the rest: here all of it is read, or refused.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from local.template import read_document

NOW = {  # parameters of earlier versions, and the constant in place of each
    "AcceptFirstEventSignature": "no",
    "AllowIdRetention": "no",
    "DataManagerDspAccountId": "DataManagerAccountId",
    "ErasureAlarmDays": "4",
    "JobsConcurrency": "MaximumConcurrency",
    "LiteralEmail": "no",
    "LogLevel": "INFO",
    "MatchRateFallPercent": "30",
    "MaxRecordsPerUpload": "6,000",
    "MaxUploadBytes": "1,000,000",
    "MembershipShards": "8",
    "OrderingGuard": "yes",
    "SilentDays": "4",
}
# NAME=VALUE of which SAM reads all: between spaces, with quotes around the whole value, or without a backslash or `"`.
VALUE = r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^\s"'\\][^\s"\\]*"""
PARAMETER = re.compile(rf"(?:ParameterKey=(\w+),ParameterValue|(\w+))=({VALUE})(?: +(?=\S)|$)")
NAMES = re.compile(r"(?:^|\s)(?:ParameterKey=)?(\w+)(?==|,ParameterValue=)")
CUT = (
    "Without quotes of its own, SAM cuts a value at a space and ignores an empty one: see the value of {name}. Write "
    'ARGS="--parameter-overrides \'{name}=\\"VALUE\\"\'", or in samconfig.toml: '
    "parameter_overrides = '{name}=\"VALUE\"'."
)
UNCHECKED = (
    "SAM would read {what}, whose names nobody checks here, and would leave out a misspelt one. Write NAME=VALUE in "
    "ARGS, or in parameter_overrides of samconfig.toml."
)
MIXED = "SAM would leave out what does not begin with ParameterKey= beside what does. Write NAME=VALUE for each."


class CannotDeploy(Exception):
    """Nothing was built or changed. The message says what is missing, and the remedy."""


def read_overrides(overrides: Any, template: Path) -> dict[str, str]:
    """Return the values of parameters, given as a string, a list or a table.

    Raises:
        CannotDeploy: SAM would read less, or the template lacks a parameter.
    """
    return _declared(_values(overrides), template)


def _values(overrides: Any) -> dict[str, str]:
    """Read `Name=value Other=value`, as one string, a list or a table. Raises CannotDeploy if SAM would read less."""
    if isinstance(overrides, Mapping):
        return {name: _value_of(name, value) for name, value in overrides.items()}
    if isinstance(overrides, str):
        return _parsed(overrides.lstrip().rstrip("\n"))
    if not isinstance(overrides, Sequence):
        raise CannotDeploy("parameter_overrides in samconfig.toml is not a string, a list or a table.")
    values: dict[str, str] = {}
    for each in overrides:
        values |= _values(each)
    return values


def _value_of(name: str, value: Any) -> str:
    """Read the value of a table: SAM joins lists, and writes what is not a string in Python's way."""
    if isinstance(value, list):
        return ",".join(_value_of(name, each) for each in value if each != "")
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise CannotDeploy(f"Write the value of {name} in samconfig.toml in quotes.")
    return _unquoted(str(value))


def _parsed(written: str) -> dict[str, str]:
    """Read one string, of which nothing may be left over."""
    if unchecked := re.search(r"""(?:^|\s)(file://|(?:ParameterKey=)?["']\w+["'](?:=|,ParameterValue=))""", written):
        raise CannotDeploy(UNCHECKED.format(what="the file" if unchecked[1] == "file://" else "names in quotes"))
    values: dict[str, str] = {}
    forms = set()
    end = 0
    while end < len(written):
        found = PARAMETER.match(written, end)
        if not found or "ParameterKey=" in found[3]:
            names = [each[1] for each in NAMES.finditer(written) if each.start() <= end] or ["parameter_overrides"]
            raise CannotDeploy(CUT.format(name=names[-1]))
        forms.add(bool(found[1]))
        values[found[1] or found[2]] = _unquoted(found[3])
        end = found.end()
    if len(forms) > 1:
        raise CannotDeploy(MIXED)
    return values


def _unquoted(value: str) -> str:
    """Remove the quotes around a value, and the backslashes that SAM removes in it."""
    if value and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    return value.replace("\\ ", " ").replace('\\"', '"').replace("\\'", "'")


def _declared(given: dict[str, str], template: Path) -> dict[str, str]:
    """Return the parameters. Raises CannotDeploy if the template lacks one, which SAM would silently leave out."""
    declared = read_document(template).get("Parameters", {}) if given else {}
    if faults := [_fault(name, declared) for name in sorted(given.keys() - declared)]:
        raise CannotDeploy(f"{' '.join(faults)} Correct ARGS, or parameter_overrides in samconfig.toml.")
    return given


def _fault(name: str, declared: Iterable[str]) -> str:
    if name in NOW:
        return f"{name} is no longer a parameter: {NOW[name]} applies."
    near = [f" Is it {each}?" for each in get_close_matches(name, declared, 1)]
    return f"No parameter {name}.{''.join(near)}"
