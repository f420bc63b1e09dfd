"""Checks that differ for a dataset of Ads Data Manager: it has shares in place of a target, and no jobs. Pure."""

from collections.abc import Callable, Mapping

from audience_sync.errors import NotFound
from audience_sync.reasons import Reason
from audience_sync_cli.audiences.share_text import account, state
from audience_sync_cli.diagnosis import delivered
from audience_sync_cli.diagnosis.facts import DatasetReport, Facts, Result
from audience_sync_cli.errors import OperatorError
from audience_sync_cli.screen import counted

# Amazon's file names other permissions for uploads than for the rest: who may create a dataset may be denied an upload.
_UPLOAD_DENIED = (
    "Terms and data room are there now, since Amazon shows the dataset. An upload also needs the permission"
    " ads_data_manager_edit; with a DSP account, account_edit or advertiser_campaign_edit."
)


def at_amazon(facts: Facts) -> Result:
    """Check that Amazon knows the dataset and gives access to it."""
    if isinstance(facts.report, OperatorError):
        return Result("problem", f"{facts.report} {facts.report.remedy}", f"audience-sync audiences show {facts.name}")
    if isinstance(facts.report, NotFound):
        found = "Amazon does not know the dataset: it was deleted, or the stack names another account or Region."
        return Result("problem", found, f"audience-sync audiences show {facts.name}")
    return delivered.at_amazon(facts)


def shares(facts: Facts) -> Result:
    """Check that members reach somebody."""
    if not isinstance(facts.report, DatasetReport):
        return Result("ok", "Not known.")
    command = f"audience-sync audiences shares {facts.name}"
    ended = [f"{account(each)}: {state(each)}" for each in facts.report.shares if each.is_revoked]
    live = [each for each in facts.report.shares if not each.is_revoked]
    if not live:
        found = f"It is shared with nobody, so its members reach nobody. {'; '.join(ended)}".strip()
        return Result("problem", found, command)
    if ended:
        return Result("look", f"Members no longer reach an account: {'; '.join(ended)}.", command)
    pending = [account(each) for each in live if each.status != "ACTIVE"]
    if pending:
        found = f"Not active yet: {', '.join(pending)}. Amazon takes a day or more for the first members."
        return Result("look", found, command)
    return Result("ok", f"Members go to {', '.join(map(account, live))}.")


def parked(facts: Facts) -> Result:
    """Check for parked changes, and say what an upload was denied for."""
    result = delivered.parked(facts)
    if Reason.ACCESS_DENIED not in facts.parked or not isinstance(facts.report, DatasetReport):
        return result
    return result._replace(found=f"{result.found} {_UPLOAD_DENIED}")


def time_to_live(_: Facts) -> Result:
    """Say that there is none."""
    return Result("ok", "Ads Data Manager has no time to live that can be set.")


def jobs(facts: Facts) -> Result:
    """Check the records that Amazon has refused. They are counted over all uploads."""
    invalid = facts.report.metrics.invalid if isinstance(facts.report, DatasetReport) else None
    if not invalid:
        return Result("ok", "Ads Data Manager has no jobs; it reports no invalid record.")
    found = f"Amazon has counted {counted(invalid, 'invalid record')} over all uploads."
    return Result("look", found, f"audience-sync parked list --audience {facts.audience.audience_id}")


def match_rate(facts: Facts) -> Result:
    """Check that Amazon recognizes the people, and where it loses them."""
    metrics = facts.report.metrics if isinstance(facts.report, DatasetReport) else None
    result = delivered.match_rate(facts)
    if metrics is None or None in (metrics.accepted, metrics.with_identity, metrics.resolved):
        return result
    counts = f"Of {counted(metrics.accepted or 0, 'accepted record')}, {metrics.with_identity:,} have an identity"
    return result._replace(found=f"{result.found} {counts}, and {metrics.resolved:,} are resolved.")


def minimum(_: Facts) -> Result:
    """Say that it cannot be checked: the counts are those of all uploads, not of the current members."""
    least = f"{delivered.MIN_FOR_DSP:,} matched members"
    return Result("ok", f"Amazon DSP needs {least}; Ads Data Manager reports no current number.")


JUDGES: Mapping[str, Callable[[Facts], Result]] = {  # by the name of the check whose place each takes
    "Amazon's audience": at_amazon,
    "target and terms": shares,
    "time to live": time_to_live,
    "parked changes": parked,
    "jobs": jobs,
    "match rate": match_rate,
    "minimum for DSP": minimum,
}
