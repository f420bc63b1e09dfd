"""An audience is listed again: people whom a deletion notice has named since must not be in it."""

import re
from dataclasses import replace

import pytest

from audience_sync_cli.audiences.linking import link
from audience_sync_cli.stack.options import Target
from tests.command.conftest import Deployment, change
from tests.support.aws_fixtures import AUDIENCE
from tests.support.builders import notice

pytestmark = pytest.mark.usefixtures("connected")


def queued(deployment: Deployment) -> list[tuple[str, int, bool]]:
    """Member, time and whether it erases of each exit that waits in the change queue."""
    return sorted((each["record"]["externalUserId"], each["at"], each["erase"]) for each in deployment.changes())


def test_linking_queues_exits_only_for_rows_older_than_a_deletion_notice(deployment: Deployment) -> None:
    deployment.record(change("erased", at=5), change("in", at=5), change("elsewhere", at=5, audience_id="7"))
    deployment.record(change("followed", at=5), replace(change("followed", at=10, exits=True), erase=True))
    deployment.record(*(notice(person, 9) for person in ("erased", "elsewhere", "followed", "unknown")))
    deployment.list_audience()
    link(deployment.session(), AUDIENCE.audience_id, Target(connection="c-1"))
    assert queued(deployment) == [("erased", 9, True)]
    (body,) = deployment.bodies("ChangeQueue")
    assert (body["audienceId"], body["connectionId"]) == (AUDIENCE.audience_id, "c-1")
    assert body["replay"] is True, "no accepted event has led to it, so it must not count"


def test_linking_checks_every_page_of_deletion_notices_and_counts_the_exits(deployment: Deployment) -> None:
    assert "deletion notice" not in deployment.printed(link, AUDIENCE.audience_id, yes=True).err
    people = [f"m{number:03}" for number in range(120)]
    deployment.record(*(change(person, at=5) for person in people), *(notice(person, 9) for person in people))
    noted = deployment.printed(link, AUDIENCE.audience_id, yes=True).err
    assert "exits queued for people erased by a deletion notice" in noted
    assert sum(map(int, re.findall(r"(\d+) exits? queued", noted))) == 120
    assert [person for person, _, _ in queued(deployment)] == people
