"""The bodies that Amazon gets for settings that people type, and the faults where it would refuse them."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from audience_sync.amazon_ads.advertiser_audiences.audience import (
    AudienceReport,
    NewAudience,
    audience_update,
    new_audience,
)
from audience_sync.amazon_ads.advertiser_audiences.audience_settings import CURRENCIES, Fee
from audience_sync.amazon_ads.destination import amc_connection, dsp_advertiser
from audience_sync.errors import InvalidAudience, SettingFault
from audience_sync.members.membership import Audience, FilledBy

DROP = object()  # as a value: leave the field out
EXTRAS: dict[str, Any] = {
    "advertiserId": "590071284455661235",
    "countryCode": "US",
    "externalAudienceId": "lapsed-premium-us",
    "audienceName": "Lapsed premium buyers",
}
FEE = {"cpmCents": 100, "currency": "USD"}
MAX_CPM_CENTS = 500


def extras(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in (EXTRAS | fields).items() if value is not DROP}


def requested(**fields: Any) -> NewAudience:
    return new_audience(extras(**fields), max_cpm_cents=MAX_CPM_CENTS)


def of_connection(connection_id: str, **fields: Any) -> dict[str, Any]:
    return {"advertiserId": DROP, "connectionId": connection_id} | fields


def only_fault(ask: Callable[..., Any], *settings: Any, **options: Any) -> SettingFault:
    """Return what is wrong with settings of which one is."""
    with pytest.raises(InvalidAudience) as caught:
        ask(*settings, **{"max_cpm_cents": MAX_CPM_CENTS} | options)
    (fault,) = caught.value.faults
    return fault


@pytest.mark.parametrize(
    ("name", "at_amazon"),
    [
        pytest.param("Lapsed premium buyers", "Brand A - Lapsed premium buyers", id="before the name"),
        pytest.param("Brand A - Lapsed", "Brand A - Lapsed", id="once"),
        pytest.param("n" * 118, "Brand A - " + "n" * 118, id="the longest"),
    ],
)
def test_a_name_prefix_does_not_change_the_external_id(name: str, at_amazon: str) -> None:
    fields = extras(audienceName=name, externalAudienceId=DROP)
    audience = new_audience(fields, max_cpm_cents=0, name_prefix="Brand A - ")
    assert audience.name == at_amazon
    assert audience.external_audience_id == new_audience(fields, max_cpm_cents=0).external_audience_id


def test_a_short_name_with_its_prefix_has_ten_characters_and_a_long_one_is_refused() -> None:
    assert new_audience(extras(audienceName="VIP"), max_cpm_cents=0, name_prefix="T-").name == "T-Segment audience VIP"
    fault = only_fault(new_audience, extras(audienceName="n" * 119), name_prefix="Brand A - ")
    assert "1 to 128 characters with the prefix of 10 (AudienceNamePrefix)" in fault.allowed


ALLOWED = frozenset({EXTRAS["advertiserId"], "conn-1"})


@pytest.mark.parametrize(
    ("target", "at_fault"),
    [
        pytest.param({"advertiserId": "590071284455661236"}, "advertiserId", id="another advertiser"),
        pytest.param(of_connection("conn-2"), "connectionId", id="another connection"),
        pytest.param(of_connection("CONN-1"), "connectionId", id="in other letters"),
    ],
)
def test_a_target_outside_allowed_targets_is_refused(target: dict[str, Any], at_fault: str) -> None:
    fault = only_fault(new_audience, extras(**target), allowed_targets=ALLOWED)
    assert fault.field == at_fault
    assert "AllowedTargets" in fault.allowed
    assert not any(each in str(fault) for each in ALLOWED), "strangers to the list do not get to see it"


@pytest.mark.parametrize(
    "target",
    [
        pytest.param({}, id="advertiser"),
        pytest.param({"advertiserId": int(EXTRAS["advertiserId"])}, id="advertiser, as a number"),
        pytest.param(of_connection("conn-1"), id="connection"),
    ],
)
def test_a_listed_target_is_allowed_and_without_a_list_any_target(target: dict[str, Any]) -> None:
    for allowed in (ALLOWED, frozenset[str]()):
        assert new_audience(extras(**target), max_cpm_cents=0, allowed_targets=allowed).body()["targetResource"]


TARGETS = "exactly one of advertiserId"


@pytest.mark.parametrize(
    ("fields", "at_fault", "allowed"),
    [
        pytest.param({"audienceName": DROP}, "audienceName", "1 to 128 characters", id="name: absent"),
        pytest.param({"audienceName": " \t"}, "audienceName", "1 to 128 characters", id="name: blank"),
        pytest.param({"audienceName": 42}, "audienceName", "1 to 128 characters", id="name: a number"),
        pytest.param({"audienceName": "x" * 129}, "audienceName", "1 to 128 characters", id="name: too long"),
        pytest.param({"audienceName": "VIP\x00"}, "audienceName", "no", id="name: a control character"),
        pytest.param({"audienceName": "VIP\ud83d"}, "audienceName", "no", id="name: half a character"),
        pytest.param({"advertiserId": DROP}, "advertiserId, connectionId", TARGETS, id="target: none"),
        pytest.param({"connectionId": "c-1"}, "advertiserId, connectionId", TARGETS, id="target: both"),
        pytest.param({"advertiserId": "ENTITY123"}, "advertiserId", "1 to 20 digits", id="advertiser: letters"),
        pytest.param(of_connection("c" * 257), "connectionId", "1 to 256", id="connection: too long"),
        pytest.param(of_connection(" "), "connectionId", "1 to 256", id="connection: blank"),
        pytest.param({"countryCode": DROP}, "countryCode", "ISO 3166-1 alpha-2", id="country: absent"),
        pytest.param({"countryCode": "XX"}, "countryCode", "ISO 3166-1 alpha-2", id="country: not in the list"),
        pytest.param(
            {"countryCode": "UNKNOWN"}, "countryCode", "name no country", id="country: Amazon's word for none"
        ),
        pytest.param({"countryCode": "zz"}, "countryCode", "name no country", id="country: Amazon's code for none"),
        pytest.param({"description": "x" * 1001}, "description", "0 to 1000 characters", id="description: too long"),
        pytest.param({"description": 5}, "description", "0 to 1000 characters", id="description: a number"),
        pytest.param({"description": "a\x07b"}, "description", "no", id="description: a control character"),
        pytest.param({"externalAudienceId": True}, "externalAudienceId", "1 to 256", id="external id: true"),
        pytest.param({"ttl": -1}, "ttl", "from 0 to 34300800", id="ttl: negative"),
        pytest.param({"ttl": 34_300_801}, "ttl", "from 0 to 34300800", id="ttl: over 397 days"),
        pytest.param({"ttl": 1.5}, "ttl", "whole number", id="ttl: half a second"),
        pytest.param({"ttl": "30 days"}, "ttl", "whole number of seconds", id="ttl: in words"),
        pytest.param({"ttl": False}, "ttl", "whole number of seconds", id="ttl: false"),
        pytest.param({"cpmCents": 5}, "currency", "together with cpmCents", id="fee: no currency"),
        pytest.param({"currency": "USD"}, "cpmCents", "together with currency", id="fee: a currency alone"),
        pytest.param({"cpmCents": 0}, "currency", "together with cpmCents", id="fee: zero is a price too"),
        pytest.param(FEE | {"cpmCents": 501}, "cpmCents", "from 0 to 500, the ceiling", id="fee: over the ceiling"),
        pytest.param(FEE | {"cpmCents": -1}, "cpmCents", "whole number of hundredths", id="fee: negative"),
        pytest.param(FEE | {"currency": "CHF"}, "currency", "AED, AUD", id="currency: not in the list"),
        pytest.param(FEE | {"currency": 840}, "currency", "AED, AUD", id="currency: a number"),
        pytest.param({"dsp": True}, "dsp", "connectionId only", id="dsp: beside an advertiser"),
        pytest.param(of_connection("c", dsp="maybe"), "dsp", "true or false", id="dsp: in words"),
        pytest.param(of_connection("c", dsp=1), "dsp", "true or false", id="dsp: 1"),
        pytest.param({"renew": True, "ttl": 0}, "ttl", "at least 259200 seconds (3 days)", id="renew: no member stays"),
        pytest.param({"renew": "true", "ttl": "259199"}, "ttl", "at least 259200", id="renew: short of three days"),
        pytest.param({"computationKey": {"a": 1}}, "computationKey", "1 to 256", id="computation key: an object"),
    ],
)
def test_an_invalid_setting_names_its_allowed_values(fields: dict[str, Any], at_fault: str, allowed: str) -> None:
    fault = only_fault(new_audience, extras(**fields))
    assert fault.field == at_fault
    assert allowed in fault.allowed


def test_all_faults_are_reported_at_once_with_remedies_and_without_values() -> None:
    names = "audienceName advertiserId countryCode externalAudienceId ttl cpmCents currency dsp computationKey"
    private: dict[str, Any] = dict.fromkeys(names.split(), "private\x00") | {"description": ["private"]}
    with pytest.raises(InvalidAudience) as caught:
        new_audience(private, max_cpm_cents=0)
    assert {fault.field for fault in caught.value.faults} == private.keys()
    assert all(fault.remedy for fault in caught.value.faults)
    answer = json.dumps([str(caught.value), *(fault.as_json() for fault in caught.value.faults)])
    assert "private" not in answer
    assert len(answer) < 8000


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"audienceName": "VIP"}, {"name": "Segment audience VIP"}, id="a short name is lengthened"),
        pytest.param({"audienceName": "123456789"}, {"name": "Segment audience 123456789"}, id="nine characters"),
        pytest.param({"audienceName": "1234567890"}, {"name": "1234567890"}, id="ten characters stay"),
        pytest.param({"audienceName": "ü" * 128}, {"name": "ü" * 128}, id="128 characters stay"),
        pytest.param({"audienceName": " Lapsed \n buyers "}, {"name": "Lapsed buyers"}, id="white space is tidied"),
        pytest.param({}, {"description": "Lapsed premium buyers"}, id="without a description it is the name"),
        pytest.param({"description": ""}, {"description": ""}, id="an empty description is one"),
        pytest.param({"description": "x" * 1000}, {"description": "x" * 1000}, id="1,000 characters of description"),
        pytest.param({"countryCode": " uk "}, {"countryCode": "GB"}, id="UK is GB"),
    ],
)
def test_settings_are_converted_to_the_request_body(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    body = requested(**fields).body()
    assert {name: body[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("fields", "target"),
    [
        pytest.param({"advertiserId": 5 * 10**17 + 3}, {"advertiserId": 5 * 10**17 + 3}, id="a number, kept exactly"),
        pytest.param({"advertiserId": "", "connectionId": "c"}, {"connectionId": "c"}, id="an empty field is left out"),
    ],
)
def test_the_target_is_the_owner_that_is_given(fields: dict[str, Any], target: dict[str, Any]) -> None:
    assert requested(**fields).body()["targetResource"] == target


@pytest.mark.parametrize(
    ("fields", "metadata"),
    [
        pytest.param({"ttl": 0}, {"ttl": 0}, id="0 seconds are a time to live"),
        pytest.param({"ttl": "0"}, {"ttl": 0}, id="0 as text, too"),
        pytest.param({"ttl": " 604800 "}, {"ttl": 604_800}, id="a week as text"),
        pytest.param({"ttl": 34_300_800}, {"ttl": 34_300_800}, id="the longest"),
        pytest.param(FEE, {"audienceFees": [FEE]}, id="a fee"),
        pytest.param({"cpmCents": "500", "currency": "usd"}, {"audienceFees": [FEE | {"cpmCents": 500}]}, id="as text"),
        pytest.param({"cpmCents": 0, "currency": "USD"}, {"audienceFees": [FEE | {"cpmCents": 0}]}, id="a fee of 0"),
        pytest.param({"cpmCents": "", "currency": ""}, {}, id="an empty fee was left out"),
        pytest.param({"shoeSize": 44}, {}, id="an unknown field"),
    ],
)
def test_optional_settings_are_sent_only_when_given(fields: dict[str, Any], metadata: dict[str, Any]) -> None:
    assert requested(**fields).body()["metadata"] == {"externalAudienceId": "lapsed-premium-us"} | metadata


@pytest.mark.parametrize("currency", CURRENCIES)
def test_the_13_currencies_of_amazon_are_accepted(currency: str) -> None:
    assert len(CURRENCIES) == 13
    assert requested(cpmCents=1, currency=currency).fee


def test_a_numeric_external_id_keeps_all_its_digits() -> None:
    assert requested(externalAudienceId=9007199254740993).external_audience_id == "9007199254740993"


def test_a_missing_external_id_is_derived_from_name_and_target() -> None:
    derived = requested(externalAudienceId=DROP)
    assert derived.external_audience_id.startswith("segment-lapsed-premium-buyers-")
    assert not derived.has_own_external_id
    assert (
        derived.external_audience_id == requested(externalAudienceId="", ttl=5, countryCode="DE").external_audience_id
    )
    others = [requested(externalAudienceId=DROP, **other) for other in ({"audienceName": "Else"}, {"advertiserId": 7})]
    assert len({derived.external_audience_id, *(other.external_audience_id for other in others)}) == 3


def test_the_audience_row_holds_every_setting_that_delivery_and_updates_need() -> None:
    own = {"dsp": "true", "renew": True}
    listed = requested(advertiserId=DROP, connectionId="c-1", ttl=259_200, computationKey="lapsed", **own, **FEE)
    assert listed.listed_as("418273650912345679") == Audience(
        "418273650912345679",
        name="Lapsed premium buyers",
        country="US",
        destination=amc_connection("c-1"),
        computation_key="lapsed",
        external_audience_id="lapsed-premium-us",
        settings={"description": "Lapsed premium buyers", "ttl": 259_200, "dsp": True, "renew": True, **FEE},
        filled_by=FilledBy.STACK,
    )


LISTED = Audience("1", destination=dsp_advertiser("5"), settings={"description": "old", "ttl": 5})
RENEWED = Audience("1", destination=dsp_advertiser("5"), settings={"renew": True})
NEW, LONG = {"description": "new"}, {"renew": True, "ttl": 259_200}
IN_AMC = Audience("1", destination=amc_connection("c-1"), settings={"description": "old"})


@pytest.mark.parametrize(
    ("audience", "changes", "body", "changed"),
    [
        pytest.param(LISTED, {"ttl": 0}, {"metadata": {"ttl": 0}}, {"ttl": 0}, id="ttl"),
        pytest.param(LISTED, {"description": ""}, {"description": ""}, {"description": ""}, id="an empty description"),
        pytest.param(
            LISTED, FEE | NEW, NEW | {"metadata": {"audienceFees": [FEE]}}, FEE | NEW, id="fee and description"
        ),
        pytest.param(IN_AMC, {"dsp": True}, {}, {"dsp": True}, id="dsp is not sent to Amazon"),
        pytest.param(IN_AMC, {"renew": True}, {}, {"renew": True}, id="renew is not sent to Amazon"),
        pytest.param(LISTED, LONG, {"metadata": {"ttl": 259_200}}, LONG, id="renew, and a ttl that is long enough"),
        pytest.param(IN_AMC, {"dsp": "false"}, {}, {"dsp": False}, id="dsp off"),
    ],
)
def test_an_update_sends_only_the_changed_settings(
    audience: Audience, changes: dict[str, Any], body: dict[str, Any], changed: dict[str, Any]
) -> None:
    update = audience_update(audience, changes, max_cpm_cents=MAX_CPM_CENTS)
    assert (update.body, update.settings) == (body, audience.settings | changed)


@pytest.mark.parametrize(
    ("changes", "at_fault", "remedy"),
    [
        pytest.param({"name": "n" * 20}, "name", "for another name create another audience", id="name"),
        pytest.param({"countryCode": "DE"}, "countryCode", "for another country create", id="country"),
        pytest.param({"advertiserId": "6"}, "advertiserId", "for another target create", id="advertiser"),
        pytest.param({"connectionId": "c"}, "connectionId", "for another target create", id="connection"),
        pytest.param({"externalAudienceId": "x"}, "externalAudienceId", "another external id create", id="external id"),
        pytest.param({"colour": "red"}, "colour", "leave it out", id="an unknown field"),
        pytest.param({"a b\n" * 30: 1}, "a field of another name", "leave it out", id="an unprintable field name"),
        pytest.param(
            {}, "description, ttl, cpmCents, currency, dsp, renew", "name a setting to change", id="nothing at all"
        ),
        pytest.param({"dsp": True}, "dsp", "remove it", id="dsp of an advertiser's audience"),
        pytest.param({"renew": True}, "ttl", "turn renew off", id="renew, and the ttl too short for it"),
        pytest.param(FEE | {"cpmCents": 501}, "cpmCents", "MaxCpmCents", id="a fee over the ceiling"),
    ],
)
def test_an_update_refuses_fields_that_cannot_change(changes: dict[str, Any], at_fault: str, remedy: str) -> None:
    fault = only_fault(audience_update, LISTED, changes)
    assert fault.field == at_fault
    assert remedy in fault.remedy


def test_the_ttl_of_a_renewed_audience_cannot_drop_below_3_days() -> None:
    assert only_fault(audience_update, RENEWED, {"ttl": 259_199}).field == "ttl"


@pytest.mark.parametrize(
    ("answer", "ttl", "received"),
    [
        pytest.param({"metadata": {"ttl": 0, "audienceSize": {"receivedRecordSize": 7}}}, 0, 7, id="both"),
        pytest.param({"metadata": {"audienceSize": {"receivedRecordSize": -1}}}, None, None, id="-1 is not known yet"),
        pytest.param({"metadata": {"ttl": 5.0, "audienceSize": []}}, 5, None, id="numbers of another kind"),
        pytest.param({"metadata": {"ttl": float("inf")}}, None, None, id="no number"),
    ],
)
def test_a_report_ignores_unusable_fields(answer: dict[str, Any], ttl: int | None, received: int | None) -> None:
    report = AudienceReport.from_answer("1", answer)
    assert (report.ttl, report.sizes.received) == (ttl, received)


@pytest.mark.parametrize(
    ("answer", "advertiser_id"),
    [
        pytest.param({"advertiserId": 590071284455661235}, "590071284455661235", id="a number, kept exactly"),
        pytest.param({"advertiserId": 5.9e17}, None, id="a rounded one is none"),
    ],
)
def test_a_report_keeps_every_digit_of_the_advertiser_id(answer: dict[str, Any], advertiser_id: str | None) -> None:
    assert AudienceReport.from_answer("1", answer).advertiser_id == advertiser_id


@pytest.mark.parametrize(
    ("listed", "fees"),
    [
        pytest.param([FEE], (Fee(100, "USD"),), id="one"),
        pytest.param([FEE, {"cpmCents": 0, "currency": "EUR"}], (Fee(100, "USD"), Fee(0, "EUR")), id="two currencies"),
        pytest.param({"cpmCents": 1}, (), id="no list"),
        pytest.param([{"cpmCents": -1, "currency": "USD"}, {"cpmCents": 1}, "x"], (), id="halves of one"),
    ],
)
def test_a_report_ignores_incomplete_fees(listed: Any, fees: tuple[Fee, ...]) -> None:
    assert AudienceReport.from_answer("1", {"metadata": {"audienceFees": listed}}).fees == fees
