"""Checks that differ for a dataset of Ads Data Manager: it has shares in place of a target, and no jobs. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import asdict

from audience_sync.amazon_ads.data_manager.share_settings import DSP
from audience_sync.errors import AccessDenied, NotFound
from audience_sync.operations.dataset_reports import DatasetReport
from audience_sync.reasons import Reason
from audience_sync_cli.checks import delivered
from audience_sync_cli.checks.audience_readings import AudienceReadings
from audience_sync_cli.frame.command_lines import to_paste
from audience_sync_cli.frame.errors import OperatorError, sentence
from audience_sync_cli.frame.finding import Finding, problem
from audience_sync_cli.frame.screen import counted
from audience_sync_cli.stack.share_text import NEW_IN_DSP, account, as_typed, state

# Amazon's file names other permissions for uploads than for the rest: who may create a dataset may be denied an upload.
_UPLOAD_DENIED = (
    "Terms and data room are there now, since Amazon shows the dataset. An upload also needs the permission"
    " ads_data_manager_edit; with a DSP account, account_edit or advertiser_campaign_edit. With a DSP account, Amazon"
    " deletes nobody's identities: remove such a person in the Amazon Ads console, then drop the dead letter."
)
_TO_WHOM = "to manager accounts with the permission ads_data_manager_view only"
_LATER = "Records of the last two hours may not be counted yet."
FEW = 10  # percent of the records received; fewer may be lost at any stage


def at_amazon(readings: AudienceReadings) -> Finding:
    """Check that Amazon knows the dataset and gives access to it."""
    report, show = readings.report, to_paste("audiences show", readings.name)
    if isinstance(report, OperatorError):
        return problem(str(report), report.remedy, show)
    if isinstance(report, NotFound):
        found = "Amazon does not know the dataset: it was deleted, or the stack names another account or Region."
        return Finding("problem", found, show)
    return delivered.at_amazon(readings)


def shares(readings: AudienceReadings) -> Finding:
    """Check that members reach an account."""
    if not isinstance(readings.report, DatasetReport):
        return Finding("ok", "Not known.")
    command = to_paste("audiences show", readings.name)
    if error := readings.report.failures.get("shares"):
        return Finding("note", f"Not checked. {sentence(str(error))}", command)
    ended = [f"{account(each)}: {state(each)}" for each in readings.report.ended]
    live = [each for each in readings.report.shares if not each.is_revoked]
    again = to_paste("audiences share", readings.name, as_typed(readings.report.ended))
    why = f" {'; '.join(ended)}. {NEW_IN_DSP}" if ended else ""
    if not live:
        return Finding("problem", f"It is shared with nobody, so its members reach nobody.{why}", again)
    if ended:
        return Finding("note", f"Members no longer reach an account:{why}", again)
    pending = [f"{account(each)}: {state(each)}" for each in live if each.status != "ACTIVE"]
    if pending:
        found = f"Not active yet: {'; '.join(pending)}. Amazon takes a day or more for the first members."
        return Finding("note", found, command)
    return Finding("ok", f"Members go to {', '.join(map(account, live))}.")


def parked(readings: AudienceReadings) -> Finding:
    """Check for parked changes, and say what an upload was denied for."""
    result = delivered.parked(readings)
    if readings.parked and isinstance(
        readings.optional(lambda each: each.report), OperatorError
    ):  # a reason code would blame the dataset
        audience, number = readings.audience.audience_id, counted(sum(readings.parked.values()), "dead letter")
        found = f"{number} of this audience. First put right what Amazon's audience names; then redrive them."
        return result._replace(found=found, remedy=to_paste("parked redrive", audience=audience, dry_run=True))
    if Reason.ACCESS_DENIED not in readings.parked or not isinstance(
        readings.optional(lambda each: each.report), DatasetReport
    ):
        return result
    return result._replace(found=f"{result.found} {_UPLOAD_DENIED}")


def time_to_live(_: AudienceReadings) -> Finding:
    """Say that there is none."""
    return Finding("ok", "Ads Data Manager has no time to live that can be set.")


def jobs(readings: AudienceReadings) -> Finding:
    """Check the records that Amazon has refused. They are counted over all uploads."""
    invalid = readings.report.metrics.invalid if isinstance(readings.report, DatasetReport) else None
    if not invalid:
        return Finding("ok", "Ads Data Manager has no jobs; it reports no invalid record.")
    found = f"Amazon has counted {counted(invalid, 'invalid record')} over all uploads."
    return Finding("note", found, to_paste("parked list", audience=readings.audience.audience_id))


def match_rate(readings: AudienceReadings) -> Finding:
    """Check that Amazon recognizes the people, and where most records of the last day are lost."""
    report = readings.report if isinstance(readings.report, DatasetReport) else DatasetReport("")
    error = next((error for part, error in report.failures.items() if part != "shares"), None)
    if isinstance(error, AccessDenied):
        return Finding("ok", f"Not known: Amazon shows the counts of a dataset {_TO_WHOM}.")
    if error:
        return Finding("note", f"Not checked. {sentence(str(error))}", to_paste("audiences show", readings.name))
    result, funnel = delivered.match_rate(readings), report.funnel
    if not funnel or not funnel.received:
        return result
    counts = asdict(funnel)
    found = f"{result.found} Of the last day: {', '.join(f'{count:,} {stage}' for stage, count in counts.items())}."
    lost, stage = max((before - counts[stage], stage) for before, stage in zip(counts.values(), _LOST, strict=False))
    if lost * 100 < funnel.received * FEW:
        return result._replace(found=found)
    why, command = _LOST[stage]
    command = command or to_paste("parked list", audience=readings.audience.audience_id)
    is_worse = result.state == "ok" and stage != "resolved"
    return Finding("note" if is_worse else result.state, f"{found} {why}", command)


def minimum(readings: AudienceReadings) -> Finding:
    """Check that Amazon DSP can use the audience, if it is shared with Amazon DSP."""
    shared = readings.report.shares if isinstance(readings.report, DatasetReport) else ()
    if shared and not any(each.application == DSP and not each.is_revoked for each in shared):
        return Finding("ok", "It is not shared with Amazon DSP, which has a minimum.")
    return delivered.minimum(readings)


_LOST = {  # the stages of the funnel after the first: why records do not reach it, and the next command
    "valid": (
        "Most of the others were refused for their format: the parked changes name the field.",
        "",  # the list of parked changes
    ),
    "consented": (
        f"Most of the others lack consent: map amzn_user_data, tcf or gpp. {_LATER}",
        "audience-sync mappings try event.json",
    ),
    "resolved": (
        f"Most of the others have no account at Amazon with these identifiers: map more of them. {_LATER}",
        "audience-sync member show USER_ID",
    ),
}
CHECKS: Mapping[str, Callable[[AudienceReadings], Finding]] = {  # by the name of the check whose place each takes
    "Amazon's audience": at_amazon,
    "target and terms": shares,
    "time to live": time_to_live,
    "parked changes": parked,
    "jobs": jobs,
    "match rate": match_rate,
    "minimum for DSP": minimum,
}
