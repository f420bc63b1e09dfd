"""Counts: of a data room, of datasets in a list, of one dataset, and of its days."""

import json
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

from local.amazon import values
from local.amazon.data_manager.answers import read_time, written_time
from local.amazon.data_manager.datasets import DAY, FUNNEL, Dataset
from local.amazon.data_manager.sharing_rules import SharingRule
from local.amazon.refusals import Refusal, only_fields


def room_totals(datasets: Collection[Dataset], rules: Iterable[SharingRule]) -> dict[str, int]:
    """Answer as GET /adm/datarooms/metadata."""
    active = [rule for rule in rules if rule.status == "ACTIVE"]
    return {
        "totalDataSets": len(datasets),
        "dataSetsInUse": len({rule.dataset.dataset_id for rule in active}),
        "activeDestinations": len(active),
        "linkedAccounts": 1,
    }


def read_wanted_datasets(body: dict[str, Any]) -> list[str] | None:
    """Read a body of POST /adm/datasets/list. Raises Refusal."""
    only_fields(body, {"datasetIds"}, "body")
    return values.strings(body, "datasetIds", most=100, once=True)


def dataset_details(dataset: Dataset, rules: Iterable[SharingRule]) -> dict[str, Any]:
    """Describe a dataset as an entry of POST /adm/datasets/list: several names differ from GET /adm/audiences."""
    described = dataset.described()
    kept = ("name", "description", "countryCode", "idRetention", "lastModified", "lastModifiedBy")
    return {
        "datasetId": dataset.dataset_id,
        "createdAt": described["dateCreated"],
        "updatedAt": described["lastModified"],
        "records": len(dataset.members.by_id),
        "activeDestinations": sum(rule.dataset is dataset and rule.status == "ACTIVE" for rule in rules),
        "source": "API",
        "schema": json.dumps(described["schema"]),
        "actions": ["VIEW", "SHARE", "DELETE"],
        **{name: described[name] for name in kept if name in described},
    }


def dataset_metrics(dataset: Dataset) -> dict[str, Any]:
    """Answer as GET /adm/datasets/{dataSetId}/metrics. Rejected members count as received, and as invalid."""
    total = sum(dataset.counts.values(), Counter())
    valid, resolved = total["VALID"], total["RESOLVED"]
    return {
        **dataset.summary(),
        "dataSetSource": "API",
        "uploadCount": total["RECEIVED"],
        "acceptedCount": valid,
        "invalidRecordCount": total["RECEIVED"] - valid,
        "recordsWithIdentity": valid,
        "recordsResolved": resolved,
        "matchRecordPercentage": round(100 * resolved / valid, 2) if valid else 0,
    }


def daily_metrics(dataset: Dataset, body: dict[str, Any]) -> dict[str, Any]:
    """Answer as POST /adm/datasets/{dataSetId}/metrics/aggregates. Raises Refusal."""
    only_fields(body, {"startDate", "endDate", "metrics"}, "body")
    start = read_time(body["startDate"], "startDate") if "startDate" in body else float("-inf")
    end = read_time(body["endDate"], "endDate") if "endDate" in body else float("inf")
    wanted = values.strings(body, "metrics", once=True) or list(FUNNEL)
    if not set(FUNNEL).issuperset(wanted):
        raise Refusal("metrics holds an unknown metric")
    days = {
        written_time(day): {metric: counts[metric] for metric in wanted}
        for day, counts in sorted(dataset.counts.items())
        if day + DAY > start and day <= end
    }
    return {"metrics": days}
