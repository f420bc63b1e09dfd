"""Builds the request bodies that create and change an audience at Amazon, and reads Amazon's report. Pure.

The allowed values of each setting and the messages for others are in audience_settings.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from audience_sync.amazon_ads.advertiser_audiences.audience_settings import AudienceReader, Fee
from audience_sync.amazon_ads.answer_fields import count_or_none, object_or_empty, objects, text_or_none
from audience_sync.amazon_ads.destination import advertiser_of, connection_of, resource_of_audience
from audience_sync.amazon_ads.ids import amazon_id
from audience_sync.amazon_ads.job import Sizes, sizes
from audience_sync.amazon_ads.settings_reader import derived_id, dsp_name
from audience_sync.members.membership import Audience, Destination, FilledBy


@dataclass(frozen=True, slots=True)
class NewAudience:
    """An audience that Amazon would accept."""

    name: str
    description: str
    country: str
    destination: Destination
    external_audience_id: str
    ttl: int | None = None  # seconds a member stays; 0 empties the audience
    fee: Fee | None = None
    dsp: bool = False
    renew: bool = False  # re-send active members before their ttl expires
    computation_key: str | None = None
    segment_name: str = ""  # as sent by Segment
    has_own_external_id: bool = True  # given in the extras; otherwise derived from name and target
    given_fields: frozenset[str] = frozenset()  # names of the extras that were given; the rest are defaults

    @property
    def target(self) -> str:
        """The destination of the audience as a string."""
        advertiser_id = advertiser_of(self.destination)
        return f"advertiser {advertiser_id}" if advertiser_id else f"connection {connection_of(self.destination)}"

    def body(self) -> dict[str, Any]:
        """The body of POST /amc/audiences/metadata."""
        metadata: dict[str, Any] = {"externalAudienceId": self.external_audience_id}
        return {
            "name": self.name,
            "description": self.description,
            "countryCode": self.country,
            "targetResource": resource_of_audience(self.destination),
            "metadata": metadata | _changeable_metadata(self.ttl, self.fee),
        }

    def listed_as(self, audience_id: str) -> Audience:
        """The audience as stored in our table, under the id from Amazon."""
        own_settings = {"dsp": self.dsp or None, "renew": self.renew or None}
        settings = _table_settings(self.description, self.ttl, self.fee, own_settings)
        return Audience(
            audience_id,
            name=self.name,
            country=self.country,
            destination=self.destination,
            computation_key=self.computation_key,
            external_audience_id=self.external_audience_id,
            settings=settings,
            filled_by=FilledBy.STACK,
        )


@dataclass(frozen=True, slots=True)
class AudienceUpdate:
    """A change of an audience: the request to Amazon, and the settings for our table."""

    body: dict[str, Any]  # of PUT /amc/audiences/metadata/{audienceId}; empty if nothing changes at Amazon
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class AudienceReport:
    """Amazon's report on an audience. Fields and sizes that it does not know yet are None."""

    audience_id: str
    name: str | None = None
    description: str | None = None
    country: str | None = None
    advertiser_id: str | None = None  # its meaning for an audience of a connection is undocumented
    external_audience_id: str | None = None
    ttl: int | None = None
    fees: tuple[Fee, ...] = ()  # one for each currency; empty may also mean not reported
    sizes: Sizes = field(default_factory=Sizes)

    @classmethod
    def from_answer(cls, audience_id: str, answer: Mapping[str, Any]) -> Self:
        """Read the answer to GET /amc/audiences/metadata/{audienceId}, in which every field is optional."""
        metadata = object_or_empty(answer.get("metadata"))
        return cls(
            audience_id,
            name=text_or_none(answer.get("name")),
            description=text_or_none(answer.get("description")),
            country=text_or_none(answer.get("countryCode")),
            advertiser_id=amazon_id(answer.get("advertiserId")),
            external_audience_id=text_or_none(metadata.get("externalAudienceId")),
            ttl=count_or_none(metadata.get("ttl")),
            fees=_fees(metadata.get("audienceFees")),
            sizes=sizes(metadata.get("audienceSize")),
        )


def new_audience(
    fields: Mapping[str, Any],
    *,
    max_cpm_cents: int,
    allowed_targets: frozenset[str] = frozenset(),
    name_prefix: str = "",
) -> NewAudience:
    """Read the body of `POST /v1/audiences`: Segment's audienceName among the customer's extras.

    Args:
        fields: a JSON object. Unknown fields are ignored: extras may also serve other purposes.
        max_cpm_cents: the highest fee the operator allows; 0 for none.
        allowed_targets: ids of the allowed advertisers and connections; all are allowed if it is empty.
        name_prefix: before the name. Not part of a derived external id: another prefix finds the same audience.

    Raises:
        InvalidAudience: lists every fault.
    """
    reader = AudienceReader(fields, "in the extras")
    segment_name = reader.name(prefix=name_prefix)
    destination = reader.destination(allowed_targets)
    external_id = reader.identifier("externalAudienceId", required=False)
    audience = NewAudience(
        name=dsp_name(segment_name, name_prefix),
        description=reader.description(default=segment_name),
        country=reader.country(),
        destination=destination,
        external_audience_id=external_id
        or derived_id(segment_name, advertiser_of(destination) or connection_of(destination) or ""),
        ttl=reader.ttl(),
        fee=reader.fee(max_cpm_cents),
        dsp=reader.dsp(is_connection="connectionId" in reader) or False,
        renew=reader.renew() or False,
        computation_key=reader.identifier("computationKey", required=False) or None,
        segment_name=segment_name,
        has_own_external_id=bool(external_id),
        given_fields=reader.given,
    )
    reader.check_renew_ttl(renew=audience.renew, ttl=audience.ttl)
    reader.raise_if_invalid()
    return audience


def audience_update(audience: Audience, changes: Mapping[str, Any], *, max_cpm_cents: int) -> AudienceUpdate:
    """Read a change of description, ttl, fee, `dsp` or `renew`.

    Args:
        audience: as listed.
        changes: by the names of the extras. Missing settings stay unchanged.
        max_cpm_cents: the highest fee the operator allows; 0 for none.

    Raises:
        InvalidAudience: lists every fault; Amazon changes neither name, country, target nor external id.
    """
    reader = AudienceReader(changes, "and try again")
    reader.check_changeable()
    description = reader.description(default="") if "description" in reader else None
    ttl, fee = reader.ttl(), reader.fee(max_cpm_cents)
    own_settings = {
        "dsp": reader.dsp(is_connection=connection_of(audience.destination) is not None),
        "renew": reader.renew(),
    }
    settings = audience.settings | _table_settings(description, ttl, fee, own_settings)
    reader.check_renew_ttl(renew=settings.get("renew") is True, ttl=settings.get("ttl"))
    reader.raise_if_invalid()
    metadata = _changeable_metadata(ttl, fee)
    body: dict[str, Any] = {} if description is None else {"description": description}
    return AudienceUpdate(body | ({"metadata": metadata} if metadata else {}), settings)


def _changeable_metadata(ttl: int | None, fee: Fee | None) -> dict[str, Any]:
    """Build the metadata that create and update share. A ttl of 0 is kept."""
    metadata: dict[str, Any] = {} if ttl is None else {"ttl": ttl}
    if fee is not None:
        metadata["audienceFees"] = [{"cpmCents": fee.cpm_cents, "currency": fee.currency}]
    return metadata


def _table_settings(
    description: str | None, ttl: int | None, fee: Fee | None, own_settings: Mapping[str, bool | None]
) -> dict[str, Any]:
    """Build the settings for our table; `own_settings` are not sent to Amazon."""
    price = {"cpmCents": fee.cpm_cents, "currency": fee.currency} if fee else {}
    settings = {"description": description, "ttl": ttl, **own_settings} | price
    return {name: value for name, value in settings.items() if value is not None}


def _fees(value: Any) -> tuple[Fee, ...]:
    """Read Amazon's list of fees, skipping other items."""
    fees = [(count_or_none(each.get("cpmCents")), text_or_none(each.get("currency"))) for each in objects(value)]
    return tuple(Fee(cents, currency) for cents, currency in fees if cents is not None and currency)
