"""From the settings of an audience to the bodies that create and change it at Amazon, and back from a report. Pure.

What each setting may hold, and what is said where it holds something else, stands in form.py.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from audience_sync.amazon_ads.audience_settings import Fee, SettingsReader
from audience_sync.amazon_ads.job import Sizes, sizes
from audience_sync.amazon_ads.record import amazon_id
from audience_sync.membership import Audience

MIN_NAME = 10  # characters
LONGER_NAME = "Segment audience {}"  # what a shorter name becomes; from one character on it is long enough


@dataclass(frozen=True, slots=True)
class NewAudience:
    """An audience that Amazon would take. Exactly one of advertiser and connection is set."""

    name: str
    description: str
    country: str
    advertiser_id: str | None  # Amazon DSP only
    connection_id: str | None  # AMC; with `dsp` the connection's DSP advertiser, too
    external_audience_id: str
    ttl: int | None = None  # seconds a member stays; 0 empties the audience
    fee: Fee | None = None
    dsp: bool = False
    renew: bool = False  # tell Amazon again who is in, before the ttl runs out
    computation_key: str | None = None
    told_name: str = ""  # Segment's
    told_external_id: bool = True  # else it was derived
    told: frozenset[str] = frozenset()  # names of the extras that were given; the rest are defaults

    @property
    def target(self) -> str:
        """Where the audience goes, as one text."""
        return f"advertiser {self.advertiser_id}" if self.advertiser_id else f"connection {self.connection_id}"

    def body(self) -> dict[str, Any]:
        """The body of POST /amc/audiences/metadata. The advertiser's id becomes an integer here and nowhere else."""
        target: dict[str, Any] = {"connectionId": self.connection_id}
        if self.advertiser_id:
            target = {"advertiserId": int(self.advertiser_id)}
        metadata: dict[str, Any] = {"externalAudienceId": self.external_audience_id}
        return {
            "name": self.name,
            "description": self.description,
            "countryCode": self.country,
            "targetResource": target,
            "metadata": metadata | _changeable(self.ttl, self.fee),
        }

    def listed_as(self, audience_id: str) -> Audience:
        """The audience as our table lists it, once Amazon has named it."""
        ours = {"dsp": self.dsp or None, "renew": self.renew or None}
        settings = _as_settings(self.description, self.ttl, self.fee, ours)
        return Audience(
            audience_id,
            name=self.name,
            country=self.country,
            advertiser_id=self.advertiser_id,
            connection_id=self.connection_id,
            computation_key=self.computation_key,
            external_audience_id=self.external_audience_id,
            settings=settings,
        )


@dataclass(frozen=True, slots=True)
class AudienceUpdate:
    """A change of an audience: what Amazon is told, and what our table remembers."""

    body: dict[str, Any]  # of PUT /amc/audiences/metadata/{audienceId}; empty where Amazon need not know
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class AudienceReport:
    """What Amazon says about an audience. Fields and sizes that it does not know yet are None."""

    audience_id: str
    name: str | None = None
    description: str | None = None
    country: str | None = None
    advertiser_id: str | None = None  # Amazon does not say what stands here for an audience of a connection
    external_audience_id: str | None = None
    ttl: int | None = None
    fees: tuple[Fee, ...] = ()  # one for each currency; none may also mean that Amazon does not tell
    sizes: Sizes = field(default_factory=Sizes)

    @classmethod
    def from_answer(cls, audience_id: str, answer: Mapping[str, Any]) -> Self:
        """Read the answer to GET /amc/audiences/metadata/{audienceId}, in which Amazon promises no field."""
        metadata = _mapping(answer.get("metadata"))
        return cls(
            audience_id,
            name=_text_or_none(answer.get("name")),
            description=_text_or_none(answer.get("description")),
            country=_text_or_none(answer.get("countryCode")),
            advertiser_id=amazon_id(answer.get("advertiserId")),
            external_audience_id=_text_or_none(metadata.get("externalAudienceId")),
            ttl=_count(metadata.get("ttl")),
            fees=_fees(metadata.get("audienceFees")),
            sizes=sizes(metadata.get("audienceSize")),
        )


def new_audience(told: Mapping[str, Any], *, max_cpm_cents: int) -> NewAudience:
    """Read the body of `POST /v1/audiences`: Segment's audienceName among the customer's extras.

    Args:
        told: a JSON object. Fields we do not know are left alone: extras may serve other purposes, too.
        max_cpm_cents: the highest fee the operator allows; 0 for none.

    Raises:
        InvalidAudience: with every fault there is.
    """
    form = SettingsReader(told, "in the extras")
    told_name = form.name()
    advertiser_id, connection_id = form.target()
    external_id = form.identifier("externalAudienceId", needed=False)
    wanted = NewAudience(
        name=told_name if len(told_name) >= MIN_NAME else LONGER_NAME.format(told_name),
        description=form.description(default=told_name),
        country=form.country(),
        advertiser_id=advertiser_id,
        connection_id=connection_id,
        external_audience_id=external_id or _derived_id(told_name, advertiser_id or connection_id or ""),
        ttl=form.ttl(),
        fee=form.fee(max_cpm_cents),
        dsp=form.dsp(is_connection="connectionId" in form) or False,
        renew=form.renew() or False,
        computation_key=form.identifier("computationKey", needed=False) or None,
        told_name=told_name,
        told_external_id=bool(external_id),
        told=form.given,
    )
    form.check_renew_ttl(renew=wanted.renew, ttl=wanted.ttl)
    form.raise_if_invalid()
    return wanted


def audience_update(audience: Audience, changes: Mapping[str, Any], *, max_cpm_cents: int) -> AudienceUpdate:
    """Read a change of description, ttl, fee, `dsp` or `renew`.

    Args:
        audience: as it is listed.
        changes: by the names of the extras. What is left out stays.
        max_cpm_cents: the highest fee the operator allows; 0 for none.

    Raises:
        InvalidAudience: with every fault there is; Amazon changes neither name, country, target nor external id.
    """
    form = SettingsReader(changes, "and try again")
    form.check_changeable()
    described = form.description(default="") if "description" in form else None
    ttl, fee = form.ttl(), form.fee(max_cpm_cents)
    ours = {"dsp": form.dsp(is_connection=audience.connection_id is not None), "renew": form.renew()}
    settings = audience.settings | _as_settings(described, ttl, fee, ours)
    form.check_renew_ttl(renew=settings.get("renew") is True, ttl=settings.get("ttl"))
    form.raise_if_invalid()
    metadata = _changeable(ttl, fee)
    body: dict[str, Any] = {} if described is None else {"description": described}
    return AudienceUpdate(body | ({"metadata": metadata} if metadata else {}), settings)


def _changeable(ttl: int | None, fee: Fee | None) -> dict[str, Any]:
    """Lay out the metadata that create and update share. A ttl of 0 is one."""
    metadata: dict[str, Any] = {} if ttl is None else {"ttl": ttl}
    if fee is not None:
        metadata["audienceFees"] = [{"cpmCents": fee.cpm_cents, "currency": fee.currency}]
    return metadata


def _as_settings(
    description: str | None, ttl: int | None, fee: Fee | None, ours: Mapping[str, bool | None]
) -> dict[str, Any]:
    """Lay settings out as the list keeps them; `ours` are those that Amazon is not told."""
    price = {"cpmCents": fee.cpm_cents, "currency": fee.currency} if fee else {}
    told = {"description": description, "ttl": ttl, **ours} | price
    return {name: value for name, value in told.items() if value is not None}


def _derived_id(name: str, target: str) -> str:
    """Make an external id out of what tells audiences apart: the same for the same name and target, and readable."""
    readable = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-")
    digest = hashlib.sha256(f"{target}\n{name}".encode()).hexdigest()[:16]
    return "-".join(part for part in ("segment", readable, digest) if part)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _fees(value: Any) -> tuple[Fee, ...]:
    """Read Amazon's list of fees, as far as it is one."""
    listed = [_mapping(each) for each in value] if isinstance(value, list) else []
    told = [(_count(each.get("cpmCents")), _text_or_none(each.get("currency"))) for each in listed]
    return tuple(Fee(cents, currency) for cents, currency in told if cents is not None and currency)


def _count(value: Any) -> int | None:
    """Read a number of Amazon's. Negative ones stand for "not known yet"."""
    return int(value) if isinstance(value, int | float) and value >= 0 and value % 1 == 0 else None
