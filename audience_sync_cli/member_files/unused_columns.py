"""Columns that are not used, although they say yes and no, or hold e-mail addresses or phone numbers."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from shlex import quote
from typing import Any

from audience_sync_cli.frame.column_names import LIKE_CONSENT, LIKE_REFUSAL
from audience_sync_cli.frame.errors import WrongUsage
from audience_sync_cli.frame.screen import Screen
from audience_sync_cli.frame.terminal_text import on_one_line
from audience_sync_cli.member_files.consent_words import known_word, says_no
from audience_sync_cli.member_files.member_file import MemberFile
from audience_sync_cli.member_files.row_changes import Reading

SAMPLE = 100  # rows
_FEW = 10  # one other word in so many yes and no
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


def note_unused(screen: Screen, file: MemberFile, columns: Sequence[str], reading: Reading) -> list[str]:
    """Print notes about unused columns that may be missed. Returns those about which the operator has to decide.

    Standard input is not sampled: it can be read only once.
    """
    unused = [each for each in columns if each not in reading.columns.values()]
    if reading.exits or not unused:
        return []
    samples = _samples(file, unused)
    answers = _answers(file, samples) if _USER_DATA not in reading.named else {}
    undecided = [
        f"{on_one_line(column) or 'A column without a name'} says yes and no ({words}), but is not used"
        for column, words in answers.items()
    ]
    for column, sentence in zip(answers, undecided, strict=True):
        screen.note(f"{sentence}. {_how_to_read(column)}", style="yellow")
    for column in _unread_consents(columns, reading)[: _USER_DATA not in reading.columns]:
        if column not in answers:
            note = f"{on_one_line(column)} seems to state consent, but is not used. {_how_to_read(column)}"
            screen.note(note, style="yellow")
    for field, (what, pattern) in _HELD.items():
        held = [name for name, values in samples.items() if name and _most_are_like(pattern, values)]
        if held and field not in reading.named:
            screen.note(
                f"{on_one_line(', '.join(held))}: seems to hold {what}, but is not used. "
                f"To read it: --column {quote(on_one_line(f'{field}={held[0]}'))}",
                style="yellow",
            )
    return [] if _USER_DATA in reading.columns else undecided


def require_decision(screen: Screen, undecided: Sequence[str]) -> None:
    """Refuse to go on without a question while a column that says no is not used. Raises WrongUsage."""
    if undecided and not screen.asks:
        read = f"Read one with --column {_USER_DATA}=COLUMN; if all are about something else: --column {_USER_DATA}="
        raise WrongUsage(f"{'; '.join(undecided)}.", read)


def _samples(file: MemberFile, unused: Sequence[str]) -> dict[str, Sequence[Any]]:
    if file.path is None:
        return {}
    with file.rows() as rows:
        samples = [*zip(*filter(None, islice(rows.read(unused), SAMPLE)), strict=True)]
    return dict(zip(unused, samples, strict=False))


def _answers(file: MemberFile, samples: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    """Return how often each word is in columns that say yes and no; all rows are read, since a no may be rare."""
    likely = [name for name, values in samples.items() if _are_answers(Counter(map(known_word, values)))]
    if not likely:
        return {}
    words: dict[str, Counter[str]] = {name: Counter() for name in likely}
    with file.rows() as rows:
        for values in filter(None, rows.read(likely)):
            for name, value in zip(likely, values, strict=True):
                words[name][known_word(value)] += 1
    found = {name: counts for name, counts in words.items() if _are_answers(counts) and says_no(counts)}
    return {
        name: ", ".join(f"{rows:,} {word}" for word, rows in counts.most_common()) for name, counts in found.items()
    }


def _are_answers(words: Counter[str]) -> bool:
    """Return whether a column says yes or no, with few other words; one that is empty so far may."""
    given = words.total() - words["empty"]
    return words["other"] * _FEW <= given


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
