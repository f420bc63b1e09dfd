"""The sizes of audiences over time, as the page of the local stack shows them."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from local.amazon.app import build_app
from local.amazon.exchange import SANDBOX
from local.status.sizes import KEPT, SizeHistory

if TYPE_CHECKING:
    from local.amazon.sandbox import Sandbox


class Audience:
    """An audience of the sandbox whose sizes the test sets."""

    audience_id, name = 418, "VIP"

    def __init__(self) -> None:
        self.received, self.matched = -1, -1  # not known yet

    def sizes(self, _: float) -> dict[str, int]:
        return {"receivedRecordSize": self.received, "idResolutionCount": self.matched}


def history(audience: Audience) -> SizeHistory:
    no_datasets = SimpleNamespace(datasets=list)
    sandbox = SimpleNamespace(audiences={audience.audience_id: audience}, data_manager=no_datasets)
    return SizeHistory(cast("Sandbox", sandbox))


def test_sizes_and_match_rates_are_those_of_each_moment() -> None:
    audience = Audience()
    sizes = history(audience)
    sizes.note(1)
    audience.received, audience.matched = 200, 140
    sizes.note(2)
    audience.received, audience.matched = 400, 300
    (shown,) = sizes.audiences(3)
    assert (shown.size, shown.match_rate) == (400, 75.0)
    assert shown.sizes == ((1, 0), (2, 200), (3, 400))
    assert shown.match_rates == ((2, 70.0), (3, 75.0))


def test_an_audience_without_members_has_no_match_rate() -> None:
    (shown,) = history(Audience()).audiences(1)
    assert (shown.size, shown.match_rate, shown.match_rates) == (0, None, ())


def test_a_constant_size_is_stored_as_two_points() -> None:
    audience = Audience()
    sizes = history(audience)
    for moment in range(1000):
        sizes.note(moment)
    assert sizes.audiences(1000)[0].sizes == ((0, 0), (1000, 0))


def test_the_size_history_is_bounded_and_reaches_back_to_the_start() -> None:
    audience = Audience()
    sizes = history(audience)
    for moment in range(5 * KEPT):
        audience.received = audience.matched = moment
        sizes.note(moment)
    points: Any = sizes.audiences(5 * KEPT)[0].sizes
    assert len(points) <= KEPT + 1
    assert (points[0][0], points[-1][0]) == (0, 5 * KEPT)
    assert list(points) == sorted(points)


def test_a_dataset_has_a_size_a_match_rate_and_shares() -> None:
    sandbox = build_app(client_id="c", client_secret="s", refresh_token="r", job_delay=0.0)[SANDBOX]
    manager = sandbox.data_manager
    account = manager.account("Amazon-Ads-Manager-Account-ID", "m", 0)
    dataset = manager.create_dataset(account, {"name": "lapsed-buyers", "countryCode": "DE"}, 0)
    for member, matched in (("m1", True), ("m2", False)):
        dataset.members.add(member, (), 0, matched=matched, request=1)
    wanted = {"dataSetId": dataset.dataset_id, "application": "DSP_AUDIENCES", "destinationAccountId": "ENTITY1"}
    rule = manager.create_rule(
        account, wanted | {"metadata": {"audienceMetadata": {"audienceName": "Lapsed buyers"}}}, 0, 1
    )
    rule.set_status("REVOKED_BY_SHARING_GRANT", 5.0)
    (shown,) = SizeHistory(sandbox).audiences(9)
    assert (shown.name, shown.size, shown.match_rate) == ("Lapsed buyers", 2, 50.0)
    (share,) = shown.shares
    assert (share.account, share.state) == ("DSP advertiser ENTITY1", "revoked by sharing grant")
    assert (share.is_revoked, share.revoked_at) == (True, 5.0)
