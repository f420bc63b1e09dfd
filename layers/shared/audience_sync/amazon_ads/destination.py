"""The kinds of destination and their fields, known to no other module. Pure.

Each audience belongs to one of Amazon's APIs. An audience of Ads Data Manager is a dataset of the account that the
stack's parameters name: its destination holds nothing but the API, since shares may change.

An audience of Amazon's audience API belongs to an advertiser (`advertiserId`) or an AMC connection (`connectionId`).
Its changes carry only the part that an upload states: the connection, and whether members also go to its DSP
advertiser (`targetTypes`). They do not carry the advertiser, which no upload states: every row would hold it.

After a return to an older version, an audience can belong to an API that this version does not know. Its changes are
queued, and the worker parks them until the newer version is back; other audiences are not affected.
"""

from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Any

from audience_sync.errors import InvalidAudience, InvalidMessage, SettingFault
from audience_sync.members.membership import EVERY_AUDIENCE, MAX_IDENTITIES, Audience, Destination

MAX_IN_DATASET = 10  # identities of one member of a dataset; Amazon's limit


class Api(StrEnum):
    """The API of Amazon's that an audience belongs to."""

    AUDIENCES = "audiences"  # the audience API; the default
    DATA_MANAGER = "data-manager"  # Ads Data Manager


def api_of(destination: Destination) -> Api:
    """Return the API that takes the uploads of an audience. Raises InvalidMessage if this version does not know it."""
    try:
        return Api(name_of_api(destination))
    except ValueError:
        raise InvalidMessage("the audience belongs to an API of Amazon's that this version does not know") from None


@lru_cache(maxsize=1_000)  # audiences; asked for each member
def name_of_api(destination: Destination) -> str:
    """Return the name of the API, also if this version does not know it."""
    return str(destination.fields.get("api", Api.AUDIENCES))


def is_known(destination: Destination) -> bool:
    """Return whether this version knows the API."""
    return name_of_api(destination) in Api


def is_of_audience_api(destination: Destination) -> bool:
    """Return whether the audience belongs to the audience API."""
    return name_of_api(destination) == Api.AUDIENCES


def needs_consent(destination: Destination) -> bool:
    """Return whether every addition needs a consent signal, whatever the country. Amazon's pages disagree."""
    return name_of_api(destination) == Api.DATA_MANAGER


def max_identities(destination: Destination) -> int:
    """Return the number of identities that Amazon takes in one record."""
    return MAX_IN_DATASET if name_of_api(destination) == Api.DATA_MANAGER else MAX_IDENTITIES


def check_target(audience_id: str, destination: Destination) -> None:
    """Check that an audience can be named in an upload. Raises InvalidMessage."""
    if api_of(destination) is Api.AUDIENCES and audience_id != EVERY_AUDIENCE and not audience_id.isdecimal():
        raise InvalidMessage("audienceId is not a number, as the audience API needs it")


def ads_data_manager() -> Destination:
    """Return the destination of a dataset, and of its changes."""
    return Destination.of({"api": Api.DATA_MANAGER})


def requested_api(extras: Mapping[str, Any]) -> Api:
    """Read the API that a new audience is for. Raises InvalidAudience."""
    try:
        return Api(extras.get("api") or Api.AUDIENCES)
    except ValueError:
        allowed = f'"{Api.DATA_MANAGER}", or nothing for the audience API'
        raise InvalidAudience([SettingFault("api", allowed, "correct it in the extras")]) from None


def dsp_advertiser(advertiser_id: str | None) -> Destination:
    """Return the destination of an advertiser's audience, whose members reach Amazon DSP."""
    return Destination.of({"advertiserId": advertiser_id})


def amc_connection(connection_id: str, *, dsp: bool = False) -> Destination:
    """Return the destination of an AMC audience, or of its changes; with `dsp`, those also go to the DSP advertiser."""
    return Destination.of({"connectionId": connection_id, "targetTypes": ["DSP"] if dsp else []})


def advertiser_of(destination: Destination) -> str | None:
    """Return the advertiser's id, None for an audience of a connection."""
    return destination.fields.get("advertiserId")


def connection_of(destination: Destination) -> str | None:
    """Return the id of the AMC connection, None for an advertiser's audience."""
    return destination.fields.get("connectionId")


def reaches_dsp(audience: Audience) -> bool:
    """Return whether members reach Amazon DSP: an advertiser's always do, a connection's only with `dsp`."""
    if api_of(audience.destination) is Api.DATA_MANAGER:
        return True  # if it is shared with an advertiser, which Amazon knows
    return not connection_of(audience.destination) or _sends_to_dsp(audience)


def destination_of_changes(audience: Audience) -> Destination:
    """Return the destination that the changes of an audience carry."""
    return _of_changes(audience.destination, _sends_to_dsp(audience))


def _sends_to_dsp(audience: Audience) -> bool:
    return audience.settings.get("dsp") is True


@lru_cache(maxsize=1_000)  # audiences; asked for each event
def _of_changes(destination: Destination, dsp: bool) -> Destination:
    if not is_of_audience_api(destination):
        return destination
    connection_id = connection_of(destination)
    return amc_connection(connection_id, dsp=dsp) if connection_id else Destination()


def resource_of_audience(destination: Destination) -> dict[str, Any]:
    """Return the `targetResource` of a new audience. The advertiser's id becomes an integer only here."""
    advertiser_id = advertiser_of(destination)
    return {"advertiserId": int(advertiser_id)} if advertiser_id else {"connectionId": connection_of(destination)}


def resource_of_upload(destination: Destination) -> dict[str, Any]:
    """Return the `targetResource` of an upload; empty for an advertiser's audience."""
    return destination.fields if connection_of(destination) else {}


@lru_cache(maxsize=1_000)  # audiences; asked before each upload
def failure_domain(destination: Destination) -> str:
    """Return the name of the unit that fails as one at Amazon: a connection, DSP, or the Ads Data Manager account."""
    if api_of(destination) is Api.DATA_MANAGER:
        return Api.DATA_MANAGER
    return connection_of(destination) or "dsp"
