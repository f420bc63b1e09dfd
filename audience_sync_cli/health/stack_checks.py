"""Checks of the parts of a stack: a finding for each, with a remedy if something is missing."""

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import requests

from audience_sync.access.credentials import EXPIRES_SOON, StoredKey, source_entries
from audience_sync.amazon_ads.login import Token
from audience_sync.errors import InvalidMapping
from audience_sync.ingest.intake import compiled
from audience_sync.reasons import DEFERRED, Reason
from audience_sync_cli.explanation import explained
from audience_sync_cli.screen import counted, moment
from audience_sync_cli.session import Session
from audience_sync_cli.setup.keys import Kind, is_strong
from audience_sync_cli.state.blockers import RECENT, Blocker, waiting
from audience_sync_cli.state.counts import depth
from audience_sync_cli.times import DAY

type State = Literal["ok", "note", "missing"]

FUNCTIONS = ("IngestFunction", "WorkerFunction", "RefreshFunction")
CONSENT_LIFETIME = 365 * DAY  # seconds; lifetime of a consent given on 30 July 2026 or later
REMIND_BEFORE = 45 * DAY  # seconds; time to find the person who may consent
# An outdated stack lacks some of these.
LATER_FUNCTIONS = ("AudiencesFunction", "JobsFunction", "RenewFunction", "AuditFunction", "DatasetsFunction")


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    part: str
    state: State
    found: str
    remedy: str = ""


def stack_findings(session: Session, only: Collection[str] = ()) -> Iterator[Finding]:
    """Run the checks of a stack, or `only` the named ones. A check that fails is also a finding."""
    checks: list[tuple[str, Callable[[Session], Iterator[Finding]]]] = [
        ("ingest secret", _ingest_secret),
        ("Amazon credentials", _credentials),
        ("access token", _token),
        ("Amazon Ads", _profiles),
        ("audience table", _audiences),
        ("mappings", _mappings),
        ("membership table", _members),
        ("queues", _queues),
        ("delivery", _delivery),
        ("functions", _functions),
        ("gateway", _gateway),
    ]
    for part, check in checks:
        if only and part not in only:
            continue
        try:
            yield from check(session)
        except Exception as error:  # noqa: BLE001 - any error is the finding of this part
            failure = explained(error)
            yield Finding(part, "missing", str(failure), failure.remedy)


def _ingest_secret(session: Session) -> Iterator[Finding]:
    stored = session.secret("IngestSecret").value()
    without_key: dict[Kind, tuple[State, str]] = {
        Kind.EVENT: ("missing", "every event is refused"),
        Kind.AUDIENCE: ("note", "Segment cannot create audiences"),
        Kind.SIGNING: ("note", "signatures are not used; the event key suffices"),
    }
    for kind, (state, effect) in without_key.items():
        value = stored.get(kind.current)
        if is_strong(value):
            second = ", and so is the previous one" if is_strong(stored.get(kind.previous)) else ""
            yield Finding(kind.label, "ok", f"strong{second}")
        else:
            found = "too weak, not accepted" if value else f"not set: {effect}"
            yield Finding(kind.label, "missing" if value else state, found, f"audience-sync keys rotate {kind}")
    for kind in (Kind.EVENT, Kind.AUDIENCE):
        for entry, source in source_entries(stored, kind.current).items():
            yield from _expiry(kind, source, StoredKey.from_json(stored[entry]), session.now())


def _expiry(kind: Kind, source: str, key: StoredKey, now: float) -> Iterator[Finding]:
    """Report a source's key that is refused because it expired, or will be soon."""
    part, left = f"{kind.label} of {source}", key.days_left(now)
    remove = f"audience-sync keys remove {kind} {source}"
    if not key.is_expiry_readable:
        yield Finding(part, "missing", "its expiry date is unreadable: its requests are refused", remove)
    elif left is not None and left < 0:
        yield Finding(part, "note", f"expired after {key.expires_on}: its requests are refused", remove)
    elif left is not None and left <= EXPIRES_SOON:
        found = f"valid through {key.expires_on}, {counted(left, 'day')} left"
        yield Finding(part, "note", found, f"audience-sync keys add {kind} NEW-NAME")


def _credentials(session: Session) -> Iterator[Finding]:
    stored = session.secret("CredentialsSecret").value()
    unset = [name for name in ("clientId", "clientSecret", "refreshToken") if not stored.get(name)]
    if unset:
        yield Finding("Amazon credentials", "missing", f"not set: {', '.join(unset)}", "audience-sync connect")
    else:
        yield _consent(stored.get("authorizedAt"), session.now())


def _consent(authorized: object, now: float) -> Finding:
    """Report when the stored consent ends; an earlier version stored no time for `authorized`."""
    stored = "client and authorization are stored"
    if not isinstance(authorized, int | float) or now < authorized + CONSENT_LIFETIME - REMIND_BEFORE:
        return Finding("Amazon credentials", "ok", stored)
    ends = authorized + CONSENT_LIFETIME
    is_valid = now < ends
    found = (
        f"{stored}; the consent {'ends' if is_valid else 'ended'} at {moment(ends * 1000)}, a year after it was given"
    )
    return Finding("Amazon credentials", "note" if is_valid else "missing", found, "audience-sync connect")


def _token(session: Session) -> Iterator[Finding]:
    token = Token.from_json(session.secret("TokenSecret").value())
    left = (token.expires_at - session.now()) / 60 if token else 0
    if token and token.is_fresh(session.now()):
        yield Finding("access token", "ok", f"valid for {left:.0f} minutes")
    else:
        found = "none yet" if token is None else "expired"
        yield Finding("access token", "missing", found, "audience-sync connect")


def _profiles(session: Session) -> Iterator[Finding]:
    profiles = session.amazon.profiles()
    if profiles:
        yield Finding("Amazon Ads", "ok", f"answers with {counted(len(profiles), 'profile')}")
    else:
        yield Finding("Amazon Ads", "missing", "no profile in this region", "connect as a user of the advertiser")


def _audiences(session: Session) -> Iterator[Finding]:
    listed = session.audiences.all()
    if listed:
        yield Finding("audience table", "ok", counted(len(listed), "audience"))
    else:
        yield Finding("audience table", "note", "no audience: every event is rejected", "audience-sync audiences link")


def _mappings(session: Session) -> Iterator[Finding]:
    document = session.audiences.mappings()
    try:
        mappings = compiled(document)
    except InvalidMapping as error:
        yield Finding("mappings", "missing", str(error), "audience-sync mappings apply")
        return
    found = "Segment's default mapping" if document is None else f"version {_version(document)}"
    if any(each.is_enabled for each in mappings):
        yield Finding("mappings", "ok", found)
    else:
        yield Finding(
            "mappings", "note", f"{found}, none enabled: every event is ignored", "audience-sync mappings show"
        )


def _version(document: str) -> object:
    parsed = json.loads(document)
    return parsed.get("version", "?") if isinstance(parsed, dict) else "?"


def _members(session: Session) -> Iterator[Finding]:
    table = session.stack.service("dynamodb").describe_table(TableName=session.stack["MembershipTable"])["Table"]
    state: State = "ok" if table["TableStatus"] == "ACTIVE" else "missing"
    yield Finding("membership table", state, table["TableStatus"].lower())


def _queues(session: Session) -> Iterator[Finding]:
    changes, dead_letters = depth(session.stack, "ChangeQueue"), depth(session.stack, "DeadLetterQueue")
    yield Finding("change queue", "ok", counted(changes.total, "message"))
    if dead_letters.total:
        yield Finding("dead letters", "note", counted(dead_letters.total, "message"), "audience-sync parked list")
    else:
        yield Finding("dead letters", "ok", "none")


def _delivery(session: Session) -> Iterator[Finding]:
    """Check for anything that keeps changes from Amazon. A missing connection is another check's finding."""
    why = waiting(session)
    blockers = [each for each in why.blockers if each.reason != Reason.NOT_CONNECTED]
    for each in blockers:
        yield Finding("delivery", "missing" if each.needs_person else "note", each.sentence, each.advice)
    failed = why.failed
    if failed.by_reason and not failed.recovered:
        yield Finding("uploads", "note", f"failed: {failed.text}", _remedy(failed.last_reason, blockers))
    elif failed.by_reason and not blockers:
        yield Finding("delivery", "ok", f"uploads are accepted again; failed: {failed.text}")
    for sentence in why.unknown:
        yield Finding("delivery", "note", sentence)
    if not (blockers or failed.by_reason or why.unknown):
        yield Finding("delivery", "ok", f"no upload failed in the last {RECENT // 60} minutes")


def _remedy(reason: str, blockers: Sequence[Blocker]) -> str:
    """Return the remedy for failed uploads: the one for waiting changes, otherwise the one for parked changes."""
    waits = [each.advice for each in blockers if each.reason == reason]
    if waits or (reason in Reason and Reason(reason).effects >= DEFERRED):
        return "".join(waits) or "audience-sync status"
    return f"audience-sync parked list --reason {reason}"


def _functions(session: Session) -> Iterator[Finding]:
    names = [*FUNCTIONS, *(each for each in LATER_FUNCTIONS if each in session.stack)]
    for name in names:
        found = session.stack.service("lambda").get_function_configuration(FunctionName=session.stack[name])
        state, update = found.get("State", "Active"), found.get("LastUpdateStatus", "Successful")
        # Lambda deactivates a function that has not run for weeks, and reactivates it on invocation.
        if state in ("Active", "Inactive") and update != "Failed":
            yield Finding(name, "ok", state.lower())
        else:
            yield Finding(name, "missing", f"{state.lower()}, last update {update.lower()}", "make deploy")


def _gateway(session: Session) -> Iterator[Finding]:
    try:
        answer = session.http.get(f"{session.stack.api}/v1/health", timeout=10, allow_redirects=False)
    except requests.RequestException as error:
        yield Finding("gateway", "missing", f"does not answer: {type(error).__name__}", "make deploy")
        return
    if answer.status_code == 200:
        yield Finding("gateway", "ok", session.stack.api)
    else:
        yield Finding("gateway", "missing", f"answers {answer.status_code}", "see the log of the ingest function")
