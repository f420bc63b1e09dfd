"""The environment of every function except ingest (see ingest_settings.py), read once by its handler.

No other module knows the names of the variables.
"""

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from audience_sync.access.sources import AllowedSources
from audience_sync.amazon_ads.data_manager.accounts import Account
from audience_sync.amazon_ads.regions import HOSTS, Hosts, Region
from audience_sync.amazon_ads.timings import Timings
from audience_sync.errors import InvalidSettings
from audience_sync.members.member_state import LONGEST_JOB


class _Settings(BaseModel):
    # Each function reads one of these models: defer_build avoids building the others.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, defer_build=True)

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> Self:
        """Read this function's variables.

        Raises:
            InvalidSettings: names the variables at fault, never their values.
        """
        try:
            return cls.model_validate(dict(environment))
        except ValidationError as error:
            names = sorted({str(fault["loc"][0]) for fault in error.errors(include_input=False, include_url=False)})
            raise InvalidSettings(f"missing or invalid in the environment: {', '.join(names)}") from None


class AmazonSettings(_Settings):
    """Settings of every function that calls Amazon."""

    credentials_secret_arn: str = Field(alias="CREDENTIALS_SECRET_ARN", min_length=1)
    token_secret_arn: str = Field(alias="TOKEN_SECRET_ARN", min_length=1)
    region: Region = Field(alias="AMAZON_REGION")
    # The sandbox of a local stack or a rehearsal. The template sets neither, and no request can.
    api_url: str | None = Field(None, alias="AMAZON_API_URL")
    login_url: str | None = Field(None, alias="AMAZON_LOGIN_URL")

    @property
    def hosts(self) -> Hosts:
        """The hosts of this region's API and login."""
        known = HOSTS[self.region]
        return known._replace(api=self.api_url or known.api, login=self.login_url or known.login)


class DataManagerSettings(AmazonSettings):
    """Settings of a function that calls Ads Data Manager."""

    account_id: str = Field("", alias="DATA_MANAGER_ACCOUNT_ID")

    @property
    def account(self) -> Account | None:
        """The account that owns the datasets, None without one. Raises InvalidSettings."""
        return Account.from_parameter(self.account_id)


class TimingSettings(_Settings):
    """Settings of a function that knows how long Amazon may take with an upload."""

    job_seconds: float = Field(900, alias="JOB_SECONDS", ge=0, le=900)  # the longest SQS delay
    data_manager_seconds: float = Field(7200, alias="DATA_MANAGER_SECONDS", ge=0)
    # Shorter on one machine only; the template sets neither.
    late_seconds: float = Field(120, alias="LATE_SECONDS", ge=0)  # for an invocation and a late arrival
    longest_job_seconds: float = Field(LONGEST_JOB, alias="LONGEST_JOB_SECONDS", ge=0)

    @property
    def timings(self) -> Timings:
        """The time that Amazon may take with an upload."""
        return Timings(self.job_seconds, self.data_manager_seconds, self.late_seconds, self.longest_job_seconds)


class MembershipSettings(_Settings):
    """Settings of a function that knows the members of audiences."""

    audience_table: str = Field(alias="AUDIENCE_TABLE", min_length=1)
    membership_table: str = Field(alias="MEMBERSHIP_TABLE", min_length=1)


class WorkerSettings(DataManagerSettings, TimingSettings, MembershipSettings):
    """Settings of `worker`."""

    change_queue_url: str = Field(alias="CHANGE_QUEUE_URL", min_length=1)
    dead_letter_queue_url: str = Field(alias="DEAD_LETTER_QUEUE_URL", min_length=1)
    job_queue_url: str = Field(alias="JOB_QUEUE_URL", min_length=1)
    # Shorter on one machine only; the template sets none of them.
    settle_seconds: float = Field(60, alias="SETTLE_SECONDS", ge=0)
    circuit_seconds: float = Field(60, alias="CIRCUIT_SECONDS", ge=1)  # until one worker tries Amazon again


class JobsSettings(DataManagerSettings, TimingSettings, MembershipSettings):
    """Settings of `jobs`."""

    job_queue_url: str = Field(alias="JOB_QUEUE_URL", min_length=1)
    dead_letter_queue_url: str = Field(alias="DEAD_LETTER_QUEUE_URL", min_length=1)
    change_queue_url: str = Field(alias="CHANGE_QUEUE_URL", min_length=1)


class AudiencesSettings(DataManagerSettings):
    """Settings of `audiences`."""

    ingest_secret_arn: str = Field(alias="INGEST_SECRET_ARN", min_length=1)
    audience_table: str = Field(alias="AUDIENCE_TABLE", min_length=1)
    max_cpm_cents: int = Field(0, alias="MAX_CPM_CENTS", ge=0)
    audience_name_prefix: str = Field("", alias="AUDIENCE_NAME_PREFIX", max_length=64)
    # Of advertisers and connections, separated by commas; empty allows any target.
    allowed_targets: frozenset[str] = Field(frozenset(), alias="ALLOWED_TARGETS")
    allowed_sources: str = Field("", alias="ALLOWED_SOURCES")

    @field_validator("allowed_sources")
    @classmethod
    def _check(cls, listed: str) -> str:
        AllowedSources(listed)
        return listed

    @field_validator("allowed_targets", mode="before")
    @classmethod
    def _split(cls, listed: str) -> frozenset[str]:
        return frozenset(each.strip() for each in listed.split(",") if each.strip())


class AuditSettings(TimingSettings, MembershipSettings):
    """Settings of `audit`."""

    stack: str = Field(alias="POWERTOOLS_SERVICE_NAME", min_length=1)  # the dimension `service` of our metrics
    change_queue_name: str = Field(alias="CHANGE_QUEUE_NAME", min_length=1)
    worker_function: str = Field(alias="WORKER_FUNCTION", min_length=1)
    job_queue_url: str = Field(alias="JOB_QUEUE_URL", min_length=1)
    findings_alarm: str = Field(alias="FINDINGS_ALARM", min_length=1)  # the alarm's name
    refresh_function: str = Field(alias="REFRESH_FUNCTION", min_length=1)
    reads_datasets: bool = Field(False, alias="READS_DATASETS")
    shrink_percent: float = Field(40, alias="SHRINK_PERCENT", ge=1, le=100)


class RenewSettings(MembershipSettings):
    """Settings of `renew`."""

    change_queue_url: str = Field(alias="CHANGE_QUEUE_URL", min_length=1)


class DatasetsSettings(DataManagerSettings):
    """Settings of `datasets`."""

    audience_table: str = Field(alias="AUDIENCE_TABLE", min_length=1)
    membership_table: str = Field(alias="MEMBERSHIP_TABLE", min_length=1)


class RefreshSettings(AmazonSettings):
    """Settings of `refresh`."""
