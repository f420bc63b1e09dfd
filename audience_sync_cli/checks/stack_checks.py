"""Checks of the parts of a stack, in the order of `audience-sync test`."""

import json
from collections.abc import Iterator, Sequence

import requests
from botocore.exceptions import ClientError

from audience_sync.access.credentials import EXPIRES_SOON, StoredKey, source_entries
from audience_sync.amazon_ads.login import consent_ends
from audience_sync.aws.client_errors import error_code
from audience_sync.errors import InvalidMapping
from audience_sync.ingest.intake import compiled
from audience_sync.reasons import DEFERRED, Reason
from audience_sync_cli.checks.readings import StackReadings
from audience_sync_cli.frame.command_lines import to_paste
from audience_sync_cli.frame.finding import Check, Finding, State
from audience_sync_cli.frame.screen import counted, moment
from audience_sync_cli.frame.session import NO_API
from audience_sync_cli.frame.times import DAY
from audience_sync_cli.stack.blockers import RECENT, Blocker
from audience_sync_cli.stack.counts import depth, event_queue_depth
from audience_sync_cli.stack.key_kinds import KeyKind, is_strong
from audience_sync_cli.stack.options import NO_TTL, keeping

FUNCTIONS = ("IngestFunction", "WorkerFunction", "RefreshFunction")
LEFT_FOR_API = 6  # invocations at a time
BEHIND_QUEUES = ("WorkerFunction", "JobsFunction", "EventsFunction")
REMIND_BEFORE = 45 * DAY  # seconds; time to find the person who may consent
# An outdated stack, or one with a single entry point, lacks some of these.
LATER_FUNCTIONS = (
    *("AudiencesFunction", "JobsFunction", "RenewFunction", "AuditFunction"),
    *("DatasetsFunction", "EventsFunction"),
)


def keys(readings: StackReadings) -> Iterator[Finding]:
    """Check Segment's keys, the event key first."""
    if readings.optional(lambda read: read.api) == "":
        yield Finding("ok", f"{NO_API}, so no request carries a key")
        return
    stored = readings.ingest_secret
    without_key: dict[KeyKind, tuple[State, str]] = {
        KeyKind.EVENT: ("problem", "every event is refused"),
        KeyKind.AUDIENCE: ("note", "Segment cannot create audiences"),
        KeyKind.SIGNING: ("note", "signatures are not used; the event key suffices"),
    }
    for kind, (state, effect) in without_key.items():
        value = stored.get(kind.current)
        if is_strong(value):
            second = ", and so is the previous one" if is_strong(stored.get(kind.previous)) else ""
            yield Finding("ok", f"strong{second}", name=kind.label)
        else:
            found = "too weak, not accepted" if value else f"not set: {effect}"
            yield Finding("problem" if value else state, found, to_paste("keys rotate", kind), kind.label)
    for kind in (KeyKind.EVENT, KeyKind.AUDIENCE):
        for entry, source in source_entries(stored, kind.current).items():
            yield from _expiry(kind, source, StoredKey.from_json(stored[entry]), readings.now)


def _expiry(kind: KeyKind, source: str, key: StoredKey, now: float) -> Iterator[Finding]:
    """Report a source's key that is refused because it expired, or will be soon."""
    name, left = f"{kind.label} of {source}", key.days_left(now)
    retire = to_paste("keys retire", kind, source=source)
    if not key.is_expiry_readable:
        yield Finding("problem", "its expiry date is unreadable: its requests are refused", retire, name)
    elif left is not None and left < 0:
        yield Finding("note", f"expired after {key.expires_on}: its requests are refused", retire, name)
    elif left is not None and left <= EXPIRES_SOON:
        found = f"valid through {key.expires_on}, {counted(left, 'day')} left"
        yield Finding("note", found, to_paste("keys rotate", kind, source="NEW-NAME"), name)


def credentials(readings: StackReadings) -> Finding:
    """Check that client and consent are stored, and when the consent ends."""
    stored = readings.credentials
    unset = [name for name in ("clientId", "clientSecret", "refreshToken") if not stored.get(name)]
    if unset:
        return Finding("problem", f"not set: {', '.join(unset)}", "audience-sync connect")
    ends, found = consent_ends(stored), "client and authorization are stored"
    if ends is None or readings.now < ends - REMIND_BEFORE:
        return Finding("ok", found)
    is_valid = readings.now < ends
    found += f"; the consent {'ends' if is_valid else 'ended'} at {moment(ends * 1000)}, a year after it was given"
    return Finding("note" if is_valid else "problem", found, "audience-sync connect")


def access_token(readings: StackReadings) -> Finding:
    """Check that a valid access token is stored."""
    token = readings.token
    if token and token.is_fresh(readings.now):
        return Finding("ok", f"valid for {(token.expires_at - readings.now) / 60:.0f} minutes")
    return Finding("problem", "none yet" if token is None else "expired", "audience-sync connect")


def _profiles(readings: StackReadings) -> Finding:
    profiles = readings.session.amazon.profiles()
    if profiles:
        return Finding("ok", f"answers with {counted(len(profiles), 'profile')}")
    return Finding("problem", "no profile in this region", "connect as a user of the advertiser")


def _audiences(readings: StackReadings) -> Iterator[Finding]:
    listed = readings.session.audiences.all()
    if listed:
        yield Finding("ok", counted(len(listed), "audience"))
    else:
        yield Finding("note", "no audience: every event is rejected", "audience-sync audiences link")
    for each in listed:
        if each.settings.get("ttl") == 0:
            yield Finding("problem", NO_TTL, keeping(each.audience_id), f"audience {each.name or each.audience_id}")


def mappings(readings: StackReadings) -> Finding:
    """Check that ingest can use the mappings, and that one is enabled."""
    document = readings.mappings
    try:
        used = compiled(document)
    except InvalidMapping as error:
        return Finding("problem", str(error), "audience-sync mappings apply")
    found = "Segment's default mapping" if document is None else f"version {_version(document)}"
    if any(each.is_enabled for each in used):
        return Finding("ok", found)
    return Finding("note", f"{found}, none enabled: every event is ignored", "audience-sync mappings show")


def _version(document: str) -> object:
    parsed = json.loads(document)
    return parsed.get("version", "?") if isinstance(parsed, dict) else "?"


def _members(readings: StackReadings) -> Finding:
    stack = readings.session.stack
    status = stack.service("dynamodb").describe_table(TableName=stack["MembershipTable"])["Table"]["TableStatus"]
    return Finding("ok" if status == "ACTIVE" else "problem", status.lower())


def _queues(readings: StackReadings) -> Iterator[Finding]:
    changes, dead_letters = readings.change_queue.total, depth(readings.session.stack, "DeadLetterQueue").total
    yield Finding("ok", counted(changes, "message"), name="change queue")
    if dead_letters:
        yield Finding("note", counted(dead_letters, "message"), "audience-sync parked list", "dead letters")
    else:
        yield Finding("ok", "none", name="dead letters")
    if events := event_queue_depth(readings.session.stack):
        lost, remedy = events.dead_letters, "audience-sync parked list"
        yield Finding("ok", counted(events.messages, "message"), name="event queue")
        yield Finding("note" if lost else "ok", counted(lost, "message"), remedy if lost else "", "event dead letters")


def _delivery(readings: StackReadings) -> Iterator[Finding]:
    """Check for anything that keeps changes from Amazon. A missing connection is another check's finding."""
    why = readings.waiting
    blockers = [each for each in why.blockers if each.reason != Reason.NOT_CONNECTED]
    for each in blockers:
        yield Finding("problem" if each.needs_person else "note", each.sentence, each.advice)
    failed = why.failed
    if failed.by_reason and not failed.recovered:
        yield Finding("note", f"failed: {failed.text}", _remedy(failed.last_reason, blockers), "uploads")
    elif failed.by_reason and not blockers:
        yield Finding("ok", f"uploads are accepted again; failed: {failed.text}")
    for sentence in why.unknown:
        yield Finding("note", sentence)
    if not (blockers or failed.by_reason or why.unknown):
        yield Finding("ok", f"no upload failed in the last {RECENT // 60} minutes")


def _remedy(reason: str, blockers: Sequence[Blocker]) -> str:
    """Return the remedy for failed uploads: the one for waiting changes, otherwise the one for parked changes."""
    waits = [each.advice for each in blockers if each.reason == reason]
    if waits or (reason in Reason and Reason(reason).effects >= DEFERRED):
        return "".join(waits) or "audience-sync status"
    return to_paste("parked list", reason=reason)


def _functions(readings: StackReadings) -> Iterator[Finding]:
    stack = readings.session.stack
    needed = FUNCTIONS if stack.api else FUNCTIONS[1:]
    for name in [*needed, *(each for each in LATER_FUNCTIONS if each in stack)]:
        found = stack.service("lambda").get_function_configuration(FunctionName=stack[name])
        state, update = found.get("State", "Active"), found.get("LastUpdateStatus", "Successful")
        # Lambda deactivates a function that has not run for weeks, and reactivates it on invocation.
        if state in ("Active", "Inactive") and update != "Failed":
            yield Finding("ok", state.lower(), name=name)
        else:
            yield Finding("problem", f"{state.lower()}, last update {update.lower()}", "make repair", name)


def _concurrency(readings: StackReadings) -> Iterator[Finding]:
    """Check that functions behind queues cannot take all that the account may run. A local stack has no limit."""
    stack = readings.session.stack
    if stack.local is not None:
        return
    api = stack.service("lambda")
    limit = api.get_account_settings()["AccountLimit"]["ConcurrentExecutions"]
    found = [api.list_event_source_mappings(FunctionName=stack[name]) for name in BEHIND_QUEUES if name in stack]
    sources = [each.get("ScalingConfig", {}) for some in found for each in some["EventSourceMappings"]]
    taken = sum(each.get("MaximumConcurrency", limit) for each in sources)
    runs = f"the account may run {counted(limit, 'invocation')} at a time"
    if limit - taken >= LEFT_FOR_API:
        yield Finding("ok", runs)
    else:
        remedy = "request more, or lower MaximumConcurrency: docs/deploy.md, A new AWS account"
        yield Finding("note", f"{runs}; functions behind queues can take {taken}, so events may be refused", remedy)


def _receivers(readings: StackReadings) -> Iterator[Finding]:
    """Check that alarms have a recipient. A local stack has none."""
    stack = readings.session.stack
    if "Alarms" not in stack:
        return
    try:
        topic = stack.service("sns").get_topic_attributes(TopicArn=stack["Alarms"])["Attributes"]
    except ClientError as error:  # a topic of one's own may allow others only
        yield Finding("note", f"unknown who gets them: {error_code(error)}", f"look at the topic {stack['Alarms']}")
        return
    confirmed, pending = int(topic["SubscriptionsConfirmed"]), int(topic["SubscriptionsPending"])
    found = counted(confirmed, "confirmed receiver")
    if pending:
        found += f", {pending} not confirmed"
        yield Finding("note", found, "open the link in the mail from AWS Notifications, or subscribe again")
    elif confirmed:
        yield Finding("ok", found)
    else:
        yield Finding("note", "nobody gets them", "make deploy ARGS='--parameter-overrides AlarmEmail=ADDRESS'")


def _gateway(readings: StackReadings) -> Finding:
    session = readings.session
    if not session.stack.api:
        return Finding("ok", NO_API)
    try:
        answer = session.http.get(f"{session.stack.api}/v1/health", timeout=10, allow_redirects=False)
    except requests.RequestException as error:
        return Finding("problem", f"does not answer: {type(error).__name__}", "make repair")
    if answer.status_code == 200:
        return Finding("ok", session.stack.api)
    return Finding("problem", f"answers {answer.status_code}", "see the log of the ingest function")


CHECKS = (
    Check("ingest secret", keys),
    Check("Amazon credentials", credentials),
    Check("access token", access_token),
    Check("Amazon Ads", _profiles),
    Check("audience table", _audiences),
    Check("mappings", mappings),
    Check("membership table", _members),
    Check("queues", _queues),
    Check("delivery", _delivery),
    Check("functions", _functions),
    Check("concurrency", _concurrency),
    Check("alarms", _receivers),
    Check("gateway", _gateway),
)
