"""What was asked for and is not in force, where an audience was there already. Pure.

Whoever creates an audience a second time gets the first one, with the settings of then. Fields go by their names in
the extras. What was not asked for is no difference: it may have been changed since.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from audience_sync.amazon_ads.audience import NewAudience
from audience_sync.membership import Audience

_ANOTHER = "Amazon never changes it; for another one create an audience under another external id"
_COUNTRY = (
    "Amazon never changes it; `audience-sync audiences link --country` sets what counts where an event names none"
)
_UPDATE = "`audience-sync audiences update` changes it"
_LINK = "`audience-sync audiences link --key` changes it"


class SettingMismatch(NamedTuple):
    """One setting that is not as it was asked for."""

    field: str
    remedy: str

    def as_json(self) -> dict[str, str]:
        """The setting as an answer shows it. Its values are shown to nobody."""
        return self._asdict()


def _setting(name: str, default: Any = None) -> Callable[[Audience], Any]:
    return lambda audience: audience.settings.get(name, default)


_SETTINGS: dict[str, tuple[Callable[[Audience], Any], str]] = {  # how to read it, and how to change it
    "audienceName": (lambda audience: audience.name, _ANOTHER),
    "countryCode": (lambda audience: audience.country, _COUNTRY),
    "description": (_setting("description"), _UPDATE),
    "ttl": (_setting("ttl"), _UPDATE),
    "cpmCents": (_setting("cpmCents"), _UPDATE),
    "currency": (_setting("currency"), _UPDATE),
    "dsp": (_setting("dsp", default=False), _UPDATE),  # off and not set are the same
    "renew": (_setting("renew", default=False), _UPDATE),
    "computationKey": (lambda audience: audience.computation_key, _LINK),
}


def mismatches(wanted: NewAudience, listed: Audience) -> tuple[SettingMismatch, ...]:
    """Compare what was asked for with the audience that is listed. Empty where nothing differs."""
    ours = wanted.listed_as(listed.audience_id)
    return tuple(
        SettingMismatch(name, remedy)
        for name, (read, remedy) in _SETTINGS.items()
        if name in wanted.told and read(ours) != read(listed)
    )
