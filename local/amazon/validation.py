"""Validation of audiences, connections and acceptances. Uploads of members are validated in `records`."""

from typing import Any

from local.amazon import countries
from local.amazon.refusals import Refusal, long_id, only_fields

MAX_TTL = 34_300_800  # seconds, 397 days; also the default
_CURRENCIES = frozenset("AED AUD CAD CNY EUR GBP INR JPY MXN SAR SEK TRY USD".split())
_CONNECTION_TEXTS = frozenset(
    "amcAccountId amcAccountMarketplaceId amcInstanceId connectionId dspAdvertiserId dspProfileId".split()
)


def check_new_audience(body: dict[str, Any]) -> None:
    """Check a body of POST /amc/audiences/metadata. Raises Refusal."""
    fields = frozenset({"name", "description", "countryCode", "targetResource", "metadata"})
    only_fields(body, fields, "body")
    _text(body.get("name"), "name", 10, 128)
    _text(body.get("description"), "description", 0, 1000)
    if "countryCode" in body:
        country = body["countryCode"]
        if type(country) is not str or country not in countries.ACCEPTED:
            raise Refusal("countryCode is not an accepted country")
    target = only_fields(body.get("targetResource"), frozenset({"connectionId", "advertiserId"}), "targetResource")
    if len(target) != 1:
        raise Refusal("targetResource must hold exactly one of connectionId and advertiserId")
    if "advertiserId" in target:
        long_id(target["advertiserId"], "targetResource.advertiserId")
    else:
        _text(target["connectionId"], "targetResource.connectionId", 1)
    metadata = body.get("metadata")
    only_fields(metadata, frozenset({"externalAudienceId", "ttl", "audienceFees"}), "metadata")
    _text(body["metadata"].get("externalAudienceId"), "metadata.externalAudienceId", 1)
    _check_settings(body["metadata"])


def check_audience_update(body: dict[str, Any]) -> None:
    """Check a body of PUT /amc/audiences/metadata/{audienceId}: name, country and target are fixed. Raises Refusal."""
    only_fields(body, frozenset({"description", "metadata"}), "body")
    if not body:
        raise Refusal("body must change something")
    if "description" in body:
        _text(body["description"], "description", 0, 1000)
    if "metadata" in body:
        if not only_fields(body["metadata"], frozenset({"ttl", "audienceFees"}), "metadata"):
            raise Refusal("metadata must change something")
        _check_settings(body["metadata"])


def check_new_connection(body: dict[str, Any]) -> None:
    """Check a body of POST /amc/audiences/connections. Raises Refusal."""
    only_fields(body, _CONNECTION_TEXTS | {"isDefault"}, "body")
    for field, value in body.items():
        if field == "isDefault":
            _check_flag(value, field)
        else:
            _text(value, field, 0)
    if "amcInstanceId" not in body and "dspAdvertiserId" not in body:
        raise Refusal("an AMC instance or a DSP advertiser is required")


def check_acceptance(body: dict[str, Any]) -> None:
    """Check a body of PATCH /amc/audiences/connections/terms. Raises Refusal."""
    only_fields(body, frozenset({"agreementToken", "hasAccepted"}), "body")
    _text(body.get("agreementToken"), "agreementToken", 1)
    _check_flag(body.get("hasAccepted"), "hasAccepted")


def _check_settings(metadata: dict[str, Any]) -> None:
    ttl = metadata.get("ttl", 0)
    if type(ttl) not in (int, float) or ttl % 1 or not 0 <= ttl <= MAX_TTL:  # unlike ids, it may be written 1.0
        raise Refusal(f"metadata.ttl must be a number from 0 to {MAX_TTL}")
    if "audienceFees" in metadata:
        fees = metadata["audienceFees"]
        if type(fees) is not list or not 1 <= len(fees) <= len(_CURRENCIES):
            raise Refusal(f"metadata.audienceFees must hold 1 to {len(_CURRENCIES)} entries")
        for fee in fees:
            only_fields(fee, frozenset({"cpmCents", "currency"}), "metadata.audienceFees entry")
            price, currency = fee.get("cpmCents"), fee.get("currency")
            if type(price) not in (int, float) or price < 0:
                raise Refusal("metadata.audienceFees: cpmCents must be a number of at least 0")
            if type(currency) is not str or currency not in _CURRENCIES:
                raise Refusal("metadata.audienceFees: currency is not accepted")


def _text(value: Any, field: str, shortest: int, longest: int | None = None) -> None:
    if type(value) is not str:
        raise Refusal(f"{field} must be a string")
    if len(value) < shortest or (longest is not None and len(value) > longest):
        raise Refusal(f"{field} must have {shortest} to {longest or 'any number of'} characters")


def _check_flag(value: Any, field: str) -> None:
    if type(value) is not bool:
        raise Refusal(f"{field} must be true or false")
