"""Ingest starts with valid settings only, and its error names the variables at fault, never their values."""

import pytest

from audience_sync.errors import InvalidSettings, SourceNotAllowed
from audience_sync.ingest.record_rules import MAX_ENTER_AGE, Policy
from audience_sync.runtime.ingest_settings import IngestSettings

CHOICES = ("ACCEPT_OLD_EVENTS", "CONSENT_POLICY")
REQUIRED = {"INGEST_SECRET_ARN": "arn", "AUDIENCE_TABLE": "table", "CHANGE_QUEUE_URL": "url"}


def test_optional_variables_have_the_templates_defaults() -> None:
    settings = IngestSettings.from_env(REQUIRED)
    settings.allowed_sources.require("192.0.2.1")
    assert settings == IngestSettings(
        ingest_secret_arn="arn",
        event_dead_letter_queue_url="",
        audience_table="table",
        change_queue_url="url",
        policy=Policy("require", max_enter_age=MAX_ENTER_AGE),
        allowed_sources=settings.allowed_sources,
    )


def test_the_allowed_sources_are_read() -> None:
    sources = IngestSettings.from_env(REQUIRED | {"ALLOWED_SOURCES": "192.0.2.0/24"}).allowed_sources
    sources.require("192.0.2.1")
    with pytest.raises(SourceNotAllowed):
        sources.require("198.51.100.1")


@pytest.mark.parametrize(
    ("variable", "value", "field", "expected"),
    [
        pytest.param("CONSENT_POLICY", "require", "consent", "require", id="consent: require"),
        pytest.param("CONSENT_POLICY", "pass", "consent", "pass", id="consent: pass"),
        pytest.param("ACCEPT_OLD_EVENTS", "yes", "max_enter_age", None, id="old events: yes"),
        pytest.param("ACCEPT_OLD_EVENTS", "no", "max_enter_age", MAX_ENTER_AGE, id="old events: no"),
    ],
)
def test_every_value_allowed_by_the_template_is_read(variable: str, value: str, field: str, expected: object) -> None:
    settings = IngestSettings.from_env(REQUIRED | {variable: value})
    assert getattr(settings if hasattr(settings, field) else settings.policy, field) == expected


def test_the_event_queue_needs_a_dead_letter_queue_but_no_secret() -> None:
    at_queue = REQUIRED | {"EVENT_DEAD_LETTER_QUEUE_URL": "dead", "INGEST_SECRET_ARN": ""}
    assert IngestSettings.from_env(at_queue, from_queue=True).event_dead_letter_queue_url == "dead"
    with pytest.raises(InvalidSettings, match="EVENT_DEAD_LETTER_QUEUE_URL"):
        IngestSettings.from_env(REQUIRED, from_queue=True)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *((name, value) for name in CHOICES for value in ("", "perhaps")),
        *((name, "") for name in REQUIRED),
        ("ALLOWED_SOURCES", "example.com"),
    ],
)
def test_an_invalid_variable_is_named_without_its_value(variable: str, value: str) -> None:
    with pytest.raises(InvalidSettings) as raised:
        IngestSettings.from_env(REQUIRED | {variable: value})
    assert str(raised.value) == f"missing or invalid in the environment: {variable}"


def test_all_invalid_variables_are_named_at_once() -> None:
    with pytest.raises(InvalidSettings) as raised:
        IngestSettings.from_env({"AUDIENCE_TABLE": "table", "CONSENT_POLICY": "perhaps"})
    named = "CHANGE_QUEUE_URL, CONSENT_POLICY, INGEST_SECRET_ARN"
    assert str(raised.value) == f"missing or invalid in the environment: {named}"
