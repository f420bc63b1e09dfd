"""`make deploy` says where it deploys or what is missing, before it builds; the stack's tags name what is deployed."""

import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from aiohttp import web
from moto import mock_aws
from moto.backends import get_backend

from audience_sync.aws.audience_table import MAPPINGS_KEY
from audience_sync.aws.membership_rows import SHARDS
from audience_sync.delivery.uploads import Limits
from audience_sync.members.erasure.status import OVERDUE_AFTER
from audience_sync.operations.audience_trends import MATCH_RATE_FALL, SILENT_DAYS
from local.template import read_document
from scripts import publish, repair, stack_policy
from scripts.deploy_target import BECOMES, describe
from scripts.parameter_overrides import NOW, CannotDeploy
from scripts.sam_options import ROOT, Target, read_target, target
from tests.support.servers import serve

CONFIG: dict[str, Any] = {
    "version": 0.1,
    "default": {
        "global": {"parameters": {"stack_name": "audience-sync"}},
        "deploy": {"parameters": {"region": "eu-west-1", "profile": "ads"}},
    },
    "staging": {"global": {"parameters": {"stack_name": "audience-sync-staging"}}},
}


def saved(**values: object) -> dict[str, Any]:
    """A samconfig.toml."""
    return {"default": {"deploy": {"parameters": {"stack_name": "audience-sync"} | values}}}


OPEN = Target(region=None, profile=None, stack="audience-sync", guided=False)
HERE = Target(region="eu-west-1", profile=None, stack="audience-sync", guided=False)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param([], Target("eu-west-1", "ads", "audience-sync", guided=False), id="all from samconfig.toml"),
        pytest.param(
            ["--region", "us-east-1", "--stack-name=mine", "--profile", "other"],
            Target("us-east-1", "other", "mine", guided=False),
            id="arguments go first",
        ),
        pytest.param(
            ["--config-env", "staging", "--parameter-overrides", "Region=EU", "BatchWindow=60"],
            Target(None, None, "audience-sync-staging", guided=False, parameters={"Region": "EU", "BatchWindow": "60"}),
            id="another environment, and parameters",
        ),
        pytest.param(
            ["--guided", "--disable-rollback"],
            Target("eu-west-1", "ads", "audience-sync", guided=True, disable_rollback=True),
            id="guided, without rollback",
        ),
    ],
)
def test_arguments_override_samconfig_as_in_sam(arguments: list[str], expected: Target) -> None:
    assert target(arguments, CONFIG) == expected


OVERRIDES = "--parameter-overrides"


# Each was compared with what SAM 1.170 makes of it.
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--config-file other.toml", "--config-file is not possible here. Settings are read from samconfig.toml: give"),
        ("--config-file=samconfig.toml", "--config-file is not possible here"),
        ("-tother.yaml", "leave out -tother.yaml"),
        ("--template-file", "--template-file has no value here"),
        ("--config-env version", "no environment version. It has: default, staging"),
        ("--config-env=", "no environment . It has"),
        ("--config-env", "--config-env has no value here"),
        ("staging", "leave out staging, which is not an option"),
        ("--no-confirm-changeset staging", "leave out staging"),
        ("--region eu-west-1 us-east-1", "leave out us-east-1"),
        ("-- --stack-name b", "leave out --, which is not an option"),
        ("-x", "leave out -x, which is not an option"),
        ("--s3-prefix --stack-name b", "--s3-prefix has no value here"),
        ("--stack-name=", "--stack-name is empty"),
        ("--stack-name '' --guided", "--stack-name is empty"),
        ("--guided=yes", "leave out --guided=yes"),
        (f"{OVERRIDES} --guided", "--parameter-overrides has no value here"),
        (
            f"{OVERRIDES} 'ParameterKey=Region,ParameterValue=EU BatchWindow=60'",
            "leave out what does not begin",
        ),
        (f"{OVERRIDES} 'ParameterKey=\"KmsKeyARN\",ParameterValue=x'", "SAM would read names in quotes"),
        (
            f"{OVERRIDES} 'ParameterKey=Region,ParameterValue=EU,ParameterKey=BatchWindow,ParameterValue=60'",
            "of Region",
        ),
        (f"{OVERRIDES} 'Region=EU\nBatchWindow=60'", "see the value of Region"),
        (f"{OVERRIDES} 'AudienceNamePrefix=a\"b\"'", "see the value of AudienceNamePrefix"),
        (f"{OVERRIDES} 'AudienceNamePrefix=\"a\"b'", "see the value of AudienceNamePrefix"),
    ],
)
def test_what_sam_would_leave_out_or_read_elsewhere_is_refused(arguments: str, said: str) -> None:
    with pytest.raises(CannotDeploy, match=re.escape(said)):
        target(shlex.split(arguments), CONFIG)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"stack_name": 5}, "--stack-name is empty"),
        ({"region": ""}, "--region is empty"),
        ({"template_file": "other.yaml"}, "template_file is not possible here."),
        ({"parameter_overrides": 5}, "not a string, a list or a table"),
        ({"parameter_overrides": {"Enabled": True}}, "the value of Enabled in samconfig.toml in quotes"),
        ({"parameter_overrides": {"$include": "p.toml"}}, "No parameter $include"),
        ({"parameter_overrides": [["Region=EU"], [{"KmsKeyARN": "x"}]]}, "No parameter KmsKeyARN"),
    ],
)
def test_what_sam_would_read_differently_in_samconfig_is_refused(values: dict[str, object], said: str) -> None:
    with pytest.raises(CannotDeploy, match=re.escape(said)):
        target([], saved(**values))


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        pytest.param(
            ["--parameter-overrides=Region=EU", "BatchWindow=60"], {"Region": "EU", "BatchWindow": "60"}, id="="
        ),
        pytest.param([OVERRIDES, "Region=EU", OVERRIDES, "BatchWindow=60"], {"BatchWindow": "60"}, id="the last"),
        pytest.param([OVERRIDES, "AlarmEmail='a b'"], {"AlarmEmail": "a b"}, id="single quotes"),
        pytest.param([OVERRIDES, r'AlarmEmail="a\"b"'], {"AlarmEmail": 'a"b'}, id="a quote in quotes"),
    ],
)
def test_overrides_are_read_as_sam_reads_them(overrides: list[str], expected: dict[str, str]) -> None:
    assert target(overrides, CONFIG).parameters == expected
    assert target([], saved(parameter_overrides=[{"AllowedSources": ["1", "", 2]}])).parameters == {
        "AllowedSources": "1,2"
    }


@pytest.mark.parametrize(("value", "expected"), [(True, True), ("true", True), ("false", False), (False, False)])
def test_flags_in_samconfig_are_read_as_sam_reads_them(value: object, expected: bool) -> None:
    chosen = target([], saved(guided=value, disable_rollback=value))
    assert (chosen.guided, chosen.disable_rollback) == (expected, expected)
    assert (
        target(["--disable-rollback", "--no-disable-rollback"], saved(disable_rollback=value)).disable_rollback is False
    )


def test_a_stack_that_is_named_nowhere_is_not_guessed() -> None:
    nowhere: dict[str, Any] = {"default": {}}
    with pytest.raises(CannotDeploy, match="No stack is named"):
        target([], nowhere)
    assert target(["-g"], nowhere).stack == "sam-app", "which SAM offers"


def test_a_template_named_by_the_environment_is_not_deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAM_TEMPLATE_FILE", "other.yaml")
    with pytest.raises(CannotDeploy, match=r"SAM_TEMPLATE_FILE is not possible here\."):
        read_target([])


@pytest.mark.parametrize("option", ["-t", "--template", "--template-file"])
def test_settings_and_parameters_are_those_beside_and_in_the_template(tmp_path: Path, option: str) -> None:
    other = tmp_path / "other.yaml"
    with pytest.raises(CannotDeploy, match="There is no template"):
        read_target([option, str(other)])
    other.write_text("Parameters: {Name: {Type: String}}\n", encoding="utf-8")
    with pytest.raises(CannotDeploy, match=r"cannot be read beside the template"):
        read_target([option, str(other)])
    config = tmp_path / "samconfig.toml"
    config.write_text('[default.deploy.parameters]\nstack_name = "beside"\n', encoding="utf-8")
    chosen = read_target([option, str(other), "--parameter-overrides", "Name=x"])
    assert (chosen.stack, chosen.parameters) == ("beside", {"Name": "x"})
    with pytest.raises(CannotDeploy, match="No parameter BatchWindow"):
        read_target([option, str(other), "--parameter-overrides", "BatchWindow=60"])


@pytest.mark.parametrize("text", [None, "version = ", "\ufeffversion = 0.1"])
def test_a_samconfig_that_cannot_be_read_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None
) -> None:
    monkeypatch.setattr("scripts.sam_options.ROOT", tmp_path)
    (tmp_path / "template.yaml").touch()
    if text is not None:
        (tmp_path / "samconfig.toml").write_text(text, encoding="utf-8")
    with pytest.raises(CannotDeploy, match=r"samconfig\.toml cannot be read"):
        read_target([])


def test_an_unknown_environment_is_reported_with_the_known_ones() -> None:
    with pytest.raises(CannotDeploy, match=r"no environment prod\. It has: default, staging\."):
        target(["--config-env", "prod"], CONFIG)


@pytest.fixture
def signed_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No region, no credentials, no profile, and no metadata of an EC2 instance."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@pytest.fixture
def signed_in(signed_out: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:  # noqa: ARG001 - goes before
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "made-up")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
    with mock_aws():
        yield


@pytest.mark.usefixtures("signed_out")
@pytest.mark.parametrize(
    ("chosen", "key_id", "remedy"),
    [
        pytest.param(OPEN, "", "AWS_REGION=eu-west-1 make deploy", id="no region"),
        pytest.param(HERE, "", "AWS credentials are missing or incomplete", id="no credentials"),
        pytest.param(HERE, "made-up", "AWS credentials are missing or incomplete", id="half of the credentials"),
        pytest.param(replace(HERE, profile="ads"), "", "no such profile", id="a profile that is not configured"),
    ],
)
def test_a_missing_region_credential_or_profile_is_reported_before_the_build(
    monkeypatch: pytest.MonkeyPatch, chosen: Target, key_id: str, remedy: str
) -> None:
    if key_id:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key_id)
    with pytest.raises(CannotDeploy, match=remedy):
        describe(chosen, {})


@pytest.mark.usefixtures("signed_out")
def test_a_repair_without_a_region_ends_as_a_deployment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["repair"])
    with pytest.raises(SystemExit):
        repair.main()
    assert "No AWS region is set" in capsys.readouterr().err


@pytest.mark.usefixtures("signed_in")
def test_rejected_credentials_are_reported_with_the_error_code_of_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = "<ErrorResponse><Error><Code>ExpiredToken</Code><Message>secret</Message></Error></ErrorResponse>"

    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=403, text=refusal, content_type="text/xml")

    app = web.Application()
    app.router.add_post("/", refuse)
    with serve(lambda: app) as aws:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", aws.url)
        with pytest.raises(CannotDeploy, match=r"not accept the credentials \(ExpiredToken\). Sign in again.$"):
            describe(HERE, {})


@pytest.mark.usefixtures("signed_in")
@pytest.mark.parametrize(
    ("chosen", "environment", "where"),
    [
        pytest.param(HERE, {"AWS_REGION": "us-east-1"}, "in eu-west-1", id="samconfig.toml goes first"),
        pytest.param(OPEN, {"AWS_REGION": "us-east-1"}, "in us-east-1", id="the environment"),
        pytest.param(replace(OPEN, guided=True), {}, "in the region that SAM asks for", id="SAM asks"),
    ],
)
def test_the_deployment_target_is_printed_with_stack_account_and_region(
    chosen: Target, environment: dict[str, str], where: str
) -> None:
    assert describe(chosen, environment) == f"The stack is audience-sync, in the account 123456789012, {where}."


def created(**parameters: str) -> None:
    """Create the stack audience-sync in eu-west-1, with the parameters of the template and one resource."""
    declared: dict[str, dict[str, str]] = {key: {} for key in parameters} | read_document()["Parameters"]
    template = {
        "Parameters": {
            name: {"Type": "String", "Default": str(each.get("Default", ""))} for name, each in declared.items()
        },
        "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
    }
    boto3.client("cloudformation", "eu-west-1").create_stack(
        StackName="audience-sync",
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
    )


def in_state(status: str, **parameters: str) -> None:
    created(**parameters)
    (stack,) = get_backend("cloudformation")["123456789012"]["eu-west-1"].stacks.values()
    stack.status = status


@pytest.mark.usefixtures("signed_in")
@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        pytest.param("ROLLBACK_COMPLETE", "sam delete --stack-name audience-sync", id="first deployment, rolled back"),
        pytest.param("ROLLBACK_FAILED", "sam delete --stack-name audience-sync", id="the first, rollback failed"),
        pytest.param("UPDATE_ROLLBACK_FAILED", "continue-update-rollback --stack-name audience-sync", id="an update"),
        pytest.param("UPDATE_FAILED", "ARGS=--disable-rollback.* rollback-stack", id="an update without rollback"),
        pytest.param("CREATE_FAILED", "ARGS=--disable-rollback.* rollback-stack", id="the first, without rollback"),
        pytest.param("DELETE_FAILED", "Finish it: .* delete", id="a removal"),
        pytest.param("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "Wait until it has ended", id="another deployment"),
        pytest.param("IMPORT_ROLLBACK_FAILED", "describe-stack-events", id="a state that this stack should not reach"),
    ],
)
def test_a_stack_that_cannot_be_updated_is_refused_with_the_remedy_of_its_state(status: str, remedy: str) -> None:
    in_state(status)
    with pytest.raises(CannotDeploy, match=rf"\({status}\)\. .*{remedy}"):
        describe(HERE, {})


@pytest.mark.usefixtures("signed_in")
@pytest.mark.parametrize(
    ("status", "chosen", "parameters"),
    [
        ("UPDATE_ROLLBACK_COMPLETE", HERE, {"Region": "EU", "BatchWindow": "10"}),
        ("REVIEW_IN_PROGRESS", HERE, {}),
        ("UPDATE_FAILED", replace(HERE, disable_rollback=True), {}),
        ("CREATE_COMPLETE", replace(HERE, guided=True, stack="a-second-stack"), {"Region": "EU"}),
        ("CREATE_COMPLETE", replace(HERE, guided=True), {}),
    ],
)
def test_a_stack_in_order_can_be_updated(status: str, chosen: Target, parameters: dict[str, str]) -> None:
    in_state(status, **parameters)
    assert describe(chosen, {}).startswith(f"The stack is {chosen.stack}, in")


@pytest.mark.usefixtures("signed_in")
def test_deploying_guided_again_is_refused_if_it_would_reset_parameters() -> None:
    created(Region="EU", BatchWindow="10", JobSeconds="900")
    guided = replace(HERE, guided=True)
    with pytest.raises(CannotDeploy, match=r"Enter would change BatchWindow, Region\. Deploy without --guided"):
        describe(guided, {})
    saved = replace(guided, parameters={"Region": "EU", "BatchWindow": "10"})
    assert describe(saved, {}).startswith("The stack is audience-sync")


@pytest.mark.usefixtures("signed_in")
def test_a_stack_whose_rows_this_version_would_not_find_is_not_updated() -> None:
    created(MembershipShards="16")
    with pytest.raises(CannotDeploy, match=r"Most rows .* in 16 shards, .* in 8\. Deploy a second stack"):
        describe(HERE, {})


@pytest.mark.usefixtures("signed_in")
@pytest.mark.parametrize("name", BECOMES)
def test_an_update_is_refused_while_the_stack_uses_a_removed_parameter(name: str) -> None:
    used = {"yes": "no", "no": "yes"}[NOW[name]]
    created(**{name: used})
    with pytest.raises(CannotDeploy, match=rf"has {name}={used}, .*Then set {name}={NOW[name]} with the version that"):
        describe(HERE, {})


@pytest.mark.usefixtures("signed_in")
def test_a_stack_with_a_dsp_account_must_name_it_in_the_other_parameter() -> None:
    created(DataManagerDspAccountId="ENTITY1ABC", AllowIdRetention="no")
    with pytest.raises(CannotDeploy, match=r"Also give DataManagerAccountId=ENTITY1ABC\."):
        describe(HERE, {})
    assert describe(replace(HERE, parameters={"DataManagerAccountId": "ENTITY1ABC"}), {})


def test_the_lines_for_a_stack_from_a_bucket_stop_for_the_same_values() -> None:
    guide = (ROOT / "docs/operate.md").read_text(encoding="utf-8")
    (checked,) = re.findall(r"^for WAS in (.*?); do$", guide, re.MULTILINE | re.DOTALL)
    values = {"MembershipShards": NOW["MembershipShards"], "DataManagerDspAccountId": ""}
    assert dict(re.findall(r"(\w+)=(\w*)(?=[\s)])", checked)) == values | {name: NOW[name] for name in BECOMES}


@pytest.mark.parametrize(
    ("changed", "held", "stops"),
    [
        ("", {}, False),
        ("", {"OrderingGuard": "yes", "MembershipShards": "8", "DataManagerDspAccountId": ""}, False),
        ("BatchWindow=60", {"OrderingGuard": "no"}, True),
        ("OrderingGuard=yes", {"OrderingGuard": "no"}, False),
        ("", {"DataManagerDspAccountId": "ENTITY1ABC"}, True),
        ("DataManagerAccountId=ENTITY1ABC", {"DataManagerDspAccountId": "ENTITY1ABC"}, False),
    ],
)
def test_the_lines_for_a_stack_from_a_bucket_stop_unless_that_value_is_set(
    changed: str, held: dict[str, str], stops: bool
) -> None:
    guide = (ROOT / "docs/operate.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"^STOP=\n(.*?^done\n)", guide, re.MULTILINE | re.DOTALL)
    values = "".join(f" {name}) echo '{value}' ;;" for name, value in held.items())
    script = f"CHANGED='{changed}'; value() {{ case $1 in{values} *) echo None ;; esac; }}\n{lines}[ -z \"$STOP\" ]"
    ended = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (ended.returncode != 0, ended.stdout.startswith("See the notes")) == (stops, stops), ended.stderr


def test_the_notes_say_what_becomes_of_a_removed_value_as_make_deploy_does() -> None:
    guide = " ".join((ROOT / "docs/operate.md").read_text(encoding="utf-8").replace("`", "").split())
    assert [name for name, becomes in BECOMES.items() if becomes.replace("`", "") not in guide] == []


@pytest.mark.usefixtures("signed_in")
def test_an_account_of_neither_form_is_refused_since_its_form_decides_the_header() -> None:
    for account in ("amzn1.ads1.ma1.abc", "ENTITY1ABC", ""):
        assert describe(replace(HERE, parameters={"DataManagerAccountId": account}), {})
    with pytest.raises(CannotDeploy, match="neither a manager account's id, which begins with amzn1"):
        describe(replace(HERE, parameters={"DataManagerAccountId": "ma1.abc"}), {})
    created(DataManagerAccountId="ma1.abc")
    with pytest.raises(CannotDeploy, match="neither a manager account's id"):
        describe(HERE, {})


def mapped(*mappings: dict[str, Any]) -> None:
    """Create the stack with stored mappings."""
    key = {"AttributeName": "audienceId", "AttributeType": "S"}
    keys = {"AttributeDefinitions": [key], "KeySchema": [{"AttributeName": "audienceId", "KeyType": "HASH"}]}
    table = {"Type": "AWS::DynamoDB::Table", "Properties": keys | {"BillingMode": "PAY_PER_REQUEST"}}
    template = {"Resources": {"Table": table}, "Outputs": {"AudienceTableName": {"Value": {"Ref": "Table"}}}}
    stacks: Any = boto3.client("cloudformation", "eu-west-1")
    stacks.create_stack(StackName="audience-sync", TemplateBody=json.dumps(template))
    name = stacks.describe_stack_resource(StackName="audience-sync", LogicalResourceId="Table")
    table_name = name["StackResourceDetail"]["PhysicalResourceId"]
    document = {"version": 1, "mappings": mappings}
    row = {"audienceId": {"S": MAPPINGS_KEY}, "document": {"S": json.dumps(document)}}
    boto3.client("dynamodb", "eu-west-1").put_item(TableName=table_name, Item=row)


@pytest.mark.usefixtures("signed_in")
def test_a_stored_mapping_with_liquid_is_named_before_anything_is_deployed() -> None:
    liquid = {"fields": {"email": {"@if": {"exists": "x", "then": {"@liquid": "{{ traits.email }}"}}}}}
    mapped({"name": "Enter", "fields": {"email": "@liquid"}}, {"name": "Leave", "enabled": False} | liquid)
    with pytest.raises(CannotDeploy, match=r"these mappings use it: Leave\. Write"):
        describe(HERE, {})


@pytest.mark.usefixtures("signed_in")
def test_mappings_without_liquid_can_be_updated_and_unreadable_ones_are_said_to_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mapped({"name": "Enter", "fields": {"email": {"@path": "$.traits.email"}}})
    assert describe(HERE, {}).endswith("in eu-west-1.")

    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"__type": "AccessDeniedException"}, status=400)

    app = web.Application()
    app.router.add_post("/", refuse)
    with serve(lambda: app) as aws:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", aws.url)
        told = describe(HERE, {})
    assert told.endswith("cannot tell (AccessDeniedException): `audience-sync mappings show` must show no @liquid.")


KEYS = [f"arn:aws:kms:eu-west-1:123456789012:key/{number}" for number in range(2)]


@pytest.mark.usefixtures("signed_in")
@pytest.mark.parametrize("key", ["", KEYS[1]], ids=["cleared", "a different one"])
def test_a_key_is_not_changed_while_messages_under_it_would_become_unreadable(key: str) -> None:
    created(KmsKeyArn=KEYS[0])
    assert describe(HERE, {}), "it stays"
    with pytest.raises(CannotDeploy, match=f"give PreviousKmsKeyArn={KEYS[0]}"):
        describe(replace(HERE, parameters={"KmsKeyArn": key}), {})
    assert describe(replace(HERE, parameters={"KmsKeyArn": key, "PreviousKmsKeyArn": KEYS[0]}), {})


@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param('Region="EU" AlarmEmail=""', id="as SAM saves them"),
        pytest.param(["Region=EU", 'AlarmEmail=""'], id="a list"),
        pytest.param({"Region": "EU", "AlarmEmail": ""}, id="a table"),
        pytest.param('ParameterKey=Region,ParameterValue=EU ParameterKey=AlarmEmail,ParameterValue=""', id="long"),
    ],
)
def test_parameter_overrides_are_read_as_a_string_a_list_or_a_table(overrides: object) -> None:
    assert target([], saved(parameter_overrides=overrides)).parameters == {"Region": "EU", "AlarmEmail": ""}


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ("Region=EU KmsKeyARN=arn", r"No parameter KmsKeyARN\. Is it KmsKeyArn\? Correct"),
        ({"AlarmMail": "a@b.co"}, r"No parameter AlarmMail\. Is it AlarmEmail\? Correct"),
        ("ParameterKey=Quux,ParameterValue=1", r"No parameter Quux\. Correct"),
        ("BatchWindow=60 LogLevel=WARNING", "LogLevel is no longer a parameter: INFO applies"),
        ("BatchWindow=60 file://p.yaml", "SAM would read the file, whose names nobody checks here"),
        ('"KmsKeyARN"="x" BatchWindow=60', "SAM would read names in quotes, whose names nobody checks here"),
    ],
)
def test_a_parameter_that_sam_would_leave_out_is_refused_with_its_name_or_constant(overrides: Any, said: str) -> None:
    with pytest.raises(CannotDeploy, match=said):
        target([], saved(parameter_overrides=overrides))


def test_the_guide_to_updates_names_each_constant_in_place_of_a_parameter() -> None:
    upload, days, percent = Limits(), OVERDUE_AFTER / 86_400, 100 * MATCH_RATE_FALL
    numbers = (days, percent, upload.max_records, upload.max_bytes, SHARDS, SILENT_DAYS)
    assert [value for value in NOW.values() if value[0].isdigit()] == [f"{each:,.0f}" for each in numbers]
    guide = " ".join((ROOT / "docs/operate.md").read_text(encoding="utf-8").split())
    assert [f"`{name}` {value}" for name, value in NOW.items() if f"`{name}` {value}" not in guide] == []


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["BatchWindow=60", "AudienceNamePrefix=Brand A - "], id="quoted once, which make's shell removes"),
        pytest.param(["AudienceNamePrefix=Brand ", "BatchWindow=60"], id="a space at the end"),
        pytest.param(["AudienceNamePrefix=", "BatchWindow=60"], id="empty without quotes"),
    ],
)
def test_a_value_that_sam_would_truncate_or_drop_is_refused_with_a_line_that_works(words: list[str]) -> None:
    with pytest.raises(CannotDeploy, match="the value of AudienceNamePrefix") as caught:
        target(["--parameter-overrides", *words], CONFIG)
    ((line, config),) = re.findall(
        r"(ARGS=.*\"), or in samconfig.toml: parameter_overrides = '(.*)'", str(caught.value)
    )
    (arguments,) = shlex.split(line.removeprefix("ARGS="))
    for chosen in (target(shlex.split(arguments), CONFIG), target(["--parameter-overrides", config], CONFIG)):
        assert chosen.parameters == {"AudienceNamePrefix": "VALUE"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A clone with a `sam` that prints its arguments and its region."""
    (tmp_path / "scripts").mkdir()
    for name in ("deploy.sh", "name_commit.sh"):
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "samconfig.toml").write_text("version = 0.1\n", encoding="utf-8")
    (tmp_path / "sam/bin").mkdir(parents=True)
    for path, line in (
        ("scripts/tool.sh", f"echo {tmp_path}/sam"),
        ("sam/bin/sam", 'echo "$*" "$AWS_DEFAULT_REGION"'),
        ("sam/bin/python", 'echo "$*" >> .aws-sam/policy'),
    ):
        (tmp_path / path).write_text(f"#!/bin/bash\n{line}\n", encoding="utf-8")
        (tmp_path / path).chmod(0o755)
    (tmp_path / ".aws-sam/build").mkdir(parents=True)
    shutil.copy(ROOT / "template.yaml", tmp_path / ".aws-sam/build")
    (tmp_path / ".gitignore").write_text(".aws-sam/\n", encoding="utf-8")
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    commit(tmp_path)
    return tmp_path


def commit(project: Path) -> None:
    subprocess.run(["git", "-C", project, "add", "--all"], check=True)
    author = ("-c", "user.name=test", "-c", "user.email=test@example.com")
    subprocess.run(["git", "-C", project, *author, "commit", "--quiet", "--message", "test"], check=True)


def deployed(project: Path, *arguments: str, **variables: str) -> str:
    """What `sam` gets."""
    environment = variables | {"PATH": os.environ["PATH"], "AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-east-1"}
    command = [str(project / "scripts/deploy.sh"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout


def stated_commit(project: Path) -> str:
    """The output of the template that is deployed."""
    built: dict[str, Any] = read_document(project / ".aws-sam/build/template.yaml")
    assert built["Outputs"]["EventsUrl"]["Value"] == read_document()["Outputs"]["EventsUrl"]["Value"]
    commit_id: str = built["Outputs"]["Commit"]["Value"]
    return commit_id


@pytest.mark.parametrize("freed", ["", "EventsQueue EventsDeadLetterQueue"])
def test_a_deployment_may_lose_data_of_named_resources_only_and_the_next_may_not(project: Path, freed: str) -> None:
    deployed(project, "--stack-name=a", **({"ALLOW_DATA_LOSS": freed} if freed else {}))
    calls = (project / ".aws-sam/policy").read_text(encoding="utf-8")
    assert calls == f"-m scripts.stack_policy --free {freed} --stack-name=a\n-m scripts.stack_policy --stack-name=a\n"


def set_policy(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[dict[str, Any]]:
    """Run the script, and return the statements of the stack's policy."""
    monkeypatch.setattr("sys.argv", ["stack_policy", *arguments, "--region", "eu-west-1"])
    stack_policy.main()
    stored = boto3.client("cloudformation", "eu-west-1").get_stack_policy(StackName="audience-sync")
    statements: list[dict[str, Any]] = json.loads(stored["StackPolicyBody"])["Statement"]
    return statements


@pytest.mark.usefixtures("signed_in")
def test_the_stack_policy_keeps_tables_secrets_and_queues_but_those_that_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.argv", ["stack_policy", "--region", "eu-west-1"])
    stack_policy.main()  # there is no stack yet
    created()
    _, deny = set_policy(monkeypatch)
    assert (deny["Effect"], deny["Action"], deny["Resource"]) == ("Deny", ["Update:Delete", "Update:Replace"], "*")
    types = [f"AWS::{each}" for each in ("DynamoDB::Table", "SecretsManager::Secret", "SQS::Queue")]
    assert deny["Condition"] == {"StringEquals": {"ResourceType": types}}
    _, freed = set_policy(monkeypatch, "--free", "EventsQueue EventsDeadLetterQueue")
    names = ["LogicalResourceId/EventsQueue", "LogicalResourceId/EventsDeadLetterQueue"]
    assert freed == {name: value for name, value in deny.items() if name != "Resource"} | {"NotResource": names}
    assert set_policy(monkeypatch, "--free", "")[1] == deny


@pytest.mark.usefixtures("signed_in")
@pytest.mark.parametrize(("names", "unknown"), [("1", "1"), ("MembershipTable EventQueue", "EventQueue")])
def test_data_of_something_unnamed_or_unknown_is_not_freed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], names: str, unknown: str
) -> None:
    created()
    with pytest.raises(SystemExit):
        set_policy(monkeypatch, "--free", names)
    assert f"CredentialsSecret, TokenSecret; not {unknown}." in capsys.readouterr().err


@pytest.mark.usefixtures("signed_in")
def test_nothing_is_freed_of_a_stack_that_sam_asks_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    created()
    for arguments in (["--guided"], ["--config-file", "other.toml"]):
        with pytest.raises(SystemExit):
            set_policy(monkeypatch, "--free", "MembershipTable", *arguments)
        assert "The stack policy is not set" in capsys.readouterr().err
    assert "StackPolicyBody" not in boto3.client("cloudformation", "eu-west-1").get_stack_policy(
        StackName="audience-sync"
    )


DENY = stack_policy.ALLOW | {"Effect": "Deny", "Resource": "*"}


@pytest.mark.usefixtures("signed_in")
@pytest.mark.parametrize("statement", [[stack_policy.ALLOW, DENY], DENY], ids=["a list", "one object"])
def test_a_stack_policy_of_somebody_else_stays(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], statement: Any
) -> None:
    created()
    foreign = {"Statement": statement}
    stacks = boto3.client("cloudformation", "eu-west-1")
    stacks.set_stack_policy(StackName="audience-sync", StackPolicyBody=json.dumps(foreign))
    assert set_policy(monkeypatch) == foreign["Statement"]
    assert "has not set. It stays" in capsys.readouterr().err


def test_a_stack_from_a_bucket_gets_the_same_stack_policy_at_its_launch_and_its_updates() -> None:
    guide = (ROOT / "docs/operate.md").read_text(encoding="utf-8")
    (set_before_the_update,) = re.findall(r"--stack-policy-body '(.*)'", guide)
    printed = publish.launch("https://s3.test", "releases", "ads/1.0/template.yaml", "eu-west-1", "1.0")
    (at_the_launch,) = re.findall(r"--stack-policy-body '(.*)'", printed)
    (terraform,) = re.findall(r"policy_body  = <<EOT\n(.*)\nEOT", printed)
    assert {set_before_the_update, at_the_launch, terraform} == {stack_policy.policy()}


def test_the_stack_is_tagged_with_the_version_and_arguments_come_last(project: Path) -> None:
    printed = deployed(project, "--tags", "team=ads").split()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert printed == ["deploy", "--tags", f"version={version}", "--tags", "team=ads", "eu-west-1"]


def test_a_new_commit_changes_an_output_and_no_tag(project: Path) -> None:
    before = deployed(project)
    first = stated_commit(project)
    (project / "README.md").write_text("other words", encoding="utf-8")
    commit(project)
    assert deployed(project) == before
    head = ["git", "-C", str(project), "rev-parse", "--short", "HEAD"]
    second = subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip()
    assert first != second == stated_commit(project)


def test_uncommitted_files_mark_the_commit_as_modified(project: Path) -> None:
    (project / "new").touch()
    deployed(project)
    assert stated_commit(project).endswith("-modified")


def test_tags_in_samconfig_are_kept(project: Path) -> None:
    with (project / "samconfig.toml").open("a", encoding="utf-8") as config:
        config.write('[default.deploy.parameters]\ntags = "team=ads"\n')
    assert deployed(project) == "deploy eu-west-1\n"


@pytest.mark.parametrize("arguments", [["--stack-name", "mine"], ["--stack-name=mine"]])
def test_the_code_of_another_stack_is_uploaded_under_its_own_prefix(project: Path, arguments: list[str]) -> None:
    printed = deployed(project, *arguments)
    assert "--s3-prefix mine --stack-name" in printed
    assert "--s3-prefix" not in deployed(project), "samconfig.toml has that of its stack"
