"""The fields that a mapping can fill: the one list of them.

What else a field needs is with the part that uses it: where the default mapping looks for it in
segment/mapping_config.py, how an identifier is normalized in amazon_ads/normalize.py, how a consent signal is read in
amazon_ads/consent.py, where a record has it in amazon_ads/record.py. A field that lacks any of it fails a test.
"""

from dataclasses import dataclass
from typing import Literal

FieldKind = Literal["record", "identifier", "consent"]


@dataclass(frozen=True, slots=True)
class MappedField:
    """One field, from a mapping to Amazon."""

    name: str  # in a mapping
    kind: FieldKind  # record: who, which audience, which country; identifier: hashed; consent: a consent signal
    amazon_name: str  # in an upload
    personal: bool = False  # one member's own: a mapping must not give all members the same value


FIELDS = (
    MappedField("external_user_id", "record", "externalUserId", personal=True),
    MappedField("audience_id", "record", "audienceId"),
    MappedField("country", "record", "countryCode"),
    MappedField("email", "identifier", "email", personal=True),
    MappedField("phone", "identifier", "phone", personal=True),
    MappedField("first_name", "identifier", "firstname", personal=True),
    MappedField("last_name", "identifier", "lastname", personal=True),
    MappedField("address", "identifier", "address", personal=True),
    MappedField("city", "identifier", "city"),
    MappedField("state", "identifier", "state"),
    MappedField("postal", "identifier", "postal"),
    MappedField("amzn_ad_storage", "consent", "amznAdStorage"),
    MappedField("amzn_user_data", "consent", "amznUserData"),
    MappedField("tcf", "consent", "tcf"),
    MappedField("gpp", "consent", "gpp"),
    MappedField("ip", "consent", "ipAddress"),
)
IDENTIFIERS = tuple(field for field in FIELDS if field.kind == "identifier")
CONSENT_SIGNALS = tuple(field for field in FIELDS if field.kind == "consent")
