"""Reads the settings of a new dataset, and builds the requests that create and share it. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audience_sync.amazon_ads.data_manager.share_settings import (
    EXAMPLE,
    MAX_SHARES,
    NewShare,
    ShareReader,
    share_entries,
)
from audience_sync.amazon_ads.settings_reader import SettingsReader, derived_id, dsp_name, prefixed

MAX_DSP_NAME = 127  # characters
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{4,99}")  # of a dataset
_NO_TARGET = "a dataset reaches advertisers and AMC instances through its shares"
_NO_FEE = "Ads Data Manager has no fees"
_USE_SHARES = f"leave it out, and name the account in shares, such as {EXAMPLE}"
_LEAVE_OUT = "leave it out, or create the audience without api, in the audience API"
UNKNOWN_HERE = {  # settings that only the audience API has, and the rule
    "advertiserId": _NO_TARGET,
    "connectionId": _NO_TARGET,
    "dsp": _NO_TARGET,
    "ttl": "Ads Data Manager has no ttl that can be set",
    "renew": "Ads Data Manager has no ttl, so members need no renewal",
    "cpmCents": _NO_FEE,
    "currency": _NO_FEE,
}


@dataclass(frozen=True, slots=True)
class NewDataset:
    """A dataset that Amazon would accept, and its shares."""

    name: str  # in Amazon's format
    segment_name: str  # as sent by Segment, with the prefix
    country: str
    description: str
    external_audience_id: str
    id_retention: bool | None = None
    shares: tuple[NewShare, ...] = ()
    computation_key: str | None = None
    has_own_external_id: bool = True  # given in the extras; otherwise derived from the name
    given_fields: frozenset[str] = frozenset()  # names of the extras that were given; the rest are defaults

    def as_body(self) -> dict[str, Any]:
        """Build the body of POST /adm/audiences."""
        body: dict[str, Any] = {"name": self.name, "countryCode": self.country}
        if self.description:
            body["description"] = self.description
        return body | ({} if self.id_retention is None else {"idRetention": self.id_retention})

    def share_bodies(self, dataset_id: str) -> list[dict[str, Any]]:
        """Build the bodies of POST /adm/sharingRules."""
        audience = dsp_audience(self.segment_name, self.external_audience_id, self.description)
        return [share.as_body(dataset_id, audience) for share in self.shares]


def dsp_audience(name: str, external_audience_id: str | None, description: str | None) -> dict[str, str]:
    """Describe the audience in Amazon DSP that a share makes of a dataset."""
    optional = {"externalAudienceId": external_audience_id, "description": description}
    return {"audienceName": dsp_name(name)} | {field: value for field, value in optional.items() if value}


class DatasetReader(SettingsReader):
    """Reads the settings of a dataset field by field and collects the faults."""

    def shares(self, allowed_targets: frozenset[str]) -> tuple[NewShare, ...]:
        """Read shares, of which there may be none."""
        if "shares" not in self:
            return ()
        entries = share_entries(self._fields["shares"])
        if entries is None:
            self._fault("shares", f"a list of at most {MAX_SHARES} shares, such as {EXAMPLE}", self._correct())
            return ()
        shares: list[NewShare] = []
        for place, entry in enumerate(entries):
            reader = ShareReader(entry if isinstance(entry, dict) else {}, self._where)
            share = reader.share(allowed_targets)
            if share.account_id and any(share.is_same(earlier) for earlier in shares):
                self._fault(f"shares[{place}]", "an account that no share before it names", "leave it out")
            shares.append(share)
            for fault in reader.faults:
                self._fault(f"shares[{place}].{fault.field}".rstrip("."), fault.allowed, fault.remedy)
        return tuple(shares)

    def id_retention(self, *, allowed: bool) -> bool | None:
        """Read whether Amazon keeps the hashes; None if it is not said."""
        wanted = self.choice("idRetention")
        if wanted and not allowed:
            self._fault("idRetention", "false", "leave it out, or ask the operator to create the dataset")
        return wanted

    def refuse_unknown(self) -> None:
        """Add a fault for every setting that only the audience API has."""
        for name in sorted(self.given.intersection(UNKNOWN_HERE)):
            rule = UNKNOWN_HERE[name]
            self._fault(name, f"nothing: {rule}", _USE_SHARES if rule == _NO_TARGET else _LEAVE_OUT)


def new_dataset(
    fields: Mapping[str, Any],
    *,
    allowed_targets: frozenset[str] = frozenset(),
    allow_id_retention: bool = True,
    name_prefix: str = "",
) -> NewDataset:
    """Read the body of `POST /v1/audiences`: Segment's audienceName among the customer's extras.

    Amazon's names of datasets have no spaces and no dots, and creating a second dataset of a name finds the first. So a
    name that Amazon would refuse, or that an external id of its own tells from others, is replaced by a derived one.

    Args:
        fields: a JSON object. Unknown fields are ignored, except those of the audience API.
        allowed_targets: ids of the accounts that shares may name; all are allowed if it is empty.
        allow_id_retention: whether Amazon may keep the hashes.
        name_prefix: before the name. Not part of a derived external id: another prefix finds the same audience.

    Raises:
        InvalidAudience: lists every fault.
    """
    reader = DatasetReader(fields, "in the extras")
    segment_name = reader.name(MAX_DSP_NAME, prefix=name_prefix)
    name = prefixed(segment_name, name_prefix)
    own_id = reader.identifier("externalAudienceId", required=False)
    told_apart = own_id or "dataset"
    dataset = NewDataset(
        name=name if _NAME.fullmatch(name) and not own_id else derived_id(name, told_apart),
        segment_name=name,
        country=reader.country(or_none=True),
        description=reader.description(default=segment_name),
        external_audience_id=own_id or derived_id(segment_name, told_apart),
        id_retention=reader.id_retention(allowed=allow_id_retention),
        shares=reader.shares(allowed_targets),
        computation_key=reader.identifier("computationKey", required=False) or None,
        has_own_external_id=bool(own_id),
        given_fields=reader.given,
    )
    reader.refuse_unknown()
    reader.raise_if_invalid()
    return dataset
