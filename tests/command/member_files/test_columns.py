"""Columns of files are recognized by their names, in the spellings that people and exports use."""

import pytest

from audience_sync.fields import FIELDS
from audience_sync_cli.frame.column_names import NAMES, guess
from audience_sync_cli.frame.errors import WrongUsage
from audience_sync_cli.member_files.columns import chosen


@pytest.mark.parametrize(
    ("column", "field"),
    [
        *((name, field) for field, names in NAMES.items() for name in names.split(", ")),
        *((name, "email") for name in ("E-Mail", "EMAIL", "emailAddress", "traits.email", "context_traits_email")),
        *((name, "email") for name in ("context.traits.email", "hashed_email", "emailSha256", "Adresse e-mail")),
        *((name, "external_user_id") for name in ("userId", "USER_ID", "externalUserId", "UserID", "member_id")),
        *((name, "phone") for name in ("PHONE_SHA256", "Telefon privat", "TELEFON 1", "Téléphone (domicile)")),
        *((name, "address") for name in ("address_line_1", "address.street", "Rue (domicile)")),
        *((name, "city") for name in ("address.city", "address_city", "Postanschrift: Ort")),
        *((name, "postal") for name in ("address.postalCode", "Código postal del domicilio", "Kunden-PLZ")),
        *(("Dép/Région (domicile)", "state"), ("Home Country/Region", "country"), ("countryCode", "country")),
        *(("firstName", "first_name"), ("family_name", "last_name"), ("strasse", "address")),
    ],
)
def test_a_column_is_recognized_by_its_name(column: str, field: str) -> None:
    assert guess([column]) == {field: column}


@pytest.mark.parametrize(
    "column",
    [
        *("name", "user name", "email_md5", "ip", "ip_address", "created_at", "order id", "company address"),
        *("Nom", "Nombre", "Telefon geschäftlich", "Dirección IP", "Estado", "Newsletter opt-in", "emails sent", ""),
    ],
)
def test_an_ambiguous_column_is_not_guessed(column: str) -> None:
    assert guess([column]) == {}


def test_the_surer_of_two_column_names_wins() -> None:
    assert guess(["id", "customer_id", "userId"]) == {"external_user_id": "userId"}
    assert guess(["mail", "email", "traits.email"]) == {"email": "email"}


@pytest.mark.parametrize("columns", [("Nom", "Prénom"), ("Name", "Vorname"), ("Apellidos", "Nombre")])
def test_a_column_name_such_as_name_is_the_last_name_beside_a_first_name(columns: tuple[str, str]) -> None:
    assert guess(columns) == {"last_name": columns[0], "first_name": columns[1]}


def test_every_field_name_of_fields_py_is_recognized() -> None:
    guessed = [field for field in FIELDS if field.name not in ("audience_id", "ip")]
    for field in guessed:
        assert guess([field.name]) == guess([field.amazon_name]) | {field.name: field.name}


def test_a_correction_overrides_the_guess_and_frees_its_column() -> None:
    columns = ["id", "email", "Draht", "note"]
    assert chosen(columns, ["phone=Draht", "email="]) == {"external_user_id": "id", "phone": "Draht"}
    assert chosen(columns, ["external_user_id=email"]) == {"external_user_id": "email"}
    by_amazons_name = chosen(["id", "a", "b"], ["firstname=a", "ip=b"])
    assert (by_amazons_name["first_name"], by_amazons_name["ip"]) == ("a", "b")


@pytest.mark.parametrize("correction", ["email", "shoe_size=email", "audience_id=email", "email=mail"])
def test_a_correction_with_an_unknown_field_or_column_is_refused(correction: str) -> None:
    with pytest.raises(WrongUsage):
        chosen(["email"], [correction])
