"""Errors as the operator sees them: one sentence, a remedy, and an exit code for scripts.

0 done   1 failed, and running it again will not help   2 wrong usage   3 not found or not connected   4 not confirmed
5 failed for the moment, try again   130 interrupted
"""

FAILED, USAGE, NOT_THERE, NOT_CONFIRMED, TRY_LATER, INTERRUPTED = 1, 2, 3, 4, 5, 130


class OperatorError(Exception):
    """Something that the operator can act on."""

    exit_code = FAILED

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class WrongUsage(OperatorError):
    """An argument or option that is not valid."""

    exit_code = USAGE


class NotThere(OperatorError):
    """A stack, audience, member or authorization does not exist."""

    exit_code = NOT_THERE


class NotConfirmed(OperatorError):
    """The operator answered no, or there is no terminal to ask at."""

    exit_code = NOT_CONFIRMED


class TryLater(OperatorError):
    """A service does not answer at the moment."""

    exit_code = TRY_LATER


class AlreadyReported(Exception):
    """The screen has shown what is wrong; only the exit code is left to set."""

    exit_code = FAILED
