"""Secrets Manager in memory."""

from typing import Any

from tests.soak.aws_errors import errors_of
from tests.soak.calls import Call, make


class SecretsManagerClient:
    """boto3's client, as far as the functions use it."""

    def __init__(self, secrets: dict[str, str], timeout: float, attempts: int) -> None:
        """`secrets` by ARN."""
        self._secrets = secrets
        self._timeout = timeout
        self._attempts = attempts

    def get_secret_value(self, *, SecretId: str) -> Any:  # noqa: N803 - boto3's names
        """Read a secret."""
        return self._call("GetSecretValue", SecretId, lambda: {"SecretString": self._secrets[SecretId]})

    def put_secret_value(self, *, SecretId: str, SecretString: str) -> Any:  # noqa: N803
        """Write a secret."""

        def act() -> Any:
            self._secrets[SecretId] = SecretString
            return {}

        return self._call("PutSecretValue", SecretId, act)

    def _call(self, operation: str, secret: str, act: Any) -> Any:
        error = errors_of(operation, "ThrottlingException")
        return make(Call("secretsmanager", operation, secret, act, error, self._timeout, self._attempts))
