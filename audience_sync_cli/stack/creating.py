"""Creates audiences as the audiences function does, on each of Amazon's APIs."""

from typing import Any
from uuid import uuid4

from audience_sync.audiences.creation import Audiences
from audience_sync.audiences.dataset_creation import Datasets
from audience_sync.aws.creation_locks import CreationLocks
from audience_sync.clock import Clock
from audience_sync_cli.frame.session import Session


def audiences_of(session: Session, prefix: str = "") -> Audiences:
    """Build the use case. A move keeps names, without a prefix."""
    stack = session.stack
    clock = Clock(session.now)
    ceiling = int(stack.parameters.get("MaxCpmCents", 0))
    options: dict[str, Any] = {"max_cpm_cents": ceiling, "limits": None, "name_prefix": prefix}
    return Audiences(session.audiences, creation_locks(session), session.amazon, clock, **options)


def datasets_of(session: Session, prefix: str = "") -> Datasets:
    """Build the use case. Raises NotThere if the stack names no account."""
    locks, clock = creation_locks(session), Clock(session.now)
    return Datasets(session.audiences, locks, session.data_manager, clock, limits=None, name_prefix=prefix)


def name_prefix(session: Session) -> str:
    """Return what the stack puts before the names of new audiences."""
    return session.stack.parameters.get("AudienceNamePrefix", "")


def creation_locks(session: Session) -> CreationLocks:
    """Return the locks that prevent creating an audience twice."""
    return CreationLocks(session.stack.service("dynamodb"), session.stack["AudienceTable"], lambda: uuid4().hex)
