"""`send`: what is posted, what the answer means, and how a change is followed to the end of its job."""

import json
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from audience_sync.amazon_ads.advertiser_audiences.records import encode_record
from audience_sync.amazon_ads.data_manager.client import NO_UPLOAD_ID
from audience_sync.amazon_ads.destination import ads_data_manager
from audience_sync.amazon_ads.job import JobReport, Sizes
from audience_sync.amazon_ads.upload import Target
from audience_sync.errors import AudienceSyncError, Unavailable
from audience_sync.members.member_state import Timing
from audience_sync.members.member_step import apply_changes
from audience_sync.members.membership import EVERY_AUDIENCE, Audience, MembershipChange
from audience_sync_cli.frame import reasons
from audience_sync_cli.frame.errors import (
    AlreadyReported,
    NotThere,
    OperatorError,
    ReportedAsUnfinished,
    TryLater,
    WrongUsage,
)
from audience_sync_cli.frame.samples import MEMBER
from audience_sync_cli.frame.session import Session
from audience_sync_cli.stack import mapping_store as store
from audience_sync_cli.stack.listed import the_only_audience
from audience_sync_cli.stack.mapping_history import BUILT_IN
from audience_sync_cli.stack.settling import GOES_ON, End
from audience_sync_cli.watch import following
from audience_sync_cli.watch.following import Following
from audience_sync_cli.watch.hops import job_ended
from audience_sync_cli.watch.posting import Answer, post, stated
from audience_sync_cli.watch.send import Follow, send
from audience_sync_cli.watch.sent import Sent
from audience_sync_cli.watch.ways import Posted
from tests.command.conftest import NOW, Deployment, Printed, change
from tests.command.mappings.mapping_files import written
from tests.support.aws_fixtures import AUDIENCE, EVENT_KEY
from tests.support.builders import sha256, upload_of

if TYPE_CHECKING:
    from audience_sync_cli.stack.blockers import Blocker
    from audience_sync_cli.watch.hops import Hop

ACCEPTED = {"accepted": 1, "ignored": 0, "rejected": 0, "rejections": []}
DATASET = Audience("adm-1", destination=ads_data_manager())
TRIP_OF_DATASET = Follow(round_trip=DATASET.audience_id, timeout=60)
ID = AUDIENCE.audience_id
TRIP = Follow(round_trip=AUDIENCE.audience_id, timeout=0)
REJECTION = {"index": 0, "messageId": "m-1", "reason": "time_ahead", "detail": "timestamp is ahead; correct the clock"}


@pytest.fixture
def accepting(deployment: Deployment, gateway: list[Any]) -> list[Any]:
    """The gateway, which accepts every event of the audience."""
    gateway.append((200, ACCEPTED))
    deployment.list_audience()
    return gateway


def test_send_posts_a_sample_with_the_event_key(deployment: Deployment, accepting: list[Any]) -> None:
    document = deployment.json(send, sample_name="track")
    (authorization, event), *_ = accepting
    assert authorization == f"Bearer {EVENT_KEY}"
    assert (event["userId"], event["event"]) == (MEMBER, "Audience Entered")
    assert (document["status"], document["accepted"], document["ends"]) == (200, 1, [])
    assert [hop["place"] for hop in document["hops"]] == ["answer"]


def test_send_posts_a_file_unchanged(deployment: Deployment, gateway: list[Any], tmp_path: Path) -> None:
    gateway.append((200, ACCEPTED | {"ignored": 1, "consentDenied": 1}))
    output = deployment.printed(send, written(tmp_path, {"type": "track"})).out
    assert "200: 1 accepted, 1 ignored, 0 rejected; 1 of the accepted with consent denied" in output
    assert "Find out which with `audience-sync mappings try FILE --explain`." in output
    assert gateway[0][1] == {"type": "track"}


@pytest.mark.parametrize(("shared", "consent"), [(False, None), (True, "GRANTED")], ids=["alone", "with a dataset"])
def test_a_sample_is_of_the_named_audience_with_the_consent_that_any_of_its_key_needs(
    deployment: Deployment, accepting: list[Any], shared: bool, consent: str | None
) -> None:
    vip, dataset = Audience("2", computation_key="vip"), replace(DATASET, computation_key="vip", also=True)
    for audience in (vip, dataset)[: 1 + shared]:
        deployment.list_audience(audience)
    send(deployment.session(), sample_name="track", audience="vip")
    properties = accepting[0][1]["properties"]
    assert (properties["audience_key"], properties.get("amznUserData")) == ("vip", consent)


@pytest.mark.parametrize(
    ("options", "answer", "raises", "noted"),
    [
        pytest.param({}, {}, None, True, id="posted"),
        pytest.param({"exits": True}, {}, None, False, id="an exit"),
        pytest.param({}, {"accepted": 0, "rejected": 1}, AlreadyReported, False, id="rejected"),
        pytest.param({}, {"accepted": 0, "ignored": 1}, None, False, id="ignored"),
        pytest.param({"follow": Follow(wait=True, timeout=0)}, {}, ReportedAsUnfinished, False, id="still on its way"),
    ],
)
def test_send_says_how_to_remove_the_sample_only_if_it_enters(
    deployment: Deployment, accepting: list[Any], options: Any, answer: Any, raises: Any, noted: bool
) -> None:
    accepting.append((200, ACCEPTED | answer))
    printed = deployment.printed(send, sample_name="track", raises=raises, **options)
    assert (f"{MEMBER}, a made-up person, enters the audience. --exit removes it." in printed.err) is noted


@pytest.mark.usefixtures("accepting")
def test_send_does_not_claim_an_enter_that_the_mappings_ignore(deployment: Deployment) -> None:
    session = deployment.session()
    store.replace(session, store.read(session), [BUILT_IN[0] | {"enabled": False}])
    assert "enters" not in deployment.printed(send, sample_name="track", follow=Follow(wait=True)).err


@pytest.mark.parametrize(("age", "said"), [(20, "stored 20 seconds ago"), (59.5, "in 1 second"), (60, "")])
def test_send_says_if_ingest_may_still_use_the_previous_mappings(
    deployment: Deployment, gateway: list[Any], tmp_path: Path, age: float, said: str
) -> None:
    gateway.append((200, ACCEPTED | {"accepted": 0, "ignored": 1}))
    session = deployment.session(now=NOW)
    store.replace(session, store.read(session), BUILT_IN)
    file = written(tmp_path, {"type": "track"})
    note = deployment.printed(send, file, follow=Follow(wait=True), now=NOW + age).err
    assert (said in note, bool(note)) == (True, bool(said))


@pytest.mark.parametrize(
    ("status", "answer", "said", "named"),
    [
        (400, {"accepted": 0, "rejected": 1}, "400: 0 accepted, 0 ignored, 1 rejected", "time_ahead"),
        (200, {"partlyRejected": 1}, "0 rejected; 1 rejection by single audiences of the accepted", "d-1"),
    ],
    ids=["of an event", "by one audience"],
)
def test_send_prints_a_rejection_and_fails(
    deployment: Deployment, accepting: list[Any], status: int, answer: dict[str, int], said: str, named: str
) -> None:
    accepting.append((status, ACCEPTED | answer | {"rejections": [REJECTION | {"audienceId": "d-1"}]}))
    output = deployment.printed(send, sample_name="identify", exits=True, raises=AlreadyReported).out
    assert (said in output, named in output) == (True, True)
    assert accepting[0][1]["traits"][AUDIENCE.computation_key] is False


@pytest.mark.parametrize(
    ("status", "body", "kind", "sentence"),
    [
        pytest.param(400, {"error": "the body is not JSON"}, OperatorError, "the body: the body is not JSON", id="400"),
        pytest.param(401, {"error": "unauthorized"}, OperatorError, "refuses its own event key", id="wrong key"),
        pytest.param(413, {"error": "x"}, OperatorError, "too large", id="too large"),
        pytest.param(429, {"message": "Too Many Requests"}, TryLater, "answers 429", id="throttled"),
        pytest.param(503, "<html>", TryLater, "answers 503", id="unavailable, and no JSON"),
        pytest.param(404, {"message": "Not Found"}, OperatorError, "answers 404", id="not a gateway of ours"),
        pytest.param(200, "[]", OperatorError, "answers 200", id="an answer of another program"),
        pytest.param(302, "", OperatorError, "answers 302", id="a redirect, which would get the key"),
    ],
)
def test_any_other_response_is_an_error_with_a_remedy(
    deployment: Deployment, gateway: list[Any], status: int, body: Any, kind: type[OperatorError], sentence: str
) -> None:
    gateway.append((status, body))
    with pytest.raises(kind, match=sentence) as raised:
        post(deployment.session(), b"{}")
    assert type(raised.value) is kind
    assert status == 400 or raised.value.remedy


def test_an_unreachable_gateway_is_a_temporary_error_and_nothing_is_posted_without_a_key(
    deployment: Deployment,
) -> None:
    assert "The gateway does not answer: ConnectionError" in str(deployment.refusal(TryLater, post, b"{}"))
    deployment.put_secret("IngestSecret", {"eventKey": "short"})
    assert "no usable event key" in str(deployment.refusal(OperatorError, post, b"{}"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param({}, "Nothing or too much", id="nothing to send"),
        pytest.param({"file": Path("x"), "sample_name": "track"}, "Nothing or too much", id="two things to send"),
        pytest.param({"file": Path("x"), "exits": True}, "need --sample", id="an exit of a file"),
        pytest.param({"file": Path("x"), "audience": "1"}, "need --sample", id="an audience of a file"),
        pytest.param({"sample_name": "tracks"}, "no such sample", id="no such sample"),
        pytest.param({"sample_name": "track", "follow": TRIP}, "too much", id="a sample and a round trip"),
        pytest.param({"follow": TRIP, "exits": True}, "need --sample", id="an exit of a round trip"),
    ],
)
def test_contradictory_options_are_refused(deployment: Deployment, options: dict[str, Any], said: str) -> None:
    assert said in str(deployment.refusal(WrongUsage, send, **options))


@pytest.mark.parametrize(
    ("answer", "raises", "said"),
    [
        pytest.param({"rejected": 1, "rejections": [REJECTION]}, AlreadyReported, "time_ahead", id="rejected"),
        pytest.param({"ignored": 1}, None, "no enabled trigger matches", id="ignored"),
    ],
)
def test_an_enter_that_is_not_accepted_ends_a_round_trip_and_leaves_nothing_to_erase(
    deployment: Deployment, accepting: list[Any], answer: Any, raises: Any, said: str
) -> None:
    accepting[:] = [(200, ACCEPTED | {"accepted": 0} | answer)]
    assert said in deployment.printed(send, follow=TRIP, raises=raises).out
    assert len(accepting) == 2, "no exit is sent"
    assert deployment.bodies("ChangeQueue") == []


def test_an_enter_that_gets_stuck_is_erased_and_no_exit_is_sent(deployment: Deployment, accepting: list[Any]) -> None:
    trips = [deployment.json(send, follow=TRIP, raises=ReportedAsUnfinished) for _ in range(2)]
    assert [(trip["audienceId"], trip["left"]) for trip in trips] == [(AUDIENCE.audience_id, None)] * 2
    members = [trip["member"] for trip in trips]
    assert members == [event["userId"] for _, event in accepting[1::-1]], "a new person each time"
    assert len(set(members)) == 2
    for notice, member in zip(deployment.bodies("ChangeQueue"), members, strict=True):
        assert (notice["audienceId"], notice["replay"]) == (EVERY_AUDIENCE, True)
        assert notice["changes"][0]["record"]["externalUserId"] == member


def test_an_enter_that_the_gateway_does_not_answer_is_erased(deployment: Deployment) -> None:
    deployment.list_audience()
    deployment.refusal(TryLater, send, follow=TRIP)
    (notice,) = deployment.bodies("ChangeQueue")
    assert notice["audienceId"] == EVERY_AUDIENCE


def send_while(
    deployment: Deployment, happens: Callable[[], None], *, raises: Any = None, as_json: bool = True, **options: Any
) -> Printed:
    """Send while something happens in each pause, which lasts ten seconds by this machine's clock, none by AWS's."""
    now = time.time()

    def pause(_: float) -> None:
        nonlocal now
        now += 10
        happens()

    def run(session: Session) -> None:
        session.now, session.sleep = lambda: now, pause
        send(session, **options)

    return deployment.printed(run, raises=raises, as_json=as_json)


def delivered(deployment: Deployment, gateway: list[Any]) -> None:
    """Deliver the newest event of the gateway to a dataset; the upload has the event's name as its id."""
    event = gateway[0][1]
    deployment.record(*stated(deployment.session(), json.dumps(event).encode()).changes)
    uploaded(deployment, event["event"], audience_id=DATASET.audience_id)


def test_a_round_trip_follows_enter_and_exit_each_to_its_own_upload_and_erases_the_person(
    deployment: Deployment, accepting: list[Any]
) -> None:
    deployment.list_audience(DATASET)
    session = deployment.session()
    fields = BUILT_IN[0]["fields"] | {"external_user_id": {"@sha256": {"@path": "$.userId"}}}
    store.replace(session, store.read(session), [BUILT_IN[0] | {"fields": fields}])
    trip = send_while(deployment, lambda: delivered(deployment, accepting), follow=TRIP_OF_DATASET).json
    for document, upload in (trip["entered"], "Audience Entered"), (trip["left"], "Audience Exited"):
        assert [each["ending"] for each in document["ends"]] == ["done"]
        assert [each["jobId"] for each in document["hops"] if each["place"] == "upload"] == [upload]
        assert all(each["afterSeconds"] < 60 for each in document["hops"])
    (notice,) = deployment.changes()
    assert notice["record"]["externalUserId"] == sha256(trip["member"]), "as the mappings name the person"


def test_a_person_whose_exit_is_rejected_is_erased(deployment: Deployment, accepting: list[Any]) -> None:
    deployment.list_audience(DATASET)

    def deliver() -> None:
        delivered(deployment, accepting)
        accepting[-1] = (400, ACCEPTED | {"accepted": 0, "rejected": 1})

    trip = send_while(deployment, deliver, follow=TRIP_OF_DATASET, raises=AlreadyReported).json
    assert (trip["entered"]["accepted"], trip["left"]["rejected"]) == (1, 1)
    assert [each["record"]["externalUserId"] for each in deployment.changes()] == [trip["member"]]


@pytest.mark.usefixtures("accepting")
def test_a_blocker_is_reported_and_what_happens_after_the_timeout(deployment: Deployment) -> None:
    deployment.stack.service("lambda").event_source = "Disabled"
    sent = partial(send_while, deployment, lambda: None, sample_name="track", follow=Follow(wait=True))
    document = sent(raises=AlreadyReported).json
    assert [each["reason"] for each in document["blockers"]] == ["paused"]
    assert [each["ending"] for each in document["ends"]] == ["blocked"]
    deployment.stack.service("lambda").event_source = "Enabled"
    left = sent(follow=Follow(wait=True, timeout=1), raises=ReportedAsUnfinished, as_json=False).out
    assert GOES_ON in " ".join(left.split())


def test_a_sample_uses_the_only_listed_audience(deployment: Deployment) -> None:
    assert "No audience" in str(deployment.refusal(NotThere, the_only_audience))
    deployment.list_audience()
    assert the_only_audience(deployment.session()) == AUDIENCE
    deployment.list_audience(Audience("2"))
    assert "2 audiences" in str(deployment.refusal(WrongUsage, the_only_audience))


class Followed:
    """Follows changes while a stack does one thing after the other: one in each pause."""

    def __init__(
        self,
        deployment: Deployment,
        *changes: MembershipChange,
        steps: list[Callable[[], None]],
        later: float = 0,
        ahead: float = 0,
        earlier_jobs: Collection[str] = (),
    ) -> None:
        self.hops: list[Hop] = []
        self.blockers: list[Blocker] = []
        self.now = time.time() + later
        self._steps = steps
        session = deployment.session()
        session.now = lambda: self.now
        self._following = Following(
            session,
            changes,
            posted=Posted(self.now, ahead, earlier_jobs),
            on_hop=self.hops.append,
            on_blocker=self.blockers.append,
            sleep=self._sleep,
        )

    def run(self, timeout: float = 60) -> list[End]:
        return self._following.run(timeout)

    def _sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += 5
        if self._steps:
            self._steps.pop(0)()


def now_change(member: str = "m1", *, exits: bool = False) -> MembershipChange:
    return change(member, exits=exits, at=round(time.time() * 1000))


@pytest.fixture
def job_id(deployment: Deployment) -> str:
    """The id of a job of the sandbox with the record of m1."""
    deployment.connect()
    deployment.stack.service("lambda").invoke(FunctionName="RefreshFunction", Payload=b"{}")
    record = encode_record(change("m1", country="US"))
    return deployment.session().amazon.send_records(upload_of(Target(AUDIENCE.audience_id), record)).job_id


def uploaded(deployment: Deployment, job_id: str, audience_id: str = AUDIENCE.audience_id) -> None:
    deployment.log("Worker", "upload accepted", audience_id=audience_id, job_id=job_id, records=1)


def act(deployment: Deployment, entered: MembershipChange, job_id: str, step: str) -> None:
    """Do what a step of a row below says: to the row of the change, to its upload, or in its way."""
    match step.split():
        case ["row"]:
            deployment.record(entered)
        case ["bare", "row"]:
            deployment.record(replace(entered, identities=()))
        case ["newer"]:
            deployment.record(replace(entered, at=entered.at + 1_000, message_id="newer"))
        case ["sent", "before"]:
            earlier = time.time() - 60
            state = apply_changes(None, [entered], now=int(earlier), timing=Timing(900)).state
            deployment.session().members.write([state])
            deployment.logs._now = lambda: earlier
            uploaded(deployment, "the-first-one")
            deployment.logs._now = time.time
        case ["upload", name, *audience]:
            uploaded(deployment, job_id if name == "its-job" else name, *audience)
        case ["park", member]:
            park(deployment, entered if member == "it" else change(member))
        case _:
            hinder(deployment, job_id, step)


def hinder(deployment: Deployment, job_id: str, step: str) -> None:
    match step.split():
        case ["throttled", audience_id]:
            failed = {"deferred": ["throttled"], "audience_ids": [audience_id], "parked": {}}
            deployment.log("Worker", "delivery incomplete", **failed)
        case ["pause"]:
            deployment.stack.service("lambda").event_source = "Disabled"
        case ["503"]:
            fault = {"match": {"path": f"/amc/audiences/records/{job_id}"}, "do": {"status": 503}, "times": 1}
            requests.put(f"{deployment.amazon}/sandbox/faults", json=[fault], timeout=5).raise_for_status()
        case ["ttl", "0"]:
            deployment.session().amazon.update_audience(AUDIENCE.audience_id, {"metadata": {"ttl": 0}})
        case ["second"]:
            time.sleep(1.1)


def park(deployment: Deployment, parked: MembershipChange) -> None:
    """Park a change of the audience as the worker does, which logs no member."""
    deployment.park(parked, reason="access_denied")
    deployment.log("Worker", "delivery incomplete", parked={"access_denied": 1}, audience_ids=[parked.audience_id])


WHOLE, APPLIED = "table, upload its-job, job SUCCEEDED, ", "Amazon has applied the change. "
NOBODY = "The job has ended, but nobody is in the audience. Its time to live is 0: *"
KEPT = f"{NOBODY}. Run `audience-sync audiences update {ID} --ttl-days 397`."
PARKED = f"*access_denied: refused. {reasons.parked('access_denied').remedy}*"
THROTTLED, WITHOUT_JOB = "*Amazon asks the stack to slow down (429)*", "*does not report when it takes effect*"
PAUSED = "Delivery is paused: the worker's event source is disabled. *"


@pytest.mark.parametrize(
    ("steps", "story", "told"),
    [
        pytest.param("| -, row, upload other 2, upload its-job", f"{WHOLE}done", APPLIED, id="each hop in its turn"),
        pytest.param("sent before | -, upload its-job", f"again {WHOLE}done", APPLIED, id="a repeated event"),
        pytest.param("row, upload earlier | upload its-job", f"{WHOLE}done", APPLIED, id="a job of an earlier change"),
        pytest.param("row, upload its-job, 503 |", f"{WHOLE}done", APPLIED, id="an error that passes"),
        pytest.param("ttl 0, row, upload its-job |", f"{WHOLE}rejected", KEPT, id="an enter that Amazon does not keep"),
        pytest.param("row, upload no-job |", "table, upload no-job, rejected", "*does not know the job*", id="no job"),
        pytest.param("upload early | second, row", "table, timeout", "*", id="an upload before the row was written"),
        pytest.param("newer |", "table, superseded", "Superseded by a newer change *", id="a newer change"),
        pytest.param("row | park it", "table, parked", PARKED, id="parked, with its reason"),
        pytest.param("| park m2", "timeout", "*still in the change queue*", id="another member is parked"),
        pytest.param("pause |", "paused, blocked", PAUSED, id="a blocker that needs a person"),
        pytest.param(f"| throttled {ID}", "throttled, timeout", THROTTLED, id="a blocker of the audience"),
        pytest.param("| throttled 2", "timeout", "*still in the change queue. *", id="a blocker of another one"),
        pytest.param("| row, upload in-1 adm-1", "table, upload in-1, done", WITHOUT_JOB, id="a dataset"),
        pytest.param("| row, upload - adm-1", "table, upload -, done", WITHOUT_JOB, id="a dataset, without an id"),
        pytest.param("bare row |", "table, superseded", "*nothing to remove. *", id="an exit without identifiers"),
    ],
)
def test_a_change_is_followed_to_its_end(
    deployment: Deployment, job_id: str, steps: str, story: str, told: str
) -> None:
    """`steps` happen before it is followed, and then one in each pause; `story` are blockers, hops and the end."""
    entered = now_change(exits="bare" in steps)
    if "adm-1" in steps:
        entered = replace(entered, audience_id="adm-1", destination=ads_data_manager())
    before, meanwhile = ([*map(str.strip, part.split(","))] for part in steps.split("|"))
    for step in before:
        act(deployment, entered, job_id, step)
    followed = Followed(
        deployment,
        entered,
        steps=[partial(act, deployment, entered, job_id, step) for step in meanwhile],
        earlier_jobs=["earlier", NO_UPLOAD_ID],
    )
    (end,) = followed.run()
    parts = [*(each.reason for each in followed.blockers), *map(in_short, followed.hops), end.ending]
    assert ", ".join(parts).replace(job_id, "its-job") == story
    assert fnmatchcase(f"{end.text} {end.remedy}", told)
    assert end.is_good == (end.ending in ("done", "superseded"))
    assert [hop.after for hop in followed.hops] == sorted(hop.after for hop in followed.hops)


def in_short(hop: "Hop") -> str:
    again = "again " if "known before, and sent again" in hop.text else ""
    about = hop.facts.get({"upload": "jobId", "job": "state"}.get(hop.place, ""), "")
    return f"{again}{hop.place} {about}".strip()


@pytest.mark.parametrize(
    ("report", "exits", "text"),
    [
        (JobReport("SUCCEEDED", sizes=Sizes(received=0)), False, "The job has ended, but nobody is in the audience."),
        (JobReport("SUCCEEDED", sizes=Sizes(received=0)), True, "Amazon has applied the change."),
        (JobReport("FAILED", rejected={"m1": "no"}), False, "Amazon's job rejected the record: no."),
    ],
)
def test_an_enter_that_amazon_does_not_keep_is_not_called_applied(report: JobReport, exits: bool, text: str) -> None:
    assert job_ended(report, [now_change(exits=exits)])[2].text == text


def test_the_end_of_a_job_without_effect_says_that_the_change_is_sent_again() -> None:
    rejected, failed = (
        job_ended(JobReport("FAILED", rejected=named), [now_change()])[2] for named in ({"m1": "no"}, {"m2": "no"})
    )
    assert (rejected.ending, failed.ending) == ("rejected", "rejected")
    assert "sends the record again once" in rejected.remedy
    assert ("until a job succeeds" in failed.remedy, "park" in failed.remedy) == (True, False)


def test_times_are_compared_by_the_stacks_clock(deployment: Deployment, job_id: str) -> None:
    entered = now_change()
    deployment.record(entered)
    uploaded(deployment, job_id)
    followed = Followed(deployment, entered, steps=[], later=3_600, ahead=-3_600)
    (end,) = followed.run()
    assert end.ending == "done"
    assert all(hop.after < 60 for hop in followed.hops)


def test_the_changes_of_several_audiences_are_followed_together(deployment: Deployment, job_id: str) -> None:
    first, second = now_change(), change("m1", audience_id="2", at=1_000)
    deployment.record(first, replace(second, at=2_000, message_id="newer"))
    uploaded(deployment, job_id)
    followed = Followed(deployment, first, second, steps=[])
    ends = followed.run()
    assert [end.ending for end in ends] == ["done", "superseded"]
    told = [*(end.text for end in ends), *(hop.text for hop in followed.hops)]
    assert {text.partition(":")[0] for text in told} == {f"audience {first.audience_id}", "audience 2"}


def test_a_missing_table_ends_following(deployment: Deployment) -> None:
    name = deployment.stack["MembershipTable"]
    deployment.stack.service("dynamodb").delete_table(TableName=name)
    with pytest.raises(Unavailable):
        Followed(deployment, now_change(), steps=[]).run()


def test_recorded_rows_are_not_read_again(deployment: Deployment) -> None:
    first, second = now_change("m1"), now_change("m2")
    deployment.record(first)
    followed = Followed(deployment, first, second, steps=[lambda: None, lambda: deployment.record(second)])
    (way,) = followed._following._ways
    followed._following._look()
    assert [change.member[1] for change in way.pending] == ["m2"]
    followed.run(timeout=20)
    assert followed.hops[0].facts["recorded"] == 2


def test_the_progress_bar_names_the_next_hop_and_amazon_is_asked_less_often_than_aws(deployment: Deployment) -> None:
    deployment.send("ChangeQueue", "{}")
    entered, hints = now_change(), list[str]()
    steps = [lambda: deployment.record(entered), lambda: uploaded(deployment, "job-1")]
    followed = Followed(deployment, entered, steps=steps)._following
    ways, deployment.stack.local = followed._ways, None
    assert followed._pause(ways) == following.PAUSE
    with suppress(AudienceSyncError):  # Amazon is not connected here
        followed.run(20, lambda: hints.append(followed.hint))
    assert hints == ["waiting for the worker, 1 message in the change queue", "waiting for the upload"]
    assert followed._pause(ways) == following.PAUSE_AT_AMAZON


@pytest.mark.parametrize(
    ("ending", "raised"),
    [("timeout", ReportedAsUnfinished), ("parked", AlreadyReported), ("blocked", AlreadyReported)],
)
def test_the_exit_code_tells_failure_or_timeout(
    deployment: Deployment, ending: Any, raised: type[AlreadyReported]
) -> None:
    sent = Sent(deployment.session(), b"{}", 0, Answer(200, 0.1, 0.0, ACCEPTED | {"partlyRejected": 0}))
    sent.ends = [End("done", ""), End(ending, "")]
    with pytest.raises(raised) as caught:
        sent.raise_unless_good()
    assert type(caught.value) is raised
