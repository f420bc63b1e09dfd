"""Use case of `audiences`: creates audiences at Amazon once, finds them again, changes them.

Amazon has no call that lists audiences, and a repeated request creates a second one. So a lock is acquired in the
audience table before each creation, and a second request finds either the audience or the lock:

* the audience exists: return it, with the settings that differ from the request;
* the lock is held: wait for a while, then ask for the request to be repeated later;
* the lock is stale: there is no way to find out whether Amazon has created the audience. It is created again; a first
  one would stay empty at Amazon, since no event can reach it.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

from audience_sync.access.credentials import Authenticated, authenticate_with_newest, require_audience_credential
from audience_sync.amazon_ads.advertiser_audiences.audience import (
    AudienceReport,
    NewAudience,
    audience_update,
    new_audience,
)
from audience_sync.amazon_ads.advertiser_audiences.audience_diff import SettingMismatch, mismatches
from audience_sync.amazon_ads.destination import Api, api_of
from audience_sync.amazon_ads.ids import audience_id
from audience_sync.audiences.names import Kind, holders, taken
from audience_sync.aws.audience_table import AudienceTable
from audience_sync.aws.creation_locks import STALE_LOCK_AGE, CreationLock, CreationLocks, key_of
from audience_sync.aws.secrets import JsonSecret
from audience_sync.clock import Clock
from audience_sync.errors import (
    AudienceNotListed,
    AudienceSyncError,
    CreationUnderWay,
    InvalidAudience,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    OutOfTime,
    RequestRejected,
    SettingFault,
    Unavailable,
)
from audience_sync.members.membership import Audience, after_moves
from audience_sync.reasons import Reason

CREATE_WAIT = 8.0  # seconds to wait for another request's creation; Segment gives up after ten
POLL_INTERVAL = 0.5  # seconds between two reads of the lock
RESERVE = 3.0  # seconds kept to list the created audience
CREATE_TIMEOUT = 24.0  # seconds for Amazon; the gateway waits 30 in all. Segment then repeats its request
READ_TIMEOUT = 3.0  # seconds; without an answer the table decides
# Audiences that the audience key, which travels in a URL, may create. A first set-up needs some dozens. Functions read
# all of them every minute, and a deletion notice reads a row for each: with 10,000, ingest no longer answers in time.
MAX_CREATED_A_DAY = 100
_DAY = 86_400_000  # milliseconds
_TAKEN = {
    Kind.KEY: SettingFault(
        Kind.KEY,
        "a key that is no name of another audience, listed or unlinked: no key, id or external id",
        "leave it out; to share the key, then run `audience-sync audiences link ID --key KEY --also`",
    ),
    Kind.EXTERNAL_ID: SettingFault(
        Kind.EXTERNAL_ID,
        "an id that is no name of another audience, listed or unlinked: no id, key or external id",
        "choose another, or run `audience-sync audiences link AUDIENCE_ID` for that audience",
    ),
}
_SEGMENT_KEY = re.compile(r"\w[\w-]*", re.ASCII)  # Segment makes them in snake case


class AudienceApi(Protocol):
    """Amazon's calls for audiences."""

    def create_audience(self, body: dict[str, Any], *, timeout: float) -> str:
        """Create one and return its id."""

    def read_audience(self, audience_id: str, *, timeout: float) -> AudienceReport:
        """Read one. Raises NotFound."""

    def update_audience(self, audience_id: str, body: dict[str, Any], *, timeout: float) -> None:
        """Change one."""


class DatasetLookup(Protocol):
    """Amazon's calls for datasets."""

    def dataset(self, dataset_id: str, *, timeout: float) -> object:
        """Read one. Raises NotFound."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on requests with the audience key; the operator's command has none."""

    allowed_targets: frozenset[str] = frozenset()  # ids of accounts that a new audience may reach; empty allows all
    allow_id_retention: bool = False  # whether Amazon may keep the hashes of a dataset


@dataclass(frozen=True, slots=True)
class Created:
    """An audience that exists now, and its differences from the request."""

    listed: Audience  # with the settings in force
    wanted: NewAudience
    attempts: int = 0  # creations at Amazon by this request; 0 if the audience existed

    @property
    def audience_id(self) -> str:
        """Amazon's id."""
        return self.listed.audience_id

    @property
    def mismatches(self) -> tuple[SettingMismatch, ...]:
        """Settings that differ from the request because the audience already existed."""
        return mismatches(self.wanted, self.listed)

    def as_json(self) -> dict[str, Any]:
        """The answer to Segment: the id as a string, and the differences from the request."""
        answer: dict[str, Any] = {"externalId": self.audience_id}
        if self.listed.name != self.wanted.segment_name:
            answer["name"] = self.listed.name
        if not self.wanted.has_own_external_id:
            answer["externalAudienceId"] = self.wanted.external_audience_id
        if self.mismatches:
            answer["differs"] = [each.as_json() for each in self.mismatches]
        return answer


def authenticate(
    secret: JsonSecret, headers: Mapping[str, str], query: Mapping[str, str], *, now: float
) -> Authenticated:
    """Authenticate a request, by audience key, at `now` in epoch seconds.

    Raises Unauthorized, Unavailable, InvalidSettings.
    """
    return authenticate_with_newest(
        secret.value,
        lambda keys: keys.authenticate_audiences(headers, query, now=now),
        lambda: require_audience_credential(headers, query),
    )


class Audiences:
    """Creates, finds and changes audiences."""

    def __init__(
        self,
        table: AudienceTable,
        locks: CreationLocks,
        amazon: AudienceApi,
        clock: Clock,
        *,
        max_cpm_cents: int,
        limits: Limits | None,
        name_prefix: str = "",
    ) -> None:
        """Set up the use case.

        Args:
            table: the audiences that events may reach.
            locks: of creations.
            amazon: the calls to Amazon.
            clock: for waiting.
            max_cpm_cents: the highest fee allowed, in hundredths of any currency.
            limits: on the request; None for the operator.
            name_prefix: before the names of new audiences.
        """
        self._table = table
        self._locks = locks
        self._amazon = amazon
        self._clock = clock
        self._max_cpm_cents = max_cpm_cents
        self._limits = limits
        self._name_prefix = name_prefix

    def create(self, extras: Mapping[str, Any], *, deadline: float) -> Created:
        """Create an audience, or find it: the same external id and target are the same audience.

        Args:
            extras: the customer's, including Segment's audienceName.
            deadline: monotonic seconds by which the answer must be on its way.

        Raises:
            InvalidAudience: no audience can have these settings.
            InvalidRequest: the audience key may create no more today.
            RequestRejected: Amazon refuses it.
            TransientError: it is not created, or the outcome is unknown. Repeating the request finds the audience.
        """
        ceiling, prefix = self._max_cpm_cents, self._name_prefix
        targets = self._limits.allowed_targets if self._limits else frozenset()
        wanted = new_audience(extras, max_cpm_cents=ceiling, allowed_targets=targets, name_prefix=prefix)
        created = self._found_or_created(wanted, deadline)
        # Also for an existing audience: the request that listed it may have stopped before this.
        self._table.raise_version()
        return created

    def find(self, extras: Mapping[str, Any], datasets: DatasetLookup | None = None) -> Audience | None:
        """Return the audience of `extras["externalId"]`, None if it is not listed or gone at Amazon.

        An unlinked audience that was moved is found for as long as its events reach the new one: Segment asks whether
        the id that it puts into events is still valid.

        Args:
            extras: a JSON object.
            datasets: of Ads Data Manager; None if the stack names no account.

        Raises:
            InvalidRequest: there is no externalId.
            Unavailable: the table does not answer. If Amazon does not, the table decides.
        """
        if extras.get("externalId") in (None, ""):
            raise InvalidRequest("externalId is missing")
        named = audience_id(extras["externalId"])
        audience = self._table.stored(named) if named else None
        reached = after_moves(audience, self._table.stored)
        if reached is None:
            return None
        try:
            if api_of(reached.destination) is Api.AUDIENCES:
                self._amazon.read_audience(reached.audience_id, timeout=READ_TIMEOUT)
            elif datasets:
                datasets.dataset(reached.audience_id, timeout=READ_TIMEOUT)
        except NotFound:
            return None
        except AudienceSyncError:
            return audience
        return audience

    def update(self, audience_id: str, changes: Mapping[str, Any], *, timeout: float = CREATE_TIMEOUT) -> Audience:
        """Change description, ttl, fee, `dsp` or `renew` of a listed audience, and return the updated audience.

        Raises:
            AudienceNotListed: there is no such audience.
            InvalidAudience: Amazon does not change such a field.
            RequestRejected, TransientError: from Amazon's client; the change may be repeated.
        """
        audience = self._table.by_id(audience_id)
        if audience is None:
            raise AudienceNotListed("no audience with this id is listed here")
        if "renew" in changes and "ttl" not in audience.settings:
            audience = with_ttl(audience, self._amazon.read_audience(audience_id, timeout=timeout))
        update = audience_update(audience, changes, max_cpm_cents=self._max_cpm_cents)
        if update.body:
            self._amazon.update_audience(audience_id, update.body, timeout=timeout)
        if not self._table.change(audience_id, update.settings):
            raise Unavailable("the audience was removed from the list during the update")
        return replace(audience, settings=update.settings)

    def _found_or_created(self, wanted: NewAudience, deadline: float) -> Created:
        for listed in self._table.by_external_audience_id(wanted.external_audience_id):
            if listed.destination == wanted.destination:
                return Created(listed, wanted)
        self._check_names_free(wanted)
        lock, is_ours = self._acquire(wanted, deadline)
        if is_ours:
            audience_id = self._create(wanted, lock, deadline)
            return Created(wanted.listed_as(audience_id), wanted, lock.attempts)
        return Created(self._existing(wanted, lock.audience_id or ""), wanted)

    def _acquire(self, wanted: NewAudience, deadline: float) -> tuple[CreationLock, bool]:
        """Acquire the lock, or wait for its holder. Returns a lock that is ours or has its audience."""
        key = key_of(wanted.external_audience_id, wanted.target)
        until = min(self._clock.monotonic() + CREATE_WAIT, deadline)
        while True:
            lock, is_ours = self._locks.acquire(key, now=self._clock.now_ms())
            left = STALE_LOCK_AGE - (self._clock.now_ms() - lock.started_at)
            if not is_ours and lock.audience_id is None and left <= 0:
                lock, is_ours = self._locks.take_over(lock, now=self._clock.now_ms())
            if is_ours or lock.audience_id is not None:
                return lock, is_ours
            if self._clock.monotonic() + POLL_INTERVAL > until:
                raise CreationUnderWay(
                    "the audience is being created, or its creation was interrupted", retry_after=max(left, 0) / 1000
                )
            self._clock.sleep(POLL_INTERVAL)

    def _existing(self, wanted: NewAudience, audience_id: str) -> Audience:
        """Return the listed audience of a completed lock. Lists it again if its row was removed.

        Raises InvalidAudience if it was unlinked.
        """
        guess = wanted.listed_as(audience_id)
        if not self._table.add(guess, created=self._clock.now_ms()):
            self._check_not_unlinked(audience_id)
            return self._table.by_id(audience_id) or guess
        with suppress(AudienceSyncError):  # without Amazon's answer, the request is the best guess
            known = _as_reported(guess, self._amazon.read_audience(audience_id, timeout=READ_TIMEOUT))
            self._table.put(known, created=self._clock.now_ms())
            return known
        return guess

    def _create(self, wanted: NewAudience, lock: CreationLock, deadline: float) -> str:
        timeout = min(CREATE_TIMEOUT, deadline - RESERVE - self._clock.monotonic())
        with ExitStack() as held:
            try:
                held.enter_context(alone_with_key(self._locks, wanted.computation_key, self._clock))
                self._check_names_free(wanted)
                if timeout <= 0:
                    raise OutOfTime("not enough time left", retry_after=None)
                with counted_creation(self._locks, self._clock) if self._limits else nullcontext():
                    audience_id = self._amazon.create_audience(wanted.body(), timeout=timeout)
                self._check_not_unlinked(audience_id)  # whether Amazon returns an existing one is not documented
            except OutcomeUnknown as error:
                raise OutcomeUnknown(str(error), retry_after=STALE_LOCK_AGE / 1000) from None
            except AudienceSyncError:
                with suppress(Unavailable):  # then the lock is held until it counts as stale
                    self._locks.release(lock)
                raise
            self._locks.complete(lock, wanted.listed_as(audience_id), now=self._clock.now_ms())
        return audience_id

    def _check_names_free(self, wanted: NewAudience) -> None:
        names = wanted.computation_key, wanted.external_audience_id
        check_names_free(self._table, *names, by_operator=self._limits is None)

    def _check_not_unlinked(self, audience_id: str) -> None:
        """Raise InvalidAudience if an audience was unlinked: its members are still in it."""
        audience = self._table.stored(audience_id)
        if audience and audience.unlinked_at is not None:
            raise InvalidAudience([_TAKEN[Kind.EXTERNAL_ID]])


def alone_with_key(locks: CreationLocks, key: str | None, clock: Clock) -> AbstractContextManager[None]:
    """Return a context in which no other audience is created for a computation key: both would find it free.

    Raises CreationUnderWay.
    """
    return locks.held(key_of(key, "computation key"), clock) if key else nullcontext()


def check_names_free(table: AudienceTable, key: str | None, external_id: str, *, by_operator: bool) -> None:
    """Raise InvalidAudience if a name of a new audience would mean another one too. See audiences/names.py.

    Under one key, two audiences would get no events. Under one external id, each target has an audience. Only the
    operator can give the names of an unlinked audience to another: Segment goes on sending events of its key, and an
    operator may know it by its external id.
    """
    faults = []
    if key and not by_operator and not _SEGMENT_KEY.fullmatch(key):  # an operator may type it into a shell
        remedy = "copy it from the settings of the audience in Segment"
        faults.append(SettingFault(Kind.KEY, "letters, digits, _ and -, such as big_spenders", remedy))
        raise InvalidAudience(faults)
    names = {Kind.KEY: key, Kind.EXTERNAL_ID: external_id}
    wanted = {kind: name for kind, name in names.items() if name}
    stored = [each for name in {*wanted.values()} for each in table.named(name)]
    of_another_kind = {kind for kind, _ in taken(wanted, stored)}
    for kind, name in wanted.items():
        same = [each for has, each in holders(name, stored) if has is kind]
        unlinked = [each for each in same if each.unlinked_at is not None]
        is_shared = len(unlinked) < len(same) and kind is Kind.KEY
        if kind in of_another_kind or is_shared or (unlinked and not by_operator):
            faults.append(_TAKEN[kind])
    if faults:
        raise InvalidAudience(faults)


@contextmanager
def counted_creation(locks: CreationLocks, clock: Clock) -> Iterator[None]:
    """Count an audience that the audience key creates in this context; not if Amazon refuses it.

    Otherwise one wrong setting, repeated, would use up the day. Raises InvalidRequest if too many were created.
    """
    day = clock.now_ms() // _DAY
    if not locks.count_creation(day=day, at_most=MAX_CREATED_A_DAY):
        limit = f"the audience key creates at most {MAX_CREATED_A_DAY} audiences a day (UTC)"
        reason = Reason.TOO_MANY_AUDIENCES
        raise InvalidRequest(f"{limit}; {reason.remedy}, which has no limit", reason=reason)
    try:
        yield
    except RequestRejected:
        with suppress(Unavailable):
            locks.take_back_count(day=day)
        raise


def with_ttl(audience: Audience, report: AudienceReport) -> Audience:
    """Return the audience with the ttl that Amazon reports, which renewal needs even if it was created elsewhere."""
    if report.ttl is None:
        return audience
    return replace(audience, settings=audience.settings | {"ttl": report.ttl})


def _as_reported(audience: Audience, report: AudienceReport) -> Audience:
    """Return the audience with the settings that Amazon reports."""
    reported: dict[str, Any] = {"description": report.description, "ttl": report.ttl}
    for fee in report.fees[:1]:  # we never create more than one
        reported |= {"cpmCents": fee.cpm_cents, "currency": fee.currency}
    settings = audience.settings | {name: value for name, value in reported.items() if value is not None}
    name, country = report.name or audience.name, report.country or audience.country
    return replace(audience, name=name, country=country, settings=settings)
