"""Sample events are what the stack accepts, for any listed audience, without a mapping of one's own."""

import json
from itertools import product

import pytest

from audience_sync.amazon_ads.destination import ads_data_manager
from audience_sync.ingest.intake import changes_from, compiled
from audience_sync.members.membership import Audience
from audience_sync_cli.frame.samples import EMAIL, MEMBER, SAMPLES, sample
from tests.support.aws_fixtures import AUDIENCE
from tests.support.doubles.audiences import Listed

NOW = 1_800_000_000.0  # epoch seconds
AUDIENCES = [
    pytest.param(AUDIENCE, id="in the US, with a computation key"),
    pytest.param(Audience("1", country="DE"), id="in Germany, where consent is needed, without a key"),
    pytest.param(Audience("2"), id="without a country"),
    pytest.param(Audience("adm-1", country="US", destination=ads_data_manager()), id="a dataset, which needs consent"),
]


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("audience", AUDIENCES)
@pytest.mark.parametrize("enters", [True, False], ids=["enters", "exits"])
def test_a_sample_makes_one_change_of_the_made_up_person_now(name: str, audience: Audience, enters: bool) -> None:
    event = sample(name, audience, enters=enters, at=NOW, message_id="id-1")
    found = changes_from(
        json.dumps(event).encode(), mappings=compiled(None), audiences=Listed(audience), now=round(NOW * 1000)
    )
    (change,) = found.changes
    assert found.rejections == []
    assert change.member == (audience.audience_id, MEMBER)
    assert (change.exits, change.at, change.message_id) == (not enters, round(NOW * 1000), "id-1")
    assert len(change.identities[0].digests) == 8, "a hash of every field"
    assert EMAIL in json.dumps(event)
    assert EMAIL.strip().lower() != EMAIL, "it has to be normalized"


def test_a_sample_grants_consent_if_any_audience_of_the_key_needs_it() -> None:
    dataset = Audience("d-1", country="US", destination=ads_data_manager(), also=True)
    for name, others in product(SAMPLES, ([], [dataset])):
        event = sample(name, AUDIENCE, others, enters=True, at=NOW, message_id="id-1")
        assert ("GRANTED" in json.dumps(event)) is bool(others)
