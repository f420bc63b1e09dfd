"""The uploads that a change takes on Amazon's API of its audience. Pure."""

from dataclasses import replace

from audience_sync.amazon_ads.advertiser_audiences import records
from audience_sync.amazon_ads.data_manager import members
from audience_sync.amazon_ads.destination import Api, api_of, is_of_audience_api
from audience_sync.amazon_ads.upload import Frame, Request, Target, UploadSize
from audience_sync.membership import MAX_IDENTITIES, Destination, MembershipChange

_ENCODERS = {
    Request.RECORDS: records.encode_record,
    Request.MEMBERS: members.encode_member,
    Request.IDENTITIES: members.encode_identities,
}
_SIZES = {Request.MEMBERS: members.MEMBERS_SIZE, Request.IDENTITIES: members.IDENTITIES_SIZE}


def usual_request(destination: Destination) -> Request:
    """Return the request that takes most changes of an audience."""
    return Request.RECORDS if api_of(destination) is Api.AUDIENCES else Request.MEMBERS


def requests_of(change: MembershipChange) -> tuple[Request, ...]:
    """Return the requests that a change takes, in their order.

    A removal from a dataset takes effect only with the consent under which the member was added. A deletion notice
    also deletes the person's identities, which needs no consent; Amazon takes up to 30 days for it.
    """
    usual = usual_request(change.destination)
    if usual is Request.RECORDS or not (change.exits and change.erase):
        return (usual,)
    return (usual, Request.IDENTITIES) if members.has_consent(change.record) else (Request.IDENTITIES,)


def with_deletion(change: MembershipChange, *, erases: bool, repeats: bool, follows_enter: bool) -> MembershipChange:
    """Return a record of a member as it is sent: to a dataset, also with the deletion of identities, or without it.

    They are deleted in all datasets, also in those that the person has entered since. So a repetition deletes them only
    if it follows an enter that nothing else removes.
    """
    if has_jobs(change.destination):
        return change
    again = follows_enter and members.denies_consent(change.record)
    return replace(change, erase=erases and (again or not repeats))


def encode(request: Request, change: MembershipChange) -> bytes:
    """Encode the part of a change in a request, as compact JSON."""
    return _ENCODERS[request](change.record)


def frame_of(request: Request, target: Target) -> Frame:
    """Return the frame around the encoded parts."""
    if request is Request.RECORDS:
        return records.frame_of(target)
    return members.MEMBERS if request is Request.MEMBERS else members.IDENTITIES


def size_of(request: Request, configured: UploadSize) -> UploadSize:
    """Return the limits on a request; `configured` applies to the audience API."""
    return _SIZES.get(request, configured)


def max_identities(destination: Destination) -> int:
    """Return the number of identities that fit one record."""
    return MAX_IDENTITIES if has_jobs(destination) else members.MAX_IDENTITIES


def has_jobs(destination: Destination) -> bool:
    """Return whether Amazon processes uploads in jobs that can be asked for. Otherwise only time tells."""
    return is_of_audience_api(destination)
