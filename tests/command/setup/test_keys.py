"""Keys that Segment sends: rotated without a refused request, never shown by accident."""

import re

import pytest
from botocore.exceptions import ClientError

from audience_sync.access.credentials import Keyring
from audience_sync_cli.frame.errors import NotThere, OperatorError, WrongUsage
from audience_sync_cli.frame.screen import iso_time
from audience_sync_cli.frame.times import DAY
from audience_sync_cli.setup.keys import retire, rotate, show
from audience_sync_cli.stack.key_kinds import KeyKind
from local.template import ROOT
from tests.command.conftest import NOW, Deployment
from tests.support.aws_fixtures import EVENT_KEY

SIGNING = "SigningSecret"


def opens(deployment: Deployment, *keys: str) -> bool:
    return {each.encode() for each in keys} <= {
        *Keyring.from_json(deployment.secret("IngestSecret")).event_keys.secrets
    }


def key_of_emea(deployment: Deployment, kind: KeyKind = KeyKind.EVENT) -> str:
    """Give a source a key of its own, and return the key."""
    rotate(deployment.session(), kind, source="emea")
    return str(deployment.secret("IngestSecret")[f"{kind.current}.emea"])


def test_after_a_rotation_both_keys_are_accepted_and_the_next_one_asks(deployment: Deployment) -> None:
    deployment.refusal(NotThere, retire, KeyKind.EVENT)  # there is no previous one
    rotate(deployment.session(), KeyKind.EVENT)
    stored = deployment.secret("IngestSecret")
    assert stored["previousEventKey"] == EVENT_KEY
    assert opens(deployment, stored["eventKey"], EVENT_KEY)
    assert stored["other"] == "kept"
    assert "still valid and would stop working now" in deployment.declined(rotate, KeyKind.EVENT)
    assert opens(deployment, EVENT_KEY)
    assert "retire" not in deployment.printed(rotate, KeyKind.AUDIENCE).out
    assert deployment.secret("IngestSecret")["previousAudienceKey"] == ""


def test_the_lines_of_the_runbook_take_a_retired_key_back(deployment: Deployment) -> None:
    rotate(deployment.session(), KeyKind.EVENT)
    deployment.answers = ["y"]
    retire(deployment.session(), KeyKind.EVENT)
    assert not opens(deployment, EVENT_KEY)
    (stage,) = re.findall(r"--version-stage (\w+)", (ROOT / "docs/runbook.md").read_text(encoding="utf-8"))
    store, secret = deployment.stack.service("secretsmanager"), deployment.stack["IngestSecret"]
    before = store.get_secret_value(SecretId=secret, VersionStage=stage)["SecretString"]
    store.put_secret_value(SecretId=secret, SecretString=before)
    assert opens(deployment, EVENT_KEY)
    assert opens(deployment, deployment.secret("IngestSecret")["eventKey"])


def test_an_unreadable_secret_is_replaced_after_confirmation(deployment: Deployment) -> None:
    secret = deployment.stack["IngestSecret"]
    deployment.stack.service("secretsmanager").put_secret_value(SecretId=secret, SecretString="no json")
    deployment.answers = ["y"]
    rotate(deployment.session(), KeyKind.EVENT)
    assert opens(deployment, deployment.secret("IngestSecret")["eventKey"])


@pytest.mark.parametrize("kind", list(KeyKind))
def test_key_values_are_printed_only_with_reveal(deployment: Deployment, kind: KeyKind) -> None:
    printed = "".join([*deployment.printed(rotate, kind), *deployment.printed(show)])
    assert (value := deployment.secret("IngestSecret")[kind.current]) not in printed
    assert value in deployment.printed(show, kind, reveal=True).out


def test_a_weak_key_has_no_fingerprint_and_an_unreadable_expiry_is_marked(deployment: Deployment) -> None:
    of_source = {"key": "an-event-key-of-emea-0001", "expiresOn": "31.3.2027"}
    deployment.put_secret("IngestSecret", {"eventKey": "changeme-changeme-1", "eventKey.emea": of_source})
    weak, *_, shown = deployment.json(show, KeyKind.EVENT)
    expected = {"kind": "event", "slot": "current", "state": "too weak, not accepted", "characters": 19}
    assert weak == expected | {"fingerprint": None}
    assert (shown["source"], shown["state"]) == ("emea", "unreadable expiry date, not accepted")
    assert (shown["expiresOn"], shown["daysLeft"]) == (None, None)


@pytest.fixture
def rotated(deployment: Deployment) -> Deployment:
    """A stack with a previous key of each kind."""
    keys = {f"previous{name}": f"a-previous-key-of-{name}" for name in ("EventKey", "AudienceKey", SIGNING)}
    deployment.put_secret("IngestSecret", {"eventKey": EVENT_KEY} | keys)
    return deployment


@pytest.mark.parametrize(("kind", "name"), [("event", "EventKey"), ("audience", "AudienceKey"), ("signing", SIGNING)])
def test_a_previous_key_is_shown_with_its_last_use(rotated: Deployment, kind: str, name: str) -> None:
    for days in (2, 1):
        rotated.publish(NOW - days * DAY, **{f"Previous{name}Used": 1.0})
    last = {each["kind"]: each["lastUse"] for each in rotated.json(show, now=NOW) if each["slot"] == "previous"}
    assert last.pop(kind) == iso_time((NOW - DAY + 300) * 1000), "at the end of the five minutes"
    assert set(last.values()) == {None}
    assert rotated.printed(show, KeyKind.EVENT, now=NOW).out.split().count("recorded") == 1, "of the current key"


@pytest.mark.parametrize(
    ("days", "shown", "warns"),
    [(1, "-14 08:05:00Z", True), (2, "-13 08:05:00Z", True), (4, "-11 08:05:00Z", False), (20, "last 14 days", False)],
)
def test_show_prints_the_last_use_and_retire_warns_of_one_in_the_last_days(
    rotated: Deployment, days: int, shown: str, warns: bool
) -> None:
    rotated.publish(NOW - days * DAY, PreviousEventKeyUsed=1.0)
    assert shown in rotated.printed(show, KeyKind.EVENT, now=NOW).out
    assert ("A sender that still has it" in rotated.printed(retire, KeyKind.EVENT, yes=True, now=NOW).err) is warns


def test_a_key_that_has_just_become_the_previous_one_is_not_called_unused(deployment: Deployment) -> None:
    deployment.publish(NOW - DAY, PreviousEventKeyUsed=1.0)  # of an earlier previous key
    rotate(deployment.session(now=NOW), KeyKind.EVENT)
    since = "none since 2027-01-15 08:01:00Z"
    assert since in deployment.printed(show, KeyKind.EVENT, now=NOW + 1).out
    (previous,) = (each for each in deployment.json(show, KeyKind.EVENT, now=NOW + 1) if each["slot"] == "previous")
    assert (previous["since"], previous["lastUse"]) == ("2027-01-15T08:00:00.000Z", None)
    assert "not in the last 14 days" in deployment.printed(show, KeyKind.EVENT, now=NOW + 15 * DAY).out
    assert "at 2027-01-15 08:00:00Z" in deployment.printed(retire, KeyKind.EVENT, yes=True, now=NOW + DAY - 1).err


def test_a_key_that_has_been_the_previous_one_for_a_day_without_a_use_is_retired_without_a_warning(
    deployment: Deployment,
) -> None:
    rotate(deployment.session(now=NOW), KeyKind.EVENT)
    assert deployment.printed(retire, KeyKind.EVENT, yes=True, now=NOW + DAY).err == ""
    deployment.put_secret("IngestSecret", deployment.secret("IngestSecret") | {"previousEventKey": EVENT_KEY})
    shown = deployment.printed(show, KeyKind.EVENT, now=NOW + DAY).out
    assert "not in the last 14 days" in shown, "it was stored by hand, after the rotation"


def test_a_leaked_key_can_be_retired_while_cloudwatch_does_not_answer(rotated: Deployment) -> None:
    rotated.fail("cloudwatch", ClientError({"Error": {"Code": "AccessDenied", "Message": ""}}, "GetMetricData"))
    assert "CloudWatch does not report the last use" in rotated.printed(retire, KeyKind.EVENT, yes=True).err
    assert rotated.secret("IngestSecret")["previousEventKey"] == ""


def test_a_source_has_its_own_key_that_can_be_removed_after_confirmation(deployment: Deployment) -> None:
    printed = "".join(deployment.printed(rotate, KeyKind.EVENT, source="emea"))
    key = deployment.secret("IngestSecret")["eventKey.emea"]
    assert opens(deployment, key, EVENT_KEY)
    assert key not in printed
    assert "expires" not in deployment.printed(show).out
    deployment.declined(retire, KeyKind.EVENT, source="emea")
    assert opens(deployment, key)
    retire(deployment.session(yes=True), KeyKind.EVENT, source="emea")
    assert not opens(deployment, key)
    assert opens(deployment, EVENT_KEY)
    assert deployment.secret("IngestSecret")["other"] == "kept"


def test_show_lists_the_keys_of_sources_by_name(deployment: Deployment) -> None:
    key_of_emea(deployment, KeyKind.AUDIENCE)
    key = key_of_emea(deployment)
    listed = [(each["kind"], each["source"]) for each in deployment.json(show) if each["slot"] == "source"]
    assert listed == [("event", "emea"), ("audience", "emea")]
    assert key in deployment.printed(show, KeyKind.EVENT, reveal=True).out


def test_a_source_gets_no_second_key_of_a_kind_and_only_known_sources_are_retired(deployment: Deployment) -> None:
    key_of_emea(deployment)
    before = deployment.secret("IngestSecret")
    assert "already has an event key" in str(deployment.refusal(OperatorError, rotate, KeyKind.EVENT, source="emea"))
    unknown = deployment.refusal(NotThere, retire, KeyKind.EVENT, source="emae", yes=True)
    assert ("no source emae" in str(unknown), "Did you mean emea?" in unknown.remedy) == (True, True)
    deployment.refusal(NotThere, retire, KeyKind.AUDIENCE, source="emea", yes=True)
    assert deployment.secret("IngestSecret") == before


def test_rotate_and_retire_end_the_former_key_and_keep_the_keys_of_sources(deployment: Deployment) -> None:
    key = key_of_emea(deployment)
    rotate(deployment.session(), KeyKind.EVENT)
    deployment.refusal(NotThere, retire, KeyKind.EVENT, source="", yes=True)  # a script whose variable is empty
    assert opens(deployment, EVENT_KEY)
    retire(deployment.session(yes=True), KeyKind.EVENT)
    current = deployment.secret("IngestSecret")["eventKey"]
    assert [opens(deployment, each) for each in (EVENT_KEY, key, current)] == [False, True, True]


@pytest.mark.parametrize("name", ["", "EMEA", "a.b", "-emea", "x" * 41, "emea team", "é"])
def test_the_name_of_a_source_must_be_safe_for_logs(deployment: Deployment, name: str) -> None:
    deployment.refusal(WrongUsage, rotate, KeyKind.EVENT, source=name)
    assert "no signing secret of its own" in str(deployment.refusal(WrongUsage, rotate, KeyKind.SIGNING, source="emea"))
    assert not [entry for entry in deployment.secret("IngestSecret") if "." in entry]


LAST, EXPIRES = 1_806_451_200.0, "2027-03-31"  # epoch seconds at which the day begins in UTC, and the day


def test_a_key_with_an_expiry_is_accepted_and_shown_with_the_days_left(deployment: Deployment) -> None:
    said = deployment.printed(rotate, KeyKind.EVENT, source="emea", expires=EXPIRES, now=LAST - 10 * DAY).out
    stored = deployment.secret("IngestSecret")["eventKey.emea"]
    assert stored["expiresOn"] == EXPIRES
    assert opens(deployment, stored["key"])
    assert "valid through 2027-03-31" in said
    assert stored["key"] not in said
    assert "2027-03-31, 1 day left" in deployment.printed(show, KeyKind.EVENT, now=LAST - DAY).out
    shown = deployment.json(show, KeyKind.EVENT, now=LAST + DAY - 1)[-1]
    assert (shown["expiresOn"], shown["daysLeft"], shown["state"]) == (EXPIRES, 0, "strong")
    expired = deployment.json(show, KeyKind.EVENT, now=LAST + DAY)[-1]
    assert (expired["daysLeft"], expired["state"]) == (-1, "expired, not accepted")
    assert expired["fingerprint"] == shown["fingerprint"]


@pytest.mark.parametrize("expires", ["soon", "2027-02-30", "31.3.2027", "20270331", "2027-01-14"])
def test_an_expiry_must_be_a_date_in_the_future(deployment: Deployment, expires: str) -> None:
    assert "needs --source" in str(deployment.refusal(WrongUsage, rotate, KeyKind.EVENT, expires=EXPIRES))
    expiring = {"source": "emea", "expires": expires, "now": NOW}
    assert "--expires" in str(deployment.refusal(WrongUsage, rotate, KeyKind.EVENT, **expiring))
    assert "eventKey.emea" not in deployment.secret("IngestSecret")
