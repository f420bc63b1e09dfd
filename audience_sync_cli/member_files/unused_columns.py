"""Columns that are not used, although they seem to state consent, or hold e-mail addresses or phone numbers."""

import re
from collections.abc import Sequence
from itertools import islice
from shlex import quote
from typing import Any

from audience_sync_cli.frame.column_names import LIKE_CONSENT, LIKE_REFUSAL
from audience_sync_cli.frame.errors import WrongUsage
from audience_sync_cli.frame.screen import Screen
from audience_sync_cli.frame.terminal_text import on_one_line
from audience_sync_cli.member_files.member_file import MemberFile
from audience_sync_cli.member_files.row_changes import Reading

SAMPLE = 100  # rows
_USER_DATA = "amzn_user_data"
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_PHONE = re.compile(  # 7 to 15 digits, and no date
    r"(?!\d{1,4}([./-])\d{1,2}\1\d{1,4}\Z)(?=(\D*\d){7,15}\D*\Z)"
    r"(\+|\(|00?[1-9]|[1-9]\d{0,3}([ ./-])\d{2,4}\4)[\d ()./-]+"
)
_HELD = {"email": ("e-mail addresses", _ADDRESS), "phone": ("phone numbers", _PHONE)}


def require_stated_consent(columns: Sequence[str], reading: Reading) -> None:
    """Refuse a consent for the whole file while a column may say no, and a column whose yes is a no. WrongUsage."""
    used = reading.columns.get(_USER_DATA, "")
    stated = [used] if LIKE_REFUSAL.search(used) else _unread_consents(columns, reading) if reading.consent else []
    for column in stated:
        raise WrongUsage(f"{on_one_line(column)} seems to state consent or its refusal.", _how_to_read(column))


def note_unused(screen: Screen, file: MemberFile, columns: Sequence[str], reading: Reading) -> None:
    """Print notes about unused columns that may be missed. Standard input is not sampled: it can be read only once."""
    unused = [each for each in columns if each and each not in reading.columns.values()]
    if reading.exits or not unused:
        return
    for column in _unread_consents(columns, reading)[: _USER_DATA not in reading.columns]:
        note = f"{on_one_line(column)} seems to state consent, but is not used. {_how_to_read(column)}"
        screen.note(note, style="yellow")
    samples: Sequence[Sequence[Any]] = []
    if file.path:
        with file.rows() as rows:
            samples = [*zip(*filter(None, islice(rows.read(unused), SAMPLE)), strict=True)]
    for field, (what, pattern) in _HELD.items():
        held = [name for name, values in zip(unused, samples, strict=False) if _most_are_like(pattern, values)]
        if held and field not in reading.named:
            screen.note(
                f"{on_one_line(', '.join(held))}: seems to hold {what}, but is not used. "
                f"To read it: --column {quote(on_one_line(f'{field}={held[0]}'))}",
                style="yellow",
            )


def _unread_consents(columns: Sequence[str], reading: Reading) -> list[str]:
    unused = [] if _USER_DATA in reading.named else [each for each in columns if each not in reading.columns.values()]
    return [each for each in unused if LIKE_CONSENT.search(each) or LIKE_REFUSAL.search(each)]


def _how_to_read(column: str) -> str:
    read = f"To read it: --column {quote(on_one_line(f'{_USER_DATA}={column}'))}"
    if LIKE_REFUSAL.search(column):
        read = "Its yes would be read as consent: give GRANTED or DENIED in a column with another name"
    return f"{read}. If it is about something else: --column {_USER_DATA}="


def _most_are_like(pattern: re.Pattern[str], values: Sequence[Any]) -> bool:
    given = [text for each in values if each is not None and (text := str(each).strip())]
    return len([*filter(pattern.fullmatch, given)]) * 2 > len(given)
