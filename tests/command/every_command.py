"""One session at the command line in which every command runs, and what it prints, calls and logs."""

import json
import re
import shlex
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import web
from typer.testing import CliRunner

from audience_sync.amazon_ads.destination import Api
from audience_sync.aws.checkpoint import AUDIT, FINDINGS, Checkpoint
from audience_sync.aws.membership_rows import Sharding
from audience_sync.aws.membership_table import MembershipTable
from audience_sync.clock import Clock
from audience_sync.members.erasure_steps import ErasureStep, StepKind
from audience_sync.members.member_state import Timing
from audience_sync.members.member_step import apply_changes
from audience_sync.operations.findings import AuditFinding, Findings
from audience_sync_cli.app import app, load
from audience_sync_cli.moves import ending, waiting
from audience_sync_cli.parked import parked_commands
from audience_sync_cli.setup import connect
from audience_sync_cli.setup.terms import ACCEPTANCES
from audience_sync_cli.stack import event_source
from local.resources import MANAGER_ACCOUNT
from local.template import ROOT
from tests.command.conftest import CLIENT_ID, CLIENT_SECRET, NOW, Deployment, change
from tests.support import browser
from tests.support.aws_fixtures import AUDIENCE, create_membership_table
from tests.support.builders import notice
from tests.support.servers import serve
from tests.support.worker_stack import GRANTED

EVENT = ROOT / "events/segment/01-track-entered-full-pii.json"
LISTED = EVENT.with_name("34-track-several-values.json")
REJECTED = EVENT.with_name("08-track-email-as-userid.json")
DATASET, SHARE = "in_a_dataset", "advertiser=ENTITY1,marketplace=US"
SESSION = f"""
keys rotate event --yes  # logs key=event
keys rotate audience --reveal  # logs key=audience
keys show
keys rotate event --source emea --expires 9999-12-31 --reveal  # logs key=event source=emea
keys show event --reveal  # logs key=event
keys retire event --source emea --yes  # logs key=event source=emea
keys retire event --yes  # logs key=event
connect --port 0  # logs
test
audiences create "Big spenders" --advertiser 590071284455661234 --country US --key big_spenders --ttl-days 30  # logs
audiences create "Big spenders" --advertiser 590071284455661234 --country US --key big_spenders --ttl-days 7  # logs
audiences create "In a dataset" --api data-manager --country DE --key {DATASET} --id-retention --share {SHARE}  # logs
audiences link {{dataset}} --api data-manager  # logs
audiences link {AUDIENCE.audience_id} --key lapsed_premium_buyers --country US  # logs audienceId={AUDIENCE.audience_id}
audiences link {AUDIENCE.audience_id} --created-by-segment  # logs audienceId={AUDIENCE.audience_id}
audiences list
audiences show lapsed_premium_buyers
audiences update big_spenders --renew  # logs
connections create --amc-instance amc-1  # logs
connections list
audiences create "With a fee" --connection {{connection}} --country US --cpm-cents 5 --currency USD --dsp  # logs
connections delete {{connection}} --yes  # logs
terms show --text
terms accept --confirm '{ACCEPTANCES[Api.AUDIENCES]}'  # logs
terms show --api data-manager --text
terms accept --api data-manager --confirm '{ACCEPTANCES[Api.DATA_MANAGER]}'
audiences show {DATASET}
audiences share {DATASET} amc=amc1a2b,marketplace=DE  # logs
audiences unshare {DATASET} {{share}} --yes  # logs
mappings show
mappings check {{mappings}}
mappings apply {{mappings}} --yes  # logs version=1 mappings=1
mappings revert built-in --yes  # logs version=2 mappings=1
mappings revert 1 --yes  # logs version=3 mappings=1
mappings try {LISTED} --explain
mappings try {REJECTED}
send --sample track --audience lapsed_premium_buyers  # logs events=0
dashboard
import {{members}} lapsed_premium_buyers --dry-run
import {{members}} lapsed_premium_buyers --yes  # logs audienceId={AUDIENCE.audience_id} changes=1
compare {{members}} lapsed_premium_buyers --repair missing --yes  # logs audienceId={AUDIENCE.audience_id} changes=1
diagnose lapsed_premium_buyers
rejections
tail --no-follow
member show m1  # logs people=1
member show m2 --request DSR-17  # logs people=1 request=DSR-17
member find --file {{values}} --country US  # logs values=2
diagnose {DATASET} --no-count
status
tail --no-follow --audience {DATASET}
parked list
parked show {{message}}  # logs deadLetters=1
parked redrive --dry-run
parked redrive --reason request_rejected --wait  # logs deadLetters=2
parked drop --erased --yes  # logs deadLetters=1
parked drop --since 14d --yes  # logs deadLetters=1
member erase m1 --yes  # logs changes=1
member erase --file {{ids}} --yes  # logs changes=1
member erasure m5
member erasure --file {{ids}}
member erasure
member erasure m5 --close removed --yes  # logs
status
status --members --hours 3 --wait --timeout 1
pause --note legal --yes  # logs note=legal
resume  # logs
restore-members restored --since 1h --yes  # logs rows=1
audiences move lapsed_premium_buyers --to data-manager --share {SHARE} --dry-run
audiences move lapsed_premium_buyers --to data-manager --share {SHARE} --yes  # logs audienceId={AUDIENCE.audience_id}
audiences end {AUDIENCE.audience_id} --no-wait --yes  # logs
audiences end {DATASET} --yes  # logs changes=0
audiences unlink big_spenders --yes  # logs
operator-log
operator-log --audience {AUDIENCE.audience_id}
audiences list --unlinked
"""  # one command a line, with the details of its line in the operator log; later ones use what earlier ones print


class Call(NamedTuple):
    """What AWS checks a request on."""

    permission: str  # as in sqs:SendMessage
    resource: str  # its logical id; empty if there is none
    partition: str = ""  # of the rows that it names


@dataclass(frozen=True)
class Ran:
    """A command that has run."""

    command: str  # without arguments
    documents: list[Any]  # that it printed
    calls: set[Call]  # of AWS
    logged: list[dict[str, Any]]  # its lines in the operator log
    details: dict[str, str] | None  # that the line must have; None if the command logs nothing


def rejecting_gateway() -> web.Application:
    """Build a gateway that rejects every event, and serves a page."""
    rejection = {"index": 0, "messageId": "m-1", "reason": "time_ahead", "detail": "timestamp is ahead"}
    answer = {"accepted": 0, "ignored": 0, "rejected": 1, "rejections": [rejection]}

    async def events(_: web.Request) -> web.Response:
        return web.json_response(answer, status=400)

    async def page(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/events", events)
    app.router.add_get("/status", page)
    return app


def run_every_command(deployment: Deployment, folder: Path) -> Iterator[Ran]:
    """Run the session with a stack."""
    with serve(rejecting_gateway) as gateway, pytest.MonkeyPatch.context() as monkeypatch:
        _prepare(deployment, gateway.url, monkeypatch)
        yield from _run(deployment, folder)


def _prepare(deployment: Deployment, gateway: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audience_sync_cli.frame.stacks.local", lambda _: deployment.stack)
    monkeypatch.setattr(waiting, "LISTING", 0.0)
    monkeypatch.setattr(parked_commands, "TIMEOUT", 1)
    monkeypatch.setattr(event_source, "POLL", 0.0)
    monkeypatch.setattr(waiting, "LONGEST_WAIT", 0.0)
    monkeypatch.setattr(ending, "outstanding", lambda *_, **__: 0)  # no worker delivers anything here
    monkeypatch.setattr(connect, "browser_opener", lambda: lambda address: browser.answer(address).ok)
    monkeypatch.setenv("AUDIENCE_SYNC_LOCAL", "http://127.0.0.1:9")
    monkeypatch.setenv("AUDIENCE_SYNC_CLIENT_ID", CLIENT_ID)
    monkeypatch.setenv("AUDIENCE_SYNC_CLIENT_SECRET", CLIENT_SECRET)
    deployment.stack.parameters = {"MaxCpmCents": "200", "DataManagerAccountId": MANAGER_ACCOUNT, "EventQueue": "yes"}
    create_membership_table(deployment.stack.service("dynamodb"), "restored")
    restored = MembershipTable(deployment.stack.service("dynamodb"), "restored", Sharding(8), Clock())
    restored.write([apply_changes(None, [change("m4")], now=int(time.time()), timing=Timing(900)).state])
    deployment.record(change("m1", consent=GRANTED))  # who can move to a dataset
    record_open_erasure(deployment)
    deployment.park(change("m1"), change("m2"), firstAt=round(NOW * 1000))
    deployment.send("DeadLetterQueue", "unreadable")
    deployment.send("EventsDeadLetterQueue", '{"userId":"m5"', reason="invalid_request")
    deployment.publish(time.time(), ChangesAccepted=1)
    deployment.publish(time.time(), {"audience": AUDIENCE.audience_id}, AudienceReceived=400, AudienceMatchRate=60)
    deployment.reject(("time_ahead", "m-1"))
    findings = Checkpoint(deployment.stack.service("dynamodb"), deployment.stack["MembershipTable"], AUDIT, FINDINGS)
    findings.save(Findings((AuditFinding("consent_ending", "Consent ends."),)).fields)
    deployment.log("Worker", "upload accepted", audience_id=AUDIENCE.audience_id, records=3, job_id="job-1")
    deployment.log("Worker", "delivery incomplete", audience_ids=["1"], uploads_failed={"throttled": 1})
    deployment.stack.api = gateway
    deployment.stack.local = gateway


def record_open_erasure(deployment: Deployment) -> None:
    """Record a deletion notice about m5, whose removal has ended in one upload and is to be repeated."""
    deployment.record(change("m5"), notice("m5", 2_000))
    (state,) = deployment.session().members.read([change("m5").member]).values()
    at = round(time.time() + 60) * 1000
    deployment.session().members.write([replace(state, erasure=(ErasureStep(StepKind.REMOVAL, "job-1", at, at),))])


def _run(deployment: Deployment, folder: Path) -> Iterator[Ran]:
    known = {"mappings": str(folder / "mappings.json"), "members": str(folder / "members.csv")}
    for name, listed in {"ids": "m1\nm5\n", "values": f"{'0' * 64}\nm5\n?\n"}.items():
        known[name] = str(folder / f"{name}.txt")
        Path(known[name]).write_text(listed, encoding="utf-8")
    Path(known["members"]).write_text(
        "external_user_id,email,country\nm3,maya@example.com,US\n,x,US\n", encoding="utf-8"
    )
    calls = aws_calls(deployment)
    logged = 0
    for each in SESSION.strip().splitlines():
        line, logs, details = each.format_map(known).partition("  # logs")
        words = shlex.split(line)
        calls.clear()
        document = printed("--json", *words)
        assert "error" not in document, line
        command = " ".join(words[:2] if hasattr(load(words[0]), "commands") else words[:1])
        log = deployment.operator_log()
        lines, logged = log[logged:], len(log)
        expected = dict(pair.split("=") for pair in details.split()) if logs else None
        yield Ran(command, document if command == "tail" else [document], set(calls), lines, expected)
        match line:
            case "mappings show":
                document["mappings"][0]["name"] = "Another name"
                Path(known["mappings"]).write_text(json.dumps(document), encoding="utf-8")
            case "connections list":
                known["connection"] = document[0]["connectionId"]
            case _ if words[:2] == ["audiences", "show"] and "shares" in document:
                known["share"] = document["shares"][0]["shareId"]
            case _ if words[:2] == ["audiences", "create"]:
                known["dataset"] = document["audienceId"]  # of the last one
            case "parked list":
                known["message"] = document[0]["id"]


def aws_calls(deployment: Deployment) -> set[Call]:
    """Return a set that gets the calls of AWS from now on, one for each part of a request."""
    called: set[Call] = set()
    ids = {name: logical_id for logical_id, name in deployment.stack._names.items()} | {"restored": "MembershipTable"}
    for service in ("cloudwatch", "dynamodb", "logs", "secretsmanager", "sqs"):
        deployment.stack.service(service).meta.events.register(
            f"provide-client-params.{service}",
            lambda params, model, service=service, **_: called.update(
                Call(f"{service}:{name}", ids.get(resource, ""), partition)
                for name, resource, partition in _parts(model.name, params)
            ),
        )
    return called


def _parts(operation: str, params: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield the permissions for a request, each with the name of its resource and the partition of its row."""
    match operation:
        case "TransactWriteItems":
            yield from (
                (f"{kind}Item", one["TableName"], "") for each in params["TransactItems"] for kind, one in each.items()
            )
        case "BatchExecuteStatement":
            for each in params["Statements"]:
                verb, table = re.findall(r'^(INSERT|UPDATE)[^"]*"(.+?)"', each["Statement"])[0]
                yield f"PartiQL{verb.capitalize()}", table, ""
        case "BatchGetItem":
            yield from ((operation, table, "") for table in params["RequestItems"])
        case _:
            resources = [params[key] for key in ("TableName", "QueueUrl", "logGroupName", "SecretId") if key in params]
            key = params.get("Key", {}).get("audienceShard") or params.get("ExpressionAttributeValues", {}).get(
                ":partition"
            )
            yield operation.removesuffix("Batch"), resources[0] if resources else "", key["S"] if key else ""


def printed(*words: str) -> Any:
    result = CliRunner().invoke(app, list(words), prog_name="audience-sync")
    if words[1:2] == ("tail",):  # a document a line
        return [json.loads(line) for line in result.stdout.splitlines()]
    return json.loads(result.stdout)
