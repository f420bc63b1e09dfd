"""Sharing rules: a dataset's way to a DSP advertiser or an AMC instance."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from local.amazon import values
from local.amazon.data_manager.answers import read_time, written_time
from local.amazon.data_manager.datasets import Dataset
from local.amazon.refusals import Refusal, only_fields

STATUSES = frozenset("ACTIVE PENDING REVOKED_BY_DATASET REVOKED_BY_SHARING_GRANT REVOKED_BY_USER SHADOW".split())
_METADATA = {"DSP_AUDIENCES": "audienceMetadata", "AMAZON_MARKETING_CLOUD": "amcMetadata"}
# An audience dataset cannot be shared as events, places or deals; the API knows all five.
APPLICATIONS = frozenset({*_METADATA, "EVENTS_MANAGER", "GEO_LOCATIONS", "PG_DEALS"})
_FIELDS = frozenset("application dataSetId destinationAccountId marketplaceId accountEntityId metadata".split())
_FILTERS = frozenset(
    "application datasetIds statuses destinationAccountId activatedAfter activatedBefore maxResults nextToken".split()
)


@dataclass(slots=True)
class SharingRule:
    """One share of one dataset. PENDING until the first members are due, then ACTIVE until it is revoked."""

    rule_id: str
    number: int  # in the order of creation
    wanted: dict[str, Any]  # a checked body of its creation
    dataset: Dataset
    audience_id: str  # of DSP
    created: float  # epoch seconds
    status: str = "PENDING"
    activated: float | None = None
    revoked: float | None = None
    _left: int = 0

    @property
    def is_revoked(self) -> bool:
        """Whether it has ended."""
        return self.status.startswith("REVOKED")

    @property
    def size(self) -> int:
        """The number of members at the destination. A revoked share is not emptied in DSP, and gone from AMC."""
        return len(self.dataset.members.by_id) if self.status == "ACTIVE" else self._left

    def set_status(self, status: str, now: float) -> None:
        """Activate or revoke it."""
        left = self.size if self.wanted["application"] == "DSP_AUDIENCES" else 0
        self.status = status
        if self.is_revoked:
            self._left, self.revoked = left, now
        elif status == "ACTIVE":
            self.activated = now

    def described(self) -> dict[str, Any]:
        """Describe it as every answer does."""
        times = {"creationTime": self.created, "activationTime": self.activated, "revokedTime": self.revoked}
        return {
            **self.wanted,
            "sharingRuleId": self.rule_id,
            "status": self.status,
            "revokedBy": self.status.removeprefix("REVOKED_BY_") if self.is_revoked else "NONE",
            "dataSetName": self.dataset.name,
            "destinationEntityName": "Sandbox",
            "metadata": self._metadata(),
            **{name: written_time(time) for name, time in times.items() if time is not None},
        }

    def _metadata(self) -> dict[str, Any]:
        wanted = self.wanted["metadata"]
        if "amcMetadata" in wanted:
            return dict(wanted)
        name = wanted["audienceMetadata"]["audienceName"]
        ids = {"audienceId": self.audience_id, "audienceIdV2": f"v2-{self.audience_id}"}
        return {"audienceMetadata": ids | {"audienceName": name}}


def check_new_rule(body: dict[str, Any]) -> None:
    """Check a body of POST /adm/sharingRules. Raises Refusal."""
    only_fields(body, _FIELDS, "body")
    application = values.one_of(body.get("application"), APPLICATIONS, "application")
    if application not in _METADATA:
        raise Refusal("application: an audience dataset cannot be shared with it")
    for name in ("dataSetId", "destinationAccountId", "marketplaceId"):
        values.text(body, name)
    values.optional_text(body, "accountEntityId")
    kind = _METADATA[application]
    metadata = only_fields(body.get("metadata"), set(_METADATA.values()), "metadata")
    if metadata.keys() != {kind}:
        raise Refusal(f"metadata must hold {kind}, and nothing else")
    if application == "DSP_AUDIENCES":
        audience = only_fields(metadata[kind], {"audienceName", "externalAudienceId", "description"}, kind)
        values.text(audience, "audienceName", 10, 127)
        values.optional_text(audience, "externalAudienceId")
        values.optional_text(audience, "description", 0)
    else:
        instance = only_fields(metadata[kind], {"amcInstanceId", "amcInstanceName"}, kind)
        values.text(instance, "amcInstanceId")
        values.optional_text(instance, "amcInstanceName", 0)


def list_rules(rules: Iterable[SharingRule], body: dict[str, Any]) -> dict[str, Any]:
    """Answer as POST /adm/sharingRules/list. Raises Refusal."""
    only_fields(body, _FILTERS, "body")
    application = body.get("application")
    if "application" in body:
        values.one_of(application, APPLICATIONS, "application")
    datasets, statuses = values.strings(body, "datasetIds"), values.strings(body, "statuses")
    if statuses and not STATUSES.issuperset(statuses):
        raise Refusal("statuses holds an unknown status")
    destination = values.optional_text(body, "destinationAccountId")
    after, before = (
        read_time(body[name], name) if name in body else None for name in ("activatedAfter", "activatedBefore")
    )
    size = body.get("maxResults", 100)
    if type(size) is not int or not 1 <= size <= 100:
        raise Refusal("maxResults must be a whole number from 1 to 100")
    found = [
        rule
        for rule in rules
        if application in (None, rule.wanted["application"])
        and (datasets is None or rule.dataset.dataset_id in datasets)
        and (statuses is None or rule.status in statuses)
        and destination in (None, rule.wanted["destinationAccountId"])
        and (after is None or (rule.activated or 0) > after)
        and (before is None or (rule.activated is not None and rule.activated < before))
    ]
    shown, following = values.page(found, size, values.optional_text(body, "nextToken"), "rules ")
    return {"sharingRules": [rule.described() for rule in shown]} | following
