"""The addresses allowed to send requests, if the operator limits them."""

from typing import TYPE_CHECKING

from audience_sync.errors import SourceNotAllowed

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network


class AllowedSources:
    """Addresses and networks; an empty list allows every address."""

    def __init__(self, listed: str = "") -> None:
        """Read addresses, or networks in CIDR notation, separated by commas. Raises ValueError."""
        self._networks: list[IPv4Network | IPv6Network] = []
        if listed.strip():
            import ipaddress  # noqa: PLC0415  most stacks list none, and Segment waits for ingest to start

            # Bits behind the prefix are ignored: refusing every request because of them would help no one.
            self._networks = [ipaddress.ip_network(each.strip(), strict=False) for each in listed.split(",")]

    def require(self, source: str) -> None:
        """Raise SourceNotAllowed unless the address, as API Gateway names it, is allowed."""
        if self._networks and not self._includes(source):
            raise SourceNotAllowed("not an address that AllowedSources lists")

    def _includes(self, source: str) -> bool:
        import ipaddress  # noqa: PLC0415

        try:
            address = ipaddress.ip_address(source)
        except ValueError:
            return False
        return any(address in network for network in self._networks)
