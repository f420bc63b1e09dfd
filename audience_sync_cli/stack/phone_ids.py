"""Whether members are identified by what is probably their phone number."""

import re

# In practice, E.164 numbers have seven to fifteen digits. A database id may look the same.
_PHONE_NUMBER = re.compile(r"[0-9]{7,15}")


def looks_like_a_phone_number(member_id: str) -> bool:
    """Return whether a member id could be a phone number. Other numbers of that length look the same."""
    return _PHONE_NUMBER.fullmatch(member_id.strip()) is not None
