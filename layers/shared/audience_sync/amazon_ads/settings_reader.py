"""Reads the settings that the audiences of both of Amazon's APIs have, and reports all faults at once. Pure.

The settings are typed into a form: numbers may be strings, and empty fields count as left out. A fault names the field,
its allowed values and the remedy, never the value. The limits come from Amazon's API descriptions.
"""

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from audience_sync.amazon_ads.countries import NO_COUNTRY, accepted_country
from audience_sync.errors import InvalidAudience, SettingFault

MIN_DSP_NAME = 10  # characters of an audience in Amazon DSP
MAX_NAME = 128  # characters
MAX_DESCRIPTION = 1_000  # characters
MAX_ID = 256  # characters of ids that are not Amazon's numbers; Amazon documents no limit


class SettingsReader:
    """Reads settings field by field and collects the faults."""

    def __init__(self, fields: Mapping[str, Any], where: str) -> None:
        # An empty form field counts as left out. Only a description may be empty on purpose.
        given = {name: value for name, value in fields.items() if value is not None}
        self._fields = {name: value for name, value in given.items() if value != "" or name == "description"}
        self._where = where
        self.faults: list[SettingFault] = []

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    @property
    def given(self) -> frozenset[str]:
        """The names of the fields that were not left out, unknown ones included."""
        return frozenset(self._fields)

    def raise_if_invalid(self) -> None:
        """Raise InvalidAudience if there are faults."""
        if self.faults:
            raise InvalidAudience(self.faults)

    def name(self, longest: int = MAX_NAME, *, prefix: str = "") -> str:
        """Read audienceName, which Segment sends. It must leave room for a prefix that it does not start with."""
        name = _plain_text(self._fields.get("audienceName"))
        if not name or len(prefixed(name, prefix)) > longest:
            room = f" with the prefix of {len(prefix)} (AudienceNamePrefix)" if prefix else ""
            allowed = f"a name of 1 to {longest} characters{room}, none of them a control character"
            # Not truncated: Amazon never changes a name, and two names that differ only at the end would collide.
            self._fault("audienceName", allowed, "rename the audience in Segment")
            return ""
        return name

    def identifier(self, name: str, *, required: bool) -> str:
        """Read an id as a string; a whole number becomes its digits. Empty if it is absent and not required."""
        if name not in self and not required:
            return ""
        value = self._fields.get(name)
        text = _plain_text(str(value) if type(value) is int and abs(value) < 10**MAX_ID else value)
        if not text or len(text) > MAX_ID:
            self._fault(name, f"1 to {MAX_ID} characters, none of them a control character", self._correct())
            return ""
        return text

    def description(self, *, default: str) -> str:
        """Read description; `default` if it is absent. It may be empty."""
        if "description" not in self:
            return default
        text = _plain_text(self._fields["description"])
        if text is None or len(text) > MAX_DESCRIPTION:
            allowed = f"a string of 0 to {MAX_DESCRIPTION} characters, none of them a control character"
            self._fault("description", allowed, self._correct())
        return text or ""

    def country(self, *, or_none: bool = False) -> str:
        """Read countryCode. Amazon matches fewer people without a country.

        Its two codes for no country are refused unless `or_none`: the country decides whether consent is needed, and
        how phone numbers are read.
        """
        code = accepted_country(self._fields.get("countryCode"))
        if code is None or (code in NO_COUNTRY and not or_none):
            allowed = "an ISO 3166-1 alpha-2 code that Amazon accepts, such as US, DE or GB"
            allowed += ", or UNKNOWN" if or_none else "; UNKNOWN and ZZ name no country"
            self._fault("countryCode", allowed, f"name the country of most members {self._where}")
        return code or ""

    def choice(self, name: str) -> bool | None:
        """Read true or false; None if it is absent."""
        if name not in self:
            return None
        value = self._fields[name]
        wanted = {"true": True, "false": False}.get(value.strip().lower()) if isinstance(value, str) else value
        if not isinstance(wanted, bool):
            self._fault(name, "true or false", self._correct())
            return None
        return wanted

    def _correct(self) -> str:
        return f"correct it {self._where}"

    def _fault(self, name: str, allowed: str, remedy: str) -> None:
        self.faults.append(SettingFault(name, allowed, remedy))


def prefixed(name: str, prefix: str) -> str:
    """Return a name with the stack's prefix, unless it starts with it."""
    return name if name.startswith(prefix) else f"{prefix}{name}"


def dsp_name(name: str, prefix: str = "") -> str:
    """Return the name of an audience in Amazon DSP, with the stack's prefix: a short one is lengthened."""
    whole = prefixed(name, prefix)
    return whole if len(whole) >= MIN_DSP_NAME else f"{prefix}Segment audience {name.removeprefix(prefix)}"


def derived_id(name: str, rest: str) -> str:
    """Derive a stable, readable id from a name and the rest of what identifies an audience.

    Returns:
        At most 65 ASCII letters, digits and hyphens, a letter first.
    """
    readable = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-")
    digest = hashlib.sha256(f"{rest}\n{name}".encode()).hexdigest()[:16]
    return "-".join(part for part in ("segment", readable, digest) if part)


def _plain_text(value: Any) -> str | None:
    """Return a string with its white space collapsed; None if not a string, or with control or half characters."""
    if not isinstance(value, str):
        return None
    tidy = " ".join(value.split())
    return None if any(unicodedata.category(character) in ("Cc", "Cs") for character in tidy) else tidy
