"""`audiences move` and `end`: what they refuse, ask and print, and what a repeated run finds."""

from dataclasses import replace
from typing import Any

import pytest

from audience_sync.amazon_ads.destination import Api, ads_data_manager
from audience_sync.aws.audience_table import AudienceTable
from audience_sync.aws.membership_table import MembershipTable
from audience_sync.members.membership import Audience, may_share_a_key
from audience_sync.runtime.metric_names import CHANGES_ACCEPTED, CHANGES_COMPLETED
from audience_sync_cli.audiences.creation import Settings, create
from audience_sync_cli.frame.errors import NotConfirmed, OperatorError, ReportedAsUnfinished, TryLater
from audience_sync_cli.frame.times import HOUR
from audience_sync_cli.moves import waiting
from audience_sync_cli.moves.end_plan import planned_end, take_off
from audience_sync_cli.moves.ending import end
from audience_sync_cli.moves.move_plan import MoveOptions
from audience_sync_cli.moves.moving import move
from audience_sync_cli.stack import change_sender, settling
from audience_sync_cli.stack.change_sender import ChangeSender
from audience_sync_cli.stack.options import NewTarget
from local.resources import MANAGER_ACCOUNT
from tests.command.conftest import Deployment, Printed
from tests.command.moves.world import World
from tests.support.aws_fixtures import AUDIENCE
from tests.support.worker_stack import GRANTED

pytestmark = pytest.mark.usefixtures("connected")

SHARE, ADVERTISER = "advertiser=ENTITY1,marketplace=US", "590071284455661234"
IN_DATASET, DRY = MoveOptions(share=[SHARE]), MoveOptions(share=[SHARE], dry_run=True)
MANAGER = {"DataManagerAccountId": MANAGER_ACCOUNT}
DATASET = replace(AUDIENCE, audience_id="dataset-1", destination=ads_data_manager(), computation_key=None)


def created(world: World, name: str = "Big spenders", *, renew: bool | None = None, **options: Any) -> str:
    options = {"country": "DE", "key": "big"} | options
    made = world.deployment.json(create, name, NewTarget(ADVERTISER), Settings(renew=renew), **options)
    return str(made["audienceId"])


def filled(world: World, members: int = 3, *, renew: bool | None = None) -> str:
    source = created(world, renew=renew)
    for number in range(1, members + 1):
        world.event(source, f"m{number}", f"{number}@b.co", consent=GRANTED if number > 1 else {})
    world.sleep(3 * HOUR)
    return source


@pytest.fixture
def source(world: World) -> str:
    """An audience of three members, the first of them without consent."""
    return filled(world)


@pytest.fixture
def target(world: World, source: str) -> str:
    """The dataset into which it was moved."""
    return moved(world, source)


def stored(world: World, audience_id: str) -> Audience:
    found = world.session().audiences.stored(audience_id)
    assert found is not None
    return found


def only_listed(world: World) -> tuple[str, bool, str | None]:
    (left,) = world.session().audiences.all()
    return left.audience_id, left.also, left.moved_to


def target_of(world: World, source: str) -> str:
    """Return the audience beside the one that moves."""
    (target,) = {each.audience_id for each in world.session().audiences.all()} - {source}
    return target


def moving(world: World, source: str, options: MoveOptions = IN_DATASET, **session: Any) -> Printed:
    """Move an audience into a dataset, and return what is printed."""
    return world.printed(move, source, options, to=Api.DATA_MANAGER, **session)


def moved(world: World, source: str, options: MoveOptions = IN_DATASET) -> str:
    """Move an audience into a dataset, and return its id."""
    return str(moving(world, source, options, as_json=True).json["targetId"])


def rows(world: World) -> list[Any]:
    return world.deployment.rows("AudienceTable")


def impossible(
    case: str, said: str, *listed: Audience, to: Api = Api.DATA_MANAGER, stack: dict[str, str] = MANAGER, **options: Any
) -> Any:
    """Return a move of AUDIENCE that is refused, of a stack with these parameters and listed audiences."""
    return pytest.param(stack, listed or (AUDIENCE,), options, to, said, id=case)


OTHER_DATASET, WITH_KEY = replace(DATASET, audience_id="dataset-2"), replace(DATASET, computation_key="other")
SAME_API = replace(AUDIENCE, audience_id="379909525712777677", computation_key=None)
MOVED, MOVED_BACK = replace(AUDIENCE, moved_to=DATASET.audience_id), replace(DATASET, moved_to=AUDIENCE.audience_id)


@pytest.mark.parametrize(
    ("parameters", "listed", "options", "to", "said"),
    [
        impossible("no account", "DataManagerAccountId", stack={}),
        impossible("the same API", "Use --to data-manager", to=Api.AUDIENCES),
        impossible("repeated by the key", "name dataset-1 instead of", AUDIENCE, MOVED_BACK, to=Api.AUDIENCES),
        impossible("no key", "--key KEY", replace(AUDIENCE, computation_key=None)),
        impossible("no country", "--country", replace(AUDIENCE, country=None)),
        impossible("an advertiser", "Use --share", advertiser=ADVERTISER),
        impossible("into, and new", "Leave out --share", AUDIENCE, DATASET, into=DATASET.audience_id, share=[SHARE]),
        impossible("into another key", "another computation key", AUDIENCE, WITH_KEY, into=DATASET.audience_id),
        impossible("into one of the same API", "not in data-manager", AUDIENCE, SAME_API, into=SAME_API.audience_id),
        impossible("moved already", "audiences end dataset-1", MOVED, DATASET, OTHER_DATASET, into="dataset-2"),
        impossible("back, while that is current", f"audiences end {AUDIENCE.audience_id}", MOVED_BACK, AUDIENCE),
    ],
)
def test_an_impossible_move_is_refused_with_a_remedy(
    deployment: Deployment, parameters: dict[str, str], listed: Any, options: dict[str, Any], to: Api, said: str
) -> None:
    deployment.stack.parameters = parameters
    for each in listed:
        deployment.list_audience(each)
    before = deployment.rows("AudienceTable")
    caught = deployment.refusal(OperatorError, move, AUDIENCE.audience_id, MoveOptions(**options), to=to, yes=True)
    assert said in f"{caught} {caught.remedy}"
    assert deployment.rows("AudienceTable") == before


def test_a_dry_run_counts_members_and_changes_nothing(world: World, source: str) -> None:
    before = rows(world)
    counts = moving(world, source, DRY, as_json=True).json
    assert (counts["members"], counts["leftOut"], counts["changes"]) == (3, {"consentMissing": 1}, 2)
    assert (counts["outcomes"]["toEnter"], counts["targetId"]) == (2, None)
    assert rows(world) == before
    assert not [*world.deployment.session().data_manager.datasets()], "nothing at Amazon either"
    assert not world.rows.queue.messages


@pytest.mark.parametrize(
    ("members", "said"), [(0, "No member is stored yet"), (1, "The new audience would have no members."), (2, "")]
)
def test_a_dry_run_warns_if_no_member_can_move(world: World, members: int, said: str) -> None:
    source = filled(world, members)  # the first of them without consent
    printed = moving(world, source, DRY)
    assert said in printed.err
    assert bool(said) is ("member" in printed.err)
    assert bool(members) is ("outcome" in printed.out)


def test_a_move_into_an_audience_that_nobody_can_enter_is_refused_before_the_question(world: World) -> None:
    source = filled(world, 1)  # without consent
    before = rows(world)
    with pytest.raises(OperatorError, match=r"All 1 member would stay out \(1 no consent\)"):
        moving(world, source)
    assert rows(world) == before


def test_a_move_names_the_changes_that_it_sends_by_kind(world: World, source: str) -> None:
    world.event(source, "m2", exits=True)
    world.sleep(60)
    said = moving(world, source).out
    assert "2 changes sent to the change queue (1 enter, 1 exit);" in " ".join(said.split())


def test_the_question_has_the_counts_and_declining_changes_nothing(world: World) -> None:
    world.deployment.stack.parameters = {"DataManagerAccountId": "ENTITY9"}
    source, before = filled(world), rows(world)
    world.deployment.answers.append("n")
    shown = moving(world, source, yes=False, raises=NotConfirmed).out
    assert "no consent" in shown
    assert "deletes nobody" in world.deployment.questions[-1]
    assert rows(world) == before


def test_a_repeated_move_sends_only_what_is_missing(world: World, source: str) -> None:
    first = moving(world, source, as_json=True).json
    world.sleep(3 * HOUR)
    again = moving(world, source, MoveOptions(), as_json=True).json
    assert (first["changes"], again["changes"]) == (2, 0)
    assert first["targetId"] == again["targetId"]
    main, old = stored(world, again["targetId"]), stored(world, source)
    assert (main.also, old.also, old.moved_to) == (False, True, main.audience_id)
    assert (main.name, main.country, main.computation_key) == (old.name, old.country, "big")


def test_ending_the_new_audience_takes_the_move_back(world: World, source: str, target: str) -> None:
    world.sleep(3 * HOUR)
    world.deployment.answers.append("y")
    end(world.session(yes=False), target)
    assert "The move is taken back" in world.deployment.questions[-1]
    old = stored(world, source)
    assert (old.also, old.moved_to) == (False, None)
    world.event(target, "late", "late@b.co")
    world.sleep(60 * HOUR)
    assert world.at_amazon(target) == {}
    assert world.at_amazon(source) == world.inside()
    assert world.rejected == []
    second = moved(world, source)
    world.sleep(3 * HOUR)
    assert second != target
    assert sorted(world.at_amazon(second)) == ["late", "m2", "m3"]


def interrupt(world: World, seconds: float) -> None:
    """Have the operator press Ctrl-C while a command waits."""

    def stop() -> None:
        raise KeyboardInterrupt

    world.script.append((world.now + seconds, stop))


@pytest.mark.parametrize("ends_target", [False, True], ids=["the old audience", "the new one"])
def test_an_audience_can_be_ended_after_an_interrupted_move(world: World, source: str, *, ends_target: bool) -> None:
    interrupt(world, 5)
    moving(world, source, raises=KeyboardInterrupt)
    target = target_of(world, source)
    ended, other = (target, source) if ends_target else (source, target)
    world.json(end, ended)
    world.event(source, "m9", "9@b.co")
    world.sleep(3 * HOUR)
    assert only_listed(world) == (other, False, None)
    assert sorted(world.at_amazon(other)) == ["m1", "m2", "m3", "m9"][0 if ends_target else 1 :]
    assert world.at_amazon(ended) == {}
    assert world.rejected == []


def test_an_interrupted_move_and_end_say_what_is_done_and_how_to_go_on(world: World, source: str) -> None:
    interrupt(world, 5)
    said = moving(world, source, raises=KeyboardInterrupt).err
    target = target_of(world, source)
    assert f"Events reach both audiences; `audience-sync audiences end {target}` takes the move back. " in said
    assert "To continue, repeat the command." in said
    moved(world, source)
    interrupt(world, HOUR)
    said = world.printed(end, source, raises=KeyboardInterrupt).err
    assert "Events no longer reach Big spenders. 3 members on the way out. 3 changes sent to the change queue. " in said
    assert "To continue, repeat the command." in said


@pytest.mark.parametrize("ends_target", [False, True], ids=["the old audience", "the new one"])
@pytest.mark.parametrize("written", range(3))
def test_an_interrupted_end_keeps_the_key_reachable_and_can_be_repeated(
    world: World, source: str, target: str, monkeypatch: pytest.MonkeyPatch, written: int, *, ends_target: bool
) -> None:
    ended, other = (target, source) if ends_target else (source, target)
    writes = iter([True] * written)

    def stopping(method: Any) -> Any:
        return lambda *args, **options: method(*args, **options) if next(writes, False) else interrupted()

    def interrupted() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        for name in ("mark", "unlink", "remove_unlinked"):
            patch.setattr(AudienceTable, name, stopping(getattr(AudienceTable, name)))
        world.printed(end, ended, raises=KeyboardInterrupt)
    assert may_share_a_key(world.session().audiences.all())
    world.json(end, ended)
    assert only_listed(world) == (other, False, None)
    assert [each.audience_id for each in world.listing.for_request().by_id(ended)] == [other]


@pytest.mark.parametrize("ends_target_first", [False, True])
def test_two_ends_at_once_leave_one_side_of_a_move_listed(
    world: World, source: str, target: str, *, ends_target_first: bool
) -> None:
    sides = (target, source) if ends_target_first else (source, target)
    first, second = (planned_end(world.session(), stored(world, each)) for each in sides)
    take_off(world.session(), first)
    with pytest.raises(TryLater, match="in the meantime"):
        take_off(world.session(), second)
    assert [each.audience_id for each in world.session().audiences.all()] == [second.audience.audience_id]


def test_repeating_a_move_while_its_target_is_ended_does_not_undo_the_end(
    world: World, source: str, target: str
) -> None:
    plan = planned_end(world.session(), stored(world, target))
    ended: list[Any] = []
    world.script.append((world.now + 5, lambda: ended.append(take_off(world.session(), plan))))
    assert "Events reach both" not in moving(world, source, MoveOptions(), raises=TryLater).err
    assert only_listed(world) == (source, False, None)


def test_taking_a_move_back_keeps_the_main_audience_of_the_key(world: World) -> None:
    main, source = created(world), created(world, name="Also big", key="other")
    table = world.session().audiences
    table.put(replace(stored(world, source), computation_key="big", also=True), created=1)
    target = moved(world, source)
    world.json(end, target)
    assert [stored(world, each).also for each in (main, source)] == [False, True]


def test_repeating_a_move_into_a_listed_audience_needs_no_into(world: World, source: str) -> None:
    dataset = NewTarget(api=Api.DATA_MANAGER, share=[SHARE])
    made = world.deployment.json(create, "Another name", dataset, Settings(), country="DE")["audienceId"]
    assert moved(world, source, MoveOptions(into=made)) == moved(world, source, MoveOptions()) == made
    assert len(world.session().audiences.all()) == 2


def test_ending_an_unlinked_audience_asks_for_confirmation(world: World, source: str) -> None:
    world.session().audiences.unlink(source, at=round(world.now * 1000))
    world.deployment.answers.append("n")
    world.printed(end, source, yes=False, raises=NotConfirmed)
    assert "3 members of" in world.deployment.questions[-1]
    assert not world.rows.queue.messages


def test_ending_a_renewed_audience_that_was_not_moved_rejects_its_events(world: World) -> None:
    source = filled(world, renew=True)
    world.deployment.answers.append("y")
    out = world.printed(end, source, yes=False).out
    asked = world.deployment.questions[-1]
    assert ("3 members of" in asked, "rejected as audience_unknown" in asked) == (True, True)
    world.event(source, "m9", "9@b.co")
    assert world.rejected == ["m9"]
    assert world.at_amazon(source) == {}
    assert ("SHA-256 of this proof" in out, "job took" in out) == (True, True)
    assert world.session().amazon.read_audience(source).ttl == 0


def test_no_wait_ends_early_and_a_repeated_run_prints_the_proof(world: World, source: str) -> None:
    unfinished = world.json(end, source, no_wait=True, raises=ReportedAsUnfinished)
    assert (unfinished["over"], unfinished["members"], unfinished["effectiveBy"]) == (False, 3, None)
    world.sleep(60 * HOUR)
    proof = world.json(end, source, no_wait=True)
    again = world.json(end, source)
    assert (proof["over"], proof["membersRemoved"]) == (True, 3)
    assert again == proof, "as long as the rows exist"


def test_an_interrupted_end_logs_the_changes_sent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    source, take = filled(world), ChangeSender.take

    def taking(self: ChangeSender, row: int, change: Any) -> None:
        if row > 2:
            raise KeyboardInterrupt
        take(self, row, change)

    monkeypatch.setattr(change_sender, "FIRST_GROUP", 1)
    monkeypatch.setattr(ChangeSender, "take", taking)
    world.printed(end, source, raises=KeyboardInterrupt)
    (*_, line) = world.deployment.operator_log()
    assert (line["command"], line["outcome"], line["changes"]) == ("audiences end", "interrupted", 1)


def test_an_end_says_how_many_changes_are_not_delivered(world: World) -> None:
    source = created(world)
    world.deployment.publish(world.now, **{CHANGES_ACCEPTED: 2})
    shown = world.printed(end, source, no_wait=True, raises=ReportedAsUnfinished).out
    assert "2 changes accepted since the end not delivered yet" in shown


def test_a_repeated_end_reads_no_rows_of_the_target(
    world: World, source: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stored(world, source).moved_to == target
    world.json(end, source)
    monkeypatch.setattr(MembershipTable, "read", lambda *_: pytest.fail("rows were read"))
    assert world.json(end, source)["over"] is True


def test_a_move_stops_waiting_for_earlier_changes_after_ten_minutes(world: World, source: str) -> None:
    world.deployment.publish(world.now, **{CHANGES_ACCEPTED: 1})
    began = world.now
    printed = moving(world, source)
    assert waiting.LONGEST_WAIT < world.now - began < waiting.LONGEST_WAIT + 2 * waiting.LISTING
    assert "1 change accepted before may still wait" in printed.err
    assert f"Repeat the command with {source}, when the changes accepted earlier are delivered" in printed.out


def test_with_a_dsp_account_the_proof_names_the_shares_to_end(world: World) -> None:
    world.deployment.stack.parameters = {"DataManagerAccountId": "ENTITY9"}
    source = filled(world)
    target = moved(world, source)
    world.sleep(3 * HOUR)
    world.deployment.answers.append("y")
    assert "still has to be ended in the console" in world.printed(end, target, yes=False).out
    assert "Amazon ends no share" in world.deployment.questions[-1]


def test_a_removal_without_consent_is_not_proven(world: World) -> None:
    source = filled(world, 1)
    world.event(source, "m2", "2@b.co", consent={"consent": {"tcf": "CPXxRfAPXxRfA"}})
    world.sleep(3 * HOUR)
    target = moved(world, source)
    world.sleep(3 * HOUR)
    proof = world.json(end, target)
    assert [each["member"] for each in proof["notProven"]] == ["m2"]
    assert "without consent" in proof["notProven"][0]["reason"]


def test_outstanding_changes_are_counted_from_metrics(deployment: Deployment) -> None:
    now = 1_800_000_000.0
    for ago, accepted, completed in ((20 * 86_400, 7, 0), (600, 5, 3), (300, 2, 4), (0, 1, 1), (-120, 9, 0)):
        deployment.publish(now - ago, **{CHANGES_ACCEPTED: accepted, CHANGES_COMPLETED: completed})
    session = deployment.session(now=now)
    assert settling.outstanding(session, now) == 2, "a change counted twice covers none of another minute"
    assert settling.outstanding(session, now, since=now - 400) == 0
    assert settling.outstanding(session, now - 19 * 86_400, since=now - 21 * 86_400) == 0, "CloudWatch has no minutes"


def test_a_damaged_row_is_left_out_of_a_move_and_its_removal_is_not_proven(world: World, source: str) -> None:
    world.rows.model.damage(source, "m2")
    report = moving(world, source, as_json=True).json
    assert (report["members"], report["leftOut"]) == (3, {"consentMissing": 1, "rowUnreadable": 1})
    world.sleep(6 * HOUR)
    proof = world.json(end, source)
    (missing,) = proof["notProven"]
    assert (missing["member"], "cannot be read" in missing["reason"]) == ("m2", True)
