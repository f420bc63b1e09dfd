"""The ids of Amazon's objects and of members. Pure."""

import re
from typing import Any

from audience_sync.amazon_ads.placeholders import is_placeholder
from audience_sync.errors import RejectedEvent
from audience_sync.members.membership import AUDIENCE_ID
from audience_sync.reasons import Reason

_EXTERNAL_USER_ID = re.compile(r"[0-9a-zA-Z_-]{1,128}")
_AMAZON_ID = re.compile(r"[0-9]{1,20}")
_MAX_BITS = 426  # of a number of 128 digits; printing longer ones takes noticeable time
_JOB_ID = re.compile(r"(?!\.+\Z)[\w.:-]{1,200}", re.ASCII)  # opaque, but logged and part of a path: never ..
MAX_AMAZON_ID = 2**64 - 1  # declared as unsigned 64-bit


def external_user_id(value: Any) -> str:
    """Return the member id in Amazon's format; numbers as digits.

    Raises:
        RejectedEvent: missing, or not in Amazon's pattern, which excludes e-mail addresses and formatted phone numbers.
    """
    if type(value) is str and _EXTERNAL_USER_ID.fullmatch(value):  # nearly all
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= _MAX_BITS:
        value = str(value)
    if value is None or value == "":
        raise RejectedEvent(Reason.MEMBER_ID_MISSING, field="external_user_id")
    if not isinstance(value, str) or not _EXTERNAL_USER_ID.fullmatch(value):
        raise RejectedEvent(Reason.MEMBER_ID_INVALID, field="external_user_id")
    return value


def id_of_person(value: Any) -> str:
    """Return `external_user_id` of a member to add, or to erase for a denial of consent. Raises as it does.

    Also if the id stands for nobody: unrelated people share it, and one of them would take out all. Exits and deletion
    notices need `external_user_id` only, and take out who was added before.
    """
    member = external_user_id(value)
    if is_placeholder(member):
        raise RejectedEvent(Reason.MEMBER_ID_PLACEHOLDER, field="external_user_id")
    return member


def amazon_id(value: Any) -> str | None:
    """Return an audience or advertiser id as decimal digits; None if it is not one. Never uses floats."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if 0 < value <= MAX_AMAZON_ID else None
    if not isinstance(value, str) or not _AMAZON_ID.fullmatch(digits := value.strip()):
        return None
    number = int(digits)
    return str(number) if 0 < number <= MAX_AMAZON_ID else None


def job_id(value: Any) -> str | None:
    """Return Amazon's id of an upload, None if it cannot be used."""
    return value if isinstance(value, str) and _JOB_ID.fullmatch(value) else None


def audience_id(value: Any) -> str | None:
    """Return the id of an audience: decimal digits, or the id of a dataset; None if it is neither."""
    digits = amazon_id(value)
    is_dataset = isinstance(value, str) and not value.isdecimal() and AUDIENCE_ID.fullmatch(value)
    return value if is_dataset else digits
