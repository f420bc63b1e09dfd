"""The operations themselves, each behind the checks of the front end."""

from typing import Any

from aiohttp import web

from local.amazon import values
from local.amazon.data_manager import metrics, operations
from local.amazon.data_manager.datasets import check_new_dataset
from local.amazon.data_manager.front_end import Call, answering
from local.amazon.data_manager.members import member_errors, read_members
from local.amazon.data_manager.sharing_rules import check_new_rule, list_rules
from local.amazon.jobs import faulted
from local.amazon.refusals import Refusal

type Answer = dict[str, Any]


def read_terms(call: Call) -> Answer:
    """GET /adm/terms."""
    return call.account.terms()


def accept_terms(call: Call) -> None:
    """PATCH /adm/terms."""
    call.account.accept_terms(call.body)


def read_room(call: Call) -> Answer:
    """GET /adm/datarooms."""
    return call.account.room()


def create_room(call: Call) -> Answer:
    """POST /adm/datarooms: an existing room is the answer as well."""
    if call.account.room_since is None:
        call.account.room_since = call.now
    return call.account.room()


def read_room_totals(call: Call) -> Answer:
    """GET /adm/datarooms/metadata."""
    return metrics.room_totals(call.account.datasets.values(), call.account.rules.values())


def list_datasets(call: Call) -> Answer:
    """GET /adm/audiences."""
    size = values.page_size(call.query.get("limit"))
    shown, following = values.page(call.account.datasets.values(), size, call.query.get("nextToken"), "datasets ")
    return {"dataSets": [dataset.summary() for dataset in shown]} | following


def create_dataset(call: Call) -> Answer:
    """POST /adm/audiences."""
    check_new_dataset(call.body)
    return call.manager.create_dataset(call.account, call.body, call.now).described()


def read_dataset(call: Call) -> Answer:
    """GET /adm/audiences/{dataSetId}."""
    return call.account.dataset(call.path["dataSetId"]).described()


def send_members(call: Call) -> Answer:
    """POST /adm/audiences/{dataSetId}/members: the answer rejects members, the others take effect later."""
    dataset = call.account.dataset(call.path["dataSetId"])
    records, rejected = read_members(call.body)
    failing = faulted(call.effect.job, records)
    if failing:
        members = [member["externalUserId"] for member in call.body["members"]]
        rejected |= {at: Refusal(failing[user]) for at, user in enumerate(members) if user in failing}
        records = [record for record in records if record.external_user_id not in failing]
    received = len(call.body["members"])
    answer: Answer = {"ingressId": call.manager.receive(dataset, records, received, call.n, call.effect, call.now)}
    errors = member_errors(rejected, call.manager.options.index_base)
    return answer | ({"errors": errors} if errors else {})  # an empty list is not declared


def list_dataset_details(call: Call) -> Answer:
    """POST /adm/datasets/list. The query's `order` has no documented values and is ignored."""
    wanted = metrics.read_wanted_datasets(call.body)
    size = values.page_size(call.query.get("maxResults"), most=100)
    search = call.query.get("search", "").lower()
    found = [
        dataset
        for dataset in call.account.datasets.values()
        if (wanted is None or dataset.dataset_id in wanted) and search in dataset.name.lower()
    ]
    shown, following = values.page(found, size, call.query.get("nextToken"), "details ")
    rules = call.account.rules.values()
    return {"datasets": [metrics.dataset_details(dataset, rules) for dataset in shown]} | following


def delete_dataset(call: Call) -> None:
    """DELETE /adm/datasets/{dataSetId}."""
    call.account.delete_dataset(call.path["dataSetId"], call.now)


def read_metrics(call: Call) -> Answer:
    """GET /adm/datasets/{dataSetId}/metrics."""
    return metrics.dataset_metrics(call.account.dataset(call.path["dataSetId"]))


def read_aggregates(call: Call) -> Answer:
    """POST /adm/datasets/{dataSetId}/metrics/aggregates."""
    return metrics.daily_metrics(call.account.dataset(call.path["dataSetId"]), call.body)


def create_rule(call: Call) -> Answer:
    """POST /adm/sharingRules."""
    check_new_rule(call.body)
    return call.manager.create_rule(call.account, call.body, call.now, call.n).described()


def list_sharing_rules(call: Call) -> Answer:
    """POST /adm/sharingRules/list."""
    return list_rules(call.account.rules.values(), call.body)


def revoke_rule(call: Call) -> None:
    """PATCH /adm/sharingRules/{sharingRuleId}/revoke."""
    rule = call.account.rule(call.path["sharingRuleId"])
    if rule.is_revoked:
        raise Refusal("The sharing rule is revoked already")
    rule.set_status("REVOKED_BY_USER", call.now)


def delete_identities(call: Call) -> None:
    """POST /adm/identities/delete."""
    call.manager.delete_identities(call.account, call.body, call.n, call.now)


ACTS = {
    operations.GET_TERMS: read_terms,
    operations.SET_TERMS: accept_terms,
    operations.GET_ROOM: read_room,
    operations.CREATE_ROOM: create_room,
    operations.GET_ROOM_TOTALS: read_room_totals,
    operations.LIST_DATASETS: list_datasets,
    operations.CREATE_DATASET: create_dataset,
    operations.GET_DATASET: read_dataset,
    operations.SEND_MEMBERS: send_members,
    operations.LIST_DATASET_DETAILS: list_dataset_details,
    operations.DELETE_DATASET: delete_dataset,
    operations.GET_METRICS: read_metrics,
    operations.GET_AGGREGATES: read_aggregates,
    operations.CREATE_RULE: create_rule,
    operations.LIST_RULES: list_sharing_rules,
    operations.REVOKE_RULE: revoke_rule,
    operations.DELETE_IDENTITIES: delete_identities,
}


def routes() -> list[web.RouteDef]:
    """Every path of the API."""
    return [web.route(each.method, each.path, answering(each, act)) for each, act in ACTS.items()]
