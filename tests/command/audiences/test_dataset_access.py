"""What Ads Data Manager needs before the first dataset, and the errors that say what is missing."""

from collections.abc import Iterator

import pytest

from audience_sync.amazon_ads.destination import Api, ads_data_manager
from audience_sync.members.membership import Audience
from audience_sync_cli.audiences.creation import Settings, create
from audience_sync_cli.checks.diagnose import diagnose
from audience_sync_cli.frame.errors import AlreadyReported, NotConfirmed, OperatorError
from audience_sync_cli.setup.terms import ACCEPTANCES, accept_terms, show_terms
from audience_sync_cli.stack.denial import denial
from audience_sync_cli.stack.options import NewTarget
from local.amazon.options import Options
from local.resources import MANAGER_ACCOUNT
from tests.command.conftest import Deployment
from tests.support.aws_fixtures import build_sandbox
from tests.support.servers import Served, serve

pytestmark = pytest.mark.usefixtures("connected")

MANAGER, DSP = {"DataManagerAccountId": MANAGER_ACCOUNT}, {"DataManagerAccountId": "ENTITY9"}
DATASET = NewTarget(api=Api.DATA_MANAGER)


@pytest.fixture(scope="module")
def amazon() -> Iterator[Served]:
    """A login whose manager account is new, and that may not use a DSP account."""
    options = Options(data_manager_terms_accepted=False, data_room_exists=False, advertiser_mode=False)
    with serve(lambda: build_sandbox(options)) as served:
        yield served


@pytest.fixture(autouse=True)
def account(deployment: Deployment) -> None:
    deployment.stack.parameters = MANAGER


def test_each_api_has_its_own_acceptance_sentence_and_acceptance_creates_the_data_room(deployment: Deployment) -> None:
    deployment.list_audience(Audience("adm-1", destination=ads_data_manager(), computation_key="big"))
    with pytest.raises(OperatorError, match="terms of Ads Data Manager are not accepted"):
        create(deployment.session(yes=True), "Big spenders", DATASET, Settings(), country="DE")
    findings = deployment.json(diagnose, "big", raises=AlreadyReported)["findings"]
    assert "terms of Ads Data Manager are not accepted" in str(findings)
    assert deployment.json(show_terms, Api.DATA_MANAGER)["accepted"] is False
    assert "Sandbox text" in deployment.printed(show_terms, Api.DATA_MANAGER, text=True).out
    for answer in ("y", ACCEPTANCES[Api.AUDIENCES]):
        deployment.answers = [answer]
        deployment.refusal(NotConfirmed, accept_terms, api=Api.DATA_MANAGER, yes=True)
    deployment.answers = [ACCEPTANCES[Api.DATA_MANAGER]]
    accept_terms(deployment.session(), api=Api.DATA_MANAGER)
    assert "did not send the text" in deployment.printed(show_terms, Api.DATA_MANAGER, text=True).out
    assert "no data room" in str(denial(deployment.session().data_manager))
    create(deployment.session(), "Big spenders", DATASET, Settings(), country="DE")
    refused = denial(deployment.session().data_manager)
    assert "terms of Ads Data Manager are accepted and the data room exists" in str(refused)
    assert "ads_data_manager_edit" in refused.remedy


def test_a_missing_permission_in_ads_data_manager_is_explained(deployment: Deployment) -> None:
    deployment.stack.parameters = DSP
    creating = (create, "Big spenders", DATASET, Settings(), "DE")
    refused = deployment.refusal(OperatorError, *creating, yes=True)
    assert ("denies access to the account" in str(refused), "audiences_edit" in refused.remedy) == (True, True)
