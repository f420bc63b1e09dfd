"""The messages of the queues: written and read back, and refused where they do not hold what they must."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync.errors import InvalidMessage, RequestRejected, Throttled
from audience_sync.members.dead_letters import DeadLetter, Failure
from audience_sync.members.envelope import MAX_ATTEMPTS, MAX_MESSAGE_BYTES, MAX_TIME, MIN_TIME
from audience_sync.members.job_messages import DeletionMessage, JobMember, JobMessage, job_messages, read_job_queue
from audience_sync.members.membership import MAX_IDENTITIES, Destination, Identity, MembershipChange, Version
from audience_sync.members.messages import REPETITION, ChangeMessage, DeliveryHistory, Untracked, change_as_json, pack
from tests.support import builders

AUDIENCE = "9007199254740993"  # more than a double holds
SENT_AT = 1_000_000_000


def change(member: str = "m1", *, identities: int = 1, **options: Any) -> MembershipChange:
    emails = (f"{number:064x}" for number in range(identities))
    return builders.change(member, *emails, message_id="id", audience_id=AUDIENCE, **options)


TIMES = st.integers(MIN_TIME, MAX_TIME)
IDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)  # half a surrogate pair is no character
MEMBERS = st.from_regex(r"[0-9a-zA-Z_-]{1,128}", fullmatch=True)


DESTINATIONS = st.builds(  # all that there are, and one of a kind to come
    Destination.of,
    st.sampled_from([{}, {"connectionId": "c"}, {"connectionId": "c", "targetTypes": ["DSP"]}, {"datasetId": "d"}]),
)


@st.composite
def any_change(draw: st.DrawFn) -> MembershipChange:
    at = draw(TIMES)
    named = draw(st.sampled_from([st.just(at), TIMES]))
    digests = st.dictionaries(st.sampled_from(["email", "phone"]), IDS, min_size=1)
    return MembershipChange(
        draw(st.sampled_from([AUDIENCE, "1"])),
        draw(MEMBERS),
        draw(DESTINATIONS),
        at,
        message_id=draw(IDS),
        exits=draw(st.booleans()),
        identities=draw(st.lists(st.builds(Identity, named, digests), max_size=4).map(tuple)),
        country=draw(st.sampled_from(["US", "DE", None])),
        consent=draw(st.sampled_from([{}, {"consent": {"tcf": "CPx"}}, None])),
        erase=draw(st.booleans()),
    )


CHANGES = st.lists(any_change(), min_size=1, max_size=6)
HISTORIES = st.builds(
    DeliveryHistory,
    st.integers(0, MAX_ATTEMPTS - 1),
    st.one_of(st.none(), st.integers(1, MAX_TIME - 1)),
    st.booleans(),
    st.booleans(),
    st.one_of(st.none(), st.builds(Untracked, IDS.filter(bool), st.integers(1, MAX_TIME - 1), st.booleans())),
)
FAILURES = st.builds(
    Failure,
    st.sampled_from(["job_rejected", "no_identifier"]),
    IDS,
    st.integers(1, MAX_TIME),
    st.integers(1, MAX_TIME),
    st.integers(1, 100),
    st.one_of(st.none(), st.integers(400, 599)),
    IDS,
)


@given(CHANGES, HISTORIES)
def test_a_change_message_survives_a_round_trip(changes: list[MembershipChange], history: DeliveryHistory) -> None:
    bodies = pack(changes, history)
    messages = [ChangeMessage.from_body(body) for body in bodies]
    assert all(body.isascii() for body in bodies), "so that characters are bytes"
    assert all(message.history == history for message in messages)
    targets = list(dict.fromkeys((each.audience_id, each.destination) for each in changes))
    assert [each for message in messages for each in message.changes] == [
        each for target in targets for each in changes if (each.audience_id, each.destination) == target
    ]


@given(CHANGES)
def test_a_change_message_omits_fields_that_are_not_set(changes: list[MembershipChange]) -> None:
    for body in pack(changes):
        assert set(json.loads(body)) <= {"v", "audienceId", "connectionId", "targetTypes", "destination", "changes"}
    for each in changes:
        named_before = any(identity.at != each.at for identity in each.identities)
        assert ("erase" in change_as_json(each), "namedAt" in change_as_json(each)) == (each.erase, named_before)


WRITTEN = change_as_json(change())


@pytest.mark.parametrize(
    ("foreign", "unknown_fields"),
    [
        (WRITTEN | {"record": WRITTEN["record"] | {"measurements": [1]}}, 1),
        (WRITTEN | {"record": WRITTEN["record"] | {"countryCode": ""}}, 0),
        (WRITTEN | {"namedAt": [WRITTEN["at"]]}, 0),
        (WRITTEN | {"record": dict(reversed(WRITTEN["record"].items()))}, 0),
    ],
    ids=["an unknown field", "an empty country", "the time of the change again", "another order"],
)
def test_a_message_of_another_sender_is_read_as_this_version_writes_it(
    foreign: dict[str, Any], unknown_fields: int
) -> None:
    (body,) = pack([change()])
    message = ChangeMessage.from_envelope(json.loads(body) | {"changes": [foreign]})
    assert (pack(message.changes), message.unknown_fields) == ([body], unknown_fields)


@pytest.mark.parametrize("identities", [MAX_IDENTITIES, MAX_IDENTITIES + 1, 1_000])
def test_a_removal_may_carry_any_number_of_identities(identities: int) -> None:
    removal = change(exits=True, identities=identities)
    assert ChangeMessage.from_body(*pack([removal])).changes == [removal]


def test_an_enter_carries_at_most_100_identities() -> None:
    assert ChangeMessage.from_body(*pack([change(identities=MAX_IDENTITIES)])).changes
    with pytest.raises(InvalidMessage):
        ChangeMessage.from_body(*pack([change(identities=MAX_IDENTITIES + 1)]))


@pytest.mark.parametrize(
    ("size", "counts"),
    [
        pytest.param(240_000, [3], id="as long as it may be"),
        pytest.param(240_001, [2, 1], id="a byte longer"),
    ],
)
def test_a_message_is_filled_to_the_byte(size: int, counts: list[int]) -> None:
    (body,) = pack([change("m1"), change("m2"), change("")])
    changes = [change("m1"), change("m2"), change("x" * (size - len(body)))]
    bodies = pack(changes)
    assert [len(json.loads(body)["changes"]) for body in bodies] == counts
    assert max(map(len, bodies)) <= 240_000


MALFORMED: dict[str, list[Any]] = {
    "attempts": [-1, True, MAX_ATTEMPTS, 10**400],
    "firstAt": ["1", -5, 0, True, MAX_TIME, 10**400],
    "replay": ["true", 1],
    "repetition": [1],
    "untracked": ["job-1", ["job-1", 1], [1, 1, True], ["", 1, True]]
    + [["job-1", sent_at, True] for sent_at in (0, MAX_TIME, True)],
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field in MALFORMED for value in MALFORMED[field]])
def test_a_malformed_field_of_a_history_counts_as_absent(field: str, value: Any) -> None:
    assert ChangeMessage.from_body(json.dumps(GOOD | {field: value})).history == DeliveryHistory()


@pytest.mark.parametrize(("attempts", "first_at"), [(1, 1), (MAX_ATTEMPTS - 1, MAX_TIME - 1)])
def test_a_history_within_its_limits_is_read(attempts: int, first_at: int) -> None:
    history = {"attempts": attempts, "firstAt": first_at}
    assert ChangeMessage.from_body(json.dumps(GOOD | history)).history == DeliveryHistory(attempts, first_at)


def test_the_field_names_of_a_history_do_not_change() -> None:
    (body,) = pack(
        [change()],
        DeliveryHistory(3, 5, was_counted=True, is_repetition=True, untracked=Untracked("job-1", 9, removes=True)),
    )
    history = {"attempts": 3, "firstAt": 5, "replay": True, "repetition": True, "untracked": ["job-1", 9, True]}
    assert json.loads(body).items() >= history.items()
    (repetition,) = pack([change()], REPETITION)
    (plain,) = pack([change()])
    assert json.loads(repetition) == json.loads(plain) | {"replay": True, "repetition": True}


GOOD: dict[str, Any] = {"v": 1, "audienceId": "1", "connectionId": None, "changes": [change_as_json(change())]}
CHANGE: dict[str, Any] = change_as_json(change())
RECORD: dict[str, Any] = CHANGE["record"]


MISTYPED: dict[str, list[Any]] = {
    "at": ["1", 1.5, True, MAX_TIME + 1, MIN_TIME - 1, 10**400],
    "id": [1, "x" * 129],
    "erase": ["yes", None],
    "namedAt": [1, [1, 2], ["1"], [True], [MAX_TIME + 1]],
    "record": [None],
}
MISTYPED_IN_RECORD: dict[str, list[Any]] = {
    "externalUserId": ["a b", "m1\n", "", 5, "٣"],
    "action": ["UPDATE", ["CREATE"]],
    "hashedPII": [
        {},
        ["a"],
        [{"email": 1}],
        [{"email": "x" * 65}],
        [{"x" * 65: ""}],
        [{f"{each}": "" for each in range(17)}],
    ],
    "countryCode": [1, "x" * 65],
    "userConsent": ["yes", {"tcf": "x" * 50_000}],
}


@pytest.mark.parametrize(
    "bad",
    [
        *(CHANGE | {name: value} for name, values in MISTYPED.items() for value in values),
        *(
            CHANGE | {"record": RECORD | {name: value}}
            for name, values in MISTYPED_IN_RECORD.items()
            for value in values
        ),
        *([CHANGE], None, "change"),
    ],
    ids=lambda bad: repr(bad)[:200],
)
def test_a_change_that_no_row_could_hold_or_that_is_incomplete_or_mistyped_is_refused(bad: Any) -> None:
    with pytest.raises(InvalidMessage) as refused:
        ChangeMessage.from_body(json.dumps(GOOD | {"changes": [CHANGE, bad]}))
    assert refused.value.reason == "invalid_message"
    assert "m1" not in str(refused.value)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param("{", "message_not_json", id="not JSON"),
        pytest.param(json.dumps(GOOD | {"changes": [float("nan")]}), "message_not_json", id="NaN: Amazon refuses it"),
        pytest.param("[" * 100_000, "message_not_json", id="nested too deeply"),
        pytest.param("9" * 5000, "message_not_json", id="a number that is too long"),
        pytest.param("[]", "message_version_unknown", id="not an object"),
        pytest.param(json.dumps(GOOD | {"v": 2}), "message_version_unknown", id="unknown version"),
        pytest.param(json.dumps(GOOD | {"audienceId": 1}), "invalid_message", id="audience id as a number"),
        pytest.param(json.dumps(GOOD | {"audienceId": "x y"}), "invalid_message", id="audience id with a space"),
        pytest.param(json.dumps(GOOD | {"audienceId": "9" * 21}), "invalid_message", id="audience id of 21 digits"),
        pytest.param(json.dumps(GOOD | {"changes": {}}), "invalid_message", id="changes not a list"),
        pytest.param(json.dumps(GOOD | {"targetTypes": "DSP"}), "invalid_message", id="target types not a list"),
        pytest.param(json.dumps(GOOD | {"targetTypes": [1]}), "invalid_message", id="a target type not a string"),
        pytest.param(json.dumps(GOOD | {"destination": ["c"]}), "invalid_message", id="destination not an object"),
        pytest.param(
            json.dumps(GOOD | {"connectionId": "é" * 500}), "invalid_message", id="a connection of 1,000 bytes"
        ),
        pytest.param(
            json.dumps(GOOD | {"targetTypes": ["D" * 999]}), "invalid_message", id="target types of 999 bytes"
        ),
        pytest.param(json.dumps(GOOD | {"destination": {"a": "b" * 999}}), "invalid_message", id="a long destination"),
        pytest.param(json.dumps(GOOD | {"changes": [{"at": 1}]}), "invalid_message", id="a change without a record"),
    ],
)
def test_an_unreadable_message_has_a_reason_code(body: str, reason: str) -> None:
    assert ChangeMessage.from_body(json.dumps(GOOD | {"audienceId": "9" * 20})).audience_id == "9" * 20
    for read in (ChangeMessage.from_body, DeadLetter.from_body):
        with pytest.raises(InvalidMessage) as refused:
            read(body)
        assert refused.value.reason == reason


@pytest.mark.parametrize("until", [1_000, 1_000 + 7 * 86_400 + 1])
def test_no_message_waits_longer_than_the_queue_keeps_it(until: int) -> None:
    assert not DeliveryHistory(unread_until=until).is_early(1_000.0)
    assert DeliveryHistory(unread_until=1_000 + 7 * 86_400).is_early(1_000.0)


NOTICE = CHANGE | {"erase": True, "record": RECORD | {"action": "DELETE", "hashedPII": []}}


def test_an_erasing_exit_from_every_audience_is_a_deletion_notice() -> None:
    envelope = GOOD | {"audienceId": "*", "changes": [NOTICE]}
    (notice,) = ChangeMessage.from_body(json.dumps(envelope)).changes
    assert (notice.audience_id, notice.exits, notice.erase) == ("*", True, True)


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(NOTICE | {"erase": False}, id="an exit that does not erase"),
        pytest.param(CHANGE | {"erase": True}, id="an enter that says erase"),
        pytest.param(CHANGE, id="an enter"),
    ],
)
def test_no_other_change_of_every_audience_is_accepted(bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidMessage):
        ChangeMessage.from_body(json.dumps(GOOD | {"audienceId": "*", "changes": [bad]}))


HALF = "half"  # the place of half a surrogate pair


@pytest.mark.parametrize("half", [r"\ud800", r"\uDFFF", r"\uDcAb x", r"\ud83d\ud83d"])
@pytest.mark.parametrize(
    "envelope",
    [
        pytest.param(GOOD | {"connectionId": HALF}, id="in the connection id"),
        pytest.param(GOOD | {"targetTypes": [HALF]}, id="in a target type"),
        pytest.param(GOOD | {"changes": [CHANGE | {"id": HALF}]}, id="in a message id"),
        pytest.param(
            GOOD | {"changes": [CHANGE | {"record": RECORD | {"hashedPII": [{HALF: "a"}]}}]}, id="in a field's name"
        ),
        pytest.param(
            GOOD | {"changes": [CHANGE | {"record": RECORD | {"userConsent": {"consent": {"tcf": HALF}}}}]},
            id="in a consent",
        ),
        pytest.param(GOOD | {"else": HALF}, id="in a field that no program reads"),
    ],
)
def test_a_lone_surrogate_is_refused_in_every_field(envelope: dict[str, Any], half: str) -> None:
    body = json.dumps(envelope).replace(HALF, half)
    for read in (ChangeMessage.from_body, DeadLetter.from_body):
        with pytest.raises(InvalidMessage) as refused:
            read(body)
        assert refused.value.reason == "message_not_json"


def test_a_surrogate_pair_is_read_as_one_character() -> None:
    body = json.dumps(GOOD | {"connectionId": "\U0001f600"})
    assert "ud83d" in body
    assert ChangeMessage.from_body(body).destination == Destination.of({"connectionId": "\U0001f600"})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
ENVELOPES = st.dictionaries(
    st.sampled_from(["v", "audienceId", "connectionId", "changes", "targetTypes", "attempts", "firstAt", "failure"]),
    JSON,
    max_size=3,
)


@given(ENVELOPES, st.dictionaries(st.sampled_from([*CHANGE, *RECORD, "erase", "namedAt"]), JSON, max_size=3))
def test_any_change_message_is_read_or_raises_invalid_message(envelope: dict[str, Any], fields: dict[str, Any]) -> None:
    record = RECORD | {name: value for name, value in fields.items() if name in RECORD}
    made = CHANGE | {"record": record} | {name: value for name, value in fields.items() if name not in RECORD}
    body = json.dumps(GOOD | {"changes": [made]} | envelope)
    try:
        read = ChangeMessage.from_body(body)
    except InvalidMessage:
        return
    again = [ChangeMessage.from_body(written) for written in pack(read.changes, read.history)]
    assert [(each.changes, each.history) for each in again] == [(read.changes, read.history)] * bool(read.changes)


JOB_MEMBERS = st.builds(
    JobMember,
    MEMBERS,
    st.builds(Version, st.integers(0, MAX_TIME), st.booleans(), IDS).map(lambda version: version.text),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(0, MAX_TIME),
)
JOBS = st.builds(
    JobMessage,
    IDS,
    st.just(AUDIENCE),
    st.integers(0, MAX_TIME),
    st.lists(JOB_MEMBERS, max_size=6).map(tuple),
    st.integers(0, 10_000),
    st.booleans(),
)


@given(JOBS)
def test_a_job_message_survives_a_round_trip(message: JobMessage) -> None:
    assert read_job_queue(message.body()) == JobMessage.from_body(message.body()) == message
    assert message.body().isascii()


@pytest.mark.parametrize(
    ("member", "flags"),
    [
        pytest.param(JobMember("m", "v", removes=False), "", id="an enter"),
        pytest.param(JobMember("m", "v", removes=True), "d", id="a removal"),
        pytest.param(JobMember("m", "v", removes=True, erases=True), "de", id="a removal that erases"),
        pytest.param(JobMember("m", "v", removes=False, was_counted=True), "r", id="a replay"),
        pytest.param(JobMember("m", "v", removes=True, proves=True), "dp", id="a part of an erasure"),
        pytest.param(JobMember("m", "v", *[True] * 4), "derp", id="all of them"),
    ],
)
def test_job_members_have_one_letter_flags(member: JobMember, flags: str) -> None:
    assert member.flags == flags
    assert json.loads(JobMessage("j", "1", 1, (member,)).body())["members"] == [["m", "v", flags]]


def test_identity_deletions_of_an_older_version_are_ignored() -> None:
    members = [["m1", "0000000000000005#1#a", "dpi"], ["m2", "0000000000000005#1#a", "dp"]]
    body = json.dumps({"v": 1, "jobId": "-", "audienceId": "ds", "sentAt": 1, "checks": 0, "members": members})
    assert [each.member for each in JobMessage.from_body(body).members] == ["m2"]


def test_a_deletion_message_survives_a_round_trip() -> None:
    message = DeletionMessage(("m1", "m-2"), due=1_800_000_000, attempts=3)
    assert read_job_queue(message.body()) == message


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"deletions": ["m1"]}, id="without a time"),
        pytest.param({"deletions": "m1 m2", "due": 1}, id="no list of ids"),
        pytest.param({"deletions": ["a@b.co"], "due": 1}, id="an id outside Amazon's pattern"),
        pytest.param({"deletions": [1], "due": 1}, id="a number"),
        pytest.param({"deletions": ["m1"], "due": "soon"}, id="a time in words"),
    ],
)
def test_a_malformed_deletion_message_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidMessage):
        read_job_queue(json.dumps({"v": 1} | fields))


@given(st.lists(JOB_MEMBERS, min_size=1, max_size=5), st.integers(1, 3_000))
def test_members_that_exceed_one_job_message_fill_several(members: list[JobMember], times: int) -> None:
    everyone = members * times
    bodies = job_messages("job-1", AUDIENCE, everyone, SENT_AT)
    assert max(map(len, bodies)) <= MAX_MESSAGE_BYTES
    read = [JobMessage.from_body(body) for body in bodies]
    assert [member for message in read for member in message.members] == everyone
    assert {(message.job_id, message.sent_at, message.checks, message.is_late) for message in read} == {
        ("job-1", SENT_AT, 0, False)
    }


@pytest.mark.parametrize(("length", "each"), [(150_000, 1), (100_000, 2), (60_100, 3), (59_600, 4)])
def test_members_with_long_ids_fill_each_job_message(length: int, each: int) -> None:
    text = Version(1, exits=False, message_id="x" * length).text
    bodies = job_messages("job-1", AUDIENCE, [JobMember("m1", text, removes=True)] * 4, SENT_AT)
    assert max(map(len, bodies)) <= MAX_MESSAGE_BYTES
    assert len(JobMessage.from_body(bodies[0]).members) == each


def test_an_upload_without_members_has_no_job_message() -> None:
    assert job_messages("job-1", AUDIENCE, [], SENT_AT) == []


def test_a_job_message_without_a_count_of_checks_has_had_none() -> None:
    body = json.loads(job_body())
    del body["checks"]
    assert JobMessage.from_body(json.dumps(body)).checks == 0


def test_job_times_beyond_their_limit_are_refused() -> None:
    assert JobMessage.from_body(job_body(sentAt=MAX_TIME)).sent_at == MAX_TIME
    for beyond in (MAX_TIME + 1, MIN_TIME - 1):
        with pytest.raises(InvalidMessage):
            JobMessage.from_body(job_body(sentAt=beyond))


TEXT = Version(1, exits=False, message_id="id").text


def job_body(**fields: Any) -> str:
    return json.dumps({"v": 1, "jobId": "j", "audienceId": "1", "sentAt": 1, "checks": 0, "members": []} | fields)


MISTYPED_IN_JOB: dict[str, list[Any]] = {
    "members": [5, ["m1"], ["abc"], [["m1", TEXT]], [["m1", TEXT, "", ""]], [["m1", TEXT, 1]], [["m1", TEXT, None]]]
    + [[["m1", version, "d"]] for version in ("", "yesterday", "x#0#id", None, f"{MAX_TIME + 1}#1#id")]
    + [[["\ud800", TEXT, ""]]],
    "sentAt": ["yesterday", 10**400],
    "audienceId": ["an audience", None],
    "jobId": [{}],
    "checks": [[], -(10**400)],
    "claims": [1, ["first"], [10**400], [[]]],
}


@pytest.mark.parametrize(
    "body",
    [
        *("{", "[]", "{}", "null", "[" * 100_000),
        job_body().replace('"sentAt": 1', '"sentAt": Infinity'),
        *(job_body(**{name: value}) for name, values in MISTYPED_IN_JOB.items() for value in values),
    ],
)
def test_a_malformed_job_message_is_refused(body: str) -> None:
    with pytest.raises(InvalidMessage):
        JobMessage.from_body(body)


@given(any_change(), FAILURES)
def test_a_parked_change_survives_a_round_trip(parked: MembershipChange, failure: Failure) -> None:
    dead_letter = DeadLetter.parked(parked, failure)
    assert DeadLetter.from_body(dead_letter.body()) == dead_letter
    assert ChangeMessage.from_body(dead_letter.body()).changes == [parked], "the worker could read it, too"


@given(any_change(), FAILURES)
def test_a_redriven_change_is_a_replay(parked: MembershipChange, failure: Failure) -> None:
    (body,) = DeadLetter.parked(parked, failure).redrive_bodies()
    message = ChangeMessage.from_body(body)
    assert (message.changes, message.history.was_counted) == ([parked], True)
    assert "failure" not in json.loads(body)


@given(CHANGES, HISTORIES)
def test_a_message_moved_by_sqs_is_redriven_unchanged(
    changes: list[MembershipChange], history: DeliveryHistory
) -> None:
    for body in pack(changes, history):
        dead_letter = DeadLetter.from_body(body)
        assert dead_letter.failure is None
        assert dead_letter.redrive_bodies() == [body]
        assert dead_letter.body() == body


def test_a_failure_contains_amazons_status_and_request_id() -> None:
    refused = Failure.of(RequestRejected("no", status=400, request_id="r-1"), attempts=2, first_at=1, last_at=3)
    assert (refused.reason, refused.status, refused.request_id, refused.attempts) == ("request_rejected", 400, "r-1", 2)
    assert (refused.first_at, refused.last_at) == (1, 3)
    slowed = Failure.of(Throttled("slow down"), attempts=1, first_at=1, last_at=3)
    assert (slowed.reason, slowed.detail, slowed.status, slowed.request_id) == ("throttled", "slow down", None, "")


@pytest.mark.parametrize(
    ("failure", "read"),
    [
        pytest.param(None, None, id="none"),
        pytest.param("broken", None, id="a text"),
        pytest.param([], None, id="a list"),
        pytest.param({}, Failure("", "", 0, 0), id="empty"),
        pytest.param({"attempts": 0.5}, Failure("", "", 0, 0), id="less than one attempt"),
        pytest.param(
            {"attempts": None, "firstAt": None, "lastAt": None, "requestId": None}, Failure("", "", 0, 0), id="null"
        ),
    ],
)
def test_a_dead_letter_with_an_incomplete_failure_is_read(failure: Any, read: Failure | None) -> None:
    assert DeadLetter.from_body(json.dumps(GOOD | {"failure": failure})).failure == read


@pytest.mark.parametrize("failure", [{"attempts": "many"}, {"firstAt": [1]}, {"lastAt": {"a": 1}}])
def test_a_dead_letter_with_a_mistyped_failure_is_refused(failure: Any) -> None:
    with pytest.raises(InvalidMessage):
        DeadLetter.from_body(json.dumps(GOOD | {"failure": failure}))
