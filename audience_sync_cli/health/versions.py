"""Which version a stack is of, and which this command."""

from importlib.metadata import version

from audience_sync_cli.session import Session


def own_version() -> str:
    """Return the version of this command, as it was installed."""
    return version("audience-sync")


def warn_of_another_version(session: Session) -> None:
    """Note where the stack is of another version than this command, and what to do.

    A local stack has no version, nor has a stack that was deployed before the template stated one.
    """
    deployed, own = session.stack.version, own_version()
    if deployed is not None and deployed != own:
        session.screen.note(
            f"The stack is version {deployed}, this command is version {own}: what they store may differ. "
            f"Deploy version {own}, or use the command of version {deployed}.",
            style="yellow",
        )
