"""docs/empty-audience.md and `diagnose` have the same checks in the same order."""

import re

from audience_sync.amazon_ads.normalize import COUNTRIES
from audience_sync.operations.audience_trends import MIN_FOR_DSP
from audience_sync_cli.report import delivered
from audience_sync_cli.report.arrival import CONSENT_AND_COUNTRY, NO_AUDIENCE
from audience_sync_cli.report.audience_checks import CHECKS
from local.template import ROOT

TEXT = (ROOT / "docs/empty-audience.md").read_text(encoding="utf-8")
SECTIONS = re.findall(r"^### (.+)\n((?:(?!^##).*\n)+)", TEXT.split("\n## The checks\n")[1], re.MULTILINE)


def test_the_page_has_a_section_for_each_check_in_the_order_of_diagnose() -> None:
    assert [name for name, _ in SECTIONS] == [check.name for check in CHECKS]


def test_the_page_states_the_thresholds_of_the_checks() -> None:
    assert f"in DSP within {delivered.SHOWN_WITHIN} hours" in TEXT
    assert f"needs {MIN_FOR_DSP:,} matched members" in TEXT
    assert f"Below {delivered.NEAR_ZERO:.0f} % the country" in TEXT
    assert f"below {delivered.HALF:.0f} % compare" in TEXT
    assert f"less than {delivered.EXPECTED} %" in TEXT
    assert f"in {len(COUNTRIES)} countries" in TEXT


def test_the_setup_page_lists_the_countries_that_amazon_matches() -> None:
    (listed,) = re.findall(
        r"in 21 countries: ([A-Z\s]+)\.", (ROOT / "docs/amazon-setup.md").read_text(encoding="utf-8")
    )
    assert set(listed.split()) == COUNTRIES


def test_each_check_section_names_its_reason_codes() -> None:
    sections = dict(SECTIONS)
    assert set(re.findall(r"`(audience_\w+)`", sections["audience of the events"])) == NO_AUDIENCE
    named = set(re.findall(r"`((?:consent|country)_\w+)`", sections["consent and country"]))
    assert named == CONSENT_AND_COUNTRY - {"consent_invalid"}
