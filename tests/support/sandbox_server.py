"""Runs the sandbox on a free port, in a thread with a loop of its own, under a clock that tests move."""

import contextlib
from collections.abc import Iterator
from typing import Any

import requests

from local.amazon.app import build_app
from local.amazon.sandbox import Options
from tests.support.builders import sha256
from tests.support.doubles.clocks import ManualClock
from tests.support.servers import serve

CLIENT_ID = "amzn1.application-oa2-client.sandbox"
CLIENT_SECRET = "a secret of the sandbox"
REFRESH_TOKEN = "Atzr|of-the-sandbox"
AUDIENCES = "application/vnd.amcaudiences.v1+json"
CONNECTIONS = "application/vnd.amcaudiencesconnections.v1+json"
MANAGER_ACCOUNT = "amzn1.ads1.ma1.sandbox"
DATA_MANAGER_MEDIA = {  # by a part of the path
    "/members": "application/vnd.admAudiences.v1+json",
    "datarooms/metadata": "application/vnd.admmetrics.v1+json",
    "datasets/list": "application/vnd.admmetrics.v1+json",
    "/metrics": "application/vnd.admmetrics.v1+json",
    "identities": "application/vnd.admDataDeletion.v1+json",
}
JOB_DELAY = 4.0  # seconds on the test's clock; sweeps are one second apart


class Amazon:
    """What a test says to the sandbox, always over HTTP."""

    def __init__(self, url: str, clock: ManualClock) -> None:
        self.url = url
        self.clock = clock
        self.session = requests.Session()
        self.session.trust_env = False
        self.token = ""

    def login(self, **fields: str) -> requests.Response:
        form = {"grant_type": "refresh_token", "refresh_token": REFRESH_TOKEN}
        form |= {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET} | fields
        return self.session.post(f"{self.url}/auth/o2/token", data=form, timeout=5)

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> requests.Response:
        """Send a proper request; `headers` replace proper ones, and None leaves one out."""
        media = CONNECTIONS if "/connections" in path else AUDIENCES
        media = "application/json" if path.startswith("/v2/") else media
        headers: dict[str, Any] = {"Accept": media, "Amazon-Advertising-API-ClientId": CLIENT_ID}
        headers |= {"Authorization": f"Bearer {self.token}"} | ({"Content-Type": media} if body is not None else {})
        headers |= options.pop("headers", {})
        content = {"data": body} if isinstance(body, bytes | str) else {"json": body}
        options.setdefault("timeout", 5)
        options.setdefault("allow_redirects", False)
        return self.session.request(method, self.url + path, headers=headers, **content, **options)

    def adm(self, method: str, path: str, body: Any = None, **options: Any) -> requests.Response:
        """Send a proper request to Ads Data Manager, as its one manager account."""
        media = next((media for part, media in DATA_MANAGER_MEDIA.items() if part in path), "application/json")
        headers: dict[str, Any] = {"Accept": media, "Amazon-Ads-Manager-Account-ID": MANAGER_ACCOUNT}
        headers |= {"Content-Type": media if body is not None else None} | options.pop("headers", {})
        return self.call(method, f"/adm/{path}", body, headers=headers, **options)

    def create_audience(self, **changed: Any) -> int:
        answer = self.call("POST", "/amc/audiences/metadata", new_audience(**changed))
        assert answer.status_code == 201, answer.text
        return int(answer.json()["audienceId"])

    def send(self, audience_id: int, *records: dict[str, Any], **options: Any) -> requests.Response:
        return self.call(
            "POST", "/amc/audiences/records", {"audienceId": audience_id, "records": list(records)}, **options
        )

    def job(self, job_id: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.call("GET", f"/amc/audiences/records/{job_id}").json()
        return answer

    def shown(self, path: str) -> Any:
        return self.session.get(f"{self.url}/sandbox/{path}", timeout=5).json()

    def members(self, audience_id: int | str) -> dict[str, Any]:
        members: dict[str, Any] = self.shown(f"audiences/{audience_id}")["members"]
        return members

    def faults(self, *rules: dict[str, Any]) -> None:
        self.session.put(f"{self.url}/sandbox/faults", json=list(rules), timeout=5).raise_for_status()

    def settle(self) -> None:
        """Let every job end that was received so far."""
        self.clock.sleep(2 * JOB_DELAY)


def new_audience(**changed: Any) -> dict[str, Any]:
    return {
        "name": "Lapsed buyers",
        "description": "",
        "targetResource": {"advertiserId": 590071284455661235},
        "metadata": {"externalAudienceId": "lapsed"},
        "countryCode": "US",
    } | changed


def member(user: str, action: str = "CREATE", *identities: dict[str, str], **changed: Any) -> dict[str, Any]:
    pii = list(identities) or [{"email": sha256(user)}]
    return {"externalUserId": user, "action": action, "hashedPII": pii} | changed


@contextlib.contextmanager
def sandbox(options: Options | None = None, *, job_delay: float = JOB_DELAY, seed: int = 0) -> Iterator[Amazon]:
    """Start a sandbox, log in, and end it."""
    clock = ManualClock(1_800_000_000.0)
    app = build_app(
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        refresh_token=REFRESH_TOKEN,
        job_delay=job_delay,
        seed=seed,
        clock=clock,
        options=options or Options(),
    )
    with serve(lambda: app) as served:
        amazon = Amazon(served.url, clock)
        with amazon.session:
            amazon.token = amazon.login().json()["access_token"]
            yield amazon
