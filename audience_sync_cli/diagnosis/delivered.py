"""Checks of the way from a change to a member at Amazon: queue, dead letters, jobs, sizes, match rate. Pure."""

from audience_sync.amazon_ads.advertiser_audiences.audience import AudienceReport
from audience_sync.amazon_ads.advertiser_audiences.audience_settings import MAX_TTL
from audience_sync.amazon_ads.destination import connection_of, reaches_dsp
from audience_sync.errors import AccessDenied, AuthorizationRefused, NotConnected, NotFound
from audience_sync.operations.dataset_reports import DatasetReport
from audience_sync.operations.renewal import is_renewed
from audience_sync.reasons import Reason
from audience_sync_cli.audiences.presentation import product_label
from audience_sync_cli.diagnosis.facts import Facts, Result
from audience_sync_cli.reasons import explained, listed
from audience_sync_cli.screen import counted, moment
from audience_sync_cli.times import DAY

SHOWN_WITHIN = 36  # hours from an upload until Amazon DSP shows its members, at most, by Amazon's guide
MIN_FOR_DSP = 2_000  # matched members; Amazon DSP does not use an audience with fewer, by Amazon's guide
# Percent of the records that Amazon matches. Amazon names no usual rate. Below the first, a trait is wrong for nearly
# everyone; below the second, it is worth comparing one member.
NEAR_ZERO, HALF = 10.0, 50.0
# Percent of the members in the table that Amazon should have received. Those of the last minutes are still on the way.
EXPECTED = 90
# Dead letter reasons that affect all members rather than one record
_FOR_ALL = (Reason.ACCESS_DENIED, Reason.NOT_FOUND, Reason.JOB_FAILED)
_RUNBOOK = "See Changes in the dead letter queue in docs/runbook.md."


def at_amazon(facts: Facts) -> Result:
    """Check that Amazon knows the audience."""
    match facts.report:
        case AudienceReport() | DatasetReport():
            return Result("ok", "Amazon knows it.")
        case NotConnected() | AuthorizationRefused() as error:
            return Result("problem", f"{error.reason.means}.", "audience-sync connect")
        case NotFound():
            found = "Amazon does not know its id: the parameter Region is wrong, or it is an id from the DSP console."
            return Result("problem", found, "audience-sync audiences list")
        case AccessDenied():
            found = "Amazon denies access: the person who consented is not a user of its advertiser or AMC instance."
            return Result("problem", found, "audience-sync connect")
        case _:
            return Result("problem", "Amazon refuses to describe it.", "audience-sync test")


def target(facts: Facts) -> Result:
    """Check the audience's target, and that Amazon accepts members there."""
    audience = facts.audience
    connection_id = connection_of(audience.destination)
    if not connection_id:
        return Result("ok", "Members go to Amazon DSP, which needs no AMC terms.")
    if connection_id not in facts.connections:
        found = "Its connection does not exist at Amazon: uploads to it fail."
        return Result("problem", found, "audience-sync connections list")
    if not facts.terms_accepted:
        found = "The terms of Amazon Marketing Cloud are not accepted: Amazon refuses uploads to AMC."
        return Result("problem", found, "audience-sync terms show --text")
    if not reaches_dsp(audience):
        found = "Members go to AMC but not to Amazon DSP, so the DSP console shows none."
        return Result("look", found, f"audience-sync audiences update {facts.name} --dsp")
    return Result("ok", f"Members go to {product_label(audience)}, and the terms of AMC are accepted.")


def waiting(facts: Facts) -> Result:
    """Check that changes do not wait for delivery."""
    failed, sent = facts.traffic.uploads_failed, facts.traffic.uploads
    messages = f"{counted(facts.queued, 'message')} of all audiences in the change queue"
    # Blockers that need a person are findings of `delivery`.
    why = " ".join(each.sentence for each in facts.blockers if not each.needs_person)
    if facts.queued and failed and not sent:
        found = f"{messages}; {counted(failed, 'upload')} failed within two hours, and none succeeded. {why}".strip()
        return Result("problem", found, "audience-sync status")
    if facts.queued or why:
        why = why or "Delivery is under way, or cannot keep up."
        return Result("look", f"{messages}. {why}", "audience-sync status")
    return Result("ok", "No change waits in the change queue.")


def parked(facts: Facts) -> Result:
    """Check for parked changes of the audience."""
    if not facts.parked:
        return Result("ok", "No change of this audience is parked.")
    found = f"{counted(sum(facts.parked.values()), 'dead letter')} of this audience: {listed(facts.parked)}."
    remedies = [explained(reason).remedy for reason in _FOR_ALL if reason in facts.parked]
    found = " ".join([found, *(remedies or [_RUNBOOK])])
    return Result(
        "problem" if remedies else "look", found, f"audience-sync parked list --audience {facts.audience.audience_id}"
    )


def jobs(facts: Facts) -> Result:
    """Check that Amazon's jobs processed the uploads."""
    lowest = facts.lowest_processed
    if lowest is None:
        return Result("ok", f"No Amazon job with its records ended {facts.period}.")
    if lowest >= 100:
        return Result("ok", f"Amazon's jobs processed all of its records {facts.period}.")
    found = f"An Amazon job processed only {lowest:.0f}% of its records {facts.period}; it rejected the others."
    following = f"audience-sync parked list --audience {facts.audience.audience_id} --reason job_rejected"
    return Result("look", found, following)


def time_to_live(facts: Facts) -> Result:
    """Check that members do not drop out before they leave."""
    ttl = facts.report.ttl if isinstance(facts.report, AudienceReport) else None
    if ttl == 0:
        longest = f"audience-sync audiences update {facts.name} --ttl-days {MAX_TTL // DAY}"
        return Result("problem", "Its time to live is 0: Amazon does not keep its members.", longest)
    days = f"{(MAX_TTL if ttl is None else ttl) / DAY:g} days"
    if is_renewed(facts.audience):
        return Result("ok", f"Members stay for {days}, and active ones are re-sent before that.")
    if ttl is not None and ttl < MAX_TTL:
        found = f"Members drop out {days} after they entered, even if they never left."
        return Result("look", found, f"audience-sync audiences update {facts.name} --renew")
    return Result("ok", f"Members stay for {days}, the longest time possible.")


def processing(facts: Facts) -> Result:
    """Check whether Amazon is still processing the last members."""
    entered = facts.members.newest_enter if facts.members else None
    if entered is None or facts.now - entered / 1000 > SHOWN_WITHIN * 3600:
        return Result("ok", f"No known member entered in the last {SHOWN_WITHIN} hours.")
    found = f"A member entered at {moment(entered)}; Amazon takes up to {SHOWN_WITHIN} hours to show members in DSP."
    is_complete = facts.members is not None and (facts.sizes.dsp or 0) >= facts.members.inside
    return Result("ok", found) if is_complete else Result("look", found, _show(facts))


def size(facts: Facts) -> Result:
    """Compare the number of members with the number of records that Amazon has received."""
    received, members = facts.sizes.received, facts.members
    if received is None:
        expected = members is not None and members.inside > 0
        return (
            Result("look", "Amazon reports no size yet.", _show(facts)) if expected else Result("ok", "Not known yet.")
        )
    of = "The dataset has" if isinstance(facts.report, DatasetReport) else "Amazon has received"
    found = f"{of} {counted(received, 'record')}"
    if members is None:
        return Result("ok", f"{found}.")
    found += f"; the membership table has {counted(members.inside, 'current member')}."
    if received * 100 < members.inside * EXPECTED:
        return Result("look", found, _compare(facts))
    return Result("ok", found)


def match_rate(facts: Facts) -> Result:
    """Check that Amazon recognizes the people."""
    rate = facts.match_rate
    if rate is None:
        return Result("ok", "Not known yet.")
    found = f"Amazon matches {rate:.1f}% of the records"
    if rate < NEAR_ZERO:
        return Result("problem", f"{found}: the country is wrong, or a trait holds the wrong data.", _compare(facts))
    return Result("look", f"{found}.", _compare(facts)) if rate < HALF else Result("ok", f"{found}.")


def minimum(facts: Facts) -> Result:
    """Check that Amazon DSP can use the audience."""
    if not reaches_dsp(facts.audience):
        return Result("ok", "Members do not go to Amazon DSP, which has a minimum.")
    matched = facts.sizes.matched
    if matched is None:
        return Result("ok", "Not known yet.")
    if matched < MIN_FOR_DSP:
        found = f"Amazon DSP needs {MIN_FOR_DSP:,} matched members; this audience has {matched:,}."
        return Result("look", found, _show(facts))
    return Result("ok", f"{matched:,} matched members are enough for Amazon DSP.")


def _show(facts: Facts) -> str:
    return f"audience-sync audiences show {facts.name}"


def _compare(facts: Facts) -> str:
    return f"audience-sync member show {facts.name} USER_ID"
