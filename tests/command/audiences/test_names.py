"""Amazon's ids, computation keys and external ids are one space of names: no command picks among several meanings."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import count, product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audience_sync.audiences.creation import Audiences, Limits
from audience_sync.clock import Clock
from audience_sync.errors import InvalidAudience
from audience_sync.members.membership import Audience
from audience_sync_cli.audiences.creation import Settings, create
from audience_sync_cli.audiences.linking import link
from audience_sync_cli.frame.errors import NotThere, WrongUsage
from audience_sync_cli.frame.session import Session
from audience_sync_cli.stack.creating import creation_locks
from audience_sync_cli.stack.listed import find
from audience_sync_cli.stack.options import Choices, NewTarget
from tests.command.conftest import Deployment
from tests.support.aws_fixtures import AUDIENCE

pytestmark = pytest.mark.usefixtures("connected")

STRANGER = "900"  # Amazon's id of the audience that the audience key creates
REQUEST = {"audienceName": "Summer", "advertiserId": "590071284455661234", "countryCode": "US"}
STATES: dict[str, Callable[[Audience], Audience]] = {
    "listed": lambda each: each,
    "also": lambda each: replace(each, also=True),
    "unlinked": lambda each: replace(each, unlinked_at=5),
    "moved": lambda each: replace(each, unlinked_at=5, moved_to="19"),
}
KINDS = ("audience_id", "computation_key", "external_audience_id")
NAMES = st.sampled_from(["11", "12", "buyers", "lapsed"])


class Amazon:
    """Creates audiences with ids of their own."""

    def __init__(self) -> None:
        self._ids = count(int(STRANGER))

    def create_audience(self, body: dict[str, Any], *, timeout: float) -> str:
        assert body
        assert timeout
        return str(next(self._ids))


def names_of(audience: Audience) -> dict[str, str]:
    return {kind: name for kind in KINDS if (name := getattr(audience, kind))}


def store(session: Session, audiences: list[Audience]) -> None:
    """Make these the only audiences of the stack."""
    client, table = session.stack.service("dynamodb"), session.stack["AudienceTable"]
    for row in client.scan(TableName=table)["Items"]:
        client.delete_item(TableName=table, Key={"audienceId": row["audienceId"]})
    for each in audiences:
        session.audiences.put(each, created=7)


def create_as_stranger(session: Session, **names: str) -> None:
    """Create an audience with the audience key, which travels in a URL. Raises InvalidAudience."""
    amazon: Any = Amazon()
    options: dict[str, Any] = {"max_cpm_cents": 0, "limits": Limits()}
    Audiences(session.audiences, creation_locks(session), amazon, Clock(), **options).create(
        REQUEST | names, deadline=Clock().monotonic() + 28
    )


def found(session: Session, name: str) -> str:
    """Return the id of the audience that a command means by a name, or why it means none."""
    try:
        return find(session, name).audience_id
    except (NotThere, WrongUsage) as error:
        return type(error).__name__


STORED = st.lists(
    st.builds(
        lambda number, key, external_id, state: STATES[state](
            replace(AUDIENCE, audience_id=number, computation_key=key, external_audience_id=external_id)
        ),
        st.sampled_from(["11", "12", "13"]),
        st.none() | NAMES,
        st.none() | NAMES,
        st.sampled_from([*STATES]),
    ),
    max_size=3,
    unique_by=lambda each: each.audience_id,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STORED, st.none() | NAMES, st.none() | NAMES)
def test_no_name_that_anybody_had_comes_to_mean_a_strangers_audience(
    deployment: Deployment, stored: list[Audience], key: str | None, external_id: str | None
) -> None:
    session = deployment.session()
    store(session, stored)
    names = {"computationKey": key, "externalAudienceId": external_id}
    had = {name for each in stored for name in names_of(each).values()}
    before = {name: found(session, name) for name in had}
    with suppress(InvalidAudience):
        create_as_stranger(session, **{kind: name for kind, name in names.items() if name})
    for name in had:
        assert found(session, name) in (before[name], "WrongUsage")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STORED)
def test_a_command_picks_no_meaning_of_a_name_that_two_kinds_have(
    deployment: Deployment, stored: list[Audience]
) -> None:
    """Whoever has the audience key could otherwise redirect an import. An id outranks names of unlinked audiences."""
    session = deployment.session()
    store(session, stored)
    for name in {name for each in stored for name in names_of(each).values()}:
        if (meant := found(session, name)) in ("NotThere", "WrongUsage"):
            continue
        (own,) = (
            {kind for kind, has in names_of(each).items() if has == name}
            for each in stored
            if each.audience_id == meant
        )
        for other in (each for each in stored if each.audience_id != meant):
            kinds = {kind for kind, has in names_of(other).items() if has == name}
            is_outranked = "audience_id" in own and other.unlinked_at is not None
            assert kinds <= own or is_outranked


@pytest.mark.parametrize(("kind", "state"), [*product(KINDS, STATES)])
def test_names_of_listed_and_of_unlinked_audiences_are_refused_as_another_kind_to_everybody(
    deployment: Deployment, kind: str, state: str
) -> None:
    session, taken = deployment.session(), "11" if kind == "audience_id" else "buyers"
    named: dict[str, Any] = {"audience_id": "11", kind: taken}
    deployment.list_audience(STATES[state](Audience(**named)))
    for field, option, own in (
        ("computationKey", "key", "computation_key"),
        ("externalAudienceId", "external_id", "external_audience_id"),
    ):
        is_listed = state in ("listed", "also")
        if own != kind or (not is_listed and field == "externalAudienceId"):
            with pytest.raises(InvalidAudience) as refused:
                create_as_stranger(session, **{field: taken})
            assert [fault.field for fault in refused.value.faults] == [field]
        if own != kind:
            target = NewTarget(advertiser="590071284455661234")
            names: dict[str, Any] = {"country": "US", option: taken}
            error = deployment.refusal(WrongUsage, create, "Summer", target, Settings(), **names)
            assert f"--{option.replace('_', '-')}" in str(error)
    assert [each.audience_id for each in session.audiences.with_unlinked()] == ["11"]


@pytest.mark.parametrize("state", ["unlinked", "moved"])
def test_a_name_of_an_unlinked_audience_says_so_and_the_operator_may_give_it_to_another(
    deployment: Deployment, state: str
) -> None:
    old = replace(AUDIENCE, audience_id="11", computation_key="buyers", external_audience_id="buyers-us")
    deployment.list_audience(STATES[state](old))
    deployment.list_audience(Audience("19", name="New"))
    for name in ("11", "buyers", "buyers-us"):
        error = deployment.refusal(NotThere, lambda session, name=name: find(session, name))
        assert "11 was" in str(error)
        assert ("Use 19 (New) instead" in error.remedy) == (state == "moved")
    deployment.list_audience(replace(old, audience_id="20"))
    assert {found(deployment.session(), name) for name in ("buyers", "buyers-us")} == {"20"}


def test_link_refuses_a_name_that_another_audience_has_as_another_kind(deployment: Deployment) -> None:
    deployment.list_audience(Audience("11", external_audience_id="buyers"))
    deployment.list_audience(Audience("12", computation_key=AUDIENCE.audience_id))
    error = deployment.refusal(WrongUsage, link, AUDIENCE.audience_id, choices=Choices())
    assert "AUDIENCE_ID is already a name of audience 12" in str(error)
    deployment.list_audience(Audience("12", computation_key=AUDIENCE.audience_id, unlinked_at=5))
    error = deployment.refusal(WrongUsage, link, AUDIENCE.audience_id, key="buyers", choices=Choices())
    assert "--key is already a name of audience 11" in str(error)
    assert AUDIENCE.audience_id not in [each.audience_id for each in deployment.session().audiences.all()]


def test_the_refusal_of_an_ambiguous_name_lists_the_audiences_and_the_way_out(deployment: Deployment) -> None:
    deployment.list_audience(Audience("12"))
    deployment.list_audience(Audience("11", computation_key="12"))
    error = deployment.refusal(WrongUsage, lambda session: find(session, "12"))
    assert "have the name 12: 12, 11." in str(error)
    assert "audiences unlink 11" in error.remedy
    deployment.list_audience(Audience("11", computation_key="12", unlinked_at=5))
    assert found(deployment.session(), "12") == "12", "the way out"
