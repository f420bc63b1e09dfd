"""The checks of an audience, in the order in which a change travels. Pure.

docs/empty-audience.md explains each under its name and in this order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from audience_sync_cli.audiences.datasets import is_dataset
from audience_sync_cli.diagnosis import arrival, datasets, delivered
from audience_sync_cli.diagnosis.facts import Facts, Result, State

_GROUPED = arrival.NO_AUDIENCE | arrival.CONSENT_AND_COUNTRY
_REJECTIONS = ("audience of the events", "consent and country", "other rejections")


class Check(NamedTuple):
    """One check: its name, its judgement, and the facts it needs."""

    name: str
    judge: Callable[[Facts], Result]
    needs: tuple[str, ...] = ()
    is_of_stack: bool = False  # runs even if the audience is not listed
    follows_from: tuple[str, ...] = ()  # checks whose problem explains this one's


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    check: str
    state: State
    found: str
    next: str  # the next command; empty if there is nothing to do


CHECKS = (
    Check("event key", arrival.part("event key"), ("parts",), is_of_stack=True),
    Check("Amazon credentials", arrival.part("Amazon credentials"), ("parts",), is_of_stack=True),
    Check("access token", arrival.access_token, ("parts", "traffic"), is_of_stack=True),
    Check("delivery", arrival.delivery, ("blockers",), is_of_stack=True),
    Check("listing", arrival.listing, is_of_stack=True),
    Check("Amazon's audience", delivered.at_amazon, ("report",)),
    Check("target and terms", delivered.target, ("connections", "terms_accepted")),
    Check("time to live", delivered.time_to_live, ("report",)),
    Check("mappings", arrival.part("mappings"), ("parts",), is_of_stack=True),
    Check("requests", arrival.requests, ("traffic",), is_of_stack=True),
    Check("events", arrival.events, ("traffic",), is_of_stack=True, follows_from=("requests", *_REJECTIONS)),
    Check(
        _REJECTIONS[0],
        arrival.rejections(arrival.NO_AUDIENCE.__contains__, "for naming no listed audience"),
        ("rejections", "traffic"),
        is_of_stack=True,
    ),
    Check(
        _REJECTIONS[1],
        arrival.rejections(arrival.CONSENT_AND_COUNTRY.__contains__, "for consent or country"),
        ("rejections", "traffic"),
        is_of_stack=True,
    ),
    Check(
        _REJECTIONS[2],
        arrival.rejections(lambda reason: reason not in _GROUPED, "for another reason"),
        ("rejections", "traffic"),
        is_of_stack=True,
    ),
    Check("entries", arrival.entries, ("members",), follows_from=("events",)),
    Check(
        "waiting changes",
        delivered.waiting,
        ("queued", "traffic", "blockers"),
        is_of_stack=True,
        follows_from=("delivery",),
    ),
    Check("parked changes", delivered.parked, ("parked",)),
    Check("jobs", delivered.jobs, ("lowest_processed",)),
    Check("processing time", delivered.processing, ("members", "report")),
    Check("size", delivered.size, ("members", "report")),
    Check("country", arrival.country),
    Check("match rate", delivered.match_rate, ("report",)),
    Check("minimum for DSP", delivered.minimum, ("report",)),
)


def diagnose(facts: Facts) -> list[Finding]:
    """Run the checks; for an audience that is not listed, only the checks of the stack."""
    return [Finding(each.name, *_judged(each, facts)) for each in CHECKS if facts.is_listed or each.is_of_stack]


def likely_reasons(findings: Sequence[Finding]) -> list[Finding]:
    """Return likely reasons, the most likely first: problems, then findings to look at.

    Each in the order of a change's way, since an early finding explains later ones. Consequences of a problem are left
    out: there is nothing to do about them.
    """
    problems = {each.check for each in findings if each.state == "problem"}
    explained = {each.name for each in CHECKS if not problems.isdisjoint(each.follows_from)}
    open_ones = [each for each in findings if each.check not in explained]
    return [each for state in ("problem", "look") for each in open_ones if each.state == state]


def _judged(check: Check, facts: Facts) -> Result:
    for field in check.needs:
        if field in facts.unread:
            error = facts.unread[field]
            return Result("look", f"Not checked. {error} {error.remedy}".strip())
    judge = datasets.JUDGES.get(check.name, check.judge) if is_dataset(facts.audience) else check.judge
    return judge(facts)
