"""Checks of the way from Segment to a change: stack, listing, mappings, requests, events, rejections. Pure."""

from collections.abc import Callable, Iterator

from audience_sync.amazon_ads.advertiser_audiences.audience import AudienceReport
from audience_sync.amazon_ads.normalize import COUNTRIES
from audience_sync.reasons import Reason
from audience_sync_cli.checks import stack_checks
from audience_sync_cli.checks.audience_readings import AudienceReadings
from audience_sync_cli.frame import reasons
from audience_sync_cli.frame.command_lines import to_paste
from audience_sync_cli.frame.explanation import explained
from audience_sync_cli.frame.finding import Finding, State, problem
from audience_sync_cli.frame.screen import counted, moment
from audience_sync_cli.frame.times import DAY

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


def of_stack(check: Callable[[AudienceReadings], Finding | Iterator[Finding]]) -> Callable[[AudienceReadings], Finding]:
    """Return a check that repeats the first finding of one of the stack. It is a problem if it is unread."""

    def repeat(readings: AudienceReadings) -> Finding:
        try:
            found = check(readings)
            first = found if isinstance(found, Finding) else next(found)
        except Exception as error:  # noqa: BLE001 - any error, as in `audience-sync test`
            failure = explained(error)
            first = Finding("problem", str(failure), failure.remedy)
        return first._replace(found=f"{first.found[:1].upper()}{first.found[1:].rstrip('.')}.", name="")

    return repeat


def access_token(readings: AudienceReadings) -> Finding:
    """Check that workers have a token and that it is renewed."""
    finding, failed = of_stack(stack_checks.access_token)(readings), readings.traffic.refreshes_failed
    if finding.state == "problem" and isinstance(readings.optional(lambda each: each.report), AudienceReport):
        # Amazon has just answered: if no token is stored, workers also get one for themselves.
        return finding._replace(state="note")
    if finding.state == "ok" and failed:
        found = f"{finding.found} But {counted(failed, 'attempt')} to renew it failed within two hours."
        return Finding("note", found, "audience-sync connect")
    return finding


def delivery(readings: AudienceReadings) -> Finding:
    """Check that delivery has not stopped until the operator acts."""
    if not readings.delivers:
        found = "Delivery is paused: the parameter Enabled is no, and changes wait in the queue for seven days at most."
        return Finding("problem", found, "make deploy ARGS='--parameter-overrides Enabled=yes'")
    for blocker in readings.blockers:
        if blocker.needs_person:
            return problem(blocker.sentence, blocker.remedy, blocker.command)
    return Finding("ok", "Nothing blocks delivery until you act.")


def listing(readings: AudienceReadings) -> Finding:
    """Check that events can name the audience."""
    if not readings.is_listed:
        rejected = "Every event for it is rejected as audience_unknown."
        found = f"It is not in the audience table. {readings.similar}{rejected}"
        return Finding("problem", found, "audience-sync audiences list")
    if readings.audience.computation_key:
        return Finding("ok", f"Listed, with the computation key {readings.audience.computation_key}.")
    found = "Listed without a computation key: only events with Amazon's audience id reach it."
    return Finding("note", found, to_paste("audiences link", readings.audience.audience_id, key="KEY"))


def requests(readings: AudienceReadings) -> Finding:
    """Check for requests refused for their credential."""
    refused = readings.traffic.unauthorized
    if not refused:
        return Finding("ok", f"No request was refused for a wrong key {readings.period}.")
    found = f"{counted(refused, 'request')} without the right key {readings.period}: their events are lost."
    return Finding("note" if readings.traffic.events else "problem", found, "audience-sync keys show event")


def events(readings: AudienceReadings) -> Finding:
    """Check that events arrive and are accepted."""
    traffic = readings.traffic
    if not traffic.events:
        found = (
            f"No event arrived {readings.period}. If a sample reaches Amazon, check in Segment that "
            f"the destination is enabled, the audience is connected to it, its URL is {readings.events_url}, "
            "and its header Authorization holds the event key."
        )
        sample = to_paste("send", sample="track", audience=readings.name, wait=True)
        return Finding("problem", found, sample if readings.is_listed else "audience-sync test")
    if traffic.ignored == traffic.events:
        found = f"{counted(traffic.events, 'event')} {readings.period}, and all were ignored: no trigger matches them."
        return Finding("problem", found, "audience-sync mappings show")
    found = f"{traffic.accepted:,} accepted, {traffic.ignored:,} ignored, {traffic.rejected:,} rejected"
    state: State = "ok" if traffic.accepted else "problem"
    show = "" if traffic.accepted else to_paste("rejections", since=f"{readings.days}d")
    return Finding(state, f"Events of all audiences {readings.period}: {found}.", show)


def rejections(is_counted: Callable[[str], bool], what: str) -> Callable[[AudienceReadings], Finding]:
    """Return a check of the events rejected for some reasons.

    Rejected events are counted for the stack, not for an audience. They are a problem if they are the majority.
    """

    def check(readings: AudienceReadings) -> Finding:
        counts = {reason: number for reason, number in readings.rejections.items() if is_counted(reason)}
        total = sum(counts.values())
        if not total:
            return Finding("ok", f"No event was rejected {readings.period} {what}.")
        verb = "rejected or denying consent" if Reason.CONSENT_DENIED in counts else "rejected"
        found = f"{counted(total, 'event')} of all audiences {verb} {readings.period} {what}: {reasons.listed(counts)}."
        is_problem = total >= readings.traffic.accepted
        reason = max(counts, key=lambda each: (counts[each], each))
        means, remedy = reasons.explained(reason)
        show = to_paste("rejections", since=f"{readings.days}d")
        return Finding(
            "problem" if is_problem else "note",
            f"{found} Mostly: {means}. {remedy}".strip(),
            _TRY_EVENT if reason in _OF_THE_MAPPING else show,
        )

    return check


def entries(readings: AudienceReadings) -> Finding:
    """Check that members have entered, and when the last one did."""
    members, show = readings.members, to_paste("audiences show", readings.name)
    if members is None:
        return Finding("ok", "Members were not counted: they were left out.")
    if members.newest_enter is None and members.outside:
        left = f"{counted(members.outside, 'member')} left in the last 40 days."
        return Finding("problem", f"The membership table has no current member: {left}", show)
    if members.newest_enter is None:
        key = readings.audience.computation_key
        name = f"computation key {key}" if key else f"audience id {readings.audience.audience_id}"
        found = (
            f"No accepted event has named it yet. In Segment, connect the audience with the {name} to the destination."
        )
        return Finding("problem", found, to_paste("send", sample="track", audience=readings.name, wait=True))
    last = moment(members.newest_enter)
    found = f"The membership table has {counted(members.inside, 'current member')}; the last one entered at {last}."
    if readings.now - members.newest_enter / 1000 > readings.days * DAY:
        return Finding("note", f"{found} Does Segment still send this audience?", show)
    return Finding("ok", found)


def country(readings: AudienceReadings) -> Finding:
    """Check that Amazon matches people of the audience's country."""
    code = readings.audience.country
    if not code:
        link = to_paste("audiences link", readings.audience.audience_id, country="CODE")
        return Finding("note", "It has no country, and Amazon matches people without one worse.", link)
    if code not in COUNTRIES:
        found = f"Amazon matches hashed identifiers in {len(COUNTRIES)} countries; {code} is not one of them."
        return Finding("note", f"{found} An event's own country takes precedence.", _TRY_EVENT)
    return Finding("ok", f"Amazon matches people of its country, {code}.")
