"""The environment of `ingest` and `events`, read once by their handlers. The other functions' are in settings.py.

Read by hand, not by a pydantic model: Segment waits for ingest to start, and loading pydantic would make it longer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from audience_sync.access.sources import AllowedSources
from audience_sync.amazon_ads.consent import ConsentPolicy
from audience_sync.errors import InvalidSettings
from audience_sync.ingest.record_rules import MAX_ENTER_AGE, Policy

# The values that the template allows.
_FLAGS = {"yes": True, "no": False}
_POLICIES: dict[str, ConsentPolicy] = {"require": "require", "pass": "pass"}


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """Settings of `ingest`, and of `events`, which reads the same from a queue."""

    ingest_secret_arn: str  # empty at the queue: its senders have no key
    event_dead_letter_queue_url: str  # empty at the HTTP API
    audience_table: str
    change_queue_url: str
    policy: Policy
    allowed_sources: AllowedSources

    @classmethod
    def from_env(cls, environment: Mapping[str, str], *, from_queue: bool = False) -> Self:
        """Read this function's variables.

        Raises:
            InvalidSettings: names the variables at fault, never their values.
        """
        invalid: list[str] = []

        def text(name: str) -> str:
            value = environment.get(name, "")
            if not value:
                invalid.append(name)
            return value

        def choice[T](name: str, values: Mapping[str, T], default: T) -> T:
            value = environment.get(name)
            if value is None:
                return default
            if value not in values:
                invalid.append(name)
            return values.get(value, default)

        def sources(name: str) -> AllowedSources:
            try:
                return AllowedSources(environment.get(name, ""))
            except ValueError:
                invalid.append(name)
                return AllowedSources()

        accepts_old = choice("ACCEPT_OLD_EVENTS", _FLAGS, default=False)
        settings = cls(
            ingest_secret_arn="" if from_queue else text("INGEST_SECRET_ARN"),
            event_dead_letter_queue_url=text("EVENT_DEAD_LETTER_QUEUE_URL") if from_queue else "",
            audience_table=text("AUDIENCE_TABLE"),
            change_queue_url=text("CHANGE_QUEUE_URL"),
            policy=Policy(
                choice("CONSENT_POLICY", _POLICIES, default="require"),
                None if accepts_old else MAX_ENTER_AGE,
                needs_time=from_queue,
            ),
            allowed_sources=sources("ALLOWED_SOURCES"),
        )
        if invalid:
            raise InvalidSettings(f"missing or invalid in the environment: {', '.join(sorted(invalid))}")
        return settings
