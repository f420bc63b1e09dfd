"""Which shares of a dataset count as revoked, and which sizes its counts stand for."""

import pytest

from audience_sync.amazon_ads.data_manager.answers import Metrics, Share
from audience_sync.amazon_ads.job import Sizes
from audience_sync.errors import AccessDenied, AudienceSyncError
from audience_sync.operations.dataset_reports import DAY, RECENTLY, DatasetReport, with_revocation_times

NOW = 1_800_000_000.0


def share(status: str, *, account: str = "ENTITY1", revoked_at: float | None = None) -> Share:
    return Share("sr-1", "adm-1", "DSP_AUDIENCES", account, "ATVPDKIKX0DER", status, revoked_at=revoked_at)


REVOKED = share("REVOKED_BY_USER", revoked_at=NOW - DAY)


@pytest.mark.parametrize(
    ("shares", "ended", "recently"),
    [
        pytest.param([share("ACTIVE"), share("PENDING"), share("SHADOW"), share("")], 0, 0, id="none has ended"),
        pytest.param([REVOKED], 1, 1, id="revoked yesterday"),
        pytest.param([share("REVOKED_BY_SHARING_GRANT")], 1, 1, id="nobody knows when"),
        pytest.param([share("REVOKED_BY_USER", revoked_at=NOW - RECENTLY)], 1, 0, id="a week ago"),
        pytest.param([REVOKED, share("PENDING")], 0, 0, id="shared again"),
        pytest.param([REVOKED, share("ACTIVE", account="ENTITY2")], 1, 1, id="another account is reached"),
    ],
)
def test_a_revoked_share_counts_for_a_week_unless_shared_again(shares: list[Share], ended: int, recently: int) -> None:
    report = DatasetReport("adm-1", shares=tuple(shares))
    assert (len(report.ended), len(report.ended_recently(NOW))) == (ended, recently)


class Stored(dict[str, str]):
    """Times as the checkpoint holds them."""

    def position(self) -> dict[str, str]:
        return dict(self)

    def save(self, position: dict[str, str]) -> None:
        self.clear()
        self.update(position)


@pytest.mark.parametrize(
    ("unread", "kept"),
    [
        pytest.param({}, {}, id="forgotten once Amazon no longer lists it"),
        pytest.param(
            {"shares": AccessDenied("403", status=403)}, {"sr-0": "5"}, id="kept while a dataset's shares are unread"
        ),
    ],
)
def test_a_revoked_share_keeps_the_time_it_was_first_seen(
    unread: dict[str, AudienceSyncError], kept: dict[str, str]
) -> None:
    stored = Stored({"sr-0": "5"})
    reports = [
        DatasetReport("adm-1", shares=(share("REVOKED_BY_USER"), share("ACTIVE"))),
        DatasetReport("adm-2", failures=unread),
    ]
    for now in (NOW, NOW + DAY):
        dated, _ = with_revocation_times(reports, stored, now)
        assert [each.revoked_at for each in dated.shares] == [NOW, None]
        assert stored == kept | {"sr-1": str(int(NOW))}


@pytest.mark.parametrize(
    ("records", "metrics", "sizes"),
    [
        pytest.param(200, Metrics(accepted=900, match_percent=70.0), Sizes(200, 140), id="by the rate of all uploads"),
        pytest.param(0, Metrics(accepted=0, match_percent=0.0), Sizes(0), id="no rate before the first upload"),
        pytest.param(200, Metrics(), Sizes(200), id="no metrics"),
        pytest.param(None, Metrics(accepted=900, match_percent=70.0), Sizes(), id="no records"),
    ],
)
def test_sizes_are_derived_from_the_current_records(records: int | None, metrics: Metrics, sizes: Sizes) -> None:
    assert DatasetReport("adm-1", records, metrics).sizes == sizes
