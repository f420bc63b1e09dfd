"""Finds the settings of a creation request that the existing audience does not have. Pure.

Creating an audience a second time returns the first one, with its own settings. Fields have their names in the extras.
A field that the request leaves out does not count: it may have been changed since.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from audience_sync.amazon_ads.advertiser_audiences.audience import NewAudience
from audience_sync.members.membership import Audience

_CREATE_ANOTHER = "Amazon never changes it; to use a different one, create an audience with another external id"
_LINK_COUNTRY = (
    "Amazon never changes it; `audience-sync audiences link --country` sets the default for events without one"
)
_UPDATE = "`audience-sync audiences update` changes it"
_LINK = "`audience-sync audiences link --key` changes it"


class SettingMismatch(NamedTuple):
    """One setting that differs from the request."""

    field: str
    remedy: str

    def as_json(self) -> dict[str, str]:
        """The mismatch for an API answer, without values."""
        return self._asdict()


def _setting(name: str, default: Any = None) -> Callable[[Audience], Any]:
    return lambda audience: audience.settings.get(name, default)


_SETTINGS: dict[str, tuple[Callable[[Audience], Any], str]] = {  # how to read it, and the remedy
    "audienceName": (lambda audience: audience.name, _CREATE_ANOTHER),
    "countryCode": (lambda audience: audience.country, _LINK_COUNTRY),
    "description": (_setting("description"), _UPDATE),
    "ttl": (_setting("ttl"), _UPDATE),
    "cpmCents": (_setting("cpmCents"), _UPDATE),
    "currency": (_setting("currency"), _UPDATE),
    "dsp": (_setting("dsp", default=False), _UPDATE),  # off and not set are the same
    "renew": (_setting("renew", default=False), _UPDATE),
    "computationKey": (lambda audience: audience.computation_key, _LINK),
}


def mismatches(requested: NewAudience, listed: Audience) -> tuple[SettingMismatch, ...]:
    """Compare a creation request with the listed audience. Empty if nothing differs."""
    expected = requested.listed_as(listed.audience_id)
    return tuple(
        SettingMismatch(name, remedy)
        for name, (read, remedy) in _SETTINGS.items()
        if name in requested.given_fields and read(expected) != read(listed)
    )
