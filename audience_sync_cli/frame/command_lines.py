"""Lines of this command to paste into a shell. Pure.

What they name was often chosen by a stranger: an external user id by whoever sends an event, a computation key by
whoever has the audience key. So nothing else builds such a line.
"""

from shlex import quote


def to_paste(command: str, *arguments: str, into: str = "", **options: str | float | None) -> str:
    """Return the line that runs a command, quoted for a shell.

    Args:
        command: one of ours with subcommands, such as `member show`.
        arguments: before the options, but at the end, after `--`, if one of them looks like an option.
        into: the file to redirect the output to.
        options: True for a flag; None, False and "" leave one out.
    """
    typed: list[str] = []
    for name, value in options.items():
        if value:
            typed += [f"--{name.replace('_', '-')}", *([] if value is True else [quote(str(value))])]
    named = [*map(quote, arguments)]
    words = [*typed, "--", *named] if any(each.startswith("-") for each in arguments) else [*named, *typed]
    return " ".join(["audience-sync", command, *words]) + (f" > {quote(into)}" if into else "")
