"""Versions of the stack and of this command."""

from importlib.metadata import version

from audience_sync_cli.session import Session


def own_version() -> str:
    """Return the version of this command, as it was installed."""
    return version("audience-sync")


def warn_of_another_version(session: Session) -> None:
    """Warn if the stack's version differs from this command's.

    Local stacks have no version, nor have stacks deployed before the template stated one.
    """
    deployed, own = session.stack.version, own_version()
    if deployed is not None and deployed != own:
        session.screen.note(
            f"The stack is version {deployed}, this command is version {own}: their stored formats may differ. "
            f"Deploy version {own}, or use the command of version {deployed}.",
            style="yellow",
        )
