"""The column names of exports: which field a name stands for, in English, German, French and Spanish. Pure.

Values are not looked at: numbers may be ids or phone numbers, and a wrong guess is hashed and never noticed.
"""

import re
import unicodedata
from collections.abc import Collection, Sequence
from itertools import takewhile

from audience_sync.fields import FIELDS

# By field, the surest first. Case, spaces, punctuation and accents do not count. docs/import.md has examples.
NAMES = {
    "external_user_id": "user ID, external ID, customer ID, member ID, client ID, record ID, profile ID, "
    "subscriber ID, UID, ID, Kundennummer, Kunden-Nr, Kunden-ID, Mitgliedsnummer, Debitor, Debitorennummer, "
    "Geschäftspartnernummer, KUNNR, Kontakt-ID, numéro de client, n° de client, code client, ID client, "
    "identifiant, número de cliente, n.º de cliente, código de cliente, ID de cliente, ID de contacto",
    "email": "email address, mail, email ID, E-Mail-Adresse, Mailadresse, adresse mail, adresse de messagerie, "
    "adresse électronique, courriel, correo electrónico, correo, dirección de correo electrónico, SMTP_ADDR",
    "phone": "phone number, mobile, mobile phone, mobile number, telephone, tel, cell, cell phone, MSISDN, Telefon, "
    "Mobiltelefon, Handy, Handynummer, Mobil, Mobilnummer, Telefonnummer, Tel-Nr, Rufnummer, Festnetz, "
    "Haupttelefon, téléphone mobile, téléphone portable, tél. mobile, portable, numéro de téléphone, "
    "n° de téléphone, teléfono móvil, móvil, celular, teléfono celular, teléfono, número de teléfono, "
    "n.º de teléfono, TELF1, TEL_NUMBER, MOB_NUMBER",
    "first_name": "given name, forename, fname, first, Vorname, prénom, nombre de pila, NAME_FIRST",
    "last_name": "surname, family name, lname, last, Nachname, Familienname, nom de famille, apellidos, apellido, "
    "NAME_LAST",
    "address": "street, street address, address 1, address line 1, address line, street 1, Straße, "
    "Straße und Hausnummer, Anschrift, adresse, rue, calle, dirección, domicilio, STRAS",
    "city": "town, locality, Ort, Stadt, Wohnort, ville, localité, ciudad, población, localidad, ORT01, CITY1",
    "state": "state province, province, region, state code, Bundesland, Kanton, Bundesland Kanton, dép région, "
    "provincia, estado o provincia, REGIO",
    "postal": "postal code, zip, zip code, postcode, postal zip, zip postal code, PLZ, Postleitzahl, code postal, "
    "código postal, PSTLZ, POST_CODE1",
    "country": "ISO country, country ISO, country region, Land, Land Region, pays, pays région, país, "
    "país o región, LAND1",
    "amzn_ad_storage": "ad storage",
    "amzn_user_data": "ad user data, consent, advertising consent, Einwilligung, Werbeeinwilligung, Zustimmung, "
    "consentement, consentement publicitaire, consentimiento, consentimiento publicitario",
    "tcf": "TCF string, TC string, TCF consent",
    "gpp": "GPP string, GPP consent",
}
# Names that may also be of a whole person: the field, and the column beside which they are not.
_BESIDE = {"nom": ("last_name", "prenom"), "name": ("last_name", "vorname"), "nombre": ("first_name", "apellidos")}
# Prefixes of such a name: its place in Segment's calls, and its owner.
_BEFORE = frozenset(
    "context traits trait properties property user customer contact profile person member address billing shipping "
    "mailing home primary hashed sha256 kunde kunden kontakt postanschrift rechnungsadresse adresse postale".split()
)
# Suffixes: a SHA-256 digest is passed on unchanged, and of several places the home is the person's.
_AFTER = frozenset("sha256 hashed hash 1 home privat domicile del domicilio particular postanschrift".split())
# Of columns that are not recognized: who has given consent, and who has refused it, so that a yes is a no.
LIKE_CONSENT = re.compile("consent|einwillig|zustimm|erlaubnis|autori[sz]a|permission|opt(ed)?.?in", re.IGNORECASE)
LIKE_REFUSAL = re.compile("opt(ed)?.?out|widerspr|widerruf|werbesperr|do.?not|refus|oppos|unsubscri", re.IGNORECASE)
_WORD = re.compile(r"[A-Z]+(?![a-z])[0-9]*|[A-Z]?[a-z]+[0-9]*|[0-9]+")


def _words(name: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", name.replace("ß", "ss")).encode("ascii", "ignore").decode()
    return [word.lower() for word in _WORD.findall(plain)]


SPELLINGS = {
    spelling.replace("_", "").lower(): field.name
    for field in FIELDS
    if field.name != "audience_id"  # the command names the audience
    for spelling in (field.name, field.amazon_name)
}
"""The names of our fields and of Amazon's."""
# Never guessed is `ip`, which Amazon takes in plain text.
_RANKED = [
    *SPELLINGS.items(),
    *(("".join(_words(name)), field) for field, names in NAMES.items() for name in names.split(", ")),
]
_FIELD_OF = {name: (field, rank) for rank, (name, field) in reversed([*enumerate(_RANKED)]) if field != "ip"}


def guess(columns: Sequence[str]) -> dict[str, str]:
    """Return the column of each field whose name is recognized, in the order of fields.py.

    Recognized are NAMES in any spelling (`E-mail address`, `first_name`, `Téléphone (domicile)`), Amazon's, and
    Segment's with their path (`traits.email`, `context_traits_email`). If two columns match a field, the surer name
    wins, otherwise the first.
    """
    names, found = {"".join(_words(column)) for column in columns}, dict[str, tuple[int, str]]()
    for column in columns:
        field, rank = _field_of(column, names)
        if field and (field not in found or rank < found[field][0]):
            found[field] = rank, column
    return {field.name: found[field.name][1] for field in FIELDS if field.name in found}


def names_an_id(line: str) -> bool:
    """Return whether a line of a list is the name of its column, such as `user_id`, and no id."""
    return _FIELD_OF.get("".join(_words(line)), ("", 0))[0] == "external_user_id"


def _field_of(column: str, names: Collection[str]) -> tuple[str, int]:
    words = _words(column)
    while len(words) > 1 and words[-1] in _AFTER:
        words.pop()
    before = len(list(takewhile(_BEFORE.__contains__, words)))
    for start in range(before + 1):  # the longest name first: `user_id` is one, and so is `id` of a user
        name = "".join(words[start:])
        if found := _FIELD_OF.get(name):
            return found
        field, other = _BESIDE.get(name, ("", ""))
        if other in names:
            return field, len(_RANKED)
    return "", 0
