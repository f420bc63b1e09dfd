"""docs/operator-policy.json allows what the commands call, and docs/operate.md which command needs which statement."""

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import pytest

from audience_sync.ingest.record_rules import erasing_exit
from audience_sync_cli.app import PARTS
from audience_sync_cli.dashboard.deployed import DeployedStack
from audience_sync_cli.frame.errors import TryLater
from audience_sync_cli.member_files.import_wait import JobReadings
from audience_sync_cli.stack.blockers import waiting
from audience_sync_cli.stack.in_flight import ACCEPTED
from audience_sync_cli.stack.settling import Reading, outstanding, readings
from audience_sync_cli.watch.following import Following
from audience_sync_cli.watch.posting import stated
from audience_sync_cli.watch.send import Follow, send
from audience_sync_cli.watch.ways import Posted
from local.template import ROOT
from tests.command.conftest import Deployment, change
from tests.command.every_command import Call, Ran, aws_calls
from tests.support.aws_fixtures import AUDIENCE
from tests.support.iam import allows, arns, statements
from tests.support.markdown import code

EVENT = ROOT / "events/segment/01-track-entered-full-pii.json"
MEMBERS = ROOT / "events/members.csv"
POLICY = ROOT / "docs/operator-policy.json"
STATEMENTS = {each["Sid"]: each for each in statements(POLICY)}
READER = statements(ROOT / "docs/reader-policy.json")
SECTION = (ROOT / "docs/operate.md").read_text(encoding="utf-8").split("\n## Permissions of the operator\n")[1]
ROWS = re.findall(r"^\| (`.+?`) \| (.+) \|$", SECTION.split("\n## ")[0], re.MULTILINE)
READS = ("tail", "operator-log", "rejections", "status", "diagnose")
ARNS = arns()
DEAD_LETTERS = {"DeadLetterQueue", "EventsDeadLetterQueue", "JobDeadLetterQueue"}
CONTEXT = {"cloudwatch:namespace": "AudienceSync"}


def _sids(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


def _allowed(command: str) -> list[dict[str, Any]]:
    """The statements whose row names the command."""
    named = rf"`{command}[` ]|^every command," + ("" if command in READS else "|^every command that changes")
    return [STATEMENTS[sid] for sids, uses in ROWS if re.search(named, uses) for sid in _sids(sids)]


def _refused(policy: list[dict[str, Any]], calls: Iterable[Call]) -> set[str]:
    """The calls that the statements do not allow."""
    return {
        f"{permission} on {resource}"
        for permission, resource, partition in calls
        if not allows(policy, permission, ARNS.get(resource, "*"), CONTEXT | {"dynamodb:LeadingKeys": partition})
    }


def _dashboard(deployment: Deployment) -> None:
    shown = DeployedStack(deployment.stack, time.time)
    shown.read("")
    shown.find({"id": "m1"})
    shown.redrive("")
    shown.close()


def _send_and_wait(deployment: Deployment) -> None:
    with suppress(TryLater):  # there is no gateway here
        send(deployment.session(), sample_name="track", audience=AUDIENCE.audience_id)
    changes = stated(deployment.session(), EVENT.read_bytes()).changes
    following = Following(
        deployment.session(), changes, posted=Posted(time.time()), on_hop=print, on_blocker=print, sleep=print
    )
    following.run(timeout=0)
    with suppress(TryLater):
        send(deployment.session(), follow=Follow(round_trip=AUDIENCE.audience_id))


def _import_and_wait(deployment: Deployment) -> None:
    session, nothing = deployment.session(), Reading(0, 0, "")
    with suppress(TryLater):  # no local stack answers
        readings(session)()
    deployment.log("Worker", ACCEPTED, job_id="j1", audience_id=AUDIENCE.audience_id, records=1)
    JobReadings(session, AUDIENCE, 0, lambda: nothing)()
    waiting(session)
    outstanding(session, time.time())


def test_the_operator_policy_allows_every_call_of_a_command(every_command: list[Ran]) -> None:
    calls: defaultdict[str, set[Call]] = defaultdict(set)
    for ran in every_command:
        calls[ran.command.split()[0]] |= ran.calls
    assert {part: refused for part, called in calls.items() if (refused := _refused(_allowed(part), called))} == {}
    assert {part for part, called in calls.items() if not called} == {"dashboard"}, "which has the next test"


@pytest.mark.parametrize(
    ("part", "use"),
    [("dashboard", _dashboard), ("import", _import_and_wait), ("send", _send_and_wait)],
)
def test_the_operator_policy_allows_following_and_the_dashboard(
    deployment: Deployment, part: str, use: Callable[[Deployment], None]
) -> None:
    deployment.connect()
    deployment.list_audience()
    deployment.record(change("m1"), erasing_exit("m1", 9, "notice"))
    deployment.park(change("m1"), change("m2"))
    calls = aws_calls(deployment)
    use(deployment)
    assert calls
    assert _refused(_allowed(part), calls) == set()


@pytest.mark.parametrize(
    ("sid", "action", "reached"),
    [
        ("ReadAudiences", "dynamodb:Scan", {"AudienceTable"}),
        ("ReadMembers", "dynamodb:Scan", {"MembershipTable"}),
        ("WriteAudiencesAndMappings", "dynamodb:DeleteItem", {"AudienceTable"}),
        ("RestoreMembers", "dynamodb:PartiQLUpdate", {"MembershipTable"}),
        ("ReadDeadLetters", "sqs:ReceiveMessage", DEAD_LETTERS - {"EventsDeadLetterQueue"}),
        ("ReadDeadEvents", "sqs:ReceiveMessage", {"EventsDeadLetterQueue"}),
        ("DeleteDeadLetters", "sqs:DeleteMessage", DEAD_LETTERS),
        ("SendChanges", "sqs:SendMessage", {"ChangeQueue", "EventsQueue", "EventsDeadLetterQueue", "JobQueue"}),
        ("RefreshToken", "lambda:InvokeFunction", {"RefreshFunction"}),
        ("Runbook", "lambda:InvokeFunction", {f"{each}Function" for each in ("Audit", "Datasets", "Refresh", "Renew")}),
    ],
)
def test_a_statement_reaches_no_further_than_its_name(sid: str, action: str, reached: set[str]) -> None:
    service = action.partition(":")[0]
    of_service = {logical_id: arn for logical_id, arn in ARNS.items() if arn.split(":")[2] == service}
    assert {each for each, arn in of_service.items() if allows([STATEMENTS[sid]], action, arn)} == reached


def test_the_reader_policy_is_enough_for_the_commands_that_the_guide_names(every_command: list[Ran]) -> None:
    (named,) = re.findall(r"It is enough for (.+?)\.\n", SECTION, re.DOTALL)
    enough = {ran.command for ran in every_command if ran.calls and not _refused(READER, ran.calls)}
    assert enough == set(re.findall(r"`([a-z -]+?)(?: --dry-run)?`", named))


ROLES = {
    file: set(re.findall(r"`([a-z -]+?)`", uses)) - {"aws", "test --alarms"}
    for file, uses in re.findall(r"^\| \[(\S+-policy\.json)\]\S+ \| .+? \| (.+) \|$", SECTION, re.MULTILINE)
}
MEMBER, MESSAGE = Call("dynamodb:GetItem", "MembershipTable", "1#03"), Call("sqs:ReceiveMessage", "DeadLetterQueue")
SECRET, SENT = Call("secretsmanager:GetSecretValue", "IngestSecret"), Call("sqs:SendMessage", "ChangeQueue")


@pytest.mark.parametrize(
    ("file", "refused"),
    [
        ("officer-policy.json", [SECRET]),
        ("on-call-policy.json", [MEMBER, MESSAGE, SECRET, SENT]),
        ("key-keeper-policy.json", [MEMBER, MESSAGE, SENT]),
    ],
)
def test_a_role_has_statements_of_the_two_policies_for_what_the_guide_names_and_no_more(
    every_command: list[Ran], file: str, refused: list[Call]
) -> None:
    policy = statements(ROOT / "docs" / file)
    assert [each for each in policy if each not in [*STATEMENTS.values(), *READER]] == []
    assert {ran.command for ran in every_command if ran.command in ROLES[file] and _refused(policy, ran.calls)} == set()
    assert len(_refused(policy, refused)) == len(refused)
    assert ROLES[file] <= {ran.command for ran in every_command}
    assert ("PauseDelivery" in [each["Sid"] for each in policy]) == ("pause" in ROLES[file])


def test_a_reader_sees_no_member_message_or_key_and_changes_nothing() -> None:
    others = ("dynamodb:Scan", "MembershipTable"), ("dynamodb:PutItem", "AudienceTable")
    calls = [MEMBER, MESSAGE, SECRET, Call("logs:PutLogEvents", "OperatorLogGroup"), *(Call(*each) for each in others)]
    assert len(_refused(READER, calls)) == len(calls)


def test_the_documentation_lists_every_part_and_statement() -> None:
    assert set(PARTS) - {name for _, uses in ROWS for name in re.findall(r"`([a-z-]+)", uses)} == set()
    assert [sid for sids, _ in ROWS for sid in _sids(sids)] == list(STATEMENTS)


RUNBOOK = (ROOT / "docs/runbook.md").read_text(encoding="utf-8").split("\nexport STACK=")[1].split("\n## Restoring")[0]
LINES = {
    (found[1], found[2], *re.findall(r"\$\((?:part|arn) (\w+)\)", found[3]))
    for line, _ in code(f"```bash\n{RUNBOOK}")
    for found in re.finditer(r"(?:^|\$\(|\| |; |while |\{ )aws (\w+) ([a-z-]+)((?:\$\([^)]*\)|[^;|])*)", line)
}
CHECKED = {  # what AWS checks of an operation, if it is not that operation on each resource that the line names
    ("sqs", "start-message-move-task"): ["StartMessageMoveTask", "ReceiveMessage", "DeleteMessage", "SendMessage"],
    ("lambda", "invoke"): ["InvokeFunction"],
}
STACK = "arn:aws:cloudformation:eu-west-1:123456789012:stack/audience-sync/1"
FOR_ADMINISTRATORS = {"delete-function-concurrency", "lookup-events", "purge-queue"}
MESSAGES_AND_KEYS = {"get-secret-value", "list-message-move-tasks", "put-secret-value", "start-message-move-task"}


def _refused_lines(policy: list[dict[str, Any]]) -> set[str]:
    """The operations of the runbook's lines about alarms that a policy does not allow."""
    refused = set()
    for service, operation, *named in LINES:
        actions = CHECKED.get((service, operation), [operation.title().replace("-", "")])
        resources = [ARNS[each] for each in named if each in ARNS] or ["*", STACK, *ARNS.values()]
        is_move = operation == "start-message-move-task"
        for action in actions:
            on = resources if not is_move else [ARNS["JobQueue" if action == "SendMessage" else "JobDeadLetterQueue"]]
            if not any(allows(policy, f"{service}:{action}", each) for each in on):
                refused.add(operation)
    return refused


def test_the_policies_allow_the_lines_of_the_runbook_about_alarms() -> None:
    operator, on_call = statements(POLICY), statements(ROOT / "docs/on-call-policy.json")
    assert len(LINES) > 20
    assert _refused_lines(operator) == FOR_ADMINISTRATORS, "which the guide and the runbook say"
    assert _refused_lines(on_call) == FOR_ADMINISTRATORS | MESSAGES_AND_KEYS, "which the runbook says"
