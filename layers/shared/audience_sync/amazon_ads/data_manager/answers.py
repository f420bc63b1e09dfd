"""Reads the answers of Ads Data Manager, in which Amazon promises little. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Self

from audience_sync.amazon_ads.answer_fields import count_or_none, number_or_none, object_or_empty, objects, text_or_none
from audience_sync.members.membership import AUDIENCE_ID

_SHARE_ID = re.compile(r"[0-9A-Za-z_-]{1,100}")
_WORD = re.compile(r"[A-Z][A-Z_]{0,39}")  # a value of one of Amazon's enumerations, known or not


@dataclass(frozen=True, slots=True)
class DataRoom:
    """The storage of one account."""

    account_id: str = ""
    region: str = ""  # of AWS
    created: str = ""

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> Self:
        """Read the answer to GET or POST /adm/datarooms."""
        return cls(_text(answer, "accountId"), _text(answer, "region"), _text(answer, "creationDateTime"))


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset as Amazon describes it. Missing fields are None."""

    dataset_id: str
    name: str | None = None
    country: str | None = None
    description: str | None = None
    id_retention: bool = False

    @classmethod
    def from_answer(cls, dataset_id: str, answer: Mapping[str, Any]) -> Self:
        """Read a dataset from the answer to GET /adm/audiences or to one of its entries."""
        return cls(
            dataset_id,
            name=text_or_none(answer.get("name")),
            country=text_or_none(answer.get("countryCode")),
            description=text_or_none(answer.get("description")),
            id_retention=answer.get("idRetention") is True,
        )


@dataclass(frozen=True, slots=True)
class Share:
    """A sharing rule: the way of a dataset to a DSP advertiser or an AMC instance."""

    share_id: str
    dataset_id: str
    application: str
    destination: str  # account id
    marketplace_id: str
    status: str  # in Amazon's words; empty if it is not a word
    revoked_by: str = ""  # Amazon's reason
    revoked_at: float | None = None  # epoch seconds
    audience_ids: tuple[str, ...] = ()  # of DSP, as its console lists them
    audience_name: str = ""

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> Self | None:
        """Read one sharing rule; None if its id cannot be used."""
        share_id = answer.get("sharingRuleId")
        if not isinstance(share_id, str) or not _SHARE_ID.fullmatch(share_id):
            return None
        audience = object_or_empty(object_or_empty(answer.get("metadata")).get("audienceMetadata"))
        revoked_by = _word(answer.get("revokedBy"))
        return cls(
            share_id,
            dataset_id=_text(answer, "dataSetId"),
            application=_text(answer, "application"),
            destination=_text(answer, "destinationAccountId"),
            marketplace_id=_text(answer, "marketplaceId"),
            status=_word(answer.get("status")),
            revoked_by="" if revoked_by == "NONE" else revoked_by,
            revoked_at=_time(answer.get("revokedTime")),
            audience_ids=tuple(filter(None, (_text(audience, name) for name in ("audienceId", "audienceIdV2")))),
            audience_name=_text(audience, "audienceName"),
        )

    @property
    def is_revoked(self) -> bool:
        """Whether it has ended. One with an unknown status has not."""
        return self.status.startswith("REVOKED")

    def is_for(self, body: Mapping[str, Any]) -> bool:
        """Return whether it is the share that the body of a creation asks for."""
        asked = (body.get("dataSetId"), body.get("application"), body.get("destinationAccountId"))
        return not self.is_revoked and asked == (self.dataset_id, self.application, self.destination)


@dataclass(frozen=True, slots=True)
class Metrics:
    """The counts of a dataset over all its uploads. None if the answer lacks one."""

    uploads: int | None = None
    accepted: int | None = None
    invalid: int | None = None
    with_identity: int | None = None
    resolved: int | None = None
    match_percent: float | None = None

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> Self:
        """Read the answer to GET /adm/datasets/{dataSetId}/metrics."""
        return cls(
            uploads=count_or_none(answer.get("uploadCount")),
            accepted=count_or_none(answer.get("acceptedCount")),
            invalid=count_or_none(answer.get("invalidRecordCount")),
            with_identity=count_or_none(answer.get("recordsWithIdentity")),
            resolved=count_or_none(answer.get("recordsResolved")),
            match_percent=number_or_none(answer.get("matchRecordPercentage")),
        )


@dataclass(frozen=True, slots=True)
class Funnel:
    """Counts of records from their arrival to a match. Amazon documents neither their order nor their meaning."""

    received: int = 0
    valid: int = 0
    consented: int = 0
    resolved: int = 0

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> Self:
        """Add up the times in the answer to POST /adm/datasets/{dataSetId}/metrics/aggregates."""
        times = objects(list(object_or_empty(answer.get("metrics")).values()))
        return cls(*(sum(count_or_none(counts.get(name)) or 0 for counts in times) for name in FUNNEL))


FUNNEL = tuple(field.name.upper() for field in fields(Funnel))  # Amazon's names of the counts


def dataset_id(value: Any) -> str | None:
    """Return a dataset's id; None if it cannot be one of ours."""
    return value if isinstance(value, str) and AUDIENCE_ID.fullmatch(value) else None


def datasets(answer: Mapping[str, Any]) -> list[Dataset]:
    """Read a page of GET /adm/audiences. Datasets without a usable id are left out."""
    listed = ((dataset_id(each.get("dataSetId")), each) for each in objects(answer.get("dataSets")))
    return [Dataset.from_answer(known, each) for known, each in listed if known]


def records(answer: Mapping[str, Any], dataset_id: str) -> int | None:
    """Read the number of records in a dataset from the answer to POST /adm/datasets/list; None if it lacks it."""
    listed = (each for each in objects(answer.get("datasets")) if each.get("datasetId") == dataset_id)
    return next((count_or_none(each.get("records")) for each in listed), None)


def shares(answer: Mapping[str, Any]) -> list[Share]:
    """Read a page of POST /adm/sharingRules/list. Shares without a usable id are left out."""
    return [share for each in objects(answer.get("sharingRules")) if (share := Share.from_answer(each))]


def _text(answer: Mapping[str, Any], name: str) -> str:
    return text_or_none(answer.get(name)) or ""


def _word(value: Any) -> str:
    return value if isinstance(value, str) and _WORD.fullmatch(value) else ""


def _time(value: Any) -> float | None:
    try:
        return datetime.fromisoformat(value).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
