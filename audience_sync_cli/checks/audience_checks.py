"""The checks of an audience, in the order in which a change travels.

docs/empty-audience.md explains each under its name and in this order.
"""

from collections.abc import Sequence

from audience_sync_cli.checks import arrival, dataset_checks, delivered, stack_checks
from audience_sync_cli.checks.audience_readings import AudienceReadings
from audience_sync_cli.frame.finding import Check, Finding, run
from audience_sync_cli.stack.dataset_facts import is_dataset

_GROUPED = arrival.NO_AUDIENCE | arrival.CONSENT_AND_COUNTRY
_REJECTIONS = ("audience of the events", "consent and country", "other rejections")


CHECKS: tuple[Check[AudienceReadings], ...] = (
    Check("event key", arrival.of_stack(stack_checks.keys)),
    Check("Amazon credentials", arrival.of_stack(stack_checks.credentials)),
    Check("access token", arrival.access_token),
    Check("delivery", arrival.delivery),
    Check("listing", arrival.listing),
    Check("Amazon's audience", delivered.at_amazon, "audience"),
    Check("target and terms", delivered.target, "audience"),
    Check("time to live", delivered.time_to_live, "audience"),
    Check("mappings", arrival.of_stack(stack_checks.mappings)),
    Check("requests", arrival.requests),
    Check("events", arrival.events, follows_from=("requests", *_REJECTIONS)),
    Check(_REJECTIONS[0], arrival.rejections(arrival.NO_AUDIENCE.__contains__, "for naming no listed audience")),
    Check(_REJECTIONS[1], arrival.rejections(arrival.CONSENT_AND_COUNTRY.__contains__, "for consent or country")),
    Check(_REJECTIONS[2], arrival.rejections(lambda reason: reason not in _GROUPED, "for another reason")),
    Check("entries", arrival.entries, "audience", ("events",)),
    Check("waiting changes", delivered.waiting, follows_from=("delivery",)),
    Check("parked changes", delivered.parked, "audience"),
    Check("jobs", delivered.jobs, "audience"),
    Check("processing time", delivered.processing, "audience"),
    Check("size", delivered.size, "audience"),
    Check("country", arrival.country, "audience"),
    Check("match rate", delivered.match_rate, "audience"),
    Check("minimum for DSP", delivered.minimum, "audience"),
    Check("last weeks", delivered.last_weeks, "audience"),
)


def diagnose(readings: AudienceReadings) -> list[Finding]:
    """Run the checks; for an audience that is not listed, only the checks of the stack."""
    of_datasets = dataset_checks.CHECKS if is_dataset(readings.audience) else {}
    checks = [each._replace(find=of_datasets.get(each.name, each.find)) for each in CHECKS]
    return list(run([each for each in checks if readings.is_listed or each.scope == "stack"], readings))


def likely_reasons(findings: Sequence[Finding]) -> list[Finding]:
    """Return likely reasons, the most likely first: problems, then findings to look at.

    Each in the order of a change's way, since an early finding explains later ones; but beside another problem, events
    rejected for any audience come last. Consequences of a problem are left out: there is nothing to do about them.
    """
    problems = {each.name for each in findings if each.state == "problem"}
    explained = {each.name for each in CHECKS if not problems.isdisjoint(each.follows_from)}
    open_ones = [each for each in findings if each.state != "ok" and each.name not in explained]
    last = _REJECTIONS if problems.difference(_REJECTIONS) else ()
    return sorted(open_ones, key=lambda each: (each.name in last, each.state != "problem"))  # stable
