"""Columns of files are recognized by their names, in the spellings that people and exports use."""

import pytest

from audience_sync.fields import FIELDS
from audience_sync_cli.errors import WrongUsage
from audience_sync_cli.member_files.columns import chosen, guess


@pytest.mark.parametrize(
    ("column", "field"),
    [
        *((name, "email") for name in ("email", "E-Mail", "E-mail address", "EMAIL", "emailAddress", "traits.email")),
        *((name, "email") for name in ("context_traits_email", "context.traits.email", "hashed_email", "emailSha256")),
        *((name, "external_user_id") for name in ("userId", "user_id", "External User ID", "externalUserId", "id")),
        *(
            (name, "external_user_id")
            for name in ("USER_ID", "customer id", "member_id", "UserID", "Client ID", "Record ID")
        ),
        *((name, "phone") for name in ("phone", "Phone Number", "mobile", "traits.phone", "PHONE_SHA256")),
        *((name, "first_name") for name in ("first_name", "firstName", "First name", "firstname", "given name")),
        *((name, "last_name") for name in ("last_name", "lastName", "Surname", "family_name")),
        *((name, "address") for name in ("address", "Street", "address_line_1", "address.street", "Address 1")),
        *((name, "city") for name in ("city", "address.city", "address_city", "Town")),
        *((name, "state") for name in ("state", "address.state", "Province", "region")),
        *((name, "postal") for name in ("postal", "zip", "ZIP code", "postalCode", "address.postalCode", "postcode")),
        *((name, "country") for name in ("country", "Country code", "address.country", "countryCode")),
        *((name, "amzn_user_data") for name in ("amzn_user_data", "amznUserData", "ad_user_data")),
        *((name, "amzn_ad_storage") for name in ("amzn_ad_storage", "amznAdStorage")),
        *((name, "tcf") for name in ("tcf", "TCF string")),
        ("gpp", "gpp"),
        *(("E-Mail-Adresse", "email"), ("Telefon", "phone"), ("Vorname", "first_name"), ("Nachname", "last_name")),
        *(("Straße", "address"), ("Ort", "city"), ("Bundesland", "state"), ("PLZ", "postal"), ("Land", "country")),
        *((name, "external_user_id") for name in ("Kundennummer", "Kunden-Nr", "Kunden-Nr.", "Kunden-ID")),
        *(("First", "first_name"), ("Last", "last_name")),
    ],
)
def test_a_column_is_recognized_by_its_name(column: str, field: str) -> None:
    assert guess([column]) == {field: column}


@pytest.mark.parametrize(
    "column",
    [
        "name",
        "user name",
        "email_md5",
        "ip",
        "ip_address",
        "created_at",
        "order id",
        "company address",
        "emails sent",
        "",
    ],
)
def test_an_ambiguous_column_is_not_guessed(column: str) -> None:
    assert guess([column]) == {}


def test_the_surer_of_two_column_names_wins() -> None:
    assert guess(["id", "customer_id", "userId"]) == {"external_user_id": "userId"}
    assert guess(["mail", "email", "traits.email"]) == {"email": "email"}


def test_every_field_name_of_fields_py_is_recognized() -> None:
    guessed = [field for field in FIELDS if field.name not in ("audience_id", "ip")]
    for field in guessed:
        assert guess([field.name]) == guess([field.amazon_name]) | {field.name: field.name}


def test_a_correction_overrides_the_guess_and_frees_its_column() -> None:
    columns = ["id", "email", "Mobil", "note"]
    assert chosen(columns, ["phone=Mobil", "email="]) == {"external_user_id": "id", "phone": "Mobil"}
    assert chosen(columns, ["external_user_id=email"]) == {"external_user_id": "email"}


def test_a_column_can_be_assigned_by_amazons_field_name_or_as_ip() -> None:
    assert chosen(["id", "a", "b"], ["firstname=a", "ip=b"])["first_name"] == "a"
    assert chosen(["id", "a", "b"], ["firstname=a", "ip=b"])["ip"] == "b"


@pytest.mark.parametrize("correction", ["email", "shoe_size=email", "audience_id=email", "email=mail"])
def test_a_correction_with_an_unknown_field_or_column_is_refused(correction: str) -> None:
    with pytest.raises(WrongUsage):
        chosen(["email"], [correction])
