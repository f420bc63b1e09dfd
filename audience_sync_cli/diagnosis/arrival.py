"""Checks of the way from Segment to a change: stack, listing, mappings, requests, events, rejections. Pure."""

from collections.abc import Callable

from audience_sync.amazon_ads.advertiser_audiences.audience import AudienceReport
from audience_sync.amazon_ads.normalize import COUNTRIES
from audience_sync.reasons import Reason
from audience_sync_cli import reasons
from audience_sync_cli.diagnosis.facts import Facts, Result, State
from audience_sync_cli.health.stack_checks import State as PartState
from audience_sync_cli.screen import counted, moment
from audience_sync_cli.times import DAY

# Rejection reasons grouped by their cause; all others count as `other rejections`.
NO_AUDIENCE = frozenset({Reason.AUDIENCE_MISSING, Reason.AUDIENCE_UNKNOWN, Reason.AUDIENCE_AMBIGUOUS})
CONSENT_AND_COUNTRY = frozenset(
    {Reason.CONSENT_MISSING, Reason.CONSENT_DENIED, Reason.CONSENT_INVALID, Reason.COUNTRY_INVALID}
)

# Reasons that need another mapping, or another event.
_OF_THE_MAPPING = frozenset(
    {Reason.NOT_AN_EVENT, Reason.MEMBER_ID_MISSING, Reason.MEMBER_ID_INVALID, Reason.AUDIENCE_MISSING}
    | {Reason.NO_IDENTIFIER, Reason.COUNTRY_INVALID, Reason.CONSENT_MISSING, Reason.CONSENT_INVALID}
    | {Reason.MAPPING_TOO_COSTLY}
)

_TRY_EVENT = "audience-sync mappings try event.json"
_STATES: dict[PartState, State] = {"ok": "ok", "note": "look", "missing": "problem"}


def part(name: str) -> Callable[[Facts], Result]:
    """Return a check that repeats the finding of `audience-sync test` for one part."""

    def judge(facts: Facts) -> Result:
        # An unreadable secret is one finding, in place of one for each of its keys.
        found = facts.parts.get(name) or facts.parts["ingest secret"]
        return Result(_STATES[found.state], f"{found.found[:1].upper()}{found.found[1:].rstrip('.')}.", found.remedy)

    return judge


def access_token(facts: Facts) -> Result:
    """Check that workers have a token and that it is renewed."""
    result, failed = part("access token")(facts), facts.traffic.refreshes_failed
    if result.state == "problem" and isinstance(facts.report, AudienceReport):
        # Amazon has just answered: if no token is stored, workers also get one for themselves.
        return result._replace(state="look")
    if result.state == "ok" and failed:
        found = f"{result.found} But {counted(failed, 'attempt')} to renew it failed within two hours."
        return Result("look", found, "audience-sync connect")
    return result


def delivery(facts: Facts) -> Result:
    """Check that delivery has not stopped until the operator acts."""
    if not facts.delivers:
        found = "Delivery is paused: the parameter Enabled is no, and changes wait in the queue for seven days at most."
        return Result("problem", found, "make deploy ARGS='--parameter-overrides Enabled=yes'")
    for blocker in facts.blockers:
        if blocker.needs_person:
            return Result("problem", f"{blocker.sentence} {blocker.remedy}".strip(), blocker.command)
    return Result("ok", "Nothing blocks delivery until you act.")


def listing(facts: Facts) -> Result:
    """Check that events can name the audience."""
    if not facts.is_listed:
        found = f"It is not in the audience table. {facts.similar}Every event for it is rejected as audience_unknown."
        return Result("problem", found, "audience-sync audiences list")
    if facts.audience.computation_key:
        return Result("ok", f"Listed, with the computation key {facts.audience.computation_key}.")
    found = "Listed without a computation key: only events with Amazon's audience id reach it."
    return Result("look", found, f"audience-sync audiences link {facts.audience.audience_id} --key KEY")


def requests(facts: Facts) -> Result:
    """Check for requests refused for their credential."""
    refused = facts.traffic.unauthorized
    if not refused:
        return Result("ok", f"No request was refused for a wrong key {facts.period}.")
    found = f"{counted(refused, 'request')} with a wrong key {facts.period}: their events are lost."
    return Result("look" if facts.traffic.events else "problem", found, "audience-sync keys show event")


def events(facts: Facts) -> Result:
    """Check that events arrive and are accepted."""
    traffic = facts.traffic
    if not traffic.events:
        found = (
            f"No event arrived {facts.period}. If a sample reaches Amazon, check in Segment that "
            f"the destination is enabled, the audience is connected to it, its URL is {facts.events_url}, "
            "and its header Authorization holds the event key."
        )
        sample = f"audience-sync send --sample track --audience {facts.name} --wait"
        return Result("problem", found, sample if facts.is_listed else "audience-sync test")
    if traffic.ignored == traffic.events:
        found = f"{counted(traffic.events, 'event')} {facts.period}, and all were ignored: no trigger matches them."
        return Result("problem", found, "audience-sync mappings show")
    found = f"{traffic.accepted:,} accepted, {traffic.ignored:,} ignored, {traffic.rejected:,} rejected"
    state: State = "ok" if traffic.accepted else "problem"
    show = "" if traffic.accepted else f"audience-sync rejections --since {facts.days}d"
    return Result(state, f"Events of all audiences {facts.period}: {found}.", show)


def rejections(is_counted: Callable[[str], bool], what: str) -> Callable[[Facts], Result]:
    """Return a check of the events rejected for some reasons.

    Rejected events are counted for the stack, not for an audience. They are a problem if they are the majority, or if
    this audience has no member.
    """

    def judge(facts: Facts) -> Result:
        counts = {reason: number for reason, number in facts.rejections.items() if is_counted(reason)}
        total = sum(counts.values())
        if not total:
            return Result("ok", f"No event was rejected {facts.period} {what}.")
        verb = "rejected or denying consent" if Reason.CONSENT_DENIED in counts else "rejected"
        found = f"{counted(total, 'event')} of all audiences {verb} {facts.period} {what}: {reasons.listed(counts)}."
        is_empty = facts.members is not None and not facts.members.inside
        is_problem = is_empty or total >= facts.traffic.accepted
        reason = max(counts, key=lambda each: (counts[each], each))
        means, remedy = reasons.explained(reason)
        show = f"audience-sync rejections --since {facts.days}d"
        return Result(
            "problem" if is_problem else "look",
            f"{found} Mostly: {means}. {remedy}".strip(),
            _TRY_EVENT if reason in _OF_THE_MAPPING else show,
        )

    return judge


def entries(facts: Facts) -> Result:
    """Check that members have entered, and when the last one did."""
    members, show = facts.members, f"audience-sync audiences show {facts.name}"
    if members is None:
        why = "they were left out" if facts.is_recorded else "with OrderingGuard=no there are no member rows"
        return Result("ok", f"Members were not counted: {why}.")
    if members.newest_enter is None:
        left = f" {counted(members.outside, 'member')} left in the last 40 days." if members.outside else ""
        return Result("problem", f"The membership table has no current member: no event has let one enter.{left}", show)
    last = moment(members.newest_enter)
    found = f"The membership table has {counted(members.inside, 'current member')}; the last one entered at {last}."
    if facts.now - members.newest_enter / 1000 > facts.days * DAY:
        return Result("look", f"{found} Does Segment still send this audience?", show)
    return Result("ok", found)


def country(facts: Facts) -> Result:
    """Check that Amazon matches people of the audience's country."""
    code = facts.audience.country
    if not code:
        link = f"audience-sync audiences link {facts.audience.audience_id} --country CODE"
        return Result("look", "It has no country, and Amazon matches people without one worse.", link)
    if code not in COUNTRIES:
        found = f"Amazon matches hashed identifiers in {len(COUNTRIES)} countries; {code} is not one of them."
        return Result("look", f"{found} An event's own country takes precedence.", _TRY_EVENT)
    return Result("ok", f"Amazon matches people of its country, {code}.")
