"""The operations of the API: media types exactly as Amazon writes them, answers, and permissions."""

from typing import NamedTuple

JSON = "application/json"
METRICS = "application/vnd.admmetrics.v1+json"
MEMBERS = "application/vnd.admAudiences.v1+json"
DELETION = "application/vnd.admDataDeletion.v1+json"

_READ = frozenset(
    "MasterAccount_Manager ManagerAccount_Dev MasterAccount_Viewer ads_data_manager_edit ads_data_manager_view".split()
)
_WRITE = frozenset("MasterAccount_Manager ManagerAccount_Dev ads_data_manager_edit".split())
_READ_METRICS = _READ - {"ManagerAccount_Dev"}
_EDIT = frozenset({"ads_data_manager_edit"})
_ADVERTISER = frozenset({"audiences_edit"})


class Operation(NamedTuple):
    """One operation. A holder of any one of the permissions may call it; nobody without a set of them."""

    method: str
    path: str
    managers: frozenset[str]
    advertisers: frozenset[str] = frozenset()
    status: int = 200
    sends: str | None = None  # media types
    answers: str | None = JSON
    errors: str = JSON
    needs_body: bool = False
    states_request: bool = False  # whether a success carries the request id; an error always does
    before_terms: bool = False  # whether it works before the terms are accepted
    before_room: bool = False  # whether it works without a data room


def _metrics(method: str, path: str, sends: str | None = None) -> Operation:
    return Operation(method, path, _READ_METRICS, sends=sends, answers=METRICS, errors=METRICS)


GET_TERMS = Operation("GET", "/adm/terms", _READ, _ADVERTISER, states_request=True, before_terms=True, before_room=True)
SET_TERMS = Operation(
    "PATCH",
    "/adm/terms",
    _READ,
    _ADVERTISER,
    204,
    sends=JSON,
    answers=None,
    needs_body=True,
    before_terms=True,
    before_room=True,
)
GET_ROOM = Operation(
    "GET", "/adm/datarooms", _READ, _ADVERTISER, states_request=True, before_terms=True, before_room=True
)
CREATE_ROOM = Operation("POST", "/adm/datarooms", _READ, _ADVERTISER, 201, states_request=True, before_room=True)
GET_ROOM_TOTALS = _metrics("GET", "/adm/datarooms/metadata")
LIST_DATASETS = Operation("GET", "/adm/audiences", _READ, _ADVERTISER, states_request=True)
CREATE_DATASET = Operation(
    "POST", "/adm/audiences", _WRITE, _ADVERTISER, 201, sends=JSON, needs_body=True, states_request=True
)
GET_DATASET = Operation("GET", "/adm/audiences/{dataSetId}", _READ, _ADVERTISER, states_request=True)
SEND_MEMBERS = Operation(
    "POST",
    "/adm/audiences/{dataSetId}/members",
    _EDIT,
    frozenset({"account_edit", "advertiser_campaign_edit"}),
    sends=MEMBERS,
    answers=MEMBERS,
    needs_body=True,
    states_request=True,
)
LIST_DATASET_DETAILS = _metrics("POST", "/adm/datasets/list", sends=METRICS)
DELETE_DATASET = Operation(
    "DELETE", "/adm/datasets/{dataSetId}", _WRITE, frozenset({"account_edit"}), 204, answers=None
)
GET_METRICS = _metrics("GET", "/adm/datasets/{dataSetId}/metrics")
GET_AGGREGATES = _metrics("POST", "/adm/datasets/{dataSetId}/metrics/aggregates", sends=METRICS)
CREATE_RULE = Operation("POST", "/adm/sharingRules", _READ, _ADVERTISER, sends=JSON, needs_body=True)
LIST_RULES = Operation("POST", "/adm/sharingRules/list", _READ, _ADVERTISER, sends=JSON)
REVOKE_RULE = Operation("PATCH", "/adm/sharingRules/{sharingRuleId}/revoke", _WRITE, status=204, answers=None)
DELETE_IDENTITIES = Operation("POST", "/adm/identities/delete", _EDIT, sends=DELETION, answers=None, needs_body=True)


def error_type(method: str, path: str) -> str:
    """Return the media type of an error that comes from before the operation."""
    is_metrics = path == GET_ROOM_TOTALS.path or (path.startswith("/adm/datasets/") and method != "DELETE")
    return METRICS if is_metrics else JSON
