"""docs/ads-data-manager.md states the limits that hold."""

from audience_sync.amazon_ads.data_manager.dataset_settings import MAX_DSP_NAME
from audience_sync.amazon_ads.data_manager.members import MEMBERS_SIZE
from audience_sync.amazon_ads.data_manager.share_settings import MAX_SHARES
from audience_sync.amazon_ads.destination import MAX_IN_DATASET
from local.template import ROOT

PAGE = " ".join((ROOT / "docs/ads-data-manager.md").read_text(encoding="utf-8").split())


def test_the_documentation_states_the_limits_in_the_code() -> None:
    stated = (
        f"at most {MEMBERS_SIZE.max_records:,} members and {MEMBERS_SIZE.max_bytes // 1_000_000} MB",
        f"a member at most {MAX_IN_DATASET} identities",
        f"at most {MAX_SHARES} shares",
        f"1 to {MAX_DSP_NAME}.",
    )
    assert [each for each in stated if each not in PAGE] == []
