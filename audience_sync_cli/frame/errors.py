"""Errors as the operator sees them: one sentence, a remedy, and an exit code for scripts."""

DONE, FAILED, USAGE, NOT_THERE, NOT_CONFIRMED, TRY_LATER, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130

EXIT_CODES = {  # meanings for the help; details in docs/cli.md
    DONE: "done",
    FAILED: "failed, and running it again will not help",
    USAGE: "wrong usage",
    NOT_THERE: "not found, or not connected",
    NOT_CONFIRMED: "not confirmed; nothing was changed",
    TRY_LATER: "temporary failure, try again",
    INTERRUPTED: "interrupted",
}


class OperatorError(Exception):
    """An error that the operator can act on."""

    exit_code = FAILED
    faults: tuple[str, ...] = ()  # in mappings, for scripts; the message also has them

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class FaultyMappings(OperatorError):
    """Mappings that are wrong for every event."""

    def __init__(self, faults: tuple[str, ...], *, where: str = "The mappings have", remedy: str = "") -> None:
        count = f"{len(faults)} faults" if len(faults) > 1 else "a fault"
        super().__init__("\n".join([f"{where} {count}:", *map(sentence, faults)]), remedy)
        self.faults = faults


def sentence(text: str) -> str:
    """Capitalize a text, and end it with a full stop."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('?') else '.'}"


class WrongUsage(OperatorError):
    """An argument or option that is not valid."""

    exit_code = USAGE


class NotThere(OperatorError):
    """A stack, audience, member or authorization does not exist."""

    exit_code = NOT_THERE


class NotConfirmed(OperatorError):
    """The operator answered no, or there is no terminal for the question."""

    exit_code = NOT_CONFIRMED


class TryLater(OperatorError):
    """A service does not answer at the moment."""

    exit_code = TRY_LATER


class AlreadyReported(Exception):
    """The screen has shown the error; only the exit code remains to be set."""

    exit_code = FAILED


class ReportedAsNotThere(AlreadyReported):
    """The screen has shown what is missing, and the work done nevertheless."""

    exit_code = NOT_THERE


class ReportedAsUnfinished(AlreadyReported):
    """The screen has shown unfinished work, which may finish later."""

    exit_code = TRY_LATER
