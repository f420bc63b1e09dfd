"""Several audiences on one computation key: linked with `--also`, told apart, unlinked; and which one commands mean."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audience_sync.members.membership import Audience
from audience_sync_cli.audiences.linking import link, unlink
from audience_sync_cli.audiences.list_and_show import list_, show
from audience_sync_cli.frame.errors import OperatorError, WrongUsage
from audience_sync_cli.member_files.import_members import import_members
from audience_sync_cli.member_files.import_plan import ImportOptions
from audience_sync_cli.stack.listed import find
from audience_sync_cli.stack.options import Choices
from tests.command.conftest import Deployment
from tests.support.aws_fixtures import AUDIENCE

pytestmark = pytest.mark.usefixtures("connected")

KEY = AUDIENCE.computation_key or ""
OTHER = replace(AUDIENCE, audience_id="7", name="Other")
ALSO = replace(OTHER, also=True)
SECOND = replace(AUDIENCE, also=True)


def linked(deployment: Deployment, key: str, *, also: bool | None) -> Any:
    return deployment.json(link, AUDIENCE.audience_id, key=key, choices=Choices(also=also))


def test_the_51st_audience_of_a_key_is_refused_and_also_without_a_key(deployment: Deployment) -> None:
    for also in (True, False):
        with pytest.raises(WrongUsage, match="--also"):
            linked(deployment, "", also=also)
    for number in range(50):
        deployment.list_audience(replace(ALSO, audience_id=str(number + 1)))
    with pytest.raises(OperatorError, match="At most 50 audiences"):
        linked(deployment, KEY, also=True)


@pytest.mark.parametrize(
    ("listed", "also", "is_also"),
    [
        pytest.param([OTHER], None, None, id="a taken key"),
        pytest.param([OTHER], True, True, id="on purpose"),
        pytest.param([OTHER], False, None, id="as the main one, which exists"),
        pytest.param([OTHER, SECOND], None, True, id="again: as before"),
        pytest.param([OTHER, SECOND], False, None, id="again, as the main one, which exists"),
        pytest.param([OTHER, AUDIENCE], None, None, id="again, by mistake"),
        pytest.param([OTHER, AUDIENCE], True, True, id="again, to repair a mistake"),
        pytest.param([ALSO], None, None, id="a key without a main one"),
        pytest.param([ALSO], False, False, id="as its main one"),
        pytest.param([ALSO, AUDIENCE], None, False, id="again, the main one"),
        pytest.param([], True, True, id="the only one"),
        pytest.param([replace(SECOND, computation_key="former")], None, False, id="another key"),
        pytest.param([replace(SECOND, unlinked_at=5, moved_to="9")], None, False, id="unlinked after a move"),
    ],
)
def test_a_computation_key_is_shared_only_with_also(
    deployment: Deployment, listed: list[Audience], *, also: bool | None, is_also: bool | None
) -> None:
    for each in listed:
        deployment.list_audience(each)
    if is_also is None:
        with pytest.raises(OperatorError, match=r"has that computation key: 7\.") as caught:
            linked(deployment, KEY, also=also)
        assert "--also" in caught.value.remedy
        return
    shown = linked(deployment, KEY, also=also)
    assert (shown["computationKey"], shown["also"], shown["movedTo"]) == (KEY, is_also, None)
    assert shown["sharesKeyWith"] == [each.audience_id for each in listed if each.audience_id == OTHER.audience_id]


def test_list_and_show_name_the_audiences_that_share_a_key(deployment: Deployment) -> None:
    deployment.list_audience()
    deployment.list_audience(ALSO)
    main, other = deployment.json(list_)
    assert (main["also"], main["sharesKeyWith"]) == (False, [OTHER.audience_id])
    assert (other["also"], other["sharesKeyWith"]) == (True, [AUDIENCE.audience_id])
    assert "(also)" in deployment.printed(list_).out
    deployment.list_audience(replace(ALSO, moved_to=AUDIENCE.audience_id))
    assert f"{AUDIENCE.audience_id})" in deployment.printed(list_).out, "moved to it"
    assert f"{KEY}, shared with Other (7)" in deployment.printed(show, KEY).out
    assert deployment.json(show, KEY)["audience"]["sharesKeyWith"] == ["7"]
    deployment.list_audience(OTHER)
    assert "ambiguous with Other (7)" in deployment.printed(show, AUDIENCE.audience_id).out


def test_in_commands_a_shared_key_means_the_main_audience(deployment: Deployment) -> None:
    deployment.list_audience(ALSO)
    assert find(deployment.session(), KEY) == ALSO, "as long as it is the only one"
    deployment.list_audience(replace(ALSO, audience_id="8"))
    with pytest.raises(WrongUsage, match=r"7, 8\."):
        find(deployment.session(), KEY)
    deployment.list_audience()
    assert find(deployment.session(), KEY) == AUDIENCE


def test_import_by_a_shared_key_names_the_other_audiences(deployment: Deployment, tmp_path: Path) -> None:
    deployment.list_audience()
    deployment.list_audience(ALSO)
    file = tmp_path / "members.csv"
    file.write_text("external_user_id,email\nu1,a@b.co\n", encoding="utf-8")
    for name, is_noted in ((KEY, True), (AUDIENCE.audience_id, False)):
        seen = deployment.printed(import_members, file, name, ImportOptions(dry_run=True))
        assert ("events of the key also reach Other (7)" in seen.err) == is_noted


@pytest.mark.parametrize(
    ("known", "reached"),
    [
        pytest.param(AUDIENCE, "will reach Other, and events with its id will be rejected", id="main"),
        pytest.param(replace(AUDIENCE, moved_to="9"), "will reach 9 only", id="moved"),
        pytest.param(replace(AUDIENCE, computation_key=None), "will be rejected", id="alone"),
    ],
)
def test_unlink_asks_with_the_audience_that_events_reach_then(deployment: Deployment, known: Any, reached: str) -> None:
    for each in (known, ALSO):
        deployment.list_audience(each)
    assert reached in deployment.declined(unlink, AUDIENCE.audience_id)
    seen = deployment.printed(unlink, AUDIENCE.audience_id, yes=True).out
    assert (f"link {AUDIENCE.audience_id} --key {KEY} --also" in seen) == (known.computation_key is not None)
