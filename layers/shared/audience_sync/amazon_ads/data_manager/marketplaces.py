"""The marketplaces that a dataset can be shared in. Pure.

Amazon lists them in no document of this API; the ids are those of its other services.
"""

import re
from typing import Any

from audience_sync.amazon_ads.countries import accepted_country

BY_COUNTRY = dict(
    pair.split(":")
    for pair in """
    US:ATVPDKIKX0DER CA:A2EUQ1WTGCTBG2 MX:A1AM78C64UM0Y8 BR:A2Q3Y263D00KWC GB:A1F83G8C2ARO7P DE:A1PA6795UKMFR9
    FR:A13V1IB3VIYZZH IT:APJ6JRA9NG5V4 ES:A1RKKUPIHCS9HS NL:A1805IZSGTT6HS SE:A2NODRKZP88ZB9 TR:A33AVAJ2PDY3EV
    AE:A2VIGQ35RCS4UG SA:A17E79C6D8DWNP JP:A1VC38T7YXB528 AU:A39IBJ37TRP1C6
    """.split()
)
_ID = re.compile(r"A[0-9A-Z]{9,19}")  # of any marketplace, also one that is missing above


def marketplace_id(value: Any) -> str | None:
    """Return the id of a marketplace, given as an id or by its country; None if it is neither."""
    if isinstance(value, str) and _ID.fullmatch(value.strip()):
        return value.strip()
    return BY_COUNTRY.get(accepted_country(value) or "")
