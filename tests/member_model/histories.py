"""Histories of one member, each drawn from a seed: what happens to the member, and what is wrong at its end."""

from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import NamedTuple

from audience_sync.ingest.record_rules import erasing_exit
from audience_sync.members.dead_letters import DeadLetter
from audience_sync.members.membership import MAX_IDENTITIES, MembershipChange
from audience_sync.members.messages import pack
from tests.member_model.world import NOW, TIMINGS, Trouble, World
from tests.support.builders import AUDIENCE, change

MEMBER = "m1"
LATENESS = (0, 0, 0, 0, 0, 0, 1, 70, 1_000, 8_000)  # seconds by which an event arrives late
MANY = 60  # identities of one address, in some histories: two addresses need two uploads to remove
MOST_PARKED = 30  # uploads of one history; else one is sent, and parked, again and again
TIMING = TIMINGS.audiences


ENTERS, REMOVALS = (
    tuple(f"{what}_{uploads}" for what in ("refused", "silent", "parked")) for uploads in ("enters", "removals")
)
CLOUD = ("slow", "stopped", "table", "unanswered", "queues", "twice")  # Lambda and AWS
JOBS = ("late", "forgotten", "checks", "failed")
RARE = (0.0, 0.0, 0.0, 0.03)  # more, and a queue that stores half of what it refuses doubles it
ANY = (0.0, 0.0, 0.1, 0.4, 0.8)


class Theme(NamedTuple):
    """What some histories are about. One value of each tuple is drawn: with all at once, nothing gets far enough."""

    trouble: Sequence[tuple[Sequence[str], Sequence[float]]]  # shares of calls
    gaps: Sequence[int]  # seconds between two arrivals
    addresses: Sequence[str] = ("a", "a", "ab")  # a letter each
    notices: Sequence[float] = (0.0,)  # share of changes
    over: Sequence[float] = (600.0, 3_600.0)  # seconds of trouble after the last arrival
    held: Sequence[int] = (0,)  # identities at Amazon from before, which exits may name


SOON = (0, 3, 60, 240, 840, 960, 1_080)
THEMES = (
    Theme(  # anything
        ((ENTERS, ANY), (REMOVALS, ANY), (CLOUD, (0.0, 0.0, 0.03, 0.1)), (JOBS, (0.0, 0.0, 0.2, 0.5))),
        gaps=(*SOON, 3_000, 9_000),
        addresses=("a", "ab", "abc"),
        notices=(0.0, 0.0, 0.3),
        over=(0.0, 600.0, 3_600.0, 18_000.0),
    ),
    Theme(
        ((REMOVALS[:2], (0.0, 0.4, 0.8)), (REMOVALS[2:], (0.0, 0.0, 0.4)), (CLOUD[:2], RARE)), gaps=SOON
    ),  # removals fail
    Theme(((ENTERS[:2], (0.0, 0.4, 0.8)), (ENTERS[2:], (0.0, 0.0, 0.4)), (CLOUD[:2], RARE)), gaps=SOON),  # enters fail
    Theme(  # notices, the last removals of which come after two hours, and jobs
        ((JOBS[:3], (0.5, 0.8)), (JOBS[3:], (0.0, 0.0, 0.3)), (CLOUD, RARE)),
        gaps=(0, 3, 60, 9_000, 9_000),
        addresses=("a", "a", "a", "ab"),
        notices=(0.4,),
        over=(18_000.0,),
    ),
    Theme(  # side by side
        ((ENTERS, ANY), (REMOVALS, ANY), (CLOUD[:1], (0.1, 0.3)), (CLOUD[1:], RARE)),
        gaps=(0, 0, 3),
        addresses=("a", "ab", "abc"),
        notices=(0.0, 0.0, 0.3),
    ),
    Theme(  # two removals in flight, the jobs of which end in either order
        ((JOBS[:1], (0.0, 0.5)), (JOBS[3:], (0.3, 0.5))),
        gaps=(0, 3, 60),
        notices=(0.4,),
        over=(18_000.0,),
        held=(1,),
    ),
    Theme(((("long",), (0.9, 1.0)), (CLOUD, RARE)), gaps=(60, 9_000), held=(500, 800)),  # removals in many parts
)


class Wrong(AssertionError):
    """Amazon, the row or the count is not as it must be."""


def live(seed: int, tell: Callable[[str], None] | None = None) -> World:
    """Let the history of a seed happen. Raises Wrong, or NoEnd.

    When everything has come to rest, dead letters are redriven, as an operator does once their cause has gone.
    """
    random, theme = Random(seed), THEMES[seed % len(THEMES)]
    held = [f"z{which:03}".ljust(64, "0") for which in range(random.choice(theme.held))]
    changes = _changes(random, theme, held)
    over = NOW + changes[-1][0] + random.choice(theme.over)
    shares = {name: random.choice(some) for names, some in theme.trouble for name in names}
    world = World(random, Trouble(over, **shares), held, tell)
    for arrival, some in changes:
        world.scheduler.at(NOW + arrival, partial(_arrive, world, some))
    world.scheduler.run()
    _check_rest(world)
    while world.dead_letters:
        letters = [DeadLetter.from_body(body) for body in world.dead_letters]
        world.dead_letters = []
        world.tell("operator", lambda: "redrives the dead letters")
        world.send("worker", [body for each in letters for body in each.redrive_bodies()])
        world.scheduler.run()
        _check_rest(world)
    _check_end(world, [each for _, some in changes for each in some], held)
    return world


def story(seed: int) -> list[str]:
    """Return the history of a seed, line by line, up to what is wrong with it."""
    lines: list[str] = []
    try:
        live(seed, lines.append)
    except AssertionError as error:
        lines.append(f"wrong: {error}")
    return lines


def _changes(random: Random, theme: Theme, held: Sequence[str]) -> list[tuple[int, list[MembershipChange]]]:
    """Draw what arrives: seconds since the beginning, and the changes of one message."""
    names = random.choice(theme.addresses)
    size = MANY if random.random() < 0.05 else 1
    notices = random.choice(theme.notices)
    arrivals: list[tuple[int, list[MembershipChange]]] = []
    now = 0
    for number in range(random.choice((2, 2, 3, 3, 4, 5, 7))):
        is_known = len(arrivals) > 1 or not held  # what an older exit of an unknown person names is left at Amazon
        joins = bool(arrivals) and is_known and arrivals[-1][1][0].audience_id == AUDIENCE and random.random() < 0.15
        now += 0 if joins else random.choice(theme.gaps) + (0 if is_known else 9_000)
        at = round((NOW + now - random.choice(LATENESS)) * 1000)
        if not joins and (arrivals or not held) and random.random() < notices:
            arrivals.append((now, [erasing_exit(MEMBER, at, f"n{number}")]))
            continue
        exits = random.random() < 0.5 and bool(arrivals or not held or notices == 0)
        some = random.sample(names, random.randint(0 if exits else 1, min(2, len(names)) if size == 1 else 1))
        digests = [f"{name}{which:03}".ljust(64, "0") for name in some for which in range(size)]
        digests += held if exits and random.random() < 0.5 else ()
        one = change(MEMBER, *digests, at=at, exits=exits, message_id=f"e{number}")
        if joins:
            arrivals[-1][1].append(one)
        else:
            arrivals.append((now, [one]))
    return arrivals


def _arrive(world: World, changes: Sequence[MembershipChange]) -> None:
    world.accepted += len(changes)
    for each in changes:
        what = "notice" if each.erase else "exit" if each.exits else "enter"
        letters = " ".join(sorted({named.digests["email"][0] for named in each.identities}))
        line = f"{what} {each.message_id} of {each.at / 1000 - NOW:.0f} {letters}"
        world.tell("Segment", partial(str, line))
    world.send("worker", pack(changes))


def _check_rest(world: World) -> None:
    """Check that nothing is due for which nothing is queued: the queues are empty."""
    if len(world.dead_letters) > MOST_PARKED:
        raise Wrong(f"{len(world.dead_letters)} uploads were parked")
    row = world.rows.get((AUDIENCE, MEMBER))
    if row is None:
        return
    due = row.due(TIMING)
    if due is not None:
        raise Wrong(f"due is {due.action.value} at {due.at - NOW:.0f}, and nothing is queued")
    if row.late_jobs:
        raise Wrong("the row has the mark of a job that has ended")


def _check_end(world: World, changes: Sequence[MembershipChange], held: Sequence[str]) -> None:
    newest = max(changes, key=lambda each: each.version)
    last_exit = max((each.version for each in changes if each.exits), default=None)
    life = [each for each in changes if not each.exits and (last_exit is None or each.version > last_exit)]
    entered = {digest for each in life for _, pair in each.identities for digest in pair.values()}
    left = {digest for each in changes if each.exits for named in each.identities for digest in named.digests.values()}
    entered |= {*held} - left  # of which no event says anything
    row = world.rows.get((AUDIENCE, MEMBER))
    if row is not None and row.version != newest.version:
        raise Wrong(f"the row's newest change is {row.version.message_id}, not {newest.message_id}")
    if row is None and life:
        raise Wrong("the member has no row")
    # Of more than a record holds, Amazon has at least one record's.
    if world.held != entered and not (world.held <= entered and len(world.held) >= MAX_IDENTITIES):
        raise Wrong(
            f"Amazon holds {sorted({each[0] for each in world.held})}, not {sorted({each[0] for each in entered})}"
        )
    if row is None:
        return
    if world.ended < world.accepted:
        raise Wrong(f"{world.accepted} changes were accepted, and {world.ended} have ended")
    if row.enter_owed or (row.removal_owed and row.to_remove):
        raise Wrong("the row has a mark that nothing clears")
    noticed = max((each.at for each in changes if each.erase), default=0)
    size = max(len(each.identities) for each in changes)
    if size == 1 and any(each.at <= noticed for each in row.identities):
        raise Wrong("identities named before a notice are kept")
