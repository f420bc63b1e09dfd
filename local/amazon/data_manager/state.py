"""The state behind the API, and the later effects of accepted requests."""

import random
import string
import uuid
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from local.amazon.data_manager.accounts import Account
from local.amazon.data_manager.datasets import Dataset
from local.amazon.data_manager.identity import read_identity
from local.amazon.data_manager.sharing_rules import STATUSES, SharingRule
from local.amazon.faults import Effect
from local.amazon.jobs import Scheduler, next_sweep
from local.amazon.ledger import Ledger, actions
from local.amazon.options import Options
from local.amazon.records import Record
from local.amazon.refusals import Refusal, only_fields
from local.amazon.values import entries, one_of, text

MAX_TARGETS = 1_000  # identities in one deletion
RECOMMENDED_MEMBERS = 5_000


class DataManager:
    """All accounts. An upload takes effect at the first sweep `delay` seconds later, as a job of the first API does."""

    def __init__(self, scheduler: Scheduler, ledger: Ledger, options: Options, *, delay: float, seed: int) -> None:
        self._scheduler = scheduler
        self._ledger = ledger
        self.options = options
        self._delay = delay
        self._random = random.Random(f"data manager {seed}")
        self._numbers = count(1)
        self._accounts: dict[tuple[str, str], Account] = {}
        self._withheld = ""

    def account(self, header: str, account_id: str, now: float) -> Account:
        """Return an account, which begins with its first request."""
        key = (header, account_id)
        if key not in self._accounts:
            since = now if self.options.data_room_exists and self._withheld != "room" else None
            accepted = self.options.data_manager_terms_accepted and self._withheld != "terms"
            self._accounts[key] = Account(account_id, f"agreement-{self._uuid()}", accepted, since)
        return self._accounts[key]

    def withhold(self, part: str, now: float) -> None:
        """Take `terms` or `room` from all accounts, until it is accepted or made again; empty gives back."""
        if part or self._withheld:
            for account in self._accounts.values():
                account.has_accepted = part != "terms"
                account.room_since = None if part == "room" else account.room_since or now
        self._withheld = part

    @property
    def withheld(self) -> str:
        """The part that accounts still lack; empty if there is none."""
        terms = self._withheld == "terms"
        given = [each.has_accepted if terms else each.room_since is not None for each in self._accounts.values()]
        return "" if given and all(given) else self._withheld

    def datasets(self) -> Iterator[tuple[Dataset, list[SharingRule]]]:
        """Yield the datasets of all accounts, each with its shares."""
        for account in self._accounts.values():
            for dataset in account.datasets.values():
                yield dataset, [rule for rule in account.rules.values() if rule.dataset is dataset]

    def shown(self, dataset_id: str) -> dict[str, Any]:
        """Show the members and shares of a dataset of any account. Raises Refusal (404)."""
        for dataset, rules in self.datasets():
            if dataset.dataset_id == dataset_id:
                return dataset.shown() | {"shares": [rule.described() | {"size": rule.size} for rule in rules]}
        raise Refusal("Dataset not found", status=404)

    def set_share_status(self, rule_id: str, status: Any, now: float) -> dict[str, Any]:
        """Set a status that no operation of the API leads to, such as that of a link withdrawn. Raises Refusal."""
        one_of(status, STATUSES, "status")
        for account in self._accounts.values():
            if rule_id in account.rules:
                account.rules[rule_id].set_status(status, now)
                return account.rules[rule_id].described()
        raise Refusal("Sharing rule not found", status=404)

    def create_dataset(self, account: Account, settings: dict[str, Any], now: float) -> Dataset:
        """Create a dataset from a checked body. Raises DuplicateName."""
        account.check_name(settings["name"])
        options = self.options
        dataset = Dataset(
            f"adm-ds-{self._letters(10)}",
            next(self._numbers),
            settings,
            created=now,
            modified=now,
            match_share=options.match_share,
            finding=options.delete_finds_member,
            consent_everywhere=options.consent_required_everywhere,
        )
        account.datasets[dataset.dataset_id] = dataset
        return dataset

    def receive(
        self, dataset: Dataset, records: list[Record], received: int, request: int, effect: Effect, now: float
    ) -> str:
        """Queue the valid members of an upload, and return its ingressId.

        Of a fault rule's `job`, `delay` counts, and any `state` but SUCCEEDED leaves the upload without effect.
        """
        ingress_id = self._uuid()
        self._note(dataset, records, received, request)
        self._ledger.add(request, now, dataset.dataset_id, ingress_id, records)
        dataset.count(now, RECEIVED=received, VALID=len(records))
        if records and effect.job.state in (None, "SUCCEEDED"):
            dataset.pending[ingress_id] = actions(records)
            arrival = now + (effect.apply_late or 0)
            due = None if effect.job.delay is None else arrival + effect.job.delay
            self._later(lambda then: dataset.apply(ingress_id, records, then, request), arrival, due)
        return ingress_id

    def delete_identities(self, account: Account, body: dict[str, Any], request: int, now: float) -> None:
        """Queue a deletion from all datasets of an account. Raises Refusal."""
        only_fields(body, {"targetIdentities"}, "body")
        users: list[str] = []
        pairs: list[tuple[str, str]] = []  # field and digest
        for target in entries(body, "targetIdentities", 1, MAX_TARGETS):
            if only_fields(target, {"externalUserId", "identity"}, "targetIdentities").keys() == {"externalUserId"}:
                users.append(text(target, "externalUserId"))
            elif target.keys() == {"identity"}:
                pairs += [pair for identity in read_identity(target["identity"], "identity") for pair in identity]
            else:
                raise Refusal("targetIdentities: exactly one of externalUserId and identity is needed")
        before = None if self.options.deletion_reaches_later_uploads else request

        def forget(_: float) -> None:
            for dataset in account.datasets.values():
                for user in users:
                    dataset.members.forget_id(user, before)
                dataset.members.forget_identity(tuple(pairs), before)

        self._scheduler.at(now + self.options.identity_deletion_delay, 1.0, forget)

    def create_rule(self, account: Account, wanted: dict[str, Any], now: float, request: int) -> SharingRule:
        """Create a share from a checked body. Raises Refusal (404).

        It is not documented whether a second one for the same destination is refused: it is created and recorded.
        """
        dataset = account.dataset(wanted["dataSetId"])
        same = ("dataSetId", "application", "destinationAccountId")
        if any(
            not rule.is_revoked and all(rule.wanted[name] == wanted[name] for name in same)
            for rule in account.rules.values()
        ):
            self._ledger.violate("share_twice", request, audienceId=dataset.dataset_id)
        digits = str(self._random.randrange(3 * 10**17, 5 * 10**17))
        rule = SharingRule(f"sr-{self._letters(12)}", next(self._numbers), wanted, dataset, digits, now)
        account.rules[rule.rule_id] = rule
        self._later(lambda then: rule.set_status("ACTIVE", then) if rule.status == "PENDING" else None, now)
        return rule

    def _later(self, act: Callable[[float], None], now: float, due: float | None = None) -> None:
        """Act at a sweep, or when due; in no particular order with what else is due then."""
        due = next_sweep(now + self._delay, self._delay) if due is None else due
        self._scheduler.at(due, self._random.random(), act)

    def _note(self, dataset: Dataset, records: list[Record], received: int, request: int) -> None:
        """Record what Amazon accepts, but advises against or ignores."""
        named = dataset.dataset_id
        self._ledger.note_conflicts(request, named, records, dataset.pending.values())
        if received > RECOMMENDED_MEMBERS:
            self._ledger.violate("more_members_than_recommended", request, audienceId=named)
        for user in [each.external_user_id for each in records if each.action == "DELETE" and each.consent != "given"]:
            self._ledger.violate("removal_without_consent", request, audienceId=named, externalUserId=user)

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def _letters(self, length: int) -> str:
        return "".join(self._random.choices(string.ascii_lowercase + string.digits, k=length))
