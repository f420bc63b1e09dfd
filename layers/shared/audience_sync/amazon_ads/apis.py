"""The differences between Amazon's APIs, by destination: uploads, removals, the end of an upload. Pure.

An API that this version does not know counts as one without jobs. The worker parks its changes before any request.
"""

from collections.abc import Callable
from typing import NamedTuple

from audience_sync.amazon_ads.advertiser_audiences import records
from audience_sync.amazon_ads.data_manager import members
from audience_sync.amazon_ads.destination import MAX_IN_DATASET, is_of_audience_api
from audience_sync.amazon_ads.upload import Frame, Target, UploadSize
from audience_sync.members.membership import MAX_IDENTITIES, Destination, MembershipChange


class UploadRules(NamedTuple):
    """The requests that an API accepts, and their limits."""

    encode: Callable[[MembershipChange], bytes]  # a change as its part of a request, in compact JSON
    frame_of: Callable[[Target], Frame]  # around the encoded parts
    max_identities: int  # of one record
    size: UploadSize | None  # None: as the stack is configured


_WITH_JOBS = UploadRules(records.encode_record, records.frame_of, MAX_IDENTITIES, None)
_DATASETS = UploadRules(members.encode_member, members.frame_of, MAX_IN_DATASET, members.MEMBERS_SIZE)


def upload_rules(destination: Destination) -> UploadRules:
    """Return the rules for uploads to an audience."""
    return _WITH_JOBS if has_jobs(destination) else _DATASETS


def has_jobs(destination: Destination) -> bool:
    """Return whether Amazon processes uploads in jobs that can be asked for. Otherwise only time tells."""
    return is_of_audience_api(destination)


def is_ignored(removal: MembershipChange) -> bool:
    """Return whether Amazon ignores a removal with its consent: from a dataset, if that is denied."""
    return not has_jobs(removal.destination) and removal.denies_consent


def is_proof(removal: MembershipChange) -> bool:
    """Return whether the end of a removal proves it: from a dataset, only with consent to user data."""
    return has_jobs(removal.destination) or members.is_granted(removal.consent)
