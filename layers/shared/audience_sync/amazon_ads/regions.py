"""The hosts of each Amazon Ads region. Hosts come from this table, never from a request."""

from typing import Literal, NamedTuple

Region = Literal["NA", "EU", "FE"]


class Hosts(NamedTuple):
    """The hosts of one region's API and Login with Amazon."""

    api: str
    login: str
    consent: str


HOSTS: dict[Region, Hosts] = {
    "NA": Hosts(
        api="https://advertising-api.amazon.com",
        login="https://api.amazon.com/auth/o2/token",
        consent="https://www.amazon.com/ap/oa",
    ),
    "EU": Hosts(
        api="https://advertising-api-eu.amazon.com",
        login="https://api.amazon.co.uk/auth/o2/token",
        consent="https://eu.account.amazon.com/ap/oa",
    ),
    "FE": Hosts(
        api="https://advertising-api-fe.amazon.com",
        login="https://api.amazon.co.jp/auth/o2/token",
        consent="https://apac.account.amazon.com/ap/oa",
    ),
}
