"""The differences between Amazon's APIs, by destination: uploads, removals, the end of an upload. Pure."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from audience_sync.amazon_ads.advertiser_audiences import records
from audience_sync.amazon_ads.data_manager import members
from audience_sync.amazon_ads.destination import Api, api_of, is_of_audience_api
from audience_sync.amazon_ads.upload import Frame, Request, Target, UploadSize
from audience_sync.members.member_state import MemberState, Timing
from audience_sync.members.membership import MAX_IDENTITIES, Audience, Destination, Member, MembershipChange
from audience_sync.members.person_deletion import PersonRow


def request_of(destination: Destination) -> Request:
    """Return the request that takes the changes of an audience."""
    return Request.RECORDS if api_of(destination) is Api.AUDIENCES else Request.MEMBERS


def is_ignored(destination: Destination, record: Mapping[str, Any]) -> bool:
    """Return whether Amazon ignores a removal with a record's consent: from a dataset, if that is denied."""
    return not has_jobs(destination) and members.denies_consent(record)


def is_proof(removal: MembershipChange) -> bool:
    """Return whether the end of a removal proves it: from a dataset, only with consent to user data."""
    return has_jobs(removal.destination) or members.has_consent(removal.record)


def encoder_of(destination: Destination) -> Callable[[Mapping[str, Any]], bytes]:
    """Return the function that encodes the record of a change as its part of a request, in compact JSON."""
    return records.encode_record if request_of(destination) is Request.RECORDS else members.encode_member


def frame_of(target: Target) -> Frame:
    """Return the frame around the encoded parts."""
    return records.frame_of(target) if request_of(target.destination) is Request.RECORDS else members.MEMBERS


def size_of(destination: Destination, configured: UploadSize) -> UploadSize:
    """Return the limits on a request; `configured` applies to the audience API."""
    return configured if request_of(destination) is Request.RECORDS else members.MEMBERS_SIZE


def max_identities(destination: Destination) -> int:
    """Return the number of identities that fit one record."""
    return MAX_IDENTITIES if has_jobs(destination) else members.MAX_IDENTITIES


def has_jobs(destination: Destination) -> bool:
    """Return whether Amazon processes uploads in jobs that can be asked for. Otherwise only time tells."""
    return is_of_audience_api(destination)


def rows_of(
    person: str,
    audiences: Iterable[Audience],
    states: Mapping[Member, MemberState],
    timing_of: Callable[[Destination], Timing],
) -> list[PersonRow]:
    """Return the person's rows among some states."""
    return [
        PersonRow(state, timing_of(audience.destination), has_jobs(audience.destination))
        for audience in audiences
        if (state := states.get((audience.audience_id, person)))
    ]
