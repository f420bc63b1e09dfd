"""Every way to switch from Segment's own destination: who is left in the audience after everybody has left.

docs/switching.md states the numbers. A removal takes away the identifiers that it names, as in the sandbox: Amazon does
not document it, and this is the strictest reading.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from audience_sync.ingest.intake import changes_from, compiled
from audience_sync.members.membership import Audience, Identity, MembershipChange
from local.sample_profiles import Person, audience_event
from local.template import ROOT
from tests.e2e.segment.workspace import FOLDER
from tests.support import node
from tests.support.builders import AUDIENCE, sha256
from tests.support.doubles.audiences import Listed
from tests.support.worker_stack import MemoryStack, notice

PAGE = (ROOT / "docs/switching.md").read_text(encoding="utf-8")
WAYS = re.findall(r"^\| .+ \| (.+?) \| (\d.*?) \|$", PAGE, re.MULTILINE)  # steps, and what they leave
PEOPLE = {person.user_id: person for person in map(Person, range(1, 201))}
ERASED = {*[*PEOPLE][:20]}
LISTED = Listed(Audience(AUDIENCE, country="US", computation_key="k"))
KEPT = {"email": r"[^a-z0-9.@-]", "phone": r"[^0-9]"}  # the two fields with filters of their own at Segment


def traits(person: Person) -> dict[str, str]:
    """Return all eight fields of every other person, and e-mail address, names and city of the rest."""
    found = {"email": person.email, **person.traits}
    few = found.keys() if person.number % 2 else {"email", "first_name", "last_name", "city"}
    return {name: value for name, value in found.items() if name in few}


def segments_hashes(person: Person) -> dict[str, str]:
    filtered = {name: re.sub(KEPT.get(name, r"[^a-z0-9]"), "", value.lower()) for name, value in traits(person).items()}
    return {name.replace("_", ""): sha256(value) for name, value in filtered.items()}


def changes(at: float, step: str) -> Iterator[MembershipChange]:
    """Yield what ingest makes of everybody's event at an epoch second, if wanted with Segment's hashes beside ours."""
    enters, when, now = step.endswith("enters"), datetime.fromtimestamp(at, UTC), round(at * 1000)
    events = [
        audience_event(each, enters=enters, at=when, audience_id=AUDIENCE, key="k")
        | {"properties": {"k": enters, **traits(each)}}
        for each in PEOPLE.values()
    ]
    for change in changes_from(json.dumps(events).encode(), mappings=compiled(None), audiences=LISTED, now=now).changes:
        more = (Identity(change.at, segments_hashes(PEOPLE[change.member_id])),) if "both forms" in step else ()
        yield replace(change, identities=change.identities + more)


def left(way: str) -> str:
    """Take the steps of a way, two days apart; return what it leaves, in the page's words."""
    stack = MemoryStack()
    for step in way.split(", "):
        if step.startswith("Segment"):
            action = "CREATE" if step.endswith("enters") else "DELETE"
            sent = {user: [segments_hashes(each)] for user, each in PEOPLE.items()}
            stack.amazon.apply([{"externalUserId": each, "action": action, "hashedPII": sent[each]} for each in sent])
        elif step == "stack erases":
            stack.deliver(*(notice(round(stack.now * 1000), each) for each in ERASED))
        else:
            stack.deliver(*changes(stack.now, step))
        assert stack.amazon.active() == {*PEOPLE} or not step.endswith("enters")
        stack.rest()
        stack.now += 2 * 86_400
    if not way.endswith("erases"):
        return str(len(stack.amazon.active()))
    (state,) = {stack.erasure(each).progress for each in ERASED}
    return f"{len(stack.amazon.active() & ERASED)} of {len(ERASED)} ({state})"


@pytest.mark.parametrize(("way", "stated"), WAYS)
def test_each_way_leaves_as_many_people_in_the_audience_as_the_page_states(way: str, stated: str) -> None:
    assert (len(WAYS), left(way)) == (10, stated)


def test_the_hashes_are_those_of_segments_published_code_which_removes_on_every_event_but_one() -> None:
    names = ("Audience Entered", "Audience Exited", "Renamed")
    payloads = [
        {re.sub("_n", "N", name): value for name, value in traits(person).items()}
        | {"externalUserId": user, "event_name": names[person.number % 3], "audienceId": AUDIENCE}
        for user, person in PEOPLE.items()
    ]
    for record, person in zip(node.run("hashes.cjs", payloads, folder=FOLDER), PEOPLE.values(), strict=True):
        assert record["hashedPII"] == [segments_hashes(person)]
        assert record["action"] == ("DELETE" if person.number % 3 else "CREATE")
