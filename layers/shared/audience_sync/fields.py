"""The one list of the fields that a mapping can fill.

Their other properties are with the code that uses them: the sources of the default mapping in
segment/default_mapping.py, the normalization of identifiers in amazon_ads/normalization/quick.py, the reading of
consent signals in amazon_ads/consent.py. A test fails if a field lacks any. No code relies on positions in the list.
"""

from dataclasses import dataclass
from typing import Literal

FieldKind = Literal["record", "identifier", "consent"]


@dataclass(frozen=True, slots=True)
class MappedField:
    """One field, from a mapping to Amazon."""

    name: str  # in a mapping
    kind: FieldKind  # record: who, which audience, which country; identifier: hashed; consent: a consent signal
    amazon_name: str  # of the audience API, in messages, dead letters and rows too; never changes
    personal: bool = False  # a mapping must not give all members the same value
    code: str = ""  # of an identifier in members' rows: one letter that never changes
    data_manager_name: str = ""  # of an identifier in a dataset
    sent_as: str = ""  # in an upload, if the audience API has renamed it
    is_listed: bool = False  # a list of values gives a member several identities

    @property
    def sent_name(self) -> str:
        """The name in an upload to the audience API."""
        return self.sent_as or self.amazon_name


FIELDS = (
    MappedField("external_user_id", "record", "externalUserId", personal=True),
    MappedField("audience_id", "record", "audienceId"),
    MappedField("country", "record", "countryCode"),
    MappedField("email", "identifier", "email", personal=True, code="e", data_manager_name="em", is_listed=True),
    MappedField("phone", "identifier", "phone", personal=True, code="p", data_manager_name="ph", is_listed=True),
    MappedField("first_name", "identifier", "firstname", personal=True, code="f", data_manager_name="fn"),
    MappedField("last_name", "identifier", "lastname", personal=True, code="l", data_manager_name="ln"),
    MappedField("address", "identifier", "address", personal=True, code="a", data_manager_name="ad"),
    MappedField("city", "identifier", "city", code="c", data_manager_name="cty"),
    MappedField("state", "identifier", "state", code="s", data_manager_name="st"),
    MappedField("postal", "identifier", "postal", code="z", data_manager_name="zip"),
    MappedField("amzn_ad_storage", "consent", "amznAdStorage"),
    MappedField("amzn_user_data", "consent", "amznUserData"),
    MappedField("tcf", "consent", "tcf"),
    MappedField("gpp", "consent", "gpp"),
    MappedField("ip", "consent", "ipAddress"),
)
IDENTIFIERS = tuple(field for field in FIELDS if field.kind == "identifier")
LISTED = tuple(field for field in IDENTIFIERS if field.is_listed)
CONSENT_SIGNALS = tuple(field for field in FIELDS if field.kind == "consent")
