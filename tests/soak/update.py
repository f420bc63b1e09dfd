"""The membership table as the version before left it: 38 days of deletion notices, and people who have come back since.

That version had their deletions accepted, so nobody may be deleted because of these notices.
"""

import json
from typing import TYPE_CHECKING, Any

from audience_sync.amazon_ads.apis import has_jobs
from audience_sync.aws.membership_rows import Sharding, row_of
from audience_sync.members import membership
from audience_sync.members.erasure import ErasureStep, StepKind
from audience_sync.members.member_state import Identity, MemberState
from audience_sync.members.membership import EVERY_AUDIENCE, Audience, MembershipChange
from tests.soak.clock import EPOCH
from tests.soak.events import CONSENT, StatedChange, Version, audiences_of, identity_of
from tests.soak.held import Held

if TYPE_CHECKING:
    from tests.soak.simulation import Simulation

DAY = 86_400  # seconds
DAYS = 38  # of notices; their rows are kept for 40
REMOVED = 7_500  # seconds until a removal had ended
BACK = 40_000  # seconds from a notice until a person was back


def install(simulation: "Simulation") -> list[str]:
    """Write the rows of people with old notices, let Amazon hold those who are back, and return their ids."""
    people = [f"old_{number}" for number in range(simulation.profile.old_notices)]
    for number, person in enumerate(people):
        noticed = round(EPOCH) - 2 * DAY - number * DAYS * DAY // max(1, len(people))
        _put(simulation, _everywhere(person, noticed, is_closed=number % 3 == 0))
        for place, audience in enumerate(audiences_of(simulation.profile.datasets)):
            _install(simulation, audience, person, noticed, is_back=place < number % 4)
    return people


def _install(simulation: "Simulation", audience: Audience, person: str, noticed: int, *, is_back: bool) -> None:
    emails = [f"{person}-before@example.com", f"{person}-since@example.com"]
    notice = Version(noticed * 1000, True, f"notice-{person}")
    stated = [(Version((noticed - DAY) * 1000, False, "before"), emails[0]), (notice, "")]
    if is_back:
        stated.append((Version((noticed + BACK) * 1000, False, "since"), emails[1]))
    member = (audience.audience_id, person)
    for version, email in stated:
        named = frozenset([identity_of(email)] if email else [])
        change = StatedChange(member, version, named, erase=version is notice)
        simulation.traffic.stated.setdefault(member, []).append(change)
        simulation.accepted_at[change] = version.at / 1000
        simulation.last_accepted[member] = version.at / 1000
    now = identity_of(emails[1])
    identities = (Identity(stated[-1][0].at, json.loads(now)),) if is_back else ()
    _put(simulation, _row(audience, person, stated[-1][0], noticed, identities))
    if is_back:
        at = stated[-1][0].at / 1000
        simulation.amazon.audiences[member] = {now: Held(is_in=True, sent_at=at, applied_at=at + REMOVED)}
    if not has_jobs(audience.destination):
        simulation.amazon.datasets.adopt(member, (noticed - DAY, noticed + BACK) if is_back else (noticed - DAY,))


def _everywhere(person: str, noticed: int, *, is_closed: bool) -> MemberState:
    at, recorded = noticed * 1000, noticed * 1000 + 5_000
    end = (StepKind.CLOSED, "", recorded, recorded + DAY * 1000)
    if not is_closed:
        end = (StepKind.WAITING, "", recorded, at + 30 * DAY * 1000)
    steps = (ErasureStep(StepKind.NOTICE, f"notice-{person}", at, recorded), ErasureStep(*end))
    record = {"externalUserId": person, "action": "DELETE", "hashedPII": [], "userConsent": {}}
    newest = MembershipChange(EVERY_AUDIENCE, audiences_of(0)[0].destination, at, steps[0].id, record)
    return MemberState(newest, (), newest.version, at, exited=noticed, ended=noticed, erasure=steps)


def _row(
    audience: Audience, person: str, newest: Version, noticed: int, identities: tuple[Identity, ...]
) -> MemberState:
    at = (noticed + 20) * 1000
    kinds = [StepKind.REMOVAL] if has_jobs(audience.destination) else [StepKind.REMOVAL, StepKind.DELETION]
    record: dict[str, Any] = {
        "externalUserId": person,
        "countryCode": audience.country,
        "action": "DELETE" if newest.exits else "CREATE",
        "hashedPII": [],
        "userConsent": {"consent": {"amzn": CONSENT}},
    }
    change = MembershipChange(audience.audience_id, audience.destination, newest.at, newest.message_id, record)
    return MemberState(
        change,
        identities,
        membership.Version(noticed * 1000, True, f"notice-{person}"),
        noticed * 1000,
        entered=newest.at // 1000 if identities else noticed - DAY,
        exited=noticed + 20,
        ended=noticed + 10,
        enters_end=noticed - DAY + REMOVED,
        removals_end=noticed + REMOVED,
        erasure=tuple(ErasureStep(kind, f"{kind}-{person}", at, at + REMOVED * 1000) for kind in kinds),
    )


def _put(simulation: "Simulation", state: MemberState) -> None:
    sharding = Sharding(int(simulation.stack.environment()["MEMBERSHIP_SHARDS"]))
    table, key = simulation.stack.members, sharding.key_of(state.member)
    table.rows[table.key_of(key)] = row_of(state, key, 1)
