"""Switches for undocumented behaviour of Amazon."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of both APIs; the second block belongs to Ads Data Manager."""

    max_body: int = 5_000_000  # bytes; not documented. Sister endpoints state 1, 5 or 6 MB and answer 413 above
    match_share: float = 0.7  # of the members; made up

    max_data_manager_body: int = 10_000_000  # bytes
    data_manager_terms_accepted: bool = True
    data_room_exists: bool = True
    advertiser_mode: bool = True  # whether Amazon-Ads-AccountId works at all
    permissions: frozenset[str] = frozenset({"ads_data_manager_edit", "audiences_edit", "account_edit"})
    delete_finds_member: Literal["id", "identity"] = "id"  # how a DELETE finds the member
    index_base: Literal[0, 1] = 0  # of the first member in the errors of an upload
    consent_required_everywhere: bool = True  # else of people in the UK and the EEA only
    identity_deletion_delay: float = 2.0  # seconds, in place of up to 30 days
    deletion_reaches_later_uploads: bool = False  # whether it also removes who was added between request and effect

    def body_limit(self, path: str) -> int:
        """Return the bytes that a request may have."""
        return self.max_data_manager_body if path.startswith("/adm/") else self.max_body
