"""Assigns columns of a file to fields: guessed from the column names, corrected by the operator."""

import re
from collections.abc import Sequence
from itertools import takewhile

from audience_sync.fields import FIELDS
from audience_sync_cli.errors import WrongUsage
from audience_sync_cli.terminal_text import on_one_line

# Other column names for a field, without spaces and punctuation, the surest first.
_OTHER_NAMES = {
    "external_user_id": "userid externalid customerid memberid clientid recordid profileid subscriberid uid id "
    "kundennummer kundennr kundenid",
    "email": "emailaddress mail emailid emailadresse",
    "phone": "phonenumber mobile mobilephone mobilenumber telephone tel cell cellphone msisdn telefon",
    "first_name": "givenname forename fname first vorname",
    "last_name": "surname familyname lname last nachname",
    "address": "street streetaddress address1 addressline1 addressline street1 strasse",
    "city": "town locality ort",
    "state": "stateprovince province region statecode bundesland",
    "postal": "postalcode zip zipcode postcode postalzip plz postleitzahl",
    "country": "isocountry countryiso land",
    "amzn_ad_storage": "adstorage",
    "amzn_user_data": "aduserdata",
    "tcf": "tcfstring tcstring tcfconsent",
    "gpp": "gppstring gppconsent",
}
# Prefixes of such a name: its place in Segment's calls, and its owner.
_BEFORE = frozenset(
    "context traits trait properties property user customer contact profile person member address "
    "billing shipping mailing home primary hashed sha256".split()
)
_AFTER = frozenset("sha256 hashed hash".split())  # a SHA-256 digest is passed on unchanged
_FIELDS = {
    spelling.replace("_", "").lower(): field.name
    for field in FIELDS
    if field.name != "audience_id"  # the command names the audience
    for spelling in (field.name, field.amazon_name)
}
# Never guessed are `ip`, which Amazon takes in plain text, and names of whole people, which are no identifier.
_RANKED = [*_FIELDS.items(), *((name, field) for field, names in _OTHER_NAMES.items() for name in names.split())]
_FIELD_OF = {name: (field, rank) for rank, (name, field) in enumerate(_RANKED) if field != "ip"}
_WORD = re.compile(r"[A-Z]+(?![a-z])[0-9]*|[A-Z]?[a-z]+[0-9]*|[0-9]+")


def guess(columns: Sequence[str]) -> dict[str, str]:
    """Return the column of each field whose name is recognized, in the order of fields.py.

    Recognized are English and German names in any spelling (`E-mail address`, `first_name`, `PLZ`), Amazon's, and
    Segment's with their path (`traits.email`, `context_traits_email`). If two columns match a field, the surer name
    wins, otherwise the first.
    """
    found: dict[str, tuple[int, str]] = {}
    for column in columns:
        field, rank = _field_of(column)
        if field and (field not in found or rank < found[field][0]):
            found[field] = rank, column
    return {field.name: found[field.name][1] for field in FIELDS if field.name in found}


def chosen(columns: Sequence[str], corrections: Sequence[str]) -> dict[str, str]:
    """Return the column of each field: the guesses, with the operator's corrections.

    These are `FIELD=COLUMN`, or `FIELD=` for a field that no column holds. Raises WrongUsage if one of them names an
    unknown field or column.
    """
    corrected: dict[str, str] = {}
    for each in corrections:
        name, separator, column = each.partition("=")
        field = _FIELDS.get(re.sub(r"[^a-z0-9]", "", name.lower()))
        if not field or not separator:
            raise WrongUsage(
                "--column is not of the form FIELD=COLUMN.",
                f"The fields are: {', '.join(dict.fromkeys(_FIELDS.values()))}.",
            )
        if column and column not in columns:
            raise WrongUsage(
                f"The file has no column for --column {field}.", f"It has: {on_one_line(', '.join(columns))}."
            )
        corrected[field] = column
    taken = set(corrected.values())
    guesses = {field: column for field, column in guess(columns).items() if column not in taken}
    fields = guesses | corrected
    return {field.name: fields[field.name] for field in FIELDS if fields.get(field.name)}


def _field_of(column: str) -> tuple[str, int]:
    words = [word.lower() for word in _WORD.findall(column.replace("ß", "ss"))]
    while len(words) > 1 and words[-1] in _AFTER:
        words.pop()
    before = len(list(takewhile(_BEFORE.__contains__, words)))
    for start in range(before + 1):  # the longest name first: `user_id` is one, and so is `id` of a user
        if found := _FIELD_OF.get("".join(words[start:])):
            return found
    return "", 0
