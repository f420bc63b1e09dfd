"""Use case of `audiences`: creates audiences in Ads Data Manager, shares them, and finds them again.

A dataset's name is unique in its account, and Amazon answers a second creation with the id of the first dataset. So a
request that stopped half-way is simply repeated: each step finds what exists, and the audience is listed last. Shares
have no such key. So a lock in the audience table keeps two requests from sharing a dataset twice: Segment repeats its
request while the first one still runs.
"""

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from audience_sync.amazon_ads.data_manager.answers import DataRoom, Dataset, Share
from audience_sync.amazon_ads.data_manager.dataset_settings import NewDataset, new_dataset
from audience_sync.amazon_ads.destination import Api, ads_data_manager
from audience_sync.audiences.creation import Limits, alone_with_key, check_names_free, counted_creation
from audience_sync.aws.audience_table import AudienceTable
from audience_sync.aws.creation_locks import CreationLocks, key_of
from audience_sync.clock import Clock
from audience_sync.errors import AccessDenied, InvalidAudience, OutOfTime, SettingFault
from audience_sync.members.membership import Audience, FilledBy

RESERVE = 3.0  # seconds kept to list the created audience
NO_ERASURE = (
    "with a DSP account in place of a manager account, Amazon deletes nobody:"
    " people to erase must be removed in the Amazon Ads console"
)
UNCHANGEABLE = "A dataset cannot be changed at Amazon; `audience-sync audiences link` changes what is stored here"
_UNSHARED = "Nobody shares a listed dataset by creating it again; `audience-sync audiences share` does"


class DatasetApi(Protocol):
    """Amazon's calls for datasets."""

    @property
    def can_erase(self) -> bool:
        """Whether people can be deleted and shares revoked."""

    def data_room(self, *, timeout: float) -> DataRoom | None:
        """Read the account's data room."""

    def make_data_room(self, *, timeout: float) -> DataRoom:
        """Create it."""

    def dataset_named(self, name: str, *, timeout: float) -> Dataset | None:
        """Find a dataset by its name."""

    def create_dataset(self, body: dict[str, Any], *, timeout: float) -> str:
        """Create a dataset, or find the one that has its name, and return its id."""

    def shares(self, dataset_id: str, *, timeout: float) -> Iterable[Share]:
        """Read the shares of a dataset."""

    def create_share(self, body: dict[str, Any], *, timeout: float) -> Share:
        """Share a dataset, unless it is shared already."""

    def records(self, dataset_id: str, *, timeout: float) -> int | None:
        """Read the number of records in a dataset. Raises AccessDenied."""


@dataclass(frozen=True, slots=True)
class CreatedDataset:
    """A dataset that exists now and is shared, and its differences from the request."""

    listed: Audience
    wanted: NewDataset
    shares: tuple[Share, ...]
    is_new: bool  # to the audience table
    warning: str = ""

    @property
    def audience_id(self) -> str:
        """The id of the dataset."""
        return self.listed.audience_id

    @property
    def differs(self) -> dict[str, str]:
        """The settings, by their names in the extras, that the existing audience does not have, with the remedy."""
        wanted = _audience(self.wanted, self.audience_id)
        pairs = {
            "audienceName": (wanted.name, self.listed.name),
            "countryCode": (wanted.country, self.listed.country),
            "computationKey": (wanted.computation_key, self.listed.computation_key),
            "description": (wanted.settings.get("description"), self.listed.settings.get("description")),
        }
        differing = [name for name, (asked, has) in pairs.items() if name in self.wanted.given_fields and asked != has]
        unshared = {"shares": _UNSHARED} if len(self.shares) < len(self.wanted.shares) else {}
        return dict.fromkeys(differing, UNCHANGEABLE) | unshared

    def as_json(self) -> dict[str, Any]:
        """The answer to Segment: the id, the dataset's name if it differs, shares, and differences from the request."""
        answer: dict[str, Any] = {"externalId": self.audience_id}
        if self.wanted.name != self.wanted.segment_name:
            answer["name"] = self.wanted.name
        if not self.wanted.has_own_external_id:
            answer["externalAudienceId"] = self.wanted.external_audience_id
        if self.differs:
            answer["differs"] = [{"field": name, "remedy": remedy} for name, remedy in self.differs.items()]
        if self.warning:
            answer["warning"] = self.warning
        return answer


class Datasets:
    """Creates datasets."""

    def __init__(
        self,
        table: AudienceTable,
        locks: CreationLocks,
        amazon: DatasetApi | None,
        clock: Clock,
        limits: Limits | None,
        name_prefix: str = "",
    ) -> None:
        """Set up the use case.

        Args:
            table: the audiences that events may reach.
            locks: of creations.
            amazon: the calls to Amazon; None if the stack names no account.
            clock: for the deadline.
            limits: on the request; None for the operator.
            name_prefix: before the names of new datasets.
        """
        self._table = table
        self._locks = locks
        self._amazon = amazon
        self._clock = clock
        self._name_prefix = name_prefix
        self._limits = limits

    def create(self, extras: Mapping[str, Any], *, deadline: float) -> CreatedDataset:
        """Create a dataset, or find it: the same external id is the same audience.

        Shares that it lacks are created by the operator, or until it is listed.

        Args:
            extras: the customer's, including Segment's audienceName.
            deadline: monotonic seconds by which the answer must be on its way.

        Raises:
            InvalidAudience: no dataset can have these settings, or the stack names no account.
            InvalidRequest: the audience key may create no more today.
            RequestRejected: Amazon refuses it.
            TransientError: it is not complete; repeating the request continues.
        """
        limits = asdict(self._limits) if self._limits else {}
        wanted = new_dataset(extras, **limits, name_prefix=self._name_prefix)
        if self._amazon is None:
            allowed = "an API that the stack is set up for; no account of Ads Data Manager is"
            raise InvalidAudience([SettingFault("api", allowed, "deploy with the parameter DataManagerAccountId")])
        lock = key_of(wanted.external_audience_id, Api.DATA_MANAGER)
        with self._locks.held(lock, self._clock), alone_with_key(self._locks, wanted.computation_key, self._clock):
            return self._create(self._amazon, wanted, deadline)

    def _create(self, amazon: DatasetApi, wanted: NewDataset, deadline: float) -> CreatedDataset:
        known, found = self._listed(wanted), None
        is_first, by_operator = known is None, self._limits is None
        if is_first:
            names = wanted.computation_key, wanted.external_audience_id
            check_names_free(self._table, *names, by_operator=by_operator)
        if (is_first or by_operator) and amazon.data_room(timeout=self._time_left(deadline)) is None:
            amazon.make_data_room(timeout=self._time_left(deadline))
        if is_first and (found := amazon.dataset_named(wanted.name, timeout=self._time_left(deadline))):
            known = self._table.by_id(found.dataset_id)
        with nullcontext() if known or by_operator else counted_creation(self._locks, self._clock):
            if known:
                dataset_id = known.audience_id
            elif found:
                dataset_id = found.dataset_id
                self._check_adoption(amazon, dataset_id, deadline)
            else:
                dataset_id = amazon.create_dataset(wanted.as_body(), timeout=self._time_left(deadline))
        bodies = wanted.share_bodies(dataset_id)
        # One call for all shares that exist: however slow Amazon is, a repeated request gets further than the last one.
        existing = [*amazon.shares(dataset_id, timeout=self._time_left(deadline))] if bodies else []
        found_shares = [next((share for share in existing if share.is_for(body)), None) for body in bodies]
        may_share = known is None or by_operator
        shares = tuple(
            share or amazon.create_share(body, timeout=self._time_left(deadline))
            for share, body in zip(found_shares, bodies, strict=True)
            if share or may_share
        )
        # Segment adopts only an empty one. The operator's may hold members of another tool of the account.
        filled_by = FilledBy.UNKNOWN if found and by_operator else FilledBy.STACK
        audience = known or replace(_audience(wanted, dataset_id), filled_by=filled_by)
        now = self._clock.now_ms()
        is_new = known is None and self._table.add(audience, created=now, even_if_unlinked=by_operator)
        stored = audience if is_new or known else self._table.by_id(dataset_id) or audience
        # Also for an existing audience: the request that listed it may have stopped before this.
        self._table.raise_version()
        return CreatedDataset(stored, wanted, shares, is_new, "" if amazon.can_erase else NO_ERASURE)

    def _check_adoption(self, amazon: DatasetApi, dataset_id: str, deadline: float) -> None:
        """Check that a dataset of the name may be listed: it was not unlinked, is empty, and reaches allowed accounts.

        Raises InvalidAudience, which does not say whether it was unlinked.
        """
        if self._limits is None:
            return
        targets = self._limits.allowed_targets
        shares = amazon.shares(dataset_id, timeout=self._time_left(deadline)) if targets else ()
        if any(not share.is_revoked and share.destination not in targets for share in shares):
            raise _not_adoptable("has no dataset that is shared with an account outside AllowedTargets")
        try:
            is_filled = amazon.records(dataset_id, timeout=self._time_left(deadline))
        except AccessDenied:  # Amazon documents no permission for DSP accounts
            is_filled = True
        # An unlinked one may still be filled by changes that were under way.
        if is_filled or self._table.stored(dataset_id):
            raise _not_adoptable("has no dataset that holds records or was unlinked")

    def _listed(self, wanted: NewDataset) -> Audience | None:
        same = self._table.by_external_audience_id(wanted.external_audience_id)
        return next((each for each in same if each.destination == ads_data_manager()), None)

    def _time_left(self, deadline: float) -> float:
        left = deadline - RESERVE - self._clock.monotonic()
        if left <= 0:
            raise OutOfTime("not enough time left", retry_after=None)
        return left


def _not_adoptable(rule: str) -> InvalidAudience:
    remedy = "choose another, or ask the operator to run `audience-sync audiences link DATASET_ID --api data-manager`"
    return InvalidAudience([SettingFault("audienceName", f"a name for which Amazon {rule}", remedy)])


def _audience(wanted: NewDataset, dataset_id: str) -> Audience:
    settings = {"description": wanted.description, "idRetention": wanted.id_retention}
    return Audience(
        dataset_id,
        name=wanted.segment_name,
        country=wanted.country,
        destination=ads_data_manager(),
        computation_key=wanted.computation_key,
        external_audience_id=wanted.external_audience_id,
        settings={name: value for name, value in settings.items() if value is not None},
    )
