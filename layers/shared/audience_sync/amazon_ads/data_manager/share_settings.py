"""Reads the shares of a new dataset, as typed into a form. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audience_sync.amazon_ads.data_manager.marketplaces import BY_COUNTRY, marketplace_id
from audience_sync.amazon_ads.settings_reader import SettingsReader
from audience_sync.json_input import parse_json

MAX_SHARES = 20  # each takes at least two calls, within one request of Segment's
DSP, AMC = "DSP_AUDIENCES", "AMAZON_MARKETING_CLOUD"
EXAMPLE = '[{"advertiserId": "…", "marketplace": "US"}, {"amcInstanceId": "…", "marketplace": "US"}]'
_ACCOUNTS = {"advertiserId": DSP, "destinationAccountId": DSP, "amcInstanceId": AMC}
_FIELDS = (*_ACCOUNTS, "marketplace", "accountEntityId")


@dataclass(frozen=True, slots=True)
class NewShare:
    """The share of a dataset with one DSP advertiser or AMC instance."""

    application: str
    account_id: str
    marketplace_id: str
    entity_id: str = ""  # parent of a DSP account, if Amazon asks for it

    def is_same(self, other: "NewShare") -> bool:
        """Return whether Amazon would have both at the same place."""
        return (self.application, self.account_id) == (other.application, other.account_id)

    def as_body(self, dataset_id: str, dsp_audience: Mapping[str, str]) -> dict[str, Any]:
        """Build the body of POST /adm/sharingRules. `dsp_audience` describes the audience in Amazon DSP."""
        body = {
            "application": self.application,
            "dataSetId": dataset_id,
            "destinationAccountId": self.account_id,
            "marketplaceId": self.marketplace_id,
            "metadata": {"audienceMetadata": dict(dsp_audience)}
            if self.application == DSP
            else {"amcMetadata": {"amcInstanceId": self.account_id}},
        }
        return body | ({"accountEntityId": self.entity_id} if self.entity_id else {})


class ShareReader(SettingsReader):
    """Reads the fields of one share."""

    def share(self, allowed_targets: frozenset[str]) -> NewShare:
        """Read the share. `allowed_targets` are the allowed accounts; all are allowed if it is empty."""
        if self.given.difference(_FIELDS):
            self._fault("", f"an object with no fields but {', '.join(_FIELDS)}", "leave the others out")
        market = marketplace_id(self._fields.get("marketplace"))
        if market is None:
            allowed = f"a marketplace id, or a country whose id is known here: {', '.join(BY_COUNTRY)}"
            self._fault("marketplace", allowed, self._correct())
        entity_id = self.identifier("accountEntityId", required=False)
        named = [name for name in _ACCOUNTS if name in self]
        if len(named) != 1:
            allowed = (
                "exactly one of advertiserId (Amazon DSP; destinationAccountId means the same) and amcInstanceId"
                " (Amazon Marketing Cloud)"
            )
            self._fault(", ".join(_ACCOUNTS), allowed, f"keep the one you mean {self._where}")
            return NewShare(DSP, "", "")
        account_id = self.identifier(named[0], required=True)
        if account_id and allowed_targets and account_id not in allowed_targets:
            allowed = "an account that the stack parameter AllowedTargets lists"
            self._fault(named[0], allowed, "ask the operator to add it")
        return NewShare(_ACCOUNTS[named[0]], account_id, market or "", entity_id)


def share_entries(value: Any) -> list[Any] | None:
    """Return the entries of `shares`: a list, or a string with a list as JSON. None if it is neither, or too long."""
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, list) and len(value) <= MAX_SHARES else None
