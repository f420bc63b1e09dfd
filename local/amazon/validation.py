"""Validation of audiences, connections and acceptances. Uploads of members are validated in `records`."""

from typing import Any

from local.amazon import countries
from local.amazon.refusals import Refusal, long_id, only_fields
from local.amazon.values import entries, flag, one_of, optional_text, text

MAX_TTL = 34_300_800  # seconds, 397 days; also the default
_CURRENCIES = frozenset("AED AUD CAD CNY EUR GBP INR JPY MXN SAR SEK TRY USD".split())
_CONNECTION_TEXTS = frozenset(
    "amcAccountId amcAccountMarketplaceId amcInstanceId connectionId dspAdvertiserId dspProfileId".split()
)


def check_new_audience(body: dict[str, Any]) -> None:
    """Check a body of POST /amc/audiences/metadata. Raises Refusal."""
    fields = frozenset({"name", "description", "countryCode", "targetResource", "metadata"})
    only_fields(body, fields, "body")
    text(body, "name", 10, 128)
    text(body, "description", 0, 1000)
    if "countryCode" in body:
        one_of(body["countryCode"], countries.ACCEPTED, "countryCode")
    target = only_fields(body.get("targetResource"), frozenset({"connectionId", "advertiserId"}), "targetResource")
    if len(target) != 1:
        raise Refusal("targetResource must hold exactly one of connectionId and advertiserId")
    if "advertiserId" in target:
        long_id(target["advertiserId"], "targetResource.advertiserId")
    else:
        text(target, "connectionId")
    metadata = only_fields(body.get("metadata"), {"externalAudienceId", "ttl", "audienceFees"}, "metadata")
    text(metadata, "externalAudienceId")
    _check_settings(metadata)


def check_audience_update(body: dict[str, Any]) -> None:
    """Check a body of PUT /amc/audiences/metadata/{audienceId}: name, country and target are fixed. Raises Refusal."""
    only_fields(body, frozenset({"description", "metadata"}), "body")
    if not body:
        raise Refusal("body must change something")
    optional_text(body, "description", 0, 1000)
    if "metadata" in body:
        if not only_fields(body["metadata"], frozenset({"ttl", "audienceFees"}), "metadata"):
            raise Refusal("metadata must change something")
        _check_settings(body["metadata"])


def check_new_connection(body: dict[str, Any]) -> None:
    """Check a body of POST /amc/audiences/connections. Raises Refusal."""
    only_fields(body, _CONNECTION_TEXTS | {"isDefault"}, "body")
    for field in body:
        if field == "isDefault":
            flag(body, field)
        else:
            text(body, field, 0)
    if "amcInstanceId" not in body and "dspAdvertiserId" not in body:
        raise Refusal("an AMC instance or a DSP advertiser is required")


def check_acceptance(body: dict[str, Any]) -> None:
    """Check a body of PATCH /amc/audiences/connections/terms. Raises Refusal."""
    only_fields(body, frozenset({"agreementToken", "hasAccepted"}), "body")
    text(body, "agreementToken")
    flag(body, "hasAccepted")


def _check_settings(metadata: dict[str, Any]) -> None:
    ttl = metadata.get("ttl", 0)
    if type(ttl) not in (int, float) or ttl % 1 or not 0 <= ttl <= MAX_TTL:  # unlike ids, it may be written 1.0
        raise Refusal(f"metadata.ttl must be a number from 0 to {MAX_TTL}")
    if "audienceFees" in metadata:
        for fee in entries(metadata, "audienceFees", 1, len(_CURRENCIES)):
            only_fields(fee, frozenset({"cpmCents", "currency"}), "metadata.audienceFees entry")
            price = fee.get("cpmCents")
            if type(price) not in (int, float) or price < 0:
                raise Refusal("metadata.audienceFees: cpmCents must be a number of at least 0")
            one_of(fee.get("currency"), _CURRENCIES, "metadata.audienceFees: currency")
