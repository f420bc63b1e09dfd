"""Assigns columns of a file to fields: guessed from the column names, corrected by the operator."""

import re
from collections.abc import Sequence

from audience_sync.fields import FIELDS
from audience_sync_cli.frame.column_names import SPELLINGS, guess
from audience_sync_cli.frame.errors import WrongUsage
from audience_sync_cli.frame.terminal_text import on_one_line


def chosen(columns: Sequence[str], corrections: Sequence[str]) -> dict[str, str]:
    """Return the column of each field: the guesses, with the operator's corrections. Raises WrongUsage."""
    corrected = named(columns, corrections)
    taken = set(corrected.values())
    guesses = {field: column for field, column in guess(columns).items() if column not in taken}
    fields = guesses | corrected
    return {field.name: fields[field.name] for field in FIELDS if fields.get(field.name)}


def named(columns: Sequence[str], corrections: Sequence[str]) -> dict[str, str]:
    """Return the column that the operator names for a field; empty for a field that no column holds.

    These are `FIELD=COLUMN`, or `FIELD=`. Raises WrongUsage if one of them names an unknown field or column.
    """
    corrected: dict[str, str] = {}
    for each in corrections:
        name, separator, column = each.partition("=")
        field = SPELLINGS.get(re.sub(r"[^a-z0-9]", "", name.lower()))
        if not field or not separator:
            raise WrongUsage(
                "--column is not of the form FIELD=COLUMN.",
                f"The fields are: {', '.join(dict.fromkeys(SPELLINGS.values()))}.",
            )
        if column and column not in columns:
            raise WrongUsage(
                f"The file has no column for --column {field}.", f"It has: {on_one_line(', '.join(columns))}."
            )
        corrected[field] = column
    return corrected
