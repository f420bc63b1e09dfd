"""Checks of the way from a change to a member at Amazon: queue, dead letters, jobs, sizes, match rate. Pure."""

from audience_sync.amazon_ads.advertiser_audiences.audience import AudienceReport
from audience_sync.amazon_ads.advertiser_audiences.audience_settings import MAX_TTL
from audience_sync.amazon_ads.destination import connection_of, reaches_dsp
from audience_sync.errors import AccessDenied, AudienceSyncError, AuthorizationRefused, NotConnected, NotFound
from audience_sync.operations.audience_trends import FEW, MIN_FOR_DSP, State
from audience_sync.operations.dataset_reports import DatasetReport
from audience_sync.operations.renewal import is_renewed
from audience_sync.reasons import Reason
from audience_sync_cli.checks.audience_readings import AudienceReadings
from audience_sync_cli.frame.command_lines import to_paste
from audience_sync_cli.frame.errors import OperatorError
from audience_sync_cli.frame.finding import Finding
from audience_sync_cli.frame.reasons import explained, listed
from audience_sync_cli.frame.screen import counted, moment
from audience_sync_cli.frame.times import DAY
from audience_sync_cli.stack.options import NO_TTL, keeping
from audience_sync_cli.stack.presentation import product_label

SHOWN_WITHIN = 36  # hours from an upload until Amazon DSP shows its members, at most, by Amazon's guide
# Percent of the records that Amazon matches. Amazon names no usual rate. Below the first, a trait is wrong for nearly
# everyone; below the second, it is worth comparing one member.
NEAR_ZERO, HALF = 10.0, 50.0
# Percent of the members in the table that Amazon should have received. Those of the last minutes are still on the way.
EXPECTED = 90
# Dead letter reasons that affect all members rather than one record
_FOR_ALL = (Reason.ACCESS_DENIED, Reason.NOT_FOUND)
_REFUSED = Finding("ok", "Not known: Amazon refused to describe the audience.")
_RUNBOOK = "See Changes in the dead letter queue in docs/runbook.md."
_COMPARE = "audience-sync member show USER_ID"


def at_amazon(readings: AudienceReadings) -> Finding:
    """Check that Amazon knows the audience."""
    match readings.report:
        case AudienceReport() | DatasetReport():
            return Finding("ok", "Amazon knows it.")
        case NotConnected() | AuthorizationRefused() as error:
            return Finding("problem", f"{error.reason.means}.", "audience-sync connect")
        case NotFound():
            found = "Amazon does not know its id: the parameter Region is wrong, or it is an id from the DSP console."
            return Finding("problem", found, "audience-sync audiences list")
        case AccessDenied():
            found = "Amazon denies access: the person who consented is not a user of its advertiser or AMC instance."
            return Finding("problem", found, "audience-sync connect")
        case _:
            return Finding("problem", "Amazon refuses to describe it.", "audience-sync test")


def target(readings: AudienceReadings) -> Finding:
    """Check the audience's target, and that Amazon accepts members there."""
    audience = readings.audience
    connection_id = connection_of(audience.destination)
    if not connection_id:
        return Finding("ok", "Members go to Amazon DSP, which needs no AMC terms.")
    if connection_id not in readings.connections:
        found = "Its connection does not exist at Amazon: uploads to it fail."
        return Finding("problem", found, "audience-sync connections list")
    if not readings.terms_accepted:
        found = "The terms of Amazon Marketing Cloud are not accepted: Amazon refuses uploads to AMC."
        return Finding("problem", found, "audience-sync terms show --text")
    if not reaches_dsp(audience):
        found = "Members go to AMC but not to Amazon DSP, so the DSP console shows none."
        return Finding("note", found, to_paste("audiences update", readings.name, dsp=True))
    return Finding("ok", f"Members go to {product_label(audience)}, and the terms of AMC are accepted.")


def waiting(readings: AudienceReadings) -> Finding:
    """Check that changes do not wait for delivery."""
    failed, sent = readings.traffic.uploads_failed, readings.traffic.uploads
    messages = f"{counted(readings.change_queue.total, 'message')} of all audiences in the change queue"
    # Blockers that need a person are findings of `delivery`.
    why = " ".join(each.sentence for each in readings.blockers if not each.needs_person)
    if readings.change_queue.total and failed and not sent:
        found = f"{messages}; {counted(failed, 'upload')} failed within two hours, and none succeeded. {why}".strip()
        return Finding("problem", found, "audience-sync status")
    if readings.change_queue.total or why:
        why = why or "Delivery is under way, or cannot keep up."
        return Finding("note", f"{messages}. {why}", "audience-sync status")
    return Finding("ok", "No change waits in the change queue.")


def parked(readings: AudienceReadings) -> Finding:
    """Check for parked changes of the audience."""
    if not readings.parked:
        return Finding("ok", "No change of this audience is parked.")
    found = f"{counted(sum(readings.parked.values()), 'dead letter')} of this audience: {listed(readings.parked)}."
    remedies = [explained(reason).remedy for reason in _FOR_ALL if reason in readings.parked]
    found = " ".join([found, *(remedies or [_RUNBOOK])])
    return Finding(
        "problem" if remedies else "note",
        found,
        to_paste("parked list", audience=readings.audience.audience_id),
    )


def jobs(readings: AudienceReadings) -> Finding:
    """Check that Amazon's jobs processed the uploads."""
    lowest = readings.lowest_processed
    if lowest is None:
        return Finding("ok", f"No Amazon job with its records ended {readings.period}.")
    if lowest >= 100:
        return Finding("ok", f"Amazon's jobs processed all of its records {readings.period}.")
    found = f"An Amazon job processed only {lowest:.0f}% of its records {readings.period}."
    found += " The others are sent again; what a job rejects twice is parked."
    following = to_paste("parked list", audience=readings.audience.audience_id, reason="job_rejected")
    return Finding("note", found, following)


def time_to_live(readings: AudienceReadings) -> Finding:
    """Check that members do not drop out before they leave."""
    ttl = readings.report.ttl if isinstance(readings.report, AudienceReport) else None
    if ttl == 0:
        return Finding("problem", NO_TTL, keeping(readings.name))
    days = f"{(MAX_TTL if ttl is None else ttl) / DAY:g} days"
    if is_renewed(readings.audience):
        return Finding("ok", f"Members stay for {days}, and active ones are re-sent before that.")
    if ttl is not None and ttl < MAX_TTL:
        found = f"Members drop out {days} after they entered, even if they never left."
        return Finding("note", found, to_paste("audiences update", readings.name, renew=True))
    return Finding("ok", f"Members stay for {days}, the longest time possible.")


def processing(readings: AudienceReadings) -> Finding:
    """Check whether Amazon is still processing the last members."""
    entered = readings.members.newest_enter if readings.members else None
    if entered is None or readings.now - entered / 1000 > SHOWN_WITHIN * 3600:
        return Finding("ok", f"No known member entered in the last {SHOWN_WITHIN} hours.")
    if _is_refused(readings):
        return _REFUSED
    found = f"A member entered at {moment(entered)}; Amazon takes up to {SHOWN_WITHIN} hours to show members in DSP."
    is_complete = readings.members is not None and (readings.sizes.dsp or 0) >= readings.members.inside
    return Finding("ok", found) if is_complete else Finding("note", found, _show(readings))


def size(readings: AudienceReadings) -> Finding:
    """Compare the number of members with the number of records that Amazon has received."""
    received, members = readings.sizes.received, readings.members
    if _is_refused(readings):
        return _REFUSED
    if received is None:
        if members is not None and members.inside:
            return Finding("note", "Amazon reports no size yet.", _show(readings))
        return Finding("ok", "Not known yet.")
    of = "The dataset has" if isinstance(readings.report, DatasetReport) else "Amazon has received"
    found = f"{of} {counted(received, 'record')}"
    if members is None:
        return Finding("ok", f"{found}.")
    found += f"; the membership table has {counted(members.inside, 'current member')}."
    if received * 100 < members.inside * EXPECTED:
        return Finding("note", found, _COMPARE)
    return Finding("ok", found)


def match_rate(readings: AudienceReadings) -> Finding:
    """Check that Amazon recognizes the people."""
    rate = readings.match_rate
    if rate is None:
        return Finding("ok", "Not known yet.")
    found = f"Amazon matches {rate:.1f}% of the records"
    if (readings.sizes.received or 0) < FEW:
        return Finding("ok", f"{found}: too few for a finding, and people made up for tests are never matched.")
    if rate < NEAR_ZERO:
        return Finding("problem", f"{found}: the country is wrong, or a trait holds the wrong data.", _COMPARE)
    return Finding("note", f"{found}.", _COMPARE) if rate < HALF else Finding("ok", f"{found}.")


def minimum(readings: AudienceReadings) -> Finding:
    """Check that Amazon DSP can use the audience."""
    if not reaches_dsp(readings.audience):
        return Finding("ok", "Members are not sent to Amazon DSP, so its minimum size does not apply.")
    matched = readings.sizes.matched
    if matched is None:
        return Finding("ok", "Not known yet.")
    if matched < MIN_FOR_DSP:
        found = f"Amazon DSP needs {MIN_FOR_DSP:,} matched members; this audience has {matched:,}."
        return Finding("note", found, _show(readings))
    return Finding("ok", f"{matched:,} matched members are enough for Amazon DSP.")


def last_weeks(readings: AudienceReadings) -> Finding:
    """Compare size, match rate and uploads with those of the weeks before."""
    state, sentence = readings.trend
    if not state.urgency:
        return Finding("ok", sentence)
    following = {State.MATCH_RATE_FELL: _COMPARE, State.BELOW_MINIMUM: _show(readings)}
    return Finding("note", sentence, following.get(state, "audience-sync rejections"))


def _is_refused(readings: AudienceReadings) -> bool:
    return isinstance(readings.report, AudienceSyncError | OperatorError)


def _show(readings: AudienceReadings) -> str:
    return to_paste("audiences show", readings.name)
