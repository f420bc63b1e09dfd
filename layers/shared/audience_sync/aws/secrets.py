"""Secrets Manager: JSON secrets, cached in memory for a while."""

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from audience_sync.aws.client_errors import unavailable
from audience_sync.errors import InvalidSettings, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

MAX_AGE = 60.0  # seconds for which a value is used without another read
RETRY_INTERVAL = 5.0  # seconds without a read after a failure, if an older value will do
FORCED_REFRESH_BURST = 10  # reads in a row before MAX_AGE, for callers who need a newer value; then one a second


class JsonSecret:
    """One secret that holds a JSON object. Keeps serving its last value while the store is down."""

    def __init__(self, client: "SecretsManagerClient", arn: str, monotonic: Callable[[], float]) -> None:
        self._client = client
        self._arn = arn
        self._monotonic = monotonic
        self._value: Mapping[str, Any] | None = None
        self._read_at = self._failed_at = float("-inf")
        self._is_failing = False  # the store, at the last attempt
        self._early_reads = float(FORCED_REFRESH_BURST)
        self._counted_at = monotonic()

    def value(self, *, max_age: float = MAX_AGE) -> Mapping[str, Any]:
        """Return the secret, at most `max_age` seconds old if the store answers.

        If a credential does not match, the caller requests a newer value, so that a rotated key works at once. Requests
        with wrong keys also cause such reads, so their rate is limited.

        Raises:
            Unavailable: the store does not answer, and nothing is cached or a newer value was requested.
            InvalidSettings: the secret is not a JSON object.
        """
        now = self._monotonic()
        age = now - self._read_at
        # Otherwise, every request of an outage would wait for the whole timeout of a hanging store.
        paused = now - self._failed_at < RETRY_INTERVAL
        if self._value is None or (not paused and (age > MAX_AGE or (age > max_age and self._may_read_early()))):
            self._read()
        # A caller that requests a newer value must not get the old one.
        if self._value is None or (self._is_failing and max_age < MAX_AGE and age > max_age):
            raise Unavailable("the secret store does not answer")
        return self._value

    def _may_read_early(self) -> bool:
        now = self._monotonic()
        self._early_reads = min(FORCED_REFRESH_BURST, self._early_reads + now - self._counted_at)
        self._counted_at = now
        if self._early_reads < 1:
            return False
        self._early_reads -= 1
        return True

    def write(self, value: Mapping[str, Any]) -> None:
        """Store a new version.

        Raises:
            Unavailable: the store did not accept it.
        """
        with unavailable("the secret store did not accept the value"):
            self._client.put_secret_value(SecretId=self._arn, SecretString=json.dumps(value))
        self._value, self._read_at, self._is_failing = dict(value), self._monotonic(), False

    def _read(self) -> None:
        try:
            with unavailable("the secret store does not answer"):
                text = self._client.get_secret_value(SecretId=self._arn).get("SecretString", "")
        except Unavailable:
            self._failed_at, self._is_failing = self._monotonic(), True
            if self._value is not None:
                return
            raise
        self._read_at, self._is_failing = self._monotonic(), False
        try:
            parsed = json.loads(text)
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict):
            self._value = None  # fails closed until it is repaired, not only on this call
            raise InvalidSettings("the secret is not a JSON object; write it again with audience-sync")
        self._value = parsed
