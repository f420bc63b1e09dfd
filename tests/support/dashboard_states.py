"""Facts of a stack in the states that the page can show. Names, ids and numbers are made up."""

from dataclasses import replace
from itertools import accumulate

from audience_sync_cli.dashboard.facts import (
    Activity,
    Alarm,
    AudienceFacts,
    DeadLetterFacts,
    DeadLetterList,
    Facts,
    Place,
    Point,
    RejectedEvents,
    ShareFacts,
    ShownLine,
    UploadFacts,
    Warnings,
)
from audience_sync_cli.frame import reasons
from audience_sync_cli.stack.blockers import Blocker
from audience_sync_cli.stack.counts import Counts, Depth, EventQueueDepth
from local.template import Template

NOW = 1_772_615_722.0  # 2026-03-04 09:15:22Z
API = "https://a1b2c3d4e5.execute-api.us-east-1.amazonaws.com"
HOUR = 3_600.0  # seconds
DAYS = 14
ALARMS = sorted(
    each["AlarmName"]["Fn::Sub"].rpartition("-")[2]
    for each in Template.load().resources("AWS::CloudWatch::Alarm").values()
)

PAUSED = Blocker(
    "paused",
    "Delivery was paused by user/ada at 2026-03-04 09:01:00Z: asked by legal.",
    "Resume it: `audience-sync resume`.",
    needs_person=True,
)


def empty(now: float = NOW) -> Facts:
    """A deployed stack to which Segment has sent nothing yet."""
    return Facts(
        at=now,
        place=Place(
            "deployed", "audience-sync", "https://a1b2c3d4e5.execute-api.us-east-1.amazonaws.com", 10, "us-east-1"
        ),
        counts=Counts(),
        queue=Depth(0, 0, 0),
        dead_letters=0,
        jobs_pending=0,
        activity=Activity(600, (0,) * 144, (0,) * 144),
        audiences=(AudienceFacts("418273650912345678", "Lapsed premium buyers"),),
        alarms=tuple(Alarm(name, "OK", now - 86_400) for name in ALARMS),
    )


def flowing(now: float = NOW) -> Facts:
    """A deployed stack at work, with some rejections."""
    arrived = tuple(420 + 380 * (n % 24 > 7) + 37 * (n * n % 11) for n in range(144))
    return replace(
        empty(now),
        counts=Counts(2_345_678, 1_204, 6_019, 2_340_002, 2_310_790, 28_150, 12, 9_862, 0),
        queue=Depth(3, 2, 0),
        jobs_pending=2,
        warnings=Warnings(without_credential=4),
        activity=Activity(600, arrived, arrived[2:] + arrived[:2]),
        audiences=(
            _audience("418273650912345678", "Lapsed premium buyers", 412_300, 71.4, 380, now),
            _audience("418273650912349999", "Cart abandoners, last 30 days", 88_210, 64.9, -40, now),
            _audience("379909525712777677", "Newsletter, no purchase", 12_007, 58.2, 9, now),
        ),
        rejected=tuple(
            RejectedEvents(reason, times)
            for reason, times in {
                "consent_missing": 3_911,
                "no_identifier": 1_420,
                "audience_unknown": 611,
                "member_id_invalid": 64,
                "time_ahead": 13,
            }.items()
        ),
        rejected_events=tuple(
            ShownLine(
                f"r{n}",
                now - 40 * n - 12,
                "ingest",
                "WARNING",
                "event rejected",
                {"reason": reason, "message_id": f"personas_2nG{n}kXa0FhXg9DmBjJpX1qTqZcQ", "detail": _DETAIL},
            )
            for n, reason in enumerate(
                ["consent_missing"] * 3 + ["no_identifier", "consent_missing", "audience_unknown"]
            )
        ),
        uploads=tuple(
            UploadFacts(
                f"u{n}",
                now - 70 * n - 8,
                f"{n}138b94e-2f2f-4e35-b1a7-9c76cfd55235",
                ("418273650912345678", "418273650912349999")[n % 2],
                1_449 - 97 * n,
            )
            for n in range(7)
        ),
        log=(
            ShownLine("l1", now - 300, "worker", "WARNING", "delivery incomplete", {"by_reason": '{"throttled": 2}'}),
            ShownLine("l2", now - 12, "ingest", "WARNING", "events rejected", {"rejected": "3"}),
        ),
    )


def outage(now: float = NOW) -> Facts:
    """Amazon fails, the circuit breaker is open, and changes wait."""
    return replace(
        flowing(now),
        counts=Counts(2_345_678, 1_204, 6_019, 2_340_002, 2_302_340, 28_150, 12, 9_862, 0),
        queue=Depth(8, 1, 22),
        warnings=Warnings(uploads_failed=46),
        blockers=(Blocker("circuit_open", _CIRCUIT, next_try=now + 42, since=now - 900),),
        alarms=tuple(
            Alarm(name, "ALARM" if name == "DeliveryStalled" else "OK", now - 900, _STALLED) for name in ALARMS
        ),
    )


def revoked(now: float = NOW) -> Facts:
    """Amazon no longer accepts the stored authorization, and changes wait until a person connects again."""
    means, remedy = "Amazon no longer accepts the stored authorization.", "Run `audience-sync connect`."
    return replace(
        outage(now),
        blockers=(Blocker("authorization_refused", means, remedy, needs_person=True, since=now - 900),),
        alarms=_alarms("TokenRefreshFailed", _REVOKED, now - 900),
    )


def parked(now: float = NOW) -> Facts:
    """Amazon has refused some changes; they wait for the operator."""
    found = tuple(
        DeadLetterFacts(
            message_id=f"{n}a2b3c4d-0000-4000-8000-000000000000",
            reason=reason,
            remedy=reasons.parked(reason).remedy,
            detail=detail,
            at=now - 600 * n - 75,
            audience_id="418273650912345678",
            members=(f"cust_4812{n}",),
            changes=1,
            exits=exits,
            attempts=1 + n,
            status=status,
            request_id="8d1f",
            is_readable=True,
        )
        for n, (reason, detail, exits, status) in enumerate(
            [
                ("access_denied", "Amazon answered 403: the login has no access to the advertiser", 0, 403),
                ("access_denied", "Amazon answered 403: the login has no access to the advertiser", 1, 403),
                ("request_rejected", "Amazon answered 400: records[0].hashedPII", 1, 400),
            ]
        )
    )
    return replace(
        flowing(now),
        queue=Depth(0, 0, 0),
        counts=Counts(2_345_678, 1_204, 6_019, 2_340_002, 2_311_847, 28_150, 5, 9_862, 0),
        dead_letters=len(found),
        parked=DeadLetterList(found, now - 20),
        alarms=_alarms("DeadLetters", _DEAD, now - 75),
    )


def stuck_events(now: float = NOW) -> Facts:
    """Messages wait in the event queue, and some are among its dead letters."""
    return replace(empty(now), event_queue=EventQueueDepth(messages=12, dead_letters=3))


def unshared(now: float = NOW) -> Facts:
    """A dataset of Ads Data Manager whose link to an advertiser was withdrawn."""
    dataset = replace(
        _audience("adm-ds-7k2m9qxw4t", "Lapsed premium buyers", 412_300, 71.4, 380, now),
        shares=(
            ShareFacts("sr-1", "DSP advertiser ENTITY2XYZ9QWERTY", "revoked by sharing grant", True, now - 7_200),
            ShareFacts("sr-2", "AMC instance amc1a2b3c4d", "active"),
            ShareFacts("sr-3", "DSP advertiser ENTITY7ABC3LMNOP", "pending"),
        ),
    )
    return replace(
        flowing(now),
        queue=Depth(0, 0, 0),
        counts=Counts(2_345_678, 1_204, 6_019, 2_340_002, 2_311_852, 28_150, 0, 9_862, 0),
        audiences=(dataset, *flowing(now).audiences[1:]),
        alarms=_alarms("Findings", _UNSHARED, now - 3_000),
    )


def many(now: float = NOW) -> Facts:
    """A stack with 40 audiences, one of which was moved to another and one ended."""
    listed = tuple(
        replace(_audience(f"4182736509123456{n:02}", f"Holiday buyers {n}", 1_000 * n, 90.0 - n, n, now), mark=mark)
        for n, mark in enumerate(["ended", "moved to 418273650912345602", *[""] * 38])
    )
    return replace(flowing(now), queue=Depth(0, 0, 0), audiences=listed)


_UNSHARED = "Shares of datasets that were revoked in the last seven days: 1."
_DETAIL = "no consent signal; map consent, or set ConsentPolicy"
_CIRCUIT = "The circuit breaker is open for Amazon DSP: Amazon has failed several times in a row."
_STALLED = "Changes have been retrying for over 30 minutes. No data is lost; removals wait as well."
_REVOKED = "The Amazon access token could not be refreshed."
_DEAD = "Changes could not be delivered and are in the dead letter queue, each with its reason."


def _alarms(on: str, description: str, since: float) -> tuple[Alarm, ...]:
    return tuple(Alarm(name, "ALARM" if name == on else "OK", since, description) for name in ALARMS)


def _audience(audience_id: str, name: str, size: int, rate: float, grows: int, now: float) -> AudienceFacts:
    hours = DAYS * 24
    steps = [grows + 3 * grows * (hour % 24 in (9, 10, 17)) - grows // 2 * (hour % 7 == 0) for hour in range(hours)]
    until_now = list(accumulate(steps))
    before = [max(0, size - until_now[-1] + each) for each in until_now]
    sizes: tuple[Point, ...] = tuple((now - (hours - 1 - hour) * HOUR, float(each)) for hour, each in enumerate(before))
    rates: tuple[Point, ...] = tuple((at, rate - 4 * (1 - n / hours)) for n, (at, _) in enumerate(sizes))
    return AudienceFacts(audience_id, name, size, rate, sizes[-1][0], sizes, rates)
