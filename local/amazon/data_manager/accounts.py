"""One account: its terms, data room, datasets and sharing rules."""

from dataclasses import dataclass, field
from typing import Any

from local.amazon import values
from local.amazon.data_manager.answers import DuplicateName, written_time
from local.amazon.data_manager.datasets import Dataset
from local.amazon.data_manager.sharing_rules import SharingRule
from local.amazon.refusals import Refusal, only_fields

_AGREEMENT = "<html><body><h1>Data terms</h1><p>Sandbox text: nothing is agreed by accepting it.</p></body></html>"


@dataclass(slots=True)
class Account:
    """A manager account, or an advertiser in its place. Each has a data room of its own."""

    account_id: str
    agreement_token: str
    has_accepted: bool
    room_since: float | None  # epoch seconds
    datasets: dict[str, Dataset] = field(default_factory=dict)
    rules: dict[str, SharingRule] = field(default_factory=dict)  # of deleted datasets as well

    def terms(self) -> dict[str, Any]:
        """Answer as GET /adm/terms; after acceptance only the flag matters."""
        if self.has_accepted:
            return {"hasAccepted": True}
        return {"agreementContent": _AGREEMENT, "agreementToken": self.agreement_token, "hasAccepted": False}

    def accept_terms(self, body: dict[str, Any]) -> None:
        """Accept the terms. Raises Refusal if the token is not the one that was shown."""
        only_fields(body, {"agreementToken", "hasAccepted"}, "body")
        accepts = values.flag(body, "hasAccepted")
        if values.text(body, "agreementToken") != self.agreement_token:
            raise Refusal("agreementToken is not valid")
        self.has_accepted = self.has_accepted or accepts

    def room(self) -> dict[str, Any]:
        """Answer as GET /adm/datarooms. Raises Refusal (404)."""
        if self.room_since is None:
            raise Refusal("The account has no data room", status=404)
        return {"accountId": self.account_id, "creationDateTime": written_time(self.room_since), "region": "us-east-1"}

    def dataset(self, dataset_id: str) -> Dataset:
        """Find a dataset. Raises Refusal (404)."""
        if dataset_id not in self.datasets:
            raise Refusal("Dataset not found", status=404)
        return self.datasets[dataset_id]

    def rule(self, rule_id: str) -> SharingRule:
        """Find a sharing rule. Raises Refusal (404)."""
        if rule_id not in self.rules:
            raise Refusal("Sharing rule not found", status=404)
        return self.rules[rule_id]

    def check_name(self, name: str) -> None:
        """Raise DuplicateName if a dataset has this name."""
        for dataset in self.datasets.values():
            if dataset.name == name:
                raise DuplicateName(dataset.dataset_id)

    def delete_dataset(self, dataset_id: str, now: float) -> None:
        """Delete a dataset and end its shares. Its uploads without effect never get one. Raises Refusal (404)."""
        dataset = self.dataset(dataset_id)
        for rule in self.rules.values():
            if rule.dataset is dataset and not rule.is_revoked:
                rule.set_status("REVOKED_BY_DATASET", now)
        dataset.is_deleted = True
        del self.datasets[dataset_id]
