"""Turns what is wrong with the words of a command line into errors of ours: a sentence, a remedy, exit code 2.

Typer's own sentences speak of Python's types, and under --json they would be no JSON.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from audience_sync_cli.errors import WrongUsage

_MAX_SHOWN = 40  # characters of a word that is repeated in a message
_QUOTED = re.compile(r"""(["'])(.*)\1""")  # a path in a sentence of Typer's, with escapes for control characters


def wrong_usage(error: Any) -> WrongUsage:
    """Turn an error of Typer's into ours. It names options, commands and files, never another value.

    Args:
        error: a `typer.TyperException`, with the context that it arose in as `ctx`. Its classes have no public names.
    """
    context = error.ctx
    match type(error).__name__:
        case "NoSuchOption":
            return _no_such_option(error)
        case "BadOptionUsage":
            return _value_or_none(error)
        case "MissingParameter":
            return WrongUsage(f"{label(error.param)} is missing.", usage(context))
        case "BadParameter":
            return _bad_value(error)
        case _ if hasattr(context.command, "commands"):
            return WrongUsage("A command is missing.", _see_help(context, "commands"))
        case _:
            return WrongUsage("There are more arguments than the command takes.", usage(context))


def no_such_command(context: Any, word: str, known: Iterable[str]) -> WrongUsage:
    """Return the error for a command that does not exist."""
    return WrongUsage(
        f"There is no command {shown(word)}.", f"{did_you_mean(word, known)}{_see_help(context, 'commands')}"
    )


def did_you_mean(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Return the question whether a similar word was meant, with a blank after it; empty where there is none.

    `cutoff` is how similar it must be: of 10 characters, about 4 may differ at 0.6, and 2 at 0.8.
    """
    similar = get_close_matches(word, [each for each in known if each], n=2, cutoff=cutoff)
    return f"Did you mean {' or '.join(similar)}? " if similar else ""


def label(parameter: Any) -> str:
    """Return what an option or argument is called in the help."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name).upper()
    return str(max(parameter.opts, key=len))


def usage(context: Any) -> str:
    """Return how a command is called, in one line."""
    arguments = [each for each in context.command.params if each.param_type_name == "argument"]
    words = [label(each) if each.required else f"[{label(each)}]" for each in arguments]
    if hasattr(context.command, "commands"):
        words.append("COMMAND")
    return " ".join(["Usage:", context.command_path, *words, "[OPTIONS]"])


def shown(word: str) -> str:
    """Return a word as a message may repeat it: without control characters, and not too long."""
    return word if word.isprintable() and len(word) <= _MAX_SHOWN else "of that name"


def _no_such_option(error: Any) -> WrongUsage:
    known = [name for each in error.ctx.command.get_params(error.ctx) for name in (*each.opts, *each.secondary_opts)]
    remedy = f"{did_you_mean(error.option_name, known)}{_see_help(error.ctx, 'options')}"
    if hasattr(error.ctx.command, "commands"):
        remedy = f"{did_you_mean(error.option_name, known)}The options of a command stand behind its name."
    return WrongUsage(f"There is no option {shown(error.option_name)}.", remedy)


def _value_or_none(error: Any) -> WrongUsage:
    parameters = {name: each for each in error.ctx.command.params for name in (*each.opts, *each.secondary_opts)}
    parameter = parameters.get(error.option_name)
    if parameter is not None and parameter.is_flag:
        return WrongUsage(f"{error.option_name} takes no value.", usage(error.ctx))
    metavar = getattr(parameter, "metavar", None) or "VALUE"
    return WrongUsage(f"{error.option_name} needs a value.", f"Write it behind: {error.option_name} {metavar}.")


def _bad_value(error: Any) -> WrongUsage:
    parameter = error.param
    name, kind = label(parameter), parameter.type_descriptor
    if kind.choices:
        choices = [str(each) for each in kind.choices]
        typed = _typed(error)
        listed = f"{', '.join(choices[:-1])} or {choices[-1]}"
        return WrongUsage(f"{name} is {listed}.", f"{did_you_mean(typed, choices)}{usage(error.ctx)}")
    if kind.annotation in (int, float):
        return WrongUsage(f"{name} takes {_numbers(parameter, kind.annotation)}.", _see_help(error.ctx, "options"))
    if kind.is_path:
        quoted = _QUOTED.search(error.message)
        path = quoted[2] if quoted else name
        why = "it is not a file that you may read" if Path(path).exists() else "no such file"
        return WrongUsage(f"Cannot read {path}: {why}.", "Give the path of a file.")
    return WrongUsage(f"The value of {name} is not valid.", _see_help(error.ctx, "options"))


def _numbers(parameter: Any, kind: type) -> str:
    noun = "a whole number" if kind is int else "a number"
    match parameter.min, parameter.max:
        case None, None:
            return noun
        case least, None:
            return f"{noun} of at least {least:,}"
        case None, most:
            return f"{noun} of at most {most:,}"
        case least, most:
            return f"{noun} from {least:,} to {most:,}"


def _typed(error: Any) -> str:
    """Return the value at fault, to find a similar one; it is not shown."""
    faults = error.__cause__.errors() if hasattr(error.__cause__, "errors") else []
    return str(faults[0].get("input", "")) if faults else ""


def _see_help(context: Any, what: str) -> str:
    return f"`{context.command_path} --help` lists the {what}."
