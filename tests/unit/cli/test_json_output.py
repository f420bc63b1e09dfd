"""What every command prints under --json is as docs/cli.schema.json has it, and all times have one form."""

import json
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from audience_sync_cli.app import app, load
from audience_sync_cli.errors import EXIT_CODES
from audience_sync_cli.health import status
from audience_sync_cli.screen import iso_time
from audience_sync_cli.setup import connect
from audience_sync_cli.setup.terms import ACCEPTANCE
from audience_sync_cli.state.counts import Counts
from tests.aws_fixtures import AUDIENCE, create_membership_table
from tests.servers import Served, serve
from tests.unit.cli import browser
from tests.unit.cli.conftest import CLIENT_ID, CLIENT_SECRET, NOW, Deployment, change
from tests.unit.cli.json_schema import SCHEMA, faults
from tests.unit.cli.reference import commands

EVENT = Path(__file__).parents[3] / "events/segment/01-track-entered-full-pii.json"
REJECTED = EVENT.with_name("08-track-email-as-userid.json")
SESSION = f"""
keys rotate event --yes
keys rotate audience --reveal
keys show
keys add event emea --expires 9999-12-31 --reveal
keys show event --reveal
keys remove event emea --yes
keys retire event --yes
connect --port 0
test
audiences create "Big spenders" --advertiser 590071284455661234 --country US --key big_spenders --ttl-days 30
audiences create "Big spenders" --advertiser 590071284455661234 --country US --key big_spenders --ttl-days 7
audiences link {AUDIENCE.audience_id} --key lapsed_premium_buyers --country US
audiences list
audiences show lapsed_premium_buyers
audiences update big_spenders --renew
connections create --amc-instance amc-1
connections list
audiences create "With a fee" --connection {{connection}} --country US --cpm-cents 5 --currency USD --dsp
connections delete {{connection}} --yes
terms show --text
terms accept --confirm '{ACCEPTANCE}'
mappings show
mappings check {{mappings}} --event {EVENT}
mappings apply {{mappings}} --yes
mappings reset --yes
mappings revert 1 --dry-run
mappings history
mappings try {EVENT} --explain
mappings try {REJECTED}
send --sample track --audience lapsed_premium_buyers
dashboard
import {{members}} lapsed_premium_buyers --dry-run
import {{members}} lapsed_premium_buyers --yes
compare {{members}} lapsed_premium_buyers --repair --yes
diagnose lapsed_premium_buyers
audiences show lapsed_premium_buyers --history
rejections
tail --no-follow
member show lapsed_premium_buyers m1
member show lapsed_premium_buyers m2
parked list
parked show {{message}}
parked acknowledge --reason request_rejected --note 'terms are with legal'
parked redrive --dry-run
parked redrive --member m1
parked drop --all --dry-run
parked drop --all --yes
member erase m1 --yes
status
status --members --hours 3
restore-members restored --dry-run --since 1h
audiences unlink big_spenders --yes
operator-log
audiences list --unlinked
"""  # one command a line; later ones use what earlier ones print
NOT_SHOWN = {
    "stopped",  # more dead letters than a test can make
    "namedAt",  # identities of several events
    *("stalledSince", "until"),  # tests/unit/cli/health/test_status_waiting.py
    *("endToEnd", "ending", "entered", "nextTry", "recorded", "sentence"),  # tests/e2e/test_send.py
}


@pytest.fixture(scope="module")
def gateway() -> Iterator[Served]:
    """A gateway that rejects every event, and serves a page."""
    rejection = {"index": 0, "messageId": "m-1", "reason": "time_ahead", "detail": "timestamp is ahead"}
    answer = {"accepted": 0, "ignored": 0, "rejected": 1, "rejections": [rejection]}

    async def events(_: web.Request) -> web.Response:
        return web.json_response(answer, status=400)

    async def page(_: web.Request) -> web.Response:
        return web.Response()

    def build() -> web.Application:
        app = web.Application()
        app.router.add_post("/v1/events", events)
        app.router.add_get("/status", page)
        return app

    with serve(build) as served:
        yield served


@pytest.fixture
def printed_documents(
    deployment: Deployment, gateway: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, list[Any]]:
    """Every command's documents, from one session with a stack."""
    monkeypatch.setattr("audience_sync_cli.stack.local", lambda _: deployment.stack)
    monkeypatch.setattr(status, "local_counts", lambda _: Counts(accepted=1))
    monkeypatch.setattr(connect, "browser_opener", lambda: lambda address: browser.answer(address).ok)
    monkeypatch.setenv("AUDIENCE_SYNC_LOCAL", "http://127.0.0.1:9")
    monkeypatch.setenv("AUDIENCE_SYNC_CLIENT_ID", CLIENT_ID)
    monkeypatch.setenv("AUDIENCE_SYNC_CLIENT_SECRET", CLIENT_SECRET)
    deployment.stack.parameters = {"MaxCpmCents": "200"}
    create_membership_table(deployment.stack.service("dynamodb"), "restored")
    deployment.record(change("m1"))
    deployment.park(change("m1"), change("m2"), firstAt=round(NOW * 1000))
    deployment.send("DeadLetterQueue", "unreadable")
    deployment.publish(time.time(), {"audience": AUDIENCE.audience_id}, AudienceReceived=400, AudienceMatchRate=60)
    deployment.reject(("time_ahead", "m-1"))
    deployment.log("Worker", "upload accepted", audience_id=AUDIENCE.audience_id, records=3, job_id="job-1")
    deployment.log("Worker", "delivery incomplete", audience_ids=["1"], uploads_failed={"throttled": 1})
    deployment.stack.api = gateway.url
    deployment.stack.local = gateway.url
    known = {"mappings": str(tmp_path / "mappings.json"), "members": str(tmp_path / "members.csv")}
    Path(known["members"]).write_text(
        "external_user_id,email,country\nm3,maya@example.com,US\n,x,US\n", encoding="utf-8"
    )
    found: dict[str, list[Any]] = {}
    for line in SESSION.strip().splitlines():
        words = shlex.split(line.format_map(known))
        document = printed("--json", *words)
        assert "error" not in document, line
        name = " ".join(words[:2] if hasattr(load(words[0]), "commands") else words[:1])
        found.setdefault(name, []).extend(document if name == "tail" else [document])
        match line:
            case "mappings show":
                document["mappings"][0]["name"] = "Another name"
                Path(known["mappings"]).write_text(json.dumps(document), encoding="utf-8")
            case "connections list":
                known["connection"] = document[0]["connectionId"]
            case "parked list":
                known["message"] = document[0]["id"]
    return found


def printed(*words: str) -> Any:
    result = CliRunner().invoke(app, list(words), prog_name="audience-sync")
    if words[1:2] == ("tail",):  # a document a line
        return [json.loads(line) for line in result.stdout.splitlines()]
    return json.loads(result.stdout)


def test_every_command_has_a_schema_and_the_schemas_are_valid() -> None:
    assert set(SCHEMA["commands"]) == {" ".join(path) for path, _ in commands()}, "see docs/cli.schema.json"
    for schema in (*SCHEMA["commands"].values(), *SCHEMA["$defs"].values()):
        Draft202012Validator.check_schema(schema)


def test_what_commands_print_is_as_documented(printed_documents: dict[str, list[Any]]) -> None:
    assert set(printed_documents) == set(SCHEMA["commands"]), "add a line to SESSION"
    documents = [(name, each) for name, documents in printed_documents.items() for each in documents]
    assert [fault for name, document in documents for fault in faults(name, document)] == []


def test_every_documented_field_is_printed_by_some_command(printed_documents: dict[str, list[Any]]) -> None:
    names = set(_field_names(printed_documents))
    of_errors = {"error", "message", "exitCode", "faults"}
    documented = {*_documented(SCHEMA["commands"]), *_documented(SCHEMA["$defs"])} - of_errors
    assert documented - names == NOT_SHOWN


def test_no_time_is_a_number(printed_documents: dict[str, list[Any]]) -> None:
    """Epoch seconds of this century, and epoch milliseconds, are larger than any count in these documents."""
    assert [number for number in _numbers(printed_documents) if number >= 900_000_000] == []


def test_errors_are_as_documented() -> None:
    schema = SCHEMA["$defs"]["error"]
    for line in ("statsu", "status --hours x", "status --local http://127.0.0.1:9"):
        Draft202012Validator(schema).validate(printed(*shlex.split(line), "--json"))
    codes = schema["properties"]["error"]["properties"]["exitCode"]["enum"]
    assert codes == [code for code in EXIT_CODES if code not in (0, 130)]


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        pytest.param(1_772_615_722_118, "2026-03-04T09:15:22.118Z", id="with milliseconds"),
        pytest.param(1_772_615_722_000, "2026-03-04T09:15:22.000Z", id="a whole second"),
        pytest.param(0, "1970-01-01T00:00:00.000Z", id="the beginning"),
        pytest.param(None, None, id="not known"),
    ],
)
def test_a_time_is_a_text_in_utc(milliseconds: int | None, text: str | None) -> None:
    assert iso_time(milliseconds) == text


def _field_names(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _field_names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _field_names(inner)


def _documented(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for name, inner in schema.items():
            if name == "properties":
                yield from inner
            yield from _documented(inner)


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _numbers(inner)
    elif isinstance(value, int | float):
        yield value
