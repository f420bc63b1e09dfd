"""Ads Data Manager in memory: applies uploads within its time in any order, refuses members by place, asks for consent.

What Amazon does not document is drawn from the seed: how a removal finds its member, and whether places count from 0.
An upload has no job. Identities are deleted within 30 days, as far as Amazon had accepted them by the request.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.soak.held import Held, Identity, Member, as_identity
from tests.soak.profiles import EFFECTIVE

if TYPE_CHECKING:
    from tests.soak.amazon import Amazon

MAX_MEMBERS = 5_000
MAX_IDENTITIES = 10
MAX_DELETED = 1_000  # entries in one request
DELETION_TIMES = (3600.0, 2 * 86_400.0, 30 * 86_400.0)  # seconds, at most
MEMBERS_TYPE = "application/vnd.admAudiences.v1+json"
GRANTED = "GRANTED"


class Sent(NamedTuple):
    """One member of an upload."""

    user: str
    action: str
    identities: frozenset[Identity]
    is_consented: bool


class Datasets:
    """All datasets of one account."""

    def __init__(self, amazon: "Amazon", seed: int, at: Callable[[float, Callable[[], None]], None]) -> None:
        """`at` calls a function at an epoch second."""
        self._random = Random(seed)
        self.finds_by = self._random.choice(["id", "identity"])
        self.index_base = self._random.choice([0, 1])
        self.refused: set[Member] = set()  # whom Amazon has ever refused
        self.accepted: dict[Member, set[Identity]] = {}  # ever, of enters
        self.deleted: set[Identity] = set()  # whose deletion was ever requested
        self.last_deletion: dict[str, float] = {}  # of a user, requested at an epoch second
        self._amazon = amazon
        self._at = at
        self._ids: set[str] = set()  # datasets
        self._deletions: dict[int, tuple[float, list[dict[str, Any]]]] = {}  # not in effect yet

    def answer(self, path: str, content_type: str, body: dict[str, Any]) -> dict[str, Any]:
        """Take one request; return the answer's body."""
        if path == "/adm/identities/delete":
            self._accept_deletion(body["targetIdentities"])
            return {}
        _, _, _, dataset_id, _ = path.split("/")
        if content_type != MEMBERS_TYPE:
            self._amazon.violations.append(f"the content type {content_type}")
        return self._accept(dataset_id, [_sent(member) for member in self._checked(body["members"])])

    def end_deletions(self) -> None:
        """Let a month pass for the deletions that are not in effect yet."""
        for number in list(self._deletions):
            self._delete(number)

    def _accept(self, dataset_id: str, members: list[Sent]) -> dict[str, Any]:
        amazon, now = self._amazon, self._amazon.clock.now
        amazon.uploads += 1
        upload = f"ingress-{amazon.uploads:06d}"
        self._ids.add(dataset_id)
        refused = [place for place, member in enumerate(members) if self._refuses(member)]
        self.refused |= {(dataset_id, members[place].user) for place in refused}
        accepted = [member for place, member in enumerate(members) if place not in refused]
        amazon.records += len(accepted)
        for member in accepted:
            amazon.received.setdefault((dataset_id, member.user), []).append(now)
            self._note(upload, dataset_id, member, "accepted")
            if member.action == "CREATE":
                held = amazon.audiences.setdefault((dataset_id, member.user), {})
                self.accepted.setdefault((dataset_id, member.user), set()).update(member.identities)
                for identity in member.identities:
                    held.setdefault(identity, Held()).sent_at = now
        amazon.unfinished += 1
        takes = self._random.uniform(1.0, EFFECTIVE) ** self._random.choice([1.0, 1.0, 0.6])
        self._at(now + takes, partial(self._apply, upload, dataset_id, accepted))
        details = {"code": "400", "details": "invalid member", "errors": [{"errorCode": 1017}]}
        errors = [{"index": place + self.index_base} | details for place in refused]
        return {"ingressId": upload} | ({"errors": errors} if errors else {})

    def _refuses(self, member: Sent) -> bool:
        if member.action == "CREATE" and member.identities & self._amazon.refused_identities:
            return True
        share = self._amazon.profile.jobs.rejected
        return share > 0 and self._random.random() < share

    def _apply(self, upload: str, dataset_id: str, members: Iterable[Sent]) -> None:
        self._amazon.unfinished -= 1
        for member in members:
            held = self._amazon.audiences.setdefault((dataset_id, member.user), {})
            if member.action == "CREATE":
                for identity in member.identities:
                    held.setdefault(identity, Held()).add()
            elif member.is_consented:
                for identity in [*held] if self.finds_by == "id" else member.identities:
                    held.setdefault(identity, Held()).remove()
            self._note(upload, dataset_id, member, "applied" if member.is_consented else "ignored")

    def _accept_deletion(self, entries: list[dict[str, Any]]) -> None:
        amazon, now = self._amazon, self._amazon.clock.now
        if not 0 < len(entries) <= MAX_DELETED:
            amazon.violations.append(f"{len(entries)} identities to delete")
        amazon.uploads += 1
        number = amazon.uploads
        for user in [entry["externalUserId"] for entry in entries if "externalUserId" in entry]:
            self.last_deletion[user] = now
            for dataset_id in sorted(self._ids):
                self._note(f"deletion-{number}", dataset_id, Sent(user, "DELETE", frozenset(), True), "accepted")
        self._deletions[number] = now, entries
        self.deleted |= {identity for entry in entries for identity in _identities(entry.get("identity", {}))}
        self._at(now + self._random.uniform(1.0, self._random.choice(DELETION_TIMES)), partial(self._delete, number))

    def _delete(self, number: int) -> None:
        if number not in self._deletions:
            return
        requested, entries = self._deletions.pop(number)
        users = {entry.get("externalUserId") for entry in entries}
        identities = {identity for entry in entries for identity in _identities(entry.get("identity", {}))}
        for (dataset_id, user), held in self._amazon.audiences.items():
            for identity, one in held.items() if dataset_id in self._ids else ():
                if (user in users or identity in identities) and one.sent_at <= requested:
                    one.remove()

    def _checked(self, members: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        violations = self._amazon.violations
        if not 0 < len(members) <= MAX_MEMBERS:
            violations.append(f"{len(members)} members in one upload")
        if len({member["externalUserId"] for member in members}) < len(members):
            violations.append("two members of one id in one upload")
        for member in members:
            if not 0 < len(member["userIdentity"]["hashedPiis"]) <= MAX_IDENTITIES:
                violations.append(f"{len(member['userIdentity']['hashedPiis'])} identities of a member")
            if member["action"] not in ("CREATE", "DELETE"):
                violations.append(f"the action {member['action']}")
            if member["action"] == "CREATE" and not _sent(member).is_consented:
                violations.append("a member without consent")
            yield member

    def _note(self, upload: str, dataset_id: str, member: Sent, what: str) -> None:
        identities = " ".join(sorted(json.loads(each)["email"][:6] for each in member.identities))
        line = f"{self._amazon.clock.monotonic():10.3f} {upload} {member.action} {what} {identities}"
        self._amazon.ledger.setdefault((dataset_id, member.user), []).append(line)


def _sent(member: dict[str, Any]) -> Sent:
    consent = member.get("userConsent", {}).get("consent", {}).get("amzn", {})
    identities = frozenset(_identities(member["userIdentity"]))
    return Sent(member["externalUserId"], member["action"], identities, consent.get("amznUserData") == GRANTED)


def _identities(of: dict[str, Any]) -> Iterator[Identity]:
    return (as_identity({"email": digests["em"]}) for digests in of.get("hashedPiis", []))
