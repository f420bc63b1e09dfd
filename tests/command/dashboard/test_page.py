"""The page is one document that needs nothing from elsewhere, and that no value can become a part of."""

import re

import pytest

from audience_sync_cli.dashboard import deployed, plots
from audience_sync_cli.dashboard.page import ASSETS, build_page, content_security_policy, headers_of
from audience_sync_cli.dashboard.ranges import RANGES, USUAL
from local.status.page import PACE
from local.template import ROOT
from tests.support.markdown import paragraph

SOURCE = build_page()
DOCUMENT = ROOT / "docs/dashboard.md"


def test_page_and_pictures_have_the_documented_size() -> None:
    (stated,) = re.findall(r"one document of (\d+) KB", DOCUMENT.read_text(encoding="utf-8"))
    assert len(SOURCE.encode()) / 1000 == pytest.approx(int(stated), rel=0.05)
    pictures = [*DOCUMENT.parent.glob("images/dashboard-*.png"), *DOCUMENT.parent.glob("images/status-page*.png")]
    assert [each.name for each in pictures if each.stat().st_size > 150_000] == []


def test_the_document_states_reading_intervals_and_ranges() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert (deployed.QUEUES, plots.EVERY_COUNT) == (10, 60)
    assert (plots.EVERY_REASON, plots.EVERY_AUDIENCE) == (5 * 60, 15 * 60)
    assert (PACE.longest, PACE.usual.span, PACE.usual.history) == (0.5, 300, 3600)
    assert '"5 minutes; audiences 1 hour"' in SOURCE
    read = paragraph(text, "The local page refreshes twice a second")
    assert [each for each in ("ten seconds", "every minute", "five minutes", "fifteen") if each not in read] == []
    assert f"{deployed.MAX_DEAD_LETTERS} at most" in text
    assert (plots.EVERY_LONG, USUAL.span, USUAL.history) == (5 * 60, 24 * 3600, 14 * 24 * 3600)
    assert re.findall(r"`(\d+[hd])`", text) == [each for each in RANGES if each]
    assert re.findall(r'<option value="(\w*)"', SOURCE) == list(RANGES)


def test_style_and_scripts_are_in_the_document() -> None:
    for asset in ASSETS.iterdir():
        if asset.suffix in (".css", ".js"):
            assert asset.read_text(encoding="utf-8") in SOURCE, asset.name


def test_the_policy_allows_nothing_but_the_parts_of_the_page() -> None:
    policy = headers_of(SOURCE)["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert len(re.findall(r"'sha256-", policy)) == len(re.findall(r"<(?:style|script)>", SOURCE))
    assert ("require-trusted-types-for 'script'" in policy, "unsafe" in policy) == (True, False)
    edited = SOURCE.replace('"use strict";', '"use strict"; alert(1);')
    assert content_security_policy(edited) != content_security_policy(SOURCE)


@pytest.mark.parametrize(
    "function", ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser", "eval(", "Function("]
)
def test_no_value_can_become_markup(function: str) -> None:
    assert function not in SOURCE


def test_the_page_needs_nothing_from_elsewhere() -> None:
    assert not re.search(r"https?://|@import|url\(|\bsrc=", SOURCE)
    assert re.findall(r'href="([^"]*)"', SOURCE) == ["data:,", "#rejected"]
    assert not re.search(r'\s(style|on\w+)="', SOURCE)  # the policy would refuse them


def test_every_control_and_every_region_has_a_name() -> None:
    for ids in re.findall(r'aria-(?:labelledby|describedby)="([^"]+)"', SOURCE):
        for each in ids.split():
            assert f'id="{each}"' in SOURCE, each
    for select in re.findall(r'<select id="([^"]+)"', SOURCE):
        assert f'for="{select}"' in SOURCE, select
    assert "></button>" not in SOURCE


def test_every_element_that_the_scripts_look_for_is_in_the_page() -> None:
    wanted = set(re.findall(r'\$\("([\w-]+)"\)', SOURCE))
    assert wanted
    assert {each for each in wanted if f'id="{each}"' not in SOURCE} == set()


def test_every_number_that_the_page_shows_is_one_of_the_facts_or_computed_in_the_script() -> None:
    computed = {"arrived", "members", "waiting"}
    shown = set(re.findall(r'data-(?:n|noun)="([\w.]+)"', SOURCE))
    from_facts = {each for each in shown if each not in computed}
    assert from_facts <= {
        *(f"counts.{name}" for name in ("eventsAccepted", "eventsIgnored", "eventsRejected", "accepted")),
        *(f"counts.{name}" for name in ("delivered", "superseded", "parked", "uploads", "repeated")),
        *(f"warnings.{name}" for name in ("unauthorized", "uploadsFailed")),
        *("eventQueue.messages", "eventQueue.deadLetters"),
        "queue.total",
        "deadLetters",
    }
