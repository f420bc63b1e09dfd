"""Reads the settings that only the audiences of this API have: target, ttl, fee, `dsp` and `renew`. Pure."""

import re
from dataclasses import dataclass
from typing import Any

from audience_sync.amazon_ads.destination import amc_connection, dsp_advertiser
from audience_sync.amazon_ads.ids import amazon_id
from audience_sync.amazon_ads.settings_reader import SettingsReader
from audience_sync.members.membership import Destination

MAX_TTL = 34_300_800  # seconds, 397 days; also Amazon's default
MIN_RENEWED_TTL = 3 * 86_400  # seconds; renewal runs once a day, and one run may fail
CURRENCIES = tuple("AED AUD CAD CNY EUR GBP INR JPY MXN SAR SEK TRY USD".split())
_FIXED = {  # settings that Amazon never changes: name in the extras, and label
    "name": "name",
    "audienceName": "name",
    "countryCode": "country",
    "advertiserId": "target",
    "connectionId": "target",
    "targetResource": "target",
    "externalAudienceId": "external id",
}
_CHANGEABLE = ("description", "ttl", "cpmCents", "currency", "dsp", "renew")


@dataclass(frozen=True, slots=True)
class Fee:
    """The price of the audience for advertisers."""

    cpm_cents: int  # for a thousand impressions, in hundredths of the unit
    currency: str


class AudienceReader(SettingsReader):
    """Reads settings field by field and collects the faults."""

    def destination(self, allowed_targets: frozenset[str] = frozenset()) -> Destination:
        """Read advertiserId or connectionId; exactly one is required.

        Args:
            allowed_targets: ids of the allowed advertisers and connections; all are allowed if it is empty.
        """
        destination = self._destination()
        for field, owner in destination.fields.items():
            if allowed_targets and owner not in allowed_targets:
                allowed = "an advertiser or connection that the stack parameter AllowedTargets lists"
                self._fault(field, allowed, "ask the operator to add it")
        return destination

    def _destination(self) -> Destination:
        if ("advertiserId" in self) == ("connectionId" in self):
            allowed = "exactly one of advertiserId (Amazon DSP) and connectionId (Amazon Marketing Cloud)"
            self._fault("advertiserId, connectionId", allowed, f"keep the one you mean {self._where}")
            return Destination()
        if "connectionId" in self:
            return amc_connection(self.identifier("connectionId", required=True))
        advertiser_id = amazon_id(self._fields["advertiserId"])
        if advertiser_id is None:
            allowed = "the DSP advertiser's id, 1 to 20 digits"
            self._fault("advertiserId", allowed, f"copy it {self._where} in quotes: without, some tools round it")
        return dsp_advertiser(advertiser_id)

    def ttl(self) -> int | None:
        """Read ttl, in seconds. It may be 0."""
        if "ttl" not in self:
            return None
        seconds = _whole_number(self._fields["ttl"])
        if seconds is None or seconds > MAX_TTL:
            allowed = f"a whole number of seconds from 0 to {MAX_TTL} (397 days)"
            self._fault("ttl", allowed, f"{self._correct()}, or leave it out for 397 days")
        return seconds

    def fee(self, max_cpm_cents: int) -> Fee | None:
        """Read cpmCents and currency: both or neither."""
        if "cpmCents" not in self and "currency" not in self:
            return None
        for name, other in (("cpmCents", "currency"), ("currency", "cpmCents")):
            if name not in self:
                self._fault(name, f"given together with {other}", f"add it {self._where}, or remove {other}")
                return None
        cents, currency = _whole_number(self._fields["cpmCents"]), self._fields["currency"]
        if cents is None or cents > max_cpm_cents:
            allowed = f"a whole number of hundredths from 0 to {max_cpm_cents}, the ceiling of this stack"
            remedy = "leave the fee out, or have the operator raise the stack parameter MaxCpmCents"
            self._fault("cpmCents", allowed, remedy)
        code = currency.strip().upper() if isinstance(currency, str) else ""
        if code not in CURRENCIES:
            self._fault("currency", f"one of {', '.join(CURRENCIES)}", self._correct())
        return Fee(cents or 0, code)

    def dsp(self, *, is_connection: bool) -> bool | None:
        """Read dsp: whether members of an AMC audience also go to the connection's DSP advertiser."""
        if "dsp" not in self:
            return None
        if not is_connection:
            self._fault("dsp", "given with a connectionId only", "remove it: an advertiser's audience is always in DSP")
            return None
        return self.choice("dsp")

    def renew(self) -> bool | None:
        """Read renew: whether active members are re-sent before their ttl expires."""
        return self.choice("renew")

    def check_renew_ttl(self, *, renew: bool, ttl: int | None) -> None:
        """Add a fault if `renew` is on and `ttl` (seconds; None is 397 days) is too short for it."""
        if renew and ttl is not None and ttl < MIN_RENEWED_TTL:
            allowed = f"with renew, at least {MIN_RENEWED_TTL} seconds (3 days): members are re-sent once a day"
            self._fault("ttl", allowed, f"raise it {self._where}, or turn renew off")

    def check_changeable(self) -> None:
        """Add a fault for every unknown field, and every field that Amazon never changes."""
        for name in sorted(self._fields.keys() - set(_CHANGEABLE)):
            if name in _FIXED:
                remedy = f"leave it out; for another {_FIXED[name]} create another audience"
                self._fault(name, "nothing: Amazon does not change it", remedy)
            else:
                label = name if re.fullmatch(r"\w{1,40}", name, re.ASCII) else "a field of another name"
                self._fault(label, f"one of {', '.join(_CHANGEABLE)}", "leave it out")
        if not self._fields:
            self._fault(", ".join(_CHANGEABLE), "at least one of them", "name a setting to change")


def _whole_number(value: Any) -> int | None:
    """Return a whole number of at least 0, also from a string of digits; None for true and for floats."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value.strip()):
        return int(value)
    return value if type(value) is int and value >= 0 else None
