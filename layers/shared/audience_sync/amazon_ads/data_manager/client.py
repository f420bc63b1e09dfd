"""The calls to Ads Data Manager. Knows the endpoints, but neither Segment nor queues.

All raise the errors of exchange.py, as the audience API's do. Ids are strings. Media types are spelled as Amazon spells
them, which differs between endpoints.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

import requests

from audience_sync.amazon_ads.answer_fields import require_object
from audience_sync.amazon_ads.data_manager import answers
from audience_sync.amazon_ads.data_manager.accounts import Account
from audience_sync.amazon_ads.data_manager.answers import DataRoom, Dataset, Funnel, Metrics, Share
from audience_sync.amazon_ads.data_manager.pages import PAGE, pages
from audience_sync.amazon_ads.data_manager.paths import COUNTS, DATASETS, SHARES, in_path, metrics_of
from audience_sync.amazon_ads.data_manager.rejections import rejected_members
from audience_sync.amazon_ads.exchange import READ_TIMEOUT, Exchange
from audience_sync.amazon_ads.ids import job_id
from audience_sync.amazon_ads.login import AccessTokens
from audience_sync.amazon_ads.terms import Terms
from audience_sync.amazon_ads.upload import Submission, Upload
from audience_sync.errors import AudienceSyncError, InvalidRequest, NotFound, OutcomeUnknown, ServiceUnavailable
from audience_sync.quick_json import utf8_json

JSON = "application/json"
METRICS = "application/vnd.admmetrics.v1+json"
MEMBERS = "application/vnd.admAudiences.v1+json"
DELETION = "application/vnd.admDataDeletion.v1+json"
NO_UPLOAD_ID = "-"  # in place of an id that Amazon does not promise; nothing can be asked with it anyway
_AS_MANAGER = "or deploy with the id of a manager account as DataManagerAccountId"
_NO_DELETION = f"with a DSP account, Amazon deletes nobody: remove people in the Amazon Ads console, {_AS_MANAGER}"
_NO_REVOCATION = f"with a DSP account, Amazon ends no share: end it in the Amazon Ads console, {_AS_MANAGER}"


class DataManager:
    """One account's data room in one region, with one operator's authorization."""

    def __init__(
        self,
        session: requests.Session,
        base_url: str,
        tokens: AccessTokens,
        account: Account,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._account = account
        self._monotonic = monotonic
        self._first_place: int | None = None  # of Amazon's answers, once one has shown it
        self._call = Exchange(session, base_url, tokens, monotonic, now, headers=account.header).call

    @property
    def can_erase(self) -> bool:
        """Whether people can be deleted and shares revoked: a manager account can."""
        return self._account.is_manager

    def terms(self) -> Terms:
        """Read the terms. Until a person has accepted them, Amazon refuses everything else."""
        return Terms.from_answer(require_object(self._call("GET", "/adm/terms", JSON)))

    def accept_terms(self, terms: Terms) -> None:
        """Accept the terms as read. Only for a person who has seen them; never as part of another operation."""
        self._call("PATCH", "/adm/terms", JSON, body=utf8_json(terms.acceptance()))

    def data_room(self, *, timeout: float = READ_TIMEOUT) -> DataRoom | None:
        """Read the account's data room; None if there is none."""
        try:
            return DataRoom.from_answer(require_object(self._call("GET", "/adm/datarooms", JSON, timeout=timeout)))
        except NotFound:
            return None

    def make_data_room(self, *, timeout: float = READ_TIMEOUT) -> DataRoom:
        """Create the account's only data room."""
        return DataRoom.from_answer(require_object(self._call("POST", "/adm/datarooms", JSON, timeout=timeout)))

    def datasets(self, *, timeout: float = READ_TIMEOUT) -> Iterator[Dataset]:
        """Yield the datasets of the data room. `timeout` is for each page, in seconds."""
        for answer in pages(
            lambda token: self._call("GET", f"{DATASETS}?{urlencode({'limit': PAGE} | token)}", JSON, timeout=timeout)
        ):
            yield from answers.datasets(answer)

    def dataset_named(self, name: str, *, timeout: float = READ_TIMEOUT) -> Dataset | None:
        """Find a dataset by its name, which is unique in the data room."""
        return next((dataset for dataset in self.datasets(timeout=timeout) if dataset.name == name), None)

    def create_dataset(self, body: dict[str, Any], *, timeout: float = READ_TIMEOUT) -> str:
        """Create a dataset and return its id; if the name is taken, the id of the dataset that has it.

        So the call can be repeated.
        """
        answer = require_object(
            self._call("POST", DATASETS, JSON, body=utf8_json(body), timeout=timeout, answer_field="datasetId")
        )
        # The names differ in one letter: the first is that of a new dataset, the second that of the error.
        dataset_id = answers.dataset_id(answer.get("dataSetId") or answer.get("datasetId"))
        if dataset_id is None:
            raise OutcomeUnknown("Amazon created a dataset but returned no usable id")
        return dataset_id

    def dataset(self, dataset_id: str, *, timeout: float = READ_TIMEOUT) -> Dataset:
        """Read one dataset. Raises NotFound if Amazon does not know it."""
        answer = self._call("GET", f"{DATASETS}/{in_path(dataset_id)}", JSON, timeout=timeout)
        return Dataset.from_answer(dataset_id, require_object(answer))  # the answer may lack the id

    def send_members(self, upload: Upload, *, timeout: float = READ_TIMEOUT) -> Submission:
        """Submit the members of one dataset. Amazon names refused members at once, and never says more of the others.

        Raises:
            RequestRejected: also if members are refused and the answer does not say which ones.
        """
        path = f"{DATASETS}/{in_path(upload.target.audience_id)}/members"
        answer = require_object(self._call("POST", path, MEMBERS, body=upload.body(), timeout=timeout))
        rejected, self._first_place = rejected_members(answer, len(upload.encoded), self._first_place)
        counted_from_one = bool(rejected and self._first_place)
        return Submission(job_id(answer.get("ingressId")) or NO_UPLOAD_ID, rejected, counted_from_one)

    def delete_people(self, people: Sequence[str], *, timeout: float = READ_TIMEOUT) -> None:
        """Request the deletion of people from all datasets, within 30 days. Amazon's answer is empty.

        Args:
            people: 1 to 1,000 external user ids. No hashes: they may also be another person's.
            timeout: seconds.

        Raises:
            InvalidRequest: the account is not a manager account.
        """
        self._require_manager(_NO_DELETION)
        body = utf8_json({"targetIdentities": [{"externalUserId": each} for each in people]})
        self._call("POST", "/adm/identities/delete", (DELETION, JSON), body=body, timeout=timeout)

    def shares(self, dataset_id: str, *, timeout: float = READ_TIMEOUT, **only: str) -> Iterator[Share]:
        """Yield the shares of a dataset, revoked ones included.

        Args:
            dataset_id: of the dataset.
            timeout: seconds for each page.
            only: `application` and `destinationAccountId`, to narrow the list.
        """
        wanted = {"datasetIds": [dataset_id], "maxResults": PAGE} | only
        for answer in pages(
            lambda token: self._call("POST", f"{SHARES}/list", JSON, body=utf8_json(wanted | token), timeout=timeout)
        ):
            yield from answers.shares(answer)

    def create_share(self, body: dict[str, Any], *, timeout: float = READ_TIMEOUT) -> Share:
        """Share a dataset, unless it is shared with this destination already, and return the share.

        Amazon does not document that a repeated creation finds the first share, so existing shares are listed first,
        and again if the outcome is unknown. A revoked share does not count: the dataset is shared again. `timeout` is
        for all calls together, in seconds.
        """
        until = self._monotonic() + timeout
        if existing := self._existing_share(body, timeout):
            return existing
        try:
            return self._new_share(body, until - self._monotonic())
        except (OutcomeUnknown, ServiceUnavailable):
            with suppress(AudienceSyncError):  # the first error says more
                if existing := self._existing_share(body, until - self._monotonic()):
                    return existing
            raise

    def revoke_share(self, share_id: str) -> None:
        """End a share. Members who are in the DSP audience stay there.

        Raises:
            InvalidRequest: the account is not a manager account.
        """
        self._require_manager(_NO_REVOCATION)
        self._call("PATCH", f"{SHARES}/{in_path(share_id)}/revoke", JSON)

    def records(self, dataset_id: str, *, timeout: float = READ_TIMEOUT) -> int | None:
        """Read the number of records in a dataset. Amazon documents no permission for DSP accounts, as for all counts.

        Raises AccessDenied without it.
        """
        body = utf8_json({"datasetIds": [dataset_id]})
        answer = self._call("POST", f"{COUNTS}/list", METRICS, body=body, timeout=timeout)
        return answers.records(require_object(answer), dataset_id)

    def metrics(self, dataset_id: str, *, timeout: float = READ_TIMEOUT) -> Metrics:
        """Read the counts of a dataset over all its uploads."""
        answer = self._call("GET", metrics_of(dataset_id), METRICS, timeout=timeout)
        return Metrics.from_answer(require_object(answer))

    def aggregates(self, dataset_id: str, start: str, end: str, *, timeout: float = READ_TIMEOUT) -> Funnel:
        """Read the counts of a dataset between two times in UTC, such as 2026-11-28T00:00:00Z."""
        body = utf8_json({"startDate": start, "endDate": end, "metrics": answers.FUNNEL})
        answer = self._call("POST", f"{metrics_of(dataset_id)}/aggregates", METRICS, body=body, timeout=timeout)
        return Funnel.from_answer(require_object(answer))

    def _existing_share(self, body: Mapping[str, Any], timeout: float) -> Share | None:
        only = {name: body[name] for name in ("application", "destinationAccountId")}
        listed = self.shares(body["dataSetId"], timeout=timeout, **only)
        return next((share for share in listed if share.is_for(body)), None)

    def _new_share(self, body: Mapping[str, Any], timeout: float) -> Share:
        answer = self._call("POST", SHARES, JSON, body=utf8_json(body), timeout=timeout, repeatable=False)
        if created := Share.from_answer(require_object(answer)):
            return created
        raise OutcomeUnknown("Amazon created a share but returned no usable id")

    def _require_manager(self, refusal: str) -> None:
        if not self.can_erase:
            raise InvalidRequest(refusal)
