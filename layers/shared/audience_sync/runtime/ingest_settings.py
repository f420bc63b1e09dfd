"""The environment of `ingest`, read once by its handler. The other functions' are in settings.py.

Read by hand, not by a pydantic model: Segment waits for ingest to start, and loading pydantic would make the start a
third longer (docs/development/performance.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from audience_sync.access.sources import AllowedSources
from audience_sync.amazon_ads.consent import ConsentPolicy
from audience_sync.errors import InvalidSettings
from audience_sync.ingest.record_rules import MAX_ENTER_AGE

# The values that the template allows.
_FLAGS = {"yes": True, "no": False}
_POLICIES: dict[str, ConsentPolicy] = {"require": "require", "pass": "pass"}


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """Settings of `ingest`."""

    ingest_secret_arn: str
    audience_table: str
    change_queue_url: str
    accept_first_event_signature: bool
    consent_policy: ConsentPolicy
    literal_email: bool
    max_enter_age: int | None  # milliseconds
    keeps_rows: bool
    allowed_sources: AllowedSources

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> Self:
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

        keeps_rows = choice("ORDERING_GUARD", _FLAGS, default=True)
        accepts_old = choice("ACCEPT_OLD_EVENTS", _FLAGS, default=False)
        settings = cls(
            ingest_secret_arn=text("INGEST_SECRET_ARN"),
            audience_table=text("AUDIENCE_TABLE"),
            change_queue_url=text("CHANGE_QUEUE_URL"),
            accept_first_event_signature=choice("ACCEPT_FIRST_EVENT_SIGNATURE", _FLAGS, default=False),
            consent_policy=choice("CONSENT_POLICY", _POLICIES, default="require"),
            literal_email=choice("LITERAL_EMAIL", _FLAGS, default=False),
            # Without rows, exits are not remembered, whatever the age of the addition.
            max_enter_age=MAX_ENTER_AGE if keeps_rows and not accepts_old else None,
            keeps_rows=keeps_rows,
            allowed_sources=sources("ALLOWED_SOURCES"),
        )
        if invalid:
            raise InvalidSettings(f"missing or invalid in the environment: {', '.join(sorted(invalid))}")
        return settings
