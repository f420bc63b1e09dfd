"""The account that owns the datasets, and the header that names it. Pure."""

import re
from dataclasses import dataclass
from typing import Self

from audience_sync.errors import InvalidSettings

_MANAGER, _DSP = "DataManagerAccountId", "DataManagerDspAccountId"  # stack parameters
_ACCOUNT_ID = re.compile(r"[\x21-\x7e]{1,256}")  # its format is not declared; a header can carry these


@dataclass(frozen=True, slots=True)
class Account:
    """A manager account, or a DSP account in its place. Amazon wants exactly one."""

    account_id: str
    is_manager: bool

    @classmethod
    def from_parameters(cls, manager: str, dsp: str) -> Self | None:
        """Read the values of the two stack parameters; None if both are empty, and the stack uses no datasets.

        Raises:
            InvalidSettings: both are given, or the given one cannot be an id.
        """
        given = {name: value.strip() for name, value in ((_MANAGER, manager), (_DSP, dsp)) if value.strip()}
        if len(given) > 1:
            raise InvalidSettings(
                f"{_MANAGER} and {_DSP} are both given, and Amazon accepts one account only; deploy with the manager"
                " account alone, or with the DSP account alone if there is no manager account"
            )
        for name, account_id in given.items():
            if not _ACCOUNT_ID.fullmatch(account_id):
                raise InvalidSettings(f"{name} is not an account id; copy it from the Amazon Ads console, and deploy")
            return cls(account_id, is_manager=name == _MANAGER)
        return None

    @property
    def header(self) -> dict[str, str]:
        """The one header that names the account."""
        return {"Amazon-Ads-Manager-Account-ID" if self.is_manager else "Amazon-Ads-AccountId": self.account_id}
