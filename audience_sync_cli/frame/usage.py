"""Wrong usage as an error of ours: a sentence, which is Typer's unless that repeats a value, a remedy, exit code 2."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

import typer

from audience_sync_cli.frame.errors import WrongUsage

_ELSEWHERE = {  # words that are typed as commands, and the commands for them
    "explain": ("`audience-sync mappings try FILE --explain`",),
    "redrive": ("`audience-sync parked redrive`",),
    "erase": ("`audience-sync member erase`",),
    "urls": ("`audience-sync status`",),
}
_MAX_SHOWN = 40  # characters of a word that is repeated in a message


def wrong_usage(error: typer.TyperException) -> WrongUsage:
    """Turn an error of Typer's into ours. It names options, commands and files, never another value.

    Typer exports only two of the classes; the others are known by their attributes.
    """
    context: Any = getattr(error, "ctx", None)
    if context is None:  # an option without its value, or a flag with one
        return WrongUsage(_sentence(error.message), "Add --help to see the options.")
    is_group = hasattr(context.command, "commands")
    remedy = f"`{context.command_path} --help` lists the {'commands' if is_group else 'options'}."
    match error:
        case typer.BadParameter(param=parameter) if parameter is not None and error.message:  # a missing one has none
            return WrongUsage(
                f"Invalid value for {parameter.get_error_hint()}: {_expected(parameter, error.message)}", remedy
            )
        case typer.BadParameter():
            return WrongUsage(_sentence(error.format_message()), context.get_usage())
        case _ if hasattr(error, "possibilities"):
            hint = "Put the command's options after its name." if is_group else remedy
            return WrongUsage(_sentence(error.message), f"{_question(error.possibilities)}{hint}")
        case _ if is_group:
            word = error.message.partition("'")[2].partition("'")[0]
            return WrongUsage(_sentence(error.message), f"{_question(_ELSEWHERE.get(word))}{remedy}")
        case _:
            return WrongUsage("There are more arguments than the command accepts.", context.get_usage())


def did_you_mean(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Return the question whether a similar word was meant, with a blank after it; empty if there is none.

    `cutoff` is how similar it must be: of 10 characters, about 4 may differ at 0.6, and 2 at 0.8.
    """
    return _question(get_close_matches(word, [each for each in known if each], n=2, cutoff=cutoff))


def shown(word: str) -> str:
    """Return a word as a message may repeat it: without control characters, and not too long."""
    return word if word.isprintable() and len(word) <= _MAX_SHOWN else "of that name"


def _question(similar: Iterable[str] | None) -> str:
    return f"Did you mean {' or '.join(similar)}? " if similar else ""


def _expected(parameter: Any, reason: str) -> str:
    kind = parameter.type_descriptor
    if kind.choices:
        return f"choose from {', '.join(str(each) for each in kind.choices)}."
    if kind.annotation is int:
        least = "" if parameter.min is None else f", {parameter.min:,} or more"
        most = "" if parameter.max is None else f", at most {parameter.max:,}"
        return f"must be a whole number{least}{most}."
    return _sentence(reason) if kind.is_path else "not valid."


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if text.endswith((".", "?")) else f"{text}."
