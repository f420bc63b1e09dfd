"""Says in the words of the command line which options of an audience are at fault.

The package names the fields of Segment's extras, which are not typed here.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from audience_sync.errors import InvalidAudience, SettingFault
from audience_sync_cli.errors import WrongUsage

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


class _Sentence(NamedTuple):
    message: str
    remedy: str


_SENTENCES = {  # field: what is wrong. The others are said in the package's words, with the names of options
    "audienceName": _Sentence(
        "NAME takes 1 to 128 characters, none of them a control character.",
        "Give the name that the audience has in Segment.",
    ),
    "advertiserId, connectionId": _Sentence(
        "An audience needs either an advertiser or a connection.",
        "Give --advertiser for Amazon DSP, or --connection for Amazon Marketing Cloud.",
    ),
    "advertiserId": _Sentence(
        "--advertiser takes the id of a DSP advertiser: 1 to 20 digits.",
        "It stands in the advertiser's settings in the console of Amazon DSP.",
    ),
    "connectionId": _Sentence(
        "--connection takes 1 to 256 characters, none of them a control character.",
        "`audience-sync connections list` shows the ids.",
    ),
    "countryCode": _Sentence(
        "--country takes a country's two letters as in ISO 3166-1: US, DE or GB, not USA.",
        "Give the country where most members are. Amazon never changes it.",
    ),
    # The option itself is limited to what Amazon takes; only the renewal needs more.
    "ttl": _Sentence(
        "--renew needs a time to live of at least 3 days, because members are re-sent once a day.",
        "Give more days with --ttl-days, or leave --renew out.",
    ),
    "dsp": _Sentence(
        "--dsp needs a connection: members of an advertiser's audience reach Amazon DSP anyway.",
        "Leave --dsp out, or give --connection.",
    ),
}


def wrong_usage(error: InvalidAudience) -> WrongUsage:
    """Return the error for settings that no audience can have. It names options, never a value."""
    sentences = [_sentence(fault) for fault in error.faults]
    if len(sentences) == 1:
        return WrongUsage(*sentences[0])
    return WrongUsage(
        f"{len(sentences)} settings are not valid.", "\n".join(f"{each.message} {each.remedy}" for each in sentences)
    )


def options(fields: Sequence[str]) -> str:
    """Return the options for some fields of the extras, in a list for people."""
    return ", ".join(OPTIONS.get(each, each) for each in fields)


def _sentence(fault: SettingFault) -> _Sentence:
    if fault.field in _SENTENCES:
        return _SENTENCES[fault.field]
    name, allowed, remedy = (_with_options(text) for text in fault)
    return _Sentence(f"{name} must be {allowed}.", f"{remedy[:1].upper()}{remedy[1:]}.")


def _with_options(text: str) -> str:
    named = re.sub(r"\b[A-Za-z]+\b", lambda word: OPTIONS.get(word[0], word[0]), text)
    return re.sub(r" in the extras", "", named)
