"""Ads Data Manager in memory: applies uploads within its time in any order, refuses members by place, asks for consent.

What Amazon does not document is drawn from the seed: how a removal finds its member, whether places count from 0, and
what a deletion reaches. An upload has no job. A deletion takes effect within 30 days.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.soak.finding import Finding
from tests.soak.held import Held, Identity, Member, as_identity
from tests.soak.profiles import EFFECTIVE

if TYPE_CHECKING:
    from tests.soak.amazon import Amazon

MAX_MEMBERS = 5_000
MAX_IDENTITIES = 10
DELETIONS = "/adm/identities/delete"
MAX_DELETED = 1_000  # entries in one request
# The uploads that a deletion reaches: accepted by the request; in effect by then; accepted until it takes effect.
REACHES = ("accepted", "applied", "later")
DELETION_TIMES = (3600.0, 2 * 86_400.0, 30 * 86_400.0)  # seconds, at most
MEMBERS_TYPE = "application/vnd.admAudiences.v1+json"
GRANTED = "GRANTED"


class Sent(NamedTuple):
    """One member of an upload."""

    user: str
    action: str
    identities: frozenset[Identity]
    is_consented: bool = True
    is_denied: bool = False


class Datasets:
    """All datasets of one account."""

    def __init__(self, amazon: "Amazon", seed: int, at: Callable[[float, Callable[[], None]], None]) -> None:
        """`at` calls a function at an epoch second."""
        self._random = Random(seed)
        self.finds_by = self._random.choice(["id", "identity"])
        self.index_base = self._random.choice([0, 1])
        self.deletes = self._random.choice(REACHES)
        self.refused: set[Member] = set()  # whom Amazon has ever refused
        self.forgotten: set[Member] = set()  # whose rows are lost, so that nobody knows their consent
        self.accepted: dict[Member, list[float]] = {}  # when each enter was, epoch seconds
        self.deletions: dict[str, list[float]] = {}  # of a user, when each request was accepted
        self.deleted_at: dict[str, float] = {}  # of a user, when a deletion last took effect
        self.found: list[Finding] = []  # in requests
        self._amazon = amazon
        self._at = at
        self._ids: set[str] = set()  # datasets
        self._deletions: dict[int, tuple[float, list[dict[str, Any]]]] = {}  # not in effect yet
        self._reached: dict[str, float] = {}  # of a user, until when uploads were accepted that a deletion has reached

    def answer(self, path: str, content_type: str, body: dict[str, Any]) -> dict[str, Any]:
        """Take one request; return the answer's body."""
        if path == DELETIONS:
            self._accept_deletion(body["targetIdentities"])
            return {}
        _, _, _, dataset_id, _ = path.split("/")
        if content_type != MEMBERS_TYPE:
            self._amazon.violations.append(f"the content type {content_type}")
        return self._accept(dataset_id, [sent_member(member) for member in self._checked(dataset_id, body["members"])])

    def adopt(self, member: Member, accepted: Iterable[float]) -> None:
        """Know a member from before the simulation, whose enters were accepted at some epoch seconds."""
        self._ids.add(member[0])
        self.accepted[member] = [*accepted]

    def may_have_deleted(self, user: str, sent_at: float) -> bool:
        """Return whether a deletion reached an enter that was accepted after it was requested."""
        return self.deletes == "later" and self.deleted_at.get(user, 0.0) >= sent_at

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
                self.accepted.setdefault((dataset_id, member.user), []).append(now)
                for identity in member.identities:
                    held.setdefault(identity, Held()).sent_at = now
        amazon.unfinished += 1
        takes = self._random.uniform(1.0, EFFECTIVE) ** self._random.choice([1.0, 1.0, 0.6])
        self._at(now + takes, partial(self._apply, upload, dataset_id, accepted, now))
        details = {"code": "400", "details": "invalid member", "errors": [{"errorCode": 1017}]}
        errors = [{"index": place + self.index_base} | details for place in refused]
        return {"ingressId": upload} | ({"errors": errors} if errors else {})

    def _refuses(self, member: Sent) -> bool:
        if self._amazon.refuses(member.action, member.identities):
            return True
        share = self._amazon.profile.jobs.rejected
        return share > 0 and self._random.random() < share

    def _apply(self, upload: str, dataset_id: str, members: Iterable[Sent], accepted_at: float) -> None:
        self._amazon.unfinished -= 1
        for member in members:
            held = self._amazon.audiences.setdefault((dataset_id, member.user), {})
            if member.action == "CREATE":
                is_reached = accepted_at <= self._reached.get(member.user, 0.0)
                for identity in () if is_reached else member.identities:
                    held.setdefault(identity, Held()).add(self._amazon.clock.now)
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
            self.deletions.setdefault(user, []).append(now)
            self._note_deletion(number, user, "accepted")
        if any("identity" in entry for entry in entries):
            self.found.append(Finding("by hash", "a request to delete people"))
        self._deletions[number] = now, entries
        self._at(now + self._random.uniform(1.0, self._random.choice(DELETION_TIMES)), partial(self._delete, number))

    def _delete(self, number: int) -> None:
        if number not in self._deletions:
            return
        requested, entries = self._deletions.pop(number)
        users = {entry["externalUserId"] for entry in entries if "externalUserId" in entry}
        identities = {identity for entry in entries for identity in _identities(entry.get("identity", {}))}
        until = self._amazon.clock.now if self.deletes == "later" else requested
        for (dataset_id, user), held in self._amazon.audiences.items():
            for identity, one in held.items() if dataset_id in self._ids else ():
                since = one.applied_at if self.deletes == "applied" else one.sent_at
                if (user in users or identity in identities) and since <= until:
                    one.remove()
        for user in sorted(users):
            self.deleted_at[user] = self._amazon.clock.now
            self._note_deletion(number, user, "applied")
            if self.deletes != "applied":
                self._reached[user] = max(until, self._reached.get(user, 0.0))

    def _checked(self, dataset_id: str, members: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
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
            if member["action"] == "CREATE" and not sent_member(member).is_consented:
                violations.append("a member without consent")
            self._check_removal(dataset_id, sent_member(member))
            yield member

    def _check_removal(self, dataset_id: str, member: Sent) -> None:
        of = (dataset_id, member.user)
        if of in self.forgotten:
            return
        if member.action == "DELETE" and (member.is_denied or (not member.is_consented and of in self.accepted)):
            how = "with a denial" if member.is_denied else "without consent"
            self.found.append(Finding("denied removal", how, of))

    def _note_deletion(self, number: int, user: str, what: str) -> None:
        for dataset_id in sorted(self._ids):
            self._note(f"deletion-{number}", dataset_id, Sent(user, "by id", frozenset()), what)

    def _note(self, upload: str, dataset_id: str, member: Sent, what: str) -> None:
        identities = " ".join(sorted(json.loads(each)["email"][:6] for each in member.identities))
        line = f"{self._amazon.clock.monotonic():10.3f} {upload} {member.action} {what} {identities}"
        self._amazon.ledger.setdefault((dataset_id, member.user), []).append(line)


def sent_member(member: dict[str, Any]) -> Sent:
    """Read a member of an upload."""
    consent = member.get("userConsent", {}).get("consent", {}).get("amzn", {})
    identities = frozenset(_identities(member["userIdentity"]))
    is_denied = "DENIED" in consent.values()
    is_consented = consent.get("amznUserData") == GRANTED and not is_denied
    return Sent(member["externalUserId"], member["action"], identities, is_consented, is_denied)


def _identities(of: dict[str, Any]) -> Iterator[Identity]:
    return (as_identity({"email": digests["em"]}) for digests in of.get("hashedPiis", []))
