"""The state behind the sandbox's API, and the effects of accepted requests."""

from collections.abc import Callable
from typing import Any

from local.amazon.audiences import Audience, AudienceIds
from local.amazon.connections import Connections
from local.amazon.data_manager.state import DataManager
from local.amazon.faults import Effect, Faults
from local.amazon.jobs import Jobs, Scheduler
from local.amazon.ledger import Actions, Ledger, Requests
from local.amazon.lwa import Login
from local.amazon.options import Options
from local.amazon.recipes import RECIPES
from local.amazon.records import ReceivedUpload
from local.amazon.refusals import Refusal

__all__ = ["Options", "Sandbox"]


class Sandbox:
    """Amazon's state. Used by one asyncio loop; never waits."""

    def __init__(
        self, login: Login, *, job_delay: float, seed: int, clock: Callable[[], float], options: Options
    ) -> None:
        self.login = login
        self.clock = clock
        self.options = options
        self._job_delay = job_delay
        self._seed = seed
        self._seeded: dict[int, dict[str, Any]] = {}
        self.reset()

    def seed(self, audience_id: int, body: dict[str, Any]) -> None:
        """Add an initial audience with a given id. A reset empties it but keeps it."""
        self._seeded[audience_id] = body
        self.audiences[audience_id] = self._audience(audience_id, body)

    def reset(self) -> None:
        """Reset everything except seeded audiences, authorizations and tokens, so that clients stay connected."""
        options, seed = self.options, self._seed
        self.audiences: dict[int, Audience] = {}
        self._scheduler = Scheduler()
        self.jobs = Jobs(self._scheduler, self.audiences, delay=self._job_delay, seed=seed)
        self.connections = Connections(seed=seed, client_id=self.login.client_id)
        self.requests = Requests()
        self.ledger = Ledger()
        self.data_manager = DataManager(self._scheduler, self.ledger, options, delay=self._job_delay, seed=seed)
        self.faults = Faults(seed)
        self.login.restore()
        self._ids = AudienceIds(seed)
        self.audiences |= {known: self._audience(known, body) for known, body in self._seeded.items()}

    def now(self) -> float:
        """Finish due jobs, and return the time in epoch seconds."""
        time = self.clock()
        self._scheduler.run_due(time)
        return time

    @property
    def has_uploads_without_effect(self) -> bool:
        """Whether an accepted upload may still change members."""
        return bool(self.jobs.pending) or any(dataset.pending for dataset, _ in self.data_manager.datasets())

    def set_recipe(self, name: str) -> None:
        """Replace the active rules with a recipe's; none for `off`. Raises Refusal."""
        recipe = next((each for each in RECIPES if each.name == name), None)
        if recipe is None and name != "off":
            raise Refusal(f"no such recipe; there are {', '.join(each.name for each in RECIPES)} and off")
        self.faults.replace(list(recipe.rules) if recipe else [])
        if recipe and recipe.revokes:
            self.login.revoke()
        else:
            self.login.restore()
        self.data_manager.withhold(recipe.withholds if recipe else "", self.now())

    def recipes(self) -> list[dict[str, Any]]:
        """Return all recipes, and the active one."""
        now = (self.faults.written, self.login.is_revoked, self.data_manager.withheld)
        return [
            {name: getattr(each, name) for name in ("name", "does", "reason", "runbook")}
            | {"active": (list(each.rules), each.revokes, each.withholds) == now}
            for each in RECIPES
        ]

    def create_audience(self, body: dict[str, Any], request: int) -> Audience:
        """Create an audience from a checked body. Raises Refusal.

        It is not documented whether Amazon rejects a second one with the same external id: it is created and recorded.
        """
        target = body["targetResource"]
        connection_id = target.get("connectionId")
        if connection_id is not None and self.connections.get(connection_id) is None:
            raise Refusal("targetResource.connectionId is not a known connection")
        external_id = body["metadata"]["externalAudienceId"]
        if any(known.metadata["externalAudienceId"] == external_id for known in self.audiences.values()):
            self.ledger.violate("external_audience_id_twice", request)
        audience = self._audience(self._ids.next(), body)
        self.audiences[audience.audience_id] = audience
        return audience

    def _audience(self, audience_id: int, body: dict[str, Any]) -> Audience:
        target = body["targetResource"]
        return Audience(
            audience_id,
            body["name"],
            body["description"],
            body.get("countryCode"),
            target.get("advertiserId"),
            target.get("connectionId"),
            dict(body["metadata"]),
            self.options.match_share,
        )

    def audience(self, digits: str) -> Audience:
        """Find an audience. Raises Refusal: 400 if the id is not a number, 404 if it does not exist."""
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 20):
            raise Refusal("audienceId: STRING_VALUE can not be converted to a Long")
        found = self.audiences.get(int(digits))
        if found is None:
            raise Refusal("Audience not found", status=404)
        return found

    def receive(self, upload: ReceivedUpload, request: int, effect: Effect) -> str:
        """Queue an upload, now or later, and return the id of its job. Raises Refusal."""
        self._check_target(upload, request)
        job_id = self.jobs.new_id()
        if effect.apply_late is None:
            self._queue(upload, job_id, request, effect, self.clock())
        else:
            due = self.clock() + effect.apply_late
            self._scheduler.at(due, float("-inf"), lambda now: self._queue(upload, job_id, request, effect, now))
        return job_id

    def _queue(self, upload: ReceivedUpload, job_id: str, request: int, effect: Effect, now: float) -> None:
        self.ledger.add(request, now, upload.audience_id, job_id, upload.records)
        audience_id = str(upload.audience_id)
        earlier = [job for job in self.jobs.pending.values() if job.upload.audience_id == upload.audience_id]
        self.jobs.submit(job_id, upload, effect.job, now)
        self.ledger.note_conflicts(
            request, audience_id, upload.records, [Actions(job.creates, job.deletes) for job in earlier]
        )

    def _check_target(self, upload: ReceivedUpload, request: int) -> None:
        audience = self.audiences.get(upload.audience_id)
        if upload.connection_id is not None and self.connections.get(upload.connection_id) is None:
            raise Refusal("targetResource.connectionId is not a known connection")
        if audience is None:
            return  # Amazon accepts the upload; its job fails
        if audience.connection_id is None:
            if upload.connection_id is not None:
                raise Refusal("targetResource: the audience belongs to an advertiser, not to a connection")
            return
        if upload.connection_id is None:
            self.ledger.violate("default_connection", request, audienceId=str(upload.audience_id))
        connection = self.connections.get(upload.connection_id)
        if connection is None or connection["connectionId"] != audience.connection_id:
            raise Refusal("targetResource.connectionId is not the connection of the audience")
        if upload.to_dsp and not connection.get("dspAdvertiserId"):
            raise Refusal("targetResource.targetTypes: the connection has no DSP advertiser")
        if connection.get("amcInstanceId") and not self.connections.terms_accepted:
            raise Refusal("AMC terms have not been accepted by the authorizing user", status=403)
