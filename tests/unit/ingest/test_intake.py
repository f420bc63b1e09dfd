"""The changes and rejections of a request body: every example of what Segment sends, and invalid ones."""

import gc
import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from audience_sync.amazon_ads.countries import NAMING_A_COUNTRY
from audience_sync.errors import InvalidMapping, InvalidRequest, OutOfTime, RejectedEvent, TooLarge
from audience_sync.ingest import mapped_values
from audience_sync.ingest.intake import changes_from, compiled
from audience_sync.ingest.mapped_values import LONG_PHONE, MAX_WORK, STEPS_A_CHANGE
from audience_sync.ingest.outcome import Rejected
from audience_sync.ingest.record_rules import MAX_ENTER_AGE, Policy
from audience_sync.ingest.translation import Translator
from audience_sync.members.membership import EVERY_AUDIENCE, Destination, Identity, MembershipChange
from audience_sync.segment.compiled_mapping import CompiledMapping
from tests.support.builders import sha256
from tests.support.doubles.audiences import Listed
from tests.support.intake import GERMAN, LAPSED, MEMBER, NOW, entered, example, outcomes, read
from tests.support.member_changes import names


def mapped(*fields: dict[str, Any], trigger: str = 'type = "track"') -> str:
    """Mappings with the same trigger, each with its fields."""
    return json.dumps([{"name": str(n), "trigger": trigger, "fields": each} for n, each in enumerate(fields)])


TRAITS = "email phone first_name last_name address city state postal".split()


def many_mappings(count: int, *, countries: bool = False, one_trait: bool = False) -> str:
    """Mappings that all apply and read the same traits, each for an audience of its own or a country of its own."""
    traits = {name: {"@path": f"$.traits.{TRAITS[0] if one_trait else name}"} for name in TRAITS}
    fields = {"external_user_id": {"@path": "$.userId"}, "audience_id": LAPSED.audience_id, **traits}
    codes = sorted(NAMING_A_COUNTRY)[:count]
    return mapped(*(fields | ({"country": each} if countries else {}) for each in codes), trigger='type = "identify"')


def rare(number: int) -> dict[str, Any]:
    """An event of which no value is ordinary, so that the rule of its field normalizes each."""
    traits = {name: f"{name}{number}-ﷺ@b.co" for name in TRAITS}
    personas = {"computation_class": "audience", "computation_key": "k"}
    stated = {"k": True, **traits}
    return {"type": "identify", "userId": f"u{number}", "traits": stated, "context": {"personas": personas}}


@pytest.mark.parametrize("count", [1, 2, 50])
def test_a_value_that_many_mappings_read_is_normalized_and_hashed_once(count: int) -> None:
    with counted_calls("_line", "_hashed") as calls:
        result = read([rare(1)], mappings=many_mappings(count))
    assert (len(result.changes), result.superseded) == (1, count - 1)
    assert calls == {"_line": 8, "_hashed": 8}


def test_a_value_is_normalized_and_hashed_once_for_all_audiences_of_a_key() -> None:
    listed = Listed(LAPSED, *(replace(LAPSED, audience_id=str(number), also=True) for number in range(4)))
    with counted_calls("_line", "_hashed") as calls:
        result = read([rare(1)], mappings=many_mappings(1), audiences=listed)
    assert (result.accepted, len(result.changes)) == (1, 5)
    assert calls == {"_line": 8, "_hashed": 8}


def test_a_value_that_several_fields_read_is_cleaned_once() -> None:
    with counted_calls("_line", "_hashed") as calls:
        read([rare(1)], mappings=many_mappings(1, one_trait=True))
    assert calls == {"_line": 1, "_hashed": 8}


def test_a_value_is_normalized_per_country_only_if_its_rule_depends_on_the_country() -> None:
    with counted_calls("_line", "_hashed") as calls:
        read([rare(1)], mappings=many_mappings(50, countries=True))
    assert calls["_line"] == 8
    assert calls["_hashed"] < 50 + 7 * 8, "phones for each country, a few rules for some"


def test_hashing_grows_with_the_values_and_not_with_the_mappings() -> None:
    events = [rare(number) for number in range(64)]
    with counted_calls("_hashed") as calls:
        assert read(events, mappings=many_mappings(50)).accepted == 64
    assert calls["_hashed"] < 64 * 8 * 2, "each step reads the last event of the one before again, at most"


def test_the_deadline_is_checked_between_the_statements_of_a_few_events() -> None:
    events, asked = [rare(number) for number in range(64)], 0

    def has_time() -> bool:
        nonlocal asked
        asked += 1
        return asked < 70  # each event, before it is mapped; then some of the statements that they make

    body, mappings = json.dumps(events).encode(), compiled(many_mappings(50))
    with counted_calls("_hashed") as calls, pytest.raises(OutOfTime):
        changes_from(body, mappings=mappings, audiences=Listed(LAPSED), now=NOW, has_time=has_time)
    assert 0 < calls["_hashed"] < 100


def test_a_stored_document_is_compiled_once() -> None:
    fields = {"external_user_id": {"@path": "$.userId"}, "email": {"@template": "{{ a }}"}}
    document = [{"name": str(number), "trigger": f'event = "{number}"', "fields": fields} for number in range(50)]
    with counted_calls("compile_field", "_check_braces") as calls:
        assert len(compiled(json.dumps(document))) == 50
    assert calls == {"compile_field": 100, "_check_braces": 50}


@contextmanager
def counted_calls(*names: str) -> Iterator[Counter[str]]:
    """Count the calls of functions, by name."""
    calls: Counter[str] = Counter()

    def note(frame: Any, event: str, _: Any) -> None:
        # In mutation tests a function's code has a name such as x_safe_id__mutmut_orig.
        name = frame.f_code.co_name.removeprefix("x_").partition("__mutmut_")[0]
        if event == "call" and name in names:
            calls[name] += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(before)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        pytest.param("01", ["CREATE cust_48121"], id="track, entered"),
        pytest.param("02", ["DELETE cust_48121"], id="track, exited"),
        pytest.param("03", ["CREATE cust_48121"], id="identify, true"),
        pytest.param("04", ["DELETE cust_48121"], id="identify, false"),
        pytest.param("05", ["CREATE cust_48121"], id="a journey step without a boolean is an enter"),
        pytest.param("06", ["member_id_missing"], id="an older journey's text, without a userId"),
        pytest.param("07", ["member_id_missing"], id="an anonymous visitor"),
        pytest.param("08", ["member_id_invalid"], id="an e-mail address as userId"),
        pytest.param("09", ["CREATE kunde-20934"], id="Germany, with consent"),
        pytest.param("10", ["consent_missing"], id="Germany, without consent"),
        pytest.param("11", ["DELETE kunde-20934"], id="Germany, storage denied"),
        pytest.param("12", ["CREATE cust_48121"], id="hashed already"),
        pytest.param("13", ["member_id_invalid"], id="an id beyond ASCII"),
        pytest.param(
            "14",
            ["CREATE cust_1001", "CREATE cust_1002", "DELETE cust_1003", "CREATE cust_1004", "DELETE cust_1005"],
            id="a batch of five",
        ),
        pytest.param("15", ["CREATE cust_1001", "DELETE cust_1003"], id="an Extensible Webhook's batch"),
        pytest.param("19", ["CREATE cust_48121"], id="a linked audience"),
        pytest.param("20", ["membership_undecided"], id="an entity event states no membership"),
        pytest.param("21", ["CREATE cust_48121"], id="a linked audience, as identify"),
        pytest.param("22", ["CREATE cust_48121"], id="a renamed event"),
        pytest.param("23", ["membership_contradictory"], id="name and boolean disagree"),
        pytest.param("24", [], id="a computed trait"),
        pytest.param("26", ["DELETE cust_48121"], id="a deletion notice is one change of every audience"),
    ],
)
def test_every_shared_segment_event_has_its_documented_result(number: str, expected: list[str]) -> None:
    result = read(example(number))
    assert sorted(outcomes(result)) == sorted(expected)
    assert result.ignored == (not expected)


def test_a_full_event_becomes_exactly_this_change() -> None:
    digests = {
        "email": sha256("maya.okafor@example.com"),
        "phone": sha256("12065550142"),
        "firstname": sha256("maya"),
        "lastname": sha256("okaforlind"),
        "address": sha256("1200westlakeavenstenumber400"),
        "city": sha256("seattle"),
        "state": sha256("wa"),
        "postal": sha256("98109"),
    }
    assert read(example("01")).changes == [
        MembershipChange(
            "418273650912345678",
            "cust_48121",
            Destination(),
            at=1772615722118,
            message_id="personas_2nF7aKq0VxLw9TbRzYcM1dHgPsE",
            exits=False,
            identities=(Identity(1772615722118, digests),),
            country="US",
            consent={},
        )
    ]


def test_a_duplicate_is_superseded_and_a_late_exit_keeps_its_place() -> None:
    result = read(example("25"))
    assert outcomes(result) == ["DELETE cust_48121", "CREATE cust_48121"]
    left, entered = result.changes
    assert left.at < entered.at
    assert (result.accepted, result.superseded) == (3, 1)


def test_two_identifiers_of_one_profile_become_one_record() -> None:
    (change,) = read(example("27")).changes
    assert names(change) == sorted([sha256("maya.okafor@example.com"), sha256("m.okafor@work.example")])


def test_an_enter_carries_consent_and_an_exit_does_not() -> None:
    entered = example("09")
    (addition,) = read(entered).changes
    signals = {
        "amzn": {"amznUserData": "GRANTED", "amznAdStorage": "GRANTED"},
        "tcf": "CPexampleTcfStringAAABDEAABAAAAAAAAAAA",
        "gpp": "DBABMA~CPexampleGppSection",
    }
    geo = {"countryCode": "DE"}  # plain text, such as an IP address, goes only where a mapping says so
    assert addition.consent == {"geo": geo, "consent": signals}
    entered["event"] = "Audience Exited"
    entered["properties"] |= {"lapsed_premium_buyers": False}
    (removal,) = read(entered).changes
    assert (removal.exits, removal.consent) == (True, {})


def test_the_consent_policy_pass_leaves_consent_to_amazon() -> None:
    assert outcomes(read(example("10"), policy=Policy(consent="pass"))) == ["CREATE kunde-20934"]


def of_audience(audience_id: Any, key: Any = LAPSED.computation_key) -> dict[str, Any]:
    """An enter of the audience with this id and computation key."""
    return entered(context__personas__external_audience_id=audience_id, context__personas__computation_key=key)


UNUSABLE = {"lapsed_premium_buyers": True, "first_name": "山田", "postal": "-"}


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        pytest.param({}, "not_an_event", id="an empty object in an array"),
        pytest.param(of_audience("999"), "audience_unknown", id="a foreign id"),
        pytest.param(of_audience(4.18e17), "audience_unknown", id="an id through a double"),
        pytest.param(of_audience(None, "else"), "membership_undecided", id="a computation key without a boolean"),
        pytest.param(entered(properties__lapsed_premium_buyers="yes"), "membership_undecided", id="a word"),
        pytest.param(entered(traits={"lapsed_premium_buyers": False}), "membership_contradictory", id="both ways"),
        pytest.param(entered(timestamp="2026-03-20T00:06:00Z"), "time_ahead", id="six minutes ahead"),
        pytest.param(entered(timestamp="yesterday"), "time_unreadable", id="a time in words"),
        pytest.param(entered(userId=["a", "b"]), "member_id_invalid", id="a list of ids"),
        pytest.param(entered(countryCode="Atlantis"), "country_invalid", id="a country that is none"),
        pytest.param({"type": "delete", "groupId": "Maya & Co"}, "group_deletion", id="the deletion of a group"),
        pytest.param({"type": "delete", "groupId": None}, "member_id_missing", id="the deletion of nobody"),
        pytest.param({"type": "delete", "groupId": "g", "userId": "a b"}, "member_id_invalid", id="of a person"),
        pytest.param(entered(properties=UNUSABLE, context__traits=None), "no_identifier", id="nothing usable"),
    ],
)
def test_a_rejection_has_a_reason_and_a_remedy_and_never_a_value(event: Any, reason: str) -> None:
    result = read([event])
    (rejection,) = result.rejections
    assert rejection.reason == reason
    assert "; " in rejection.detail, "the fault, then the remedy"
    assert (result.accepted, result.ignored, result.changes) == (0, 0, [])
    for value in ("maya", "okafor", "Atlantis", "山田", "yesterday", "a b"):
        assert value not in rejection.detail.lower()


BOUNDED = Policy(max_enter_age=MAX_ENTER_AGE)


def dated(age: int, **changed: Any) -> dict[str, Any]:
    """An event of that many milliseconds ago."""
    at = datetime.fromtimestamp((NOW - age) / 1000, UTC).isoformat(timespec="milliseconds")
    return entered(timestamp=at, **changed)


def test_an_enter_over_33_days_old_is_rejected() -> None:
    assert outcomes(read([dated(MAX_ENTER_AGE)], policy=BOUNDED)) == ["CREATE cust_48121"]
    (rejection,) = read([dated(MAX_ENTER_AGE + 1)], policy=BOUNDED).rejections
    assert rejection.reason == "time_too_old"
    assert "33 days" in rejection.detail
    assert len(rejection.detail) <= 200
    assert outcomes(read([dated(MAX_ENTER_AGE + 1)])) == ["CREATE cust_48121"], "without the bound"


def test_a_message_that_has_waited_dates_times_ahead_by_when_it_was_sent_and_the_age_of_an_enter_by_now() -> None:
    read_later = partial(read, now=NOW + 600_000, sent=NOW, policy=BOUNDED)
    assert [change.at for change in read_later(dated(-60_000)).changes] == [NOW]
    assert outcomes(read_later(dated(-360_000))) == ["time_ahead"]
    assert outcomes(read_later(dated(MAX_ENTER_AGE - 300_000))) == ["time_too_old"]


def test_exits_and_deletion_notices_of_any_age_are_accepted() -> None:
    left = dated(1_000 * 86_400_000, event="Audience Exited", properties={"lapsed_premium_buyers": False})
    notice = {"type": "delete", "userId": "cust_48121", "timestamp": "1970-01-01T00:00:00Z"}
    assert outcomes(read([left], policy=BOUNDED)) == ["DELETE cust_48121"]
    assert outcomes(read([notice], policy=BOUNDED)) == ["DELETE cust_48121"]


def test_an_old_event_without_a_mapping_is_ignored_and_not_rejected() -> None:
    assert read([dated(MAX_ENTER_AGE + 1)], policy=BOUNDED, mappings="[]").ignored == 1
    undecided = dated(MAX_ENTER_AGE + 1, properties={}, event="Renamed")
    assert outcomes(read([undecided], policy=BOUNDED)) == ["membership_undecided"]


def test_two_audiences_under_one_key_are_ambiguous_unless_the_event_has_an_id() -> None:
    listed = Listed(LAPSED, replace(LAPSED, audience_id="7"))
    assert outcomes(read([of_audience(None)], audiences=listed)) == ["audience_ambiguous"]
    (change,) = read([entered()], audiences=listed).changes
    assert change.audience_id == LAPSED.audience_id


@pytest.mark.parametrize(
    "event",
    [
        pytest.param({"type": "track", "event": "Order Completed", "userId": "u"}, id="a purchase"),
        pytest.param({"type": "identify", "userId": "u", "traits": {"email": "a@b.co"}}, id="an identify call"),
        pytest.param(entered(messageId="segment-test-message-abc"), id="the event tester's message"),
        pytest.param(entered(userId="test-user-abc"), id="the event tester's user"),
        pytest.param(entered(context__personas__event_emitter_id="event_tester_1"), id="the event tester's emitter"),
    ],
)
def test_an_event_that_is_not_about_an_audience_is_ignored(event: Any) -> None:
    result = read(event)
    assert (result.accepted, result.ignored, result.rejections) == (0, 1, [])


LEFT = {
    "type": "track",
    "event": "Audience Exited",
    "messageId": "m",
    "userId": "u1",
}  # as senders other than Engage write


def test_without_personas_the_event_name_and_audience_key_decide() -> None:
    exited = LEFT | {"properties": {"audience_key": "lapsed_premium_buyers"}}
    assert outcomes(read(exited)) == ["DELETE u1"]
    assert outcomes(read(exited | {"event": "audience exited"})) == ["membership_undecided"], (
        "an unknown name removes no member"
    )


@pytest.mark.parametrize(
    ("changes", "at"),
    [
        pytest.param({"timestamp": "2026-03-04T10:15:22.118+01:00"}, 1772615722118, id="another zone"),
        pytest.param({"timestamp": None, "originalTimestamp": "2026-03-04T09:15:22Z"}, 1772615722000, id="original"),
        pytest.param({"timestamp": "", "originalTimestamp": None}, 1772615723358, id="received"),
        pytest.param({"timestamp": None, "originalTimestamp": None, "receivedAt": None}, NOW, id="none: now"),
    ],
)
def test_the_event_time_is_timestamp_then_original_timestamp_then_received_at_then_now(
    changes: dict[str, Any], at: int
) -> None:
    (change,) = read(entered(**changes)).changes
    assert change.at == at


@pytest.mark.parametrize(
    ("event", "country"),
    [
        pytest.param(entered(), "US", id="from the event's extras"),
        pytest.param(entered(countryCode="uk", properties__amznUserData="GRANTED"), "GB", id="a common spelling"),
        pytest.param(entered(countryCode=None), "US", id="from audience_settings"),
        pytest.param(entered(countryCode=None, context__personas__audience_settings=None), "CA", id="from the table"),
        pytest.param(entered(countryCode=""), "CA", id="empty: the next source decides"),
        pytest.param(entered(countryCode="zz"), "CA", id="ZZ: the next source decides"),
    ],
)
def test_the_country_comes_from_the_first_source_that_has_one(event: Any, country: str | None) -> None:
    (change,) = read(event, audiences=Listed(replace(LAPSED, country="CA"))).changes
    assert change.country == country


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        pytest.param(entered(countryCode="US"), ["consent_missing"], id="appended to a captured event"),
        pytest.param(entered(countryCode="US", properties__amznUserData="GRANTED"), [], id="with consent"),
        pytest.param(entered(countryCode="US", properties__country="CA"), [], id="of the member"),
    ],
)
def test_a_country_that_nobody_signed_lifts_no_requirement_of_consent(event: Any, expected: list[str]) -> None:
    paths = {"country": "$.properties.country", "amzn_user_data": "$.properties.amznUserData"}
    mappings = mapped(MEMBER | {field: {"@path": path} for field, path in paths.items()})
    result = read(event, mappings=mappings, audiences=Listed(replace(LAPSED, country="DE")))
    assert [each.reason for each in result.rejections] == expected


def test_each_mapping_that_applies_makes_a_change_in_its_own_audience() -> None:
    fields = MEMBER | {"audience_id": OF_PERSONAS}
    mappings = mapped(fields, fields | {"audience_id": GERMAN.audience_id}, fields | {"audience_id": "77"})
    result = read(entered(properties__amznUserData="GRANTED"), mappings=mappings, policy=Policy("pass"))
    assert [change.audience_id for change in result.changes] == [LAPSED.audience_id, GERMAN.audience_id]
    assert (result.accepted, result.rejections) == (1, [])


@pytest.mark.parametrize(
    ("event", "field"),
    [
        pytest.param(entered(countryCode="Atlantis"), "country", id="country"),
        pytest.param(entered(userId=None), "external_user_id", id="no member id"),
        pytest.param(entered(userId="a b"), "external_user_id", id="a member id that is none"),
        pytest.param(entered(countryCode="DE", properties__tcf="a@b"), "tcf", id="a consent signal"),
        pytest.param(entered(countryCode="DE"), None, id="several fields could mend it"),
    ],
)
def test_a_rejection_names_the_field_at_fault(event: Any, field: str | None) -> None:
    translator = Translator(compiled(None), Listed(LAPSED), NOW, Policy())
    ((_, rejected),) = translator.outcomes([event], lambda: True)
    assert isinstance(rejected, Rejected)
    assert rejected.field == field


def test_a_rejection_names_an_unlinked_computation_key() -> None:
    (rejection,) = read(of_audience(None), audiences=Listed(GERMAN)).rejections
    assert '"lapsed_premium_buyers"' in rejection.detail


def test_an_invalid_country_does_not_prevent_an_exit() -> None:
    exited = entered(event="Audience Exited", properties__lapsed_premium_buyers=False, countryCode="Atlantis")
    assert outcomes(read(exited)) == ["DELETE cust_48121"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, ["CREATE cust_48121"], id="a step is an enter"),
        pytest.param({"event": "Audience Exited"}, ["membership_contradictory"], id="a step whose name says exit"),
        *(
            pytest.param({"properties": {"lapsed_premium_buyers": value}}, ["membership_undecided"], id=repr(value))
            for value in ("False", "FALSE", 0, 1, None, "no", [False])
        ),
    ],
)
def test_a_journey_step_is_an_enter_unless_something_contradicts_it(changes: Any, expected: list[str]) -> None:
    step = entered(event="Step Entered", properties=None, context__personas__computation_class="journey_step")
    assert outcomes(read(step | changes)) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, ["CREATE cust_48121"]), (False, ["DELETE cust_48121"]), ("x", ["membership_undecided"])],
)
def test_without_a_computation_class_the_boolean_decides(value: Any, expected: list[str]) -> None:
    event = entered(event="Renamed", context__personas__computation_class=None, properties__lapsed_premium_buyers=value)
    assert outcomes(read(event)) == expected


ROW = {"type": "track", "event": "new", "messageId": "m1", "userId": "u1", "properties": {"email": "a@b.co"}}
RECORD = {"type": "record", "action": "delete", "messageId": "m1", "userId": "u1", "fields": {"email": "a@b.co"}}
PAGE = {"type": "page", "messageId": "m1", "userId": "u1", "properties": {"url": "https://example.com"}}
GROUP = {"type": "group", "context": entered()["context"]}
KEY, OF_PERSONAS = LAPSED.computation_key, {"@path": "$.context.personas.external_audience_id"}
ROW_OF_LIST, OF_LIST = ROW | {"properties": {"list": LAPSED.audience_id}}, {"@path": "$.properties.list"}


def for_audience(audience_id: Any, trigger: str = 'type != "page"', *, enabled: bool = True) -> dict[str, Any]:
    fields = {**MEMBER, "audience_id": audience_id}
    return {"name": str(audience_id), "trigger": trigger, "enabled": enabled, "fields": fields}


@pytest.mark.parametrize(
    ("event", "mappings", "is_rejected"),
    [
        pytest.param(ROW, [for_audience(LAPSED.audience_id)], True, id="a row of Reverse ETL"),
        pytest.param(RECORD, [for_audience(LAPSED.audience_id, 'type = "record"')], True, id="a record"),
        pytest.param(ROW_OF_LIST, [for_audience("1"), for_audience(OF_LIST)], True, id="found by one of several"),
        pytest.param(ROW | {"properties": {"audience_key": KEY}}, None, True, id="found by its key"),
        pytest.param(GROUP, [for_audience(OF_PERSONAS)], True, id="an audience of accounts"),
        pytest.param(ROW, None, False, id="no audience is named"),
        pytest.param(ROW | {"properties": {"audience_key": "other"}}, None, False, id="a key of no audience"),
        pytest.param(ROW, [for_audience("1")], False, id="an audience that is not listed"),
        pytest.param(ROW, [for_audience(LAPSED.audience_id, 'event = "old"')], False, id="the trigger does not hold"),
        pytest.param(ROW, [for_audience(LAPSED.audience_id, enabled=False)], False, id="the mapping is disabled"),
    ],
)
def test_an_event_without_membership_is_rejected_only_if_it_names_a_listed_audience(
    event: Any, mappings: list[Any] | None, *, is_rejected: bool
) -> None:
    result = read([event, PAGE], mappings=json.dumps(mappings) if mappings else None)
    assert (outcomes(result), result.ignored) == ((["membership_undecided"], 1) if is_rejected else ([], 2))
    assert all("Audience Entered" in each.detail for each in result.rejections)


def test_a_deletion_notice_reaches_the_member_ids_of_all_mappings_disabled_ones_included() -> None:
    paths = ("$.userId", "$.context.crm")
    by_user, by_crm = json.loads(mapped(*({"external_user_id": {"@path": path}} for path in paths)))
    notice = example("26")
    notice.setdefault("context", {})["crm"] = "crm-7"
    assert outcomes(read(notice, mappings="[]")) == ["DELETE cust_48121"], "without any mapping"
    disabled = json.dumps([by_user, by_crm | {"enabled": False}])
    assert outcomes(read(notice, mappings=disabled)) == ["DELETE cust_48121", "DELETE crm-7"]


NOTICE = {"type": "delete", "userId": "u1", "messageId": "m1"}


def test_a_deletion_notice_becomes_exactly_this_change() -> None:
    notice = NOTICE | {"timestamp": "2026-03-19T23:59:59Z"}
    expected = MembershipChange(EVERY_AUDIENCE, "u1", Destination(), NOW - 1000, "m1", True, consent={}, erase=True)
    assert read(notice).changes == [expected]


def test_a_deletion_notice_skips_invalid_member_ids_if_another_mapping_finds_a_valid_one() -> None:
    by_crm, by_user = ({"external_user_id": {"@path": path}} for path in ("$.context.crm", "$.userId"))
    notice = NOTICE | {"context": {"crm": "not an id"}}
    assert outcomes(read(notice, mappings=mapped(by_crm, by_user, by_crm))) == ["DELETE u1"]
    assert outcomes(read(notice, mappings=mapped(by_crm))) == ["member_id_invalid"]


def test_a_deletion_notice_for_a_group_erases_the_person_that_a_mapping_finds_in_it() -> None:
    by_group = mapped({"external_user_id": {"@path": "$.groupId"}})
    notice = {"type": "delete", "groupId": "g1", "messageId": "m1"}
    assert outcomes(read(notice | {"userId": "u1"})) == ["DELETE u1"]
    assert outcomes(read(notice, mappings=by_group)) == ["DELETE g1"]


def test_an_event_with_neither_an_audience_id_nor_a_computation_key_is_rejected() -> None:
    (rejection,) = read(LEFT).rejections
    assert rejection.reason == "audience_missing"
    assert "map audience_id" in rejection.detail


def test_an_empty_audience_id_falls_back_to_the_computation_key() -> None:
    (change,) = read(of_audience("")).changes
    assert change.audience_id == LAPSED.audience_id


def test_a_mapped_country_wins_unless_it_is_empty() -> None:
    fields = MEMBER | {"audience_id": {"@path": "$.audience"}, "country": {"@path": "$.country"}}
    mappings = mapped(fields)
    for country, expected in (("DE", "DE"), ("", "US")):
        event = entered(event="Audience Exited", properties__lapsed_premium_buyers=False, country=country)
        (change,) = read(event | {"audience": LAPSED.audience_id}, mappings=mappings).changes
        assert change.country == expected


def test_an_audience_is_looked_up_once_for_all_events_of_a_request() -> None:
    with counted_calls("by_id") as calls:
        result = read([entered(userId="u1"), entered(userId="u2"), entered(userId="u3")])
    assert (result.accepted, calls["by_id"]) == (3, 1)
    assert {change.audience_id for change in result.changes} == {LAPSED.audience_id}


def test_rejected_events_without_a_message_id_get_distinct_ids() -> None:
    result = read([{"type": 5}, {"type": 6}])
    assert len({rejection.message_id for rejection in result.rejections}) == 2


def test_rejected_events_create_no_reference_cycles() -> None:
    events = [entered(userId="not an id"), entered(timestamp="no time"), {"type": "delete", "userId": "not an id"}]
    gc.collect()
    gc.disable()
    try:
        assert len(read(events).rejections) == 3
        assert [each for each in gc.get_objects() if isinstance(each, RejectedEvent)] == []
    finally:
        gc.enable()


def alike(fields: dict[str, Any], count: int = 50) -> tuple[CompiledMapping, ...]:
    """Mappings that all apply."""
    return compiled(mapped(*[fields] * count))


def accepts(mappings: tuple[CompiledMapping, ...], events: int, **changed: Any) -> bool:
    body = json.dumps([entered(**changed)] * events).encode()
    try:
        changes_from(body, mappings=mappings, audiences=Listed(LAPSED), now=NOW)
    except TooLarge:
        return False
    return True


@pytest.mark.parametrize("user_id", ["u1", "not an id"])
def test_a_request_may_take_at_most_15_million_mapping_steps(user_id: str) -> None:
    mappings = alike(MEMBER)
    events = MAX_WORK // sum(STEPS_A_CHANGE + each.steps + each.steps_of_trigger for each in mappings)
    assert 450 < events < 550
    assert accepts(mappings, events + 1, userId=user_id)
    with pytest.raises(TooLarge, match="over 15000000 steps on the events; lower the batch size"):
        read([entered(userId=user_id)] * (events + 2), mappings=mapped(*[MEMBER] * 50))


@pytest.fixture
def a_quarter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of the steps, for a quarter of the events."""
    monkeypatch.setattr(mapped_values, "MAX_WORK", MAX_WORK // 4)


@pytest.mark.usefixtures("a_quarter")
def test_large_mappings_and_long_phone_numbers_cost_more_steps() -> None:
    large = alike(MEMBER | {"tcf": [{"@path": "$.a"}] * 900}, 10)
    assert accepts(large, 125)
    assert not accepts(large, 175)
    phones = alike(MEMBER | {"phone": {"@path": "$.phone"}})
    assert accepts(phones, 100, phone="1" * LONG_PHONE)
    assert not accepts(phones, 100, phone="1" * 60)
    assert accepts(phones, 45, phone="1" * 1_000), "libphonenumber is not asked about longer ones"
    assert accepts(alike(MEMBER | {"phone": {"@path": "$.phone"}}, 1), 100, phone="1" * 60)


@pytest.mark.usefixtures("a_quarter")
def test_long_triggers_and_deletion_notices_cost_steps() -> None:
    trigger = " or ".join(f'event = "{number:04}"' for number in range(200))
    mappings = compiled(mapped(*[MEMBER] * 50, trigger=trigger))
    assert accepts(mappings, 125)
    assert not accepts(mappings, 200)
    costly = {"@if": {"exists": [{"@path": "$.a"}] * 900, "then": {"@path": "$.userId"}}}
    members = mapped(*[{"external_user_id": costly}] * 50)
    with pytest.raises(TooLarge, match="steps"):
        read([NOTICE] * 81, mappings=members)


@pytest.mark.usefixtures("a_quarter")
def test_the_steps_of_each_event_count_for_the_whole_request() -> None:
    shape = {str(number): {"@path": "$.b"} for number in range(20)}
    costly = alike(MEMBER | {"city": {"@json": {"mode": "encode", "value": {"@arrayPath": ["$.list", shape]}}}}, 1)
    assert accepts(costly, 25, list=[{"b": 1}] * 300)
    assert not accepts(costly, 250, list=[{"b": 1}] * 300)


def test_10_000_events_of_the_default_mapping_are_within_the_step_limit() -> None:
    (mapping,) = compiled(None)
    assert 10_000 * (STEPS_A_CHANGE + mapping.steps + mapping.steps_of_trigger) < MAX_WORK


@pytest.mark.parametrize(
    ("end", "fault"),
    [
        pytest.param(b"", "the body is not JSON", id="cut off"),
        pytest.param(b"]]", "the body is not JSON", id="closed twice"),
        pytest.param(b',{"type":"\xff"}]', "the body is not UTF-8", id="not UTF-8"),
        pytest.param(b",1e", "the body is not JSON", id="a number without an end"),
    ],
)
def test_a_fault_at_the_end_of_a_long_body_refuses_the_whole_body(end: bytes, fault: str) -> None:
    events = json.dumps([entered(userId=f"u{number}") for number in range(500)], separators=(",", ":")).encode()
    assert read(events).accepted == 500
    with pytest.raises(InvalidRequest, match=fault):
        read(events.removesuffix(b"]") + end)


def test_a_body_has_at_most_10_000_events_and_4_500_000_bytes() -> None:
    events = [{"type": "page", "messageId": f"m{number}"} for number in range(10_001)]
    assert read(json.dumps(events[1:], separators=(",", ":")).encode()).ignored == 10_000
    with pytest.raises(TooLarge, match="over 10000 events"):
        read(json.dumps(events, separators=(",", ":")).encode())
    with pytest.raises(TooLarge, match="over 4500000 bytes"):
        read(b" " * 4_500_001)


def test_10_000_deletion_notices_in_one_request_are_10_000_changes() -> None:
    notices = [{"type": "delete", "userId": f"u{number}"} for number in range(10_000)]
    result = read(notices)
    assert (result.accepted, len(result.changes), result.superseded) == (10_000, 10_000, 0)
    assert {(change.audience_id, change.erase) for change in result.changes} == {(EVERY_AUDIENCE, True)}


@pytest.mark.parametrize("kind", ["delete", "track"])
def test_the_digest_of_an_event_without_a_message_id_is_computed_once(kind: str) -> None:
    """Without a plain messageId the id is a digest of the whole event."""
    event = entered(type=kind, messageId=None) | {"x": [1.5] * 1_000}
    with counted_calls("safe_id") as calls:
        read(event, mappings=mapped(*[MEMBER] * 50))
    assert calls["safe_id"] == 1


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[]", id="an empty array"),
        pytest.param(b"{}", id="an empty object"),
        pytest.param(b'"text"', id="a text"),
        pytest.param(b"\xff\xfe[\x00]\x00", id="UTF-16"),
        pytest.param(b"[" * 100_000, id="nested too deeply"),
        pytest.param(b"[" + b"9" * 10_000 + b"]", id="a very long number"),
    ],
)
def test_an_unusable_body_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read(body)


@pytest.mark.parametrize("document", ["", "{", "[" * 100_000], ids=["nothing", "half an object", "nested too deeply"])
def test_stored_mappings_that_are_not_json_raise_invalid_mapping(document: str) -> None:
    with pytest.raises(InvalidMapping, match=r"the stored mappings are not JSON.*apply them again"):
        compiled(document)


def test_a_bad_event_does_not_affect_the_others() -> None:
    result = read([entered(userId="good_1"), {"type": 5}, entered(userId="bad id"), entered(userId="good_2")])
    assert outcomes(result) == ["CREATE good_1", "CREATE good_2", "not_an_event", "member_id_invalid"]
    assert [rejection.index for rejection in result.rejections] == [1, 2]


COSTLY_FIELDS = {
    "external_user_id": {"@path": "$.userId"},
    "email": {"@path": "$.properties.email"},
    "city": [{"@merge": {"direction": "right", "objects": [{"@path": "$.properties.many"}]}}] * 30,
}
COSTLY = mapped(COSTLY_FIELDS)
MANY = dict.fromkeys(map(str, range(9_000)), 1)


def test_an_event_over_its_step_budget_is_rejected_alone() -> None:
    body = [entered(userId="good_1"), entered(userId="big", properties__many=MANY), entered(userId="good_2")]
    result = read(body, mappings=COSTLY)
    assert outcomes(result) == ["CREATE good_1", "CREATE good_2", "mapping_too_costly"]
    assert [rejection.index for rejection in result.rejections] == [1]


def test_an_event_that_is_too_costly_for_one_mapping_is_rejected_for_all() -> None:
    plain = {"external_user_id": {"@path": "$.userId"}}
    event = entered(properties__lapsed_premium_buyers=False, event="Audience Exited", properties__many=MANY)
    for mappings in (mapped(plain, COSTLY_FIELDS), mapped(COSTLY_FIELDS, plain)):
        assert outcomes(read([event], mappings=mappings)) == ["mapping_too_costly"]


def test_a_deletion_notice_resolves_the_member_id_only() -> None:
    notice = NOTICE | {"properties": {"many": MANY}}
    assert outcomes(read([notice], mappings=COSTLY)) == outcomes(read([notice]))


def test_mappings_share_one_step_budget_for_a_deletion_notice() -> None:
    hashed = {"@sha256": {"@template": "{{ properties.note }}"}}
    fields = {"external_user_id": {"@if": {"exists": [hashed] * 4, "then": hashed}}}
    notice = {"type": "delete", "messageId": "m1", "properties": {"note": "x" * 30_000}}
    result = read([notice, notice | {"properties": {"note": "x"}}], mappings=mapped(*[fields] * 50))
    assert [rejection.reason for rejection in result.rejections] == ["mapping_too_costly"]
    assert result.accepted == 1
