"""`mappings try --explain`: where each field is found, what becomes of it, and why something is left out."""

import io
import json
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any

import pytest

from audience_sync.amazon_ads.destination import ads_data_manager
from audience_sync.members.membership import Audience
from audience_sync.segment.default_mapping import first_passing
from audience_sync_cli.frame.errors import AlreadyReported
from audience_sync_cli.mappings.explanation import MAX_SHOWN, masked
from audience_sync_cli.mappings.trial import try_
from tests.command.conftest import Deployment
from tests.command.mappings import mapping_files
from tests.command.mappings.mapping_files import EVENTS, written
from tests.support.aws_fixtures import AUDIENCE

MAPPING = mapping_files.MAPPING | {
    "fields": mapping_files.MAPPING["fields"] | {"email": {"@path": "$.context.traits.email"}}
}
ENTERED = json.loads((EVENTS / "01-track-entered-full-pii.json").read_text(encoding="utf-8"))

type Explained = Callable[..., dict[str, Any]]


def entered(**properties: Any) -> dict[str, Any]:
    """An event that enters, with some properties of its own; None removes one."""
    merged = ENTERED["properties"] | properties
    event: dict[str, Any] = ENTERED
    return event | {"properties": {name: value for name, value in merged.items() if value is not None}}


KEY = ENTERED["context"]["personas"]["computation_key"]
LEFT = entered(**{KEY: False}) | {"event": "Audience Exited"}


@pytest.fixture
def explained(deployment: Deployment, tmp_path: Path) -> Explained:
    """Return the function that explains a body, and its JSON."""
    deployment.list_audience()

    def run(body: Any, mappings: Any = None, **options: Any) -> dict[str, Any]:
        if mappings is not None:
            options["mappings"] = written(tmp_path, mappings)
        with suppress(AlreadyReported), redirect_stdout(io.StringIO()) as printed:
            try_(deployment.session(as_json=True), written(tmp_path, body), explain=True, **options)
        document: dict[str, Any] = json.loads(printed.getvalue())
        return document

    return run


def with_fields(fields: dict[str, Any]) -> dict[str, Any]:
    return MAPPING | {"fields": MAPPING["fields"] | fields}


def only_mapping(document: dict[str, Any]) -> Any:
    ((mapping,),) = (event["mappings"] for event in document["events"])
    return mapping


def field(document: dict[str, Any], name: str) -> Any:
    (found,) = (each for each in only_mapping(document)["fields"] if each["field"] == name)
    return found


def test_explain_follows_a_field_from_its_path_to_the_digest_in_the_record(explained: Explained) -> None:
    document = explained(ENTERED)
    assert field(document, "phone") == {
        "field": "phone",
        "lookedAt": ["$.properties.phone"],
        "foundAt": ["$.properties.phone"],
        "value": "+9 (999) 999-9999",
        "normalized": "99999999999",
        "digest": document["changes"][0]["record"]["hashedPII"][0]["phone"],
        "leftOut": None,
    }
    (identity,) = document["changes"][0]["record"]["hashedPII"]
    assert {each["digest"] for each in only_mapping(document)["fields"]} - {None} == set(identity.values())
    assert only_mapping(document)["changes"] == document["changes"]


DIGEST, HIDDEN, EMAIL = "ab" * 32, "a place that the event names", {"@path": "$.properties.email"}
FALLBACK = first_passing("blank", "$.properties.mobile", "$.properties.phone", "$.traits.phone")
FULL_NAME = {"@template": "{{ properties.first_name }} {{ properties.last_name }}"}
PHONES = {"foundAt": ["$.properties.phone"], "lookedAt": ["$.properties.mobile", "$.properties.phone"]}
NAMES = ["$.properties.first_name", "$.properties.last_name"]
NAMED_BY_EVENT = {"@path": {"@template": "$.traits.{{ properties.first_name }}"}}
PLACES = {"foundAt": [HIDDEN], "lookedAt": ["$.properties.first_name", HIDDEN]}
PHONE = {"@path": "$.properties.phone"}
TOO_SHORT = {"value": "999", "normalized": None, "digest": None, "leftOut": "too short for a number of US"}
EMPTY = {"value": None, "leftOut": "nothing at $.traits"}
NUMBER = {"@template": "loy-{{ traits.customer.number }}"}


@pytest.mark.parametrize(
    ("name", "directive", "event", "found"),
    [
        pytest.param("phone", FALLBACK, ENTERED, PHONES, id="a fallback"),
        pytest.param("last_name", FULL_NAME, ENTERED, {"foundAt": NAMES}, id="a combined value"),
        pytest.param("email", EMAIL, entered(email=DIGEST), {"digest": DIGEST, "normalized": None}, id="a digest"),
        pytest.param("city", NAMED_BY_EVENT, ENTERED | {"traits": {"Maya": "Bonn"}}, PLACES, id="named by the event"),
        pytest.param("external_user_id", NUMBER, ENTERED, EMPTY, id="an empty part of an id"),
        pytest.param("phone", PHONE, entered(phone="555"), TOO_SHORT, id="a dropped identifier"),
    ],
)
def test_explain_names_the_places_and_the_result_of_each_kind_of_value(
    explained: Explained, name: str, directive: Any, event: Any, found: dict[str, Any]
) -> None:
    explanation = field(explained(event, [with_fields({name: directive})]), name)
    assert explanation.items() >= ({"leftOut": None} | found).items()


def test_explain_follows_each_value_of_a_list(explained: Explained, deployment: Deployment, tmp_path: Path) -> None:
    listed = ["Ada@example.com", "ada@EXAMPLE.com", "no address", *(f"{number}@example.com" for number in range(101))]
    mapping = with_fields({"email": {"@path": "$.properties.email"}}) | {"separators": {"email": ";"}}
    email = field(explained(entered(email=[*listed[:2], ";".join(listed[2:])]), [mapping]), "email")
    assert (email["digest"], email["leftOut"], len(email["values"])) == (None, None, len(listed))
    first, second, third, fourth, *_, last = email["values"]
    assert (first["normalized"], first["leftOut"], fourth["leftOut"]) == ("xxx@xxxxxxx.xxx", None, None)
    assert (second["digest"], second["leftOut"]) == (first["digest"], "the same as an earlier value")
    assert third["leftOut"] == "no @ in it"
    assert last["leftOut"] == "beyond the first 100 values"
    event, mappings = written(tmp_path, entered(email=listed)), tmp_path / "mappings.json"
    mappings.write_text(json.dumps([mapping]), encoding="utf-8")
    printed = " ".join(deployment.printed(try_, event, mappings=mappings, explain=True).out.split())
    assert f"xxx@xxxxxxx.xxx → {first['digest'][:12]}…" in printed
    assert "ada@" not in printed.lower()
    only_bad = field(explained(entered(email=["no address", "none"]), [mapping]), "email")
    assert only_bad["leftOut"] == "no usable value in the list"


def test_explain_names_the_empty_paths_of_a_missing_value(explained: Explained) -> None:
    event = {name: value for name, value in entered(phone="", email=None).items() if name != "context"}
    event["context"] = {"personas": ENTERED["context"]["personas"]}
    document = explained(event)
    assert field(document, "phone")["leftOut"] == "nothing at $.properties.phone, $.traits"
    assert field(document, "email")["leftOut"] == "nothing at $.context.traits, $.properties.email, $.traits"


def test_explain_names_the_audience_and_how_it_was_found(explained: Explained) -> None:
    by_id = only_mapping(explained(ENTERED))
    assert by_id["audience"] == {"audienceId": AUDIENCE.audience_id, "name": "Lapsed premium buyers"}
    assert by_id["audienceBy"] == "audience_id"
    assert only_mapping(explained(ENTERED, [MAPPING]))["audienceBy"] == "the computation key"


DENIED, IN_CANADA = {"amzn_user_data": False}, ENTERED | {"countryCode": "CA"}
GRANTED, IN_GERMANY = {"amzn_user_data": "GRANTED"}, {"country": "DE"}
BY_EVENT = {"country": "CA", "countryBy": "countryCode in the event"}
BY_AUDIENCE = {"country": "US", "countryBy": "the audience"}
BY_MAPPING = {"country": "GB", "countryBy": "the mapping"}


@pytest.mark.parametrize(
    ("event", "more", "found"),
    [
        pytest.param(IN_CANADA, GRANTED, BY_EVENT, id="the country of the event"),
        pytest.param(ENTERED | {"countryCode": None}, GRANTED, BY_AUDIENCE, id="the audience's"),
        pytest.param(IN_CANADA, GRANTED | {"country": "GB"}, BY_MAPPING, id="the mapping's"),
        pytest.param(ENTERED, {}, "no signal; not needed in US", id="consent that is not needed"),
        pytest.param(ENTERED, IN_GERMANY, "no signal; needed in DE", id="missing consent"),
        pytest.param(ENTERED, IN_GERMANY | {"tcf": "CPdf"}, "tcf; needed in DE", id="given consent"),
        pytest.param(ENTERED, DENIED | IN_GERMANY, "amzn_user_data says no; needed in DE", id="denied consent"),
        pytest.param(ENTERED, IN_GERMANY | {"tcf": "a b"}, "tcf is invalid; needed in DE", id="invalid consent"),
        pytest.param(LEFT, DENIED, "amzn_user_data says no; not needed in US", id="consent denied by a removal"),
        pytest.param(LEFT, {}, "a removal needs none", id="consent of a removal"),
    ],
)
def test_explain_says_which_country_counts_and_if_consent_is_needed_and_given(
    explained: Explained, event: Any, more: Any, found: Any
) -> None:
    expected = {"consent": found} if isinstance(found, str) else found
    assert only_mapping(explained(event, [with_fields(more)])).items() >= expected.items()


NO_COUNTRY = "neither an ISO 3166-1 code"
NOT_ACCEPTED, NOT_NEEDED = "not a country code that Amazon accepts", "a removal needs no consent"
ONE_OF_THREE = {"amzn_user_data": "no", "amzn_ad_storage": "GRANTED", "tcf": "CPdf"}


@pytest.mark.parametrize(
    ("event", "more", "reasons"),
    [
        pytest.param(ENTERED, {"country": "XX"}, [NO_COUNTRY], id="country"),
        pytest.param(ENTERED, {"ip": "home"}, ["not an IP address"], id="ip"),
        pytest.param(ENTERED, {"amzn_ad_storage": "UNKNOWN"}, ["it counts as a missing answer"], id="consent"),
        pytest.param(ENTERED, ONE_OF_THREE, ["amznUserData denies consent"], id="only the one that denies consent"),
        pytest.param(ENTERED, {"tcf": "a b"}, ["not an IAB string"], id="no consent string"),
        pytest.param(ENTERED, {"tcf": " "}, ["empty, or not a string"], id="a blank consent string"),
        pytest.param(ENTERED, {"external_user_id": {"@path": "$.properties"}}, ["1 to 128"], id="member id"),
        pytest.param(LEFT, {"country": "XX", "tcf": "CPdf"}, [NOT_ACCEPTED, NOT_NEEDED], id="of a removal"),
    ],
)
def test_explain_gives_the_reason_for_a_dropped_country_or_consent_signal(
    explained: Explained, event: Any, more: Any, reasons: list[str]
) -> None:
    document = explained(event, [with_fields(more)])
    assert (document["events"][0]["kind"] == "exit") is (event is LEFT)
    left_out = {each["field"]: each["leftOut"] for each in only_mapping(document)["fields"] if each["leftOut"]}
    assert left_out.keys() <= more.keys()
    assert [reason in why for reason, why in zip(reasons, left_out.values(), strict=True)] == [True] * len(reasons)


def test_explain_shows_denied_consent_as_an_exit_even_if_another_mapping_accepts(explained: Explained) -> None:
    denies = MAPPING | {"name": "Denies", "fields": MAPPING["fields"] | {"amzn_user_data": "DENIED"}}
    document = explained(ENTERED, [MAPPING, denies])
    assert (document["accepted"], [each["reason"] for each in document["denials"]]) == (1, ["consent_denied"])
    (event,) = document["events"]
    assert event["kind"] == "deny"
    assert [len(each["changes"]) for each in event["mappings"]] == [1, 1]
    assert [each["rejection"] and each["rejection"]["reason"] for each in event["mappings"]] == [None, "consent_denied"]


def test_explain_follows_an_event_for_each_of_its_audiences(explained: Explained, deployment: Deployment) -> None:
    dataset = Audience("d-1", "Set", "US", ads_data_manager(), computation_key=AUDIENCE.computation_key, also=True)
    deployment.list_audience(dataset)
    document = explained(ENTERED, [MAPPING])
    assert (document["accepted"], [each["audienceId"] for each in document["partialRejections"]]) == (1, ["d-1"])
    found = sorted(document["events"][0]["mappings"], key=lambda each: each["audience"]["name"])
    assert [each["audience"]["name"] for each in found] == ["Lapsed premium buyers", "Set"]
    assert [each["consent"] for each in found] == ["no signal; not needed in US", "no signal; needed by every dataset"]
    reasons = [each["rejection"] and each["rejection"]["reason"] for each in found]
    assert ([len(each["changes"]) for each in found], reasons) == ([1, 0], [None, "consent_missing"])


def test_explain_follows_a_mapping_up_to_the_step_limit(explained: Explained) -> None:
    costly = {"@arrayPath": ["$.properties.list", {"a": {"@path": "$."}, "b": {"@path": "$."}}]}
    city = {"@merge": {"direction": "right", "objects": [{"@literal": {"x": costly}}] * 6}}
    event = entered(list=list(range(9_000)))
    found = only_mapping(explained(event, [with_fields({"city": city})]))
    assert found["rejection"]["reason"] == "mapping_too_costly"


def test_explain_says_why_a_mapping_does_not_apply(explained: Explained) -> None:
    mappings = [
        MAPPING,
        MAPPING | {"name": "Other", "trigger": 'type = "track" and event = "Audience Left" and userId != "x"'},
        MAPPING | {"name": "Off", "enabled": False},
    ]
    (event,) = explained(ENTERED, mappings)["events"]
    assert [(each["mapping"], each["applies"], each.get("whyNot")) for each in event["mappings"]] == [
        ("Mine", True, None),
        ("Other", False, 'its trigger does not match: not event = "Audience Left"'),
        ("Off", False, "it is disabled"),
    ]


@pytest.mark.parametrize(
    ("event", "kind", "why"),
    [
        pytest.param({"type": "page"}, "ignore", "its type is neither track nor identify", id="another type"),
        pytest.param(7, "reject", "an event is a JSON object", id="no event"),
    ],
)
def test_explain_says_why_an_event_is_ignored_and_which_id_a_deletion_notice_names(
    explained: Explained, event: Any, kind: str, why: str
) -> None:
    (found,) = explained([event])["events"]
    assert (found["kind"], found["mappings"], why in found["whyNot"]) == (kind, [], True)
    document = explained({"type": "delete", "userId": "u1"})
    assert document["events"][0]["kind"] == "erase"
    (member_id,) = only_mapping(document)["fields"]
    assert (member_id["field"], member_id["foundAt"]) == ("external_user_id", ["$.userId"])


ROW = {"type": "track", "event": "new", "userId": "u1", "properties": {"email": "a@b.co"}}
BY_ID = {"audience_id": AUDIENCE.audience_id}
LISTED = {"audienceId": AUDIENCE.audience_id, "name": AUDIENCE.name}


@pytest.mark.parametrize(
    ("event", "fields", "reason", "found"),
    [
        pytest.param(entered(phone="555"), {"country": "FR"}, "consent_missing", ("enter", "FR", LISTED), id="consent"),
        pytest.param(entered(**{KEY: "maybe"}), {}, "membership_undecided", ("reject", None, None), id="membership"),
        pytest.param(ROW, BY_ID, "membership_undecided", ("reject", "US", LISTED), id="membership, but an audience"),
    ],
)
def test_explain_follows_a_rejected_event_up_to_the_rejection(
    explained: Explained, event: Any, fields: Any, reason: str, found: tuple[Any, ...]
) -> None:
    document = explained(event, [with_fields(fields)] if fields else None)
    assert document["events"][0]["whyNot"] is None
    mapping = only_mapping(document)
    assert mapping["rejection"]["reason"] == reason
    assert (document["events"][0]["kind"], mapping.get("country"), mapping["audience"]) == found


@pytest.mark.parametrize(
    ("state", "kind", "membership"),
    [
        pytest.param("in", "enter", "in, an enter, from $.properties.state", id="an enter"),
        pytest.param("Olga", "reject", "Xxxx, in neither enter nor exit, from $.properties.state", id="masked"),
        pytest.param(None, "reject", "nothing at $.properties.state", id="no value"),
    ],
)
def test_explain_shows_the_value_that_decides_a_row(
    explained: Explained, state: str | None, kind: str, membership: str
) -> None:
    mapping = with_fields(BY_ID | {"email": EMAIL})
    decides = {"membership": {"value": {"@path": "$.properties.state"}, "enter": ["in"], "exit": [False]}}
    row = ROW | {"properties": {"email": "a@b.co", "state": state}}
    document = explained(row | {"timestamp": "2026-03-04T00:00:00Z"}, [mapping | decides])
    assert (document["events"][0]["kind"], only_mapping(document)["membership"]) == (kind, membership)
    if kind == "enter":
        assert document["events"][0]["at"] == "2026-03-04T00:00:00.000Z"
    late = explained(row | {"timestamp": "2099-03-04T00:00:00Z"}, [mapping | decides])
    assert late["events"][0]["kind"] == "reject"


def test_explain_masks_personal_data_without_reveal(explained: Explained, deployment: Deployment) -> None:
    document = explained(ENTERED)["events"]
    seen = deployment.printed(try_, EVENTS / "01-track-entered-full-pii.json", explain=True)
    for word in ("maya", "okafor", "example.com", "seattle", "westlake", "washington", "5550142"):
        assert word not in (json.dumps(document) + seen.out + seen.err).lower()
    assert masked("Ada+1 (206) Müller@b.co") == "Xxx+9 (999) X*xxxx@x.xx", "letters and digits, no punctuation"
    shown = deployment.printed(try_, EVENTS / "01-track-entered-full-pii.json", reveal=True)
    assert "maya.okafor@example.com → maya.okafor@example.com → b64b178a98df…" in shown.out
    assert "personal data in plain text" in shown.err


def test_explain_prints_path_value_and_reason_of_the_first_20_events(deployment: Deployment, tmp_path: Path) -> None:
    deployment.list_audience(Audience("7", "Other", computation_key="other"))
    deployment.list_audience()
    body = written(tmp_path, [entered(phone="555"), {"type": "page"}])
    lines = [line.strip() for line in deployment.printed(try_, body, explain=True).out.splitlines()]
    assert "audience          Lapsed premium buyers (418273650912345678), found by audience_id" in lines
    assert "country           US, from countryCode in the event" in lines
    phone = lines.index("phone             $.properties.phone")
    assert lines[phone + 1] == "999: left out, too short for a number of US"
    assert "tcf               nothing at $.properties.tcf, $.traits" in lines
    assert any(line.endswith("ignored: its type is neither track nor identify") for line in lines)
    assert "audience Lapsed premium buyers (418273650912345678)" in lines
    many = written(tmp_path, [{"type": "page"}] * (MAX_SHOWN + 2))
    assert "2 more events; --json explains all." in deployment.printed(try_, many, explain=True).out
