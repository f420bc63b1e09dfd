"""Times and ages as typed by the operator."""

import re
from datetime import UTC, datetime
from typing import Annotated

import typer

from audience_sync_cli.frame.errors import WrongUsage

MINUTE, HOUR, DAY = 60, 3_600, 86_400  # seconds
TIME = "2026-03-04T09:00Z, or an age: 90m, 12h, 3d"  # for the help of an option
SINCE = Annotated[str, typer.Option(help=f"Start at this time: {TIME}.", metavar="TIME")]

_AGES = {"m": MINUTE, "h": HOUR, "d": DAY}


def read_time(text: str, now: float) -> float | None:
    """Parse a time or an age as epoch milliseconds; None for an empty string. Raises WrongUsage."""
    if not text:
        return None
    if age := re.fullmatch(r"(\d+)([mhd])", text):
        return (now - int(age[1]) * _AGES[age[2]]) * 1000
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise WrongUsage("That is not a time.", f"Use 2026-03-04, {TIME}.") from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000
