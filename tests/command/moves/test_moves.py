"""Audiences moved between Amazon's APIs under live traffic, and ended: nobody is lost, nobody stays."""

from typing import Any

import pytest

from audience_sync.amazon_ads.destination import Api
from audience_sync_cli.audiences.creation import Settings, create
from audience_sync_cli.frame.times import HOUR
from audience_sync_cli.moves.ending import end
from audience_sync_cli.moves.move_plan import MoveOptions
from audience_sync_cli.moves.moving import move
from audience_sync_cli.stack.digest import digest
from audience_sync_cli.stack.options import NewTarget
from tests.command.moves.world import World
from tests.support.json_schema import faults

pytestmark = pytest.mark.usefixtures("connected")

SHARE, ADVERTISER = "advertiser=ENTITY1,marketplace=US", "590071284455661234"
TARGETS = {
    Api.AUDIENCES: NewTarget(ADVERTISER),
    Api.DATA_MANAGER: NewTarget(api=Api.DATA_MANAGER, share=[SHARE]),
}
OPTIONS = {Api.AUDIENCES: MoveOptions(advertiser=ADVERTISER), Api.DATA_MANAGER: MoveOptions(share=[SHARE])}


def other(api: Api) -> Api:
    return Api.AUDIENCES if api is Api.DATA_MANAGER else Api.DATA_MANAGER


def created(world: World, api: Api) -> str:
    made = world.deployment.json(create, "Big spenders", TARGETS[api], Settings(), country="DE", key="big")
    return str(made["audienceId"])


@pytest.mark.parametrize("api", Api, ids=lambda api: f"from {api}")
def test_an_audience_is_moved_and_ended_under_live_traffic(world: World, api: Api) -> None:
    source = created(world, api)
    for number in range(1, 9):
        world.event(source, f"m{number}", f"{number}@b.co")
    world.sleep(3 * HOUR)
    world.event(source, "m1", "1b@b.co")
    world.event(source, "m2", exits=True)
    world.sleep(3 * HOUR)
    began = world.now

    def later(seconds: float, member: str, *emails: str, **options: Any) -> None:
        world.script.append((began + seconds, lambda: world.event(source, member, *emails, **options)))

    later(5, "m3", exits=True)  # before ingest knows both audiences
    later(10, "new-1", "new-1@b.co")
    later(65, "m4", exits=True)  # known, and the members are on their way
    later(66, "m5", "5b@b.co")
    world.script.append((began + 68, lambda: world.notice("m6")))
    later(90, "new-2", "new-2@b.co")
    later(95, "m2", "2b@b.co")  # returns
    moved = world.json(move, source, OPTIONS[other(api)], to=other(api))
    target = moved["targetId"]
    world.sleep(3 * HOUR)
    world.event(source, "m7", exits=True)
    world.event(source, "new-3", "new-3@b.co")
    world.sleep(60 * HOUR)
    assert world.at_amazon(source) == world.at_amazon(target) == world.inside()

    began = world.now
    later(5, "new-4", "new-4@b.co")  # reaches both: unlinked, and not known yet
    later(8, "m8", exits=True)
    later(200, "new-5", "new-5@b.co")
    proof = world.json(end, source)
    world.event(source, "new-6", "new-6@b.co")
    world.sleep(60 * HOUR)
    assert world.at_amazon(source) == {}
    assert world.at_amazon(target) == world.inside()
    assert sorted(world.inside()) == ["m1", "m2", "m5", "new-1", "new-2", "new-3", "new-4", "new-5", "new-6"]
    assert world.rejected == []
    assert not world.rows.dead_letters.messages

    assert (proof["over"], proof["movedTo"], proof["notProven"]) == (True, target, [])
    assert proof["membersRemoved"] == 7
    assert proof["sum"].startswith(f"{sum(each['members'] for each in proof['uploads'])} members in uploads = 7 ")
    assert proof["digest"] == digest(proof)
    assert faults("audiences move", moved) == faults("audiences end", proof) == []
    if api is Api.AUDIENCES:
        assert world.deployment.session().amazon.read_audience(source).ttl == 0
    else:
        shares = list(world.deployment.session().data_manager.shares(source))
        assert [each.is_revoked for each in shares] == [True]
