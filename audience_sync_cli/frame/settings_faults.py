"""Names the options that are at fault in an audience, where the package names fields of Segment's extras."""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from audience_sync.errors import InvalidAudience, SettingFault
from audience_sync_cli.frame.errors import WrongUsage

OPTIONS = {  # field of the extras: what the command line calls it
    "audienceName": "NAME",
    "advertiserId": "--advertiser",
    "connectionId": "--connection",
    "countryCode": "--country",
    "externalAudienceId": "--external-id",
    "computationKey": "--key",
    "description": "--description",
    "ttl": "--ttl-days",
    "cpmCents": "--cpm-cents",
    "currency": "--currency",
    "dsp": "--dsp",
    "renew": "--renew",
}
NO_TARGET = (
    "advertiserId, connectionId",
    (
        "An audience needs either an advertiser or a connection.",
        "Give --advertiser for Amazon DSP, or --connection for Amazon Marketing Cloud.",
    ),
)
_SENTENCES = {  # field: message and remedy. The others are said in the package's words, with the names of options
    NO_TARGET[0]: NO_TARGET[1],
    # The option itself is limited to what Amazon accepts; only the renewal needs more.
    "ttl": (
        "--renew needs a time to live of at least 3 days, because members are re-sent once a day.",
        "Give more days with --ttl-days, or leave --renew out.",
    ),
}


def wrong_usage(error: InvalidAudience, others: Mapping[str, tuple[str, str]] = MappingProxyType({})) -> WrongUsage:
    """Return the error for settings that no audience can have. It names options, never a value.

    `others` has messages and remedies, by field, that take the place of the usual ones.
    """
    sentences = [_sentence(fault, others) for fault in error.faults]
    if len(sentences) == 1:
        return WrongUsage(*sentences[0])
    return WrongUsage(f"{len(sentences)} settings are not valid.", "\n".join(" ".join(each) for each in sentences))


def options(fields: Sequence[str]) -> str:
    """Return the options for some fields of the extras, in a list for people."""
    return ", ".join(OPTIONS.get(each, each) for each in fields)


def _sentence(fault: SettingFault, others: Mapping[str, tuple[str, str]]) -> tuple[str, str]:
    if found := others.get(fault.field, _SENTENCES.get(fault.field)):
        return found
    name, allowed, remedy = (_with_options(text) for text in fault)
    return f"{name} must be {allowed}.", f"{remedy[:1].upper()}{remedy[1:]}."


def _with_options(text: str) -> str:
    named = re.sub(r"\b[A-Za-z]+\b", lambda word: OPTIONS.get(word[0], word[0]), text)
    return named.replace(" in the extras", "").replace(" in quotes: without, some tools round it", "")
