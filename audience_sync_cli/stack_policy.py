"""The choices of the stack that shape records: what the command makes of an event or a row is what the stack makes."""

from audience_sync.translation import Policy
from audience_sync_cli.session import Session


def stack_policy(session: Session) -> Policy:
    """Return the consent and hashing options of the stack."""
    parameters = session.stack.parameters
    return Policy(
        consent="pass" if parameters.get("ConsentPolicy") == "pass" else "require",
        literal_email=parameters.get("LiteralEmail") == "yes",
    )
