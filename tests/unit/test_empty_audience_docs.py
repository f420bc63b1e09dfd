"""docs/empty-audience.md and `diagnose` have the same checks in the same order, and the example is what is printed."""

import os
import re
import shlex
from dataclasses import replace

import pytest

from audience_sync.amazon_ads.audience import AudienceReport
from audience_sync.amazon_ads.job import Sizes
from audience_sync.amazon_ads.normalize import COUNTRIES
from audience_sync.membership import Audience
from audience_sync_cli.diagnosis import delivered
from audience_sync_cli.diagnosis.arrival import CONSENT_AND_COUNTRY, NO_AUDIENCE
from audience_sync_cli.diagnosis.checks import CHECKS
from audience_sync_cli.diagnosis.command import print_diagnosis
from audience_sync_cli.diagnosis.counts import Traffic
from audience_sync_cli.diagnosis.facts import Facts
from audience_sync_cli.health.stack_checks import Finding as Part
from audience_sync_cli.members.counts import MemberCount
from audience_sync_cli.screen import Screen
from local.template import ROOT

PAGE = ROOT / "docs/empty-audience.md"
TEXT = PAGE.read_text(encoding="utf-8")
SECTIONS = re.findall(r"^### (.+)\n((?:(?!^##).*\n)+)", TEXT.split("\n## The checks\n")[1], re.MULTILINE)
NOW = 1_772_615_722.0  # epoch seconds: 2026-03-04 09:15:22Z
HOUR = 3_600  # seconds

AUDIENCE = Audience(
    "418273650912345678", "Big spenders", "GB", advertiser_id="590071284455661234", computation_key="big_spenders"
)
EXAMPLE = Facts(  # an audience in the United Kingdom that has just begun, and whose consent signal is not mapped
    now=NOW,
    days=7,
    audience=AUDIENCE,
    parts={
        "event key": Part("event key", "ok", "strong"),
        "Amazon credentials": Part("Amazon credentials", "ok", "client and authorization are stored"),
        "access token": Part("access token", "ok", "valid for 41 minutes"),
        "mappings": Part("mappings", "ok", "Segment's default mapping"),
    },
    traffic=Traffic(accepted=3_912, ignored=57, rejected=6_204, uploads=4),
    rejections={"consent_missing": 6_198, "no_identifier": 6},
    members=MemberCount(AUDIENCE, 3_870, 42, round((NOW - 5 * HOUR) * 1000)),
    report=AudienceReport(AUDIENCE.audience_id, sizes=Sizes(received=3_870, matched=1_742)),
    lowest_processed=100.0,
)


def test_each_check_has_its_section_in_the_order_of_the_command() -> None:
    assert [name for name, _ in SECTIONS] == [check.name for check in CHECKS]


@pytest.mark.parametrize(("name", "section"), SECTIONS, ids=[name for name, _ in SECTIONS])
def test_a_section_ends_at_a_command(name: str, section: str) -> None:
    assert re.search(r"audience-sync \w|make deploy", section), name


def test_each_section_can_be_reached_from_what_is_seen() -> None:
    table = TEXT.split("\n## What you see, and where to begin\n")[1].split("\n## ")[0]
    linked = set(re.findall(r"\[([^\]]+)\]\(#", table))
    others = {"Amazon credentials", "delivery", "listing", "jobs"}  # their effect is seen at the next check
    assert linked == {check.name for check in CHECKS} - others


def test_the_figures_are_those_of_the_checks() -> None:
    assert f"in DSP within {delivered.SHOWN_WITHIN} hours" in TEXT
    assert f"needs {delivered.MIN_FOR_DSP:,} matched members" in TEXT
    assert f"Below {delivered.NEAR_ZERO:.0f} % the country" in TEXT
    assert f"below {delivered.HALF:.0f} % compare" in TEXT
    assert f"less than {delivered.EXPECTED} %" in TEXT
    assert f"in {len(COUNTRIES)} countries" in TEXT


def test_the_countries_are_listed_where_the_page_says() -> None:
    (listed,) = re.findall(
        r"in 21 countries: ([A-Z\s]+)\.", (ROOT / "docs/amazon-setup.md").read_text(encoding="utf-8")
    )
    assert set(listed.split()) == COUNTRIES


def test_the_reasons_of_a_group_are_in_its_section() -> None:
    sections = dict(SECTIONS)
    assert set(re.findall(r"`(audience_\w+)`", sections["audience of the events"])) == NO_AUDIENCE
    named = set(re.findall(r"`((?:consent|country)_\w+)`", sections["consent and country"]))
    assert named == CONSENT_AND_COUNTRY - {"consent_invalid"}


def test_the_example_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert print_diagnosis(Screen(), EXAMPLE) is True
    printed = "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines())
    block = re.compile(r"```text\n(.*?)```", re.DOTALL)
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(block.sub(lambda _: f"```text\n{printed}\n```", TEXT), encoding="utf-8")
    assert block.findall(PAGE.read_text(encoding="utf-8")) == [f"{printed}\n"]


def test_without_the_rejected_events_the_example_has_no_problem() -> None:
    quiet = replace(EXAMPLE, rejections={})
    assert print_diagnosis(Screen(as_json=True), quiet) is False


def test_the_next_command_of_the_example_stands_in_the_section_of_its_check() -> None:
    (block,) = re.findall(r"```text\n(.*?)```", TEXT, re.DOTALL)
    reasons = re.findall(r"^\d+\. ([^:]+): .*\n {3}(audience-sync .+)$", block, re.MULTILINE)
    assert len(reasons) > 2
    sections = dict(SECTIONS)
    for check, command in reasons:
        assert " ".join(shlex.split(command)[:3]) in sections[check]
