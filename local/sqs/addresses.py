"""How queues are named to the outside: URLs and ARNs."""

from dataclasses import dataclass

ACCOUNT = "123456789012"  # moto's, so that all ARNs of the local stack agree


@dataclass(frozen=True, slots=True)
class Addresses:
    """Spells queue names for one client. `base_url` is how it reached us, so that queue URLs lead back here."""

    region: str
    base_url: str

    def url(self, name: str) -> str:
        """A queue URL."""
        return f"{self.base_url}/{ACCOUNT}/{name}"

    def arn(self, name: str) -> str:
        """A queue ARN."""
        return f"arn:aws:sqs:{self.region}:{ACCOUNT}:{name}"
