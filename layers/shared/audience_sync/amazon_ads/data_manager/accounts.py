"""The account that owns the datasets, and the header that names it. Pure."""

import re
from dataclasses import dataclass
from typing import Self

from audience_sync.errors import InvalidSettings

_ACCOUNT_ID = re.compile(r"[\x21-\x7e]{1,256}")  # its format is not declared; a header can carry these
# Amazon's own samples; a DSP account's id, from the DSP console's advertiser settings, begins with ENTITY.
_MANAGER = "amzn1.ads1.ma1."


@dataclass(frozen=True, slots=True)
class Account:
    """A manager account, or a DSP account in its place. Amazon wants exactly one."""

    account_id: str

    @classmethod
    def from_parameter(cls, value: str) -> Self | None:
        """Read the stack parameter DataManagerAccountId; None if it is empty, and the stack uses no datasets.

        Raises:
            InvalidSettings: it cannot be an id.
        """
        account_id = value.strip()
        if not account_id:
            return None
        if not _ACCOUNT_ID.fullmatch(account_id):
            remedy = "copy it from the Amazon Ads console, and deploy"
            raise InvalidSettings(f"DataManagerAccountId is not an account id; {remedy}")
        return cls(account_id)

    @property
    def is_manager(self) -> bool:
        """Whether the form of the id is a manager account's."""
        return self.account_id.startswith(_MANAGER)

    @property
    def header(self) -> dict[str, str]:
        """The one header that names the account."""
        return {"Amazon-Ads-Manager-Account-ID" if self.is_manager else "Amazon-Ads-AccountId": self.account_id}
