"""The paths of Ads Data Manager. Pure."""

from urllib.parse import quote

from audience_sync.errors import InvalidRequest

DATASETS = "/adm/audiences"
SHARES = "/adm/sharingRules"
COUNTS = "/adm/datasets"


def metrics_of(dataset_id: str) -> str:
    """Return the path of a dataset's counts."""
    return f"{COUNTS}/{in_path(dataset_id)}/metrics"


def in_path(value: str) -> str:
    """Encode an id as one part of a path. Raises InvalidRequest for one that would change the path."""
    if not value.strip(". "):
        raise InvalidRequest("the id is blank; name the dataset or the share")
    return quote(value, safe="")
