"""The diagnosis that docs/empty-audience.md shows."""

import io
import re
from contextlib import redirect_stdout

from audience_sync.amazon_ads.advertiser_audiences.audience import AudienceReport
from audience_sync.amazon_ads.destination import of_advertiser
from audience_sync.amazon_ads.job import Sizes
from audience_sync.members.membership import Audience
from audience_sync_cli.diagnosis.command import print_diagnosis
from audience_sync_cli.diagnosis.counts import Traffic
from audience_sync_cli.diagnosis.facts import Facts
from audience_sync_cli.health.stack_checks import Finding
from audience_sync_cli.members.counts import MemberCount
from audience_sync_cli.screen import Screen
from local.template import ROOT

PAGE = ROOT / "docs/empty-audience.md"
NOW = 1_772_615_722.0  # epoch seconds: 2026-03-04 09:15:22Z
HOUR = 3_600  # seconds

AUDIENCE = Audience(
    "418273650912345678",
    "Big spenders",
    "GB",
    destination=of_advertiser("590071284455661234"),
    computation_key="big_spenders",
)
EXAMPLE = Facts(  # an audience in the United Kingdom that has just begun, and whose consent signal is not mapped
    now=NOW,
    days=7,
    audience=AUDIENCE,
    parts={
        "event key": Finding("event key", "ok", "strong"),
        "Amazon credentials": Finding("Amazon credentials", "ok", "client and authorization are stored"),
        "access token": Finding("access token", "ok", "valid for 41 minutes"),
        "mappings": Finding("mappings", "ok", "Segment's default mapping"),
    },
    traffic=Traffic(accepted=3_912, ignored=57, rejected=6_204, uploads=4),
    rejections={"consent_missing": 6_198, "no_identifier": 6},
    members=MemberCount(AUDIENCE, 3_870, 42, round((NOW - 5 * HOUR) * 1000)),
    report=AudienceReport(AUDIENCE.audience_id, sizes=Sizes(received=3_870, matched=1_742)),
    lowest_processed=100.0,
)


def page() -> str:
    """Return the page with what the command prints about the example."""
    with redirect_stdout(io.StringIO()) as output:
        print_diagnosis(Screen(), EXAMPLE)
    printed = "".join(f"{line.rstrip()}\n" for line in output.getvalue().splitlines())
    return re.sub(
        r"```text\n.*?```", lambda _: f"```text\n{printed}```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL
    )
