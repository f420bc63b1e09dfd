"""The watch of Amazon's API files: a sentence for each change, and whether a file could be compared at all."""

import copy
import json
from functools import partial
from typing import Any

import pytest
import requests

from scripts import watch
from scripts.api_changes import compared, operations
from scripts.watch import CONTRACT, compare, laid_out, published
from tests.support.doubles.wire import Reply

NAME = "Advertiser audiences"
FILE = json.loads((CONTRACT.parent / "Advertiseraudiences_prod_3p.json").read_bytes())  # as published, cut down
PINNED = json.loads(CONTRACT.read_bytes())[NAME]
V1, V2 = (f"application/vnd.amcaudiences.v{version}+json" for version in (1, 2))
TEXT = {"type": "string"}
CREATE, RECORDS = "POST /amc/audiences/metadata", "POST /amc/audiences/records"
REFUSED = "not sent here yet, so Amazon will refuse the request"
CHANGES = f"""
DELETE /amc/audiences/connections: the operation is gone; sent here.
GET /amc/audiences/connections/terms: the operation is now deprecated; sent here.
GET /amc/audiences/connections/terms: the request is new and required; {REFUSED}.
GET /amc/audiences/records/{{jobRequestId}}: `jobState` of the answer now also allows EXPIRED; read here.
PATCH /amc/audiences/connections/terms: the request is gone; sent here.
{CREATE}: `audienceId` of the answer has type string instead of number; read here.
{CREATE}: the request media type no longer allows {V1} and now also allows {V2}; sent here.
{CREATE}: `countryCode` of the request no longer allows ZZ, also in {RECORDS}; sent here.
{CREATE}: `countryCode` of the request is now required; sent here.
{RECORDS}: the header parameter `Amazon-Ads-AccountId` is new and required; {REFUSED}.
{RECORDS}: `records` of the request has maxItems 6000 instead of 10000; sent here.
{RECORDS}: `records[].consentTime` of the request is new and required; {REFUSED}.
{RECORDS}: `records[].hashedPII[].postal` of the request is gone; sent here.
{RECORDS}: `targetResource.connectionId` of the request is no longer required; sent here.
GET /amc/audiences/connections: `connections[].clientId` of the answer is gone; not used here.
New, and not used here: GET /amc/audiences, `city`.
"""


def tell(document: Any, contract: dict[str, Any] | None = None) -> tuple[int, list[str]]:
    return compare(contract or {NAME: copy.deepcopy(PINNED)}, lambda _: operations(document))


def test_the_pinned_contract_equals_amazons_file() -> None:
    found = {name: compared(parts, PINNED["used"].get(name)) for name, parts in operations(FILE).items()}
    assert found == PINNED["operations"]
    assert tell(FILE) == (0, [f"{NAME}: changes 0, sent or read here 0"])
    assert laid_out(json.loads(CONTRACT.read_bytes())) + "\n" == CONTRACT.read_text(encoding="utf-8")


def test_each_change_is_a_sentence_that_says_whether_it_is_sent_or_read_here() -> None:
    document = copy.deepcopy(FILE)
    paths, schemas = document["paths"], document["components"]["schemas"]
    fields = {name: schema["properties"] for name, schema in schemas.items() if "properties" in schema}
    records, create = (paths[f"/amc/audiences/{name}"]["post"] for name in ("records", "metadata"))
    paths["/amc/audiences"] = {"get": paths["/amc/audiences/connections"].pop("delete")}
    paths["/amc/audiences/connections/terms"]["get"]["deprecated"] = True
    paths["/amc/audiences/connections/terms"]["patch"].pop("requestBody")
    paths["/amc/audiences/connections/terms"]["get"]["requestBody"] = create["requestBody"] | {}
    create["requestBody"]["content"] = {V2: create["requestBody"]["content"][V1]}
    records["parameters"].append({"in": "header", "name": "Amazon-Ads-AccountId", "required": True, "schema": TEXT})
    fields["PayloadObj"]["consentTime"] = {"$ref": "#/components/schemas/Consent"}
    schemas["PayloadObj"]["required"].append("consentTime")
    schemas["CreateAudienceMetadataV2RequestContent"]["required"].append("countryCode")
    schemas["TargetResourceRecords"]["required"] = []
    fields["HashedPIIObj"].pop("postal")
    fields["CreateAudienceMetadataV2ResponseContent"]["audienceId"] = TEXT
    fields["ManageAudienceV2RequestContent"]["records"]["maxItems"] = 6000
    schemas["jobState"]["enum"].append("EXPIRED")
    schemas["CountryCode"]["enum"].remove("ZZ")
    fields["AmcpLinkConnection"].pop("clientId")
    fields["Geo"] |= {"within": {"$ref": "#/components/schemas/Geo"}, "city": TEXT}
    code, (heading, *lines) = tell(document)
    assert "\n" + "\n".join(lines) + "\n" == CHANGES
    assert (code, heading) == (1, f"{NAME}: changes 18, sent or read here 15")


def test_unused_changes_exit_with_0_and_adopting_a_change_clears_it() -> None:
    document, contract = copy.deepcopy(FILE), {NAME: copy.deepcopy(PINNED)}
    document["components"]["schemas"]["AmcpLinkConnection"]["properties"].pop("clientId")
    assert tell(document, contract)[0] == 0
    document["components"]["schemas"]["currency"]["enum"].append("BRL")
    assert [tell(document, contract)[0] for _ in range(2)] == [1, 0]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        pytest.param(Reply(404), "answers 404. If it has moved, correct its address in tests/fixtures/", id="moved"),
        pytest.param(Reply(200, b"<html>"), "cannot be read as OpenAPI 3 (JSONDecodeError", id="a page"),
        pytest.param(Reply(200, b"[]"), "cannot be read as OpenAPI 3 (TypeError", id="other JSON"),
        pytest.param(
            Reply(200, b'{"components": {"schemas": {}}, "paths": {}}'),
            "cannot be read as OpenAPI 3 (it ho",
            id="a stub",
        ),
        pytest.param(Reply(200, b" " * 101), "cannot be read (the answer is too long)", id="endless"),
        pytest.param(Reply(200, b"", requests.ConnectionError()), "cannot be read (ConnectionError)", id="offline"),
    ],
)
def test_a_file_that_cannot_be_compared_ends_with_5(reply: Reply, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "MAX_FILE", 100)
    with requests.Session() as session:
        session.mount("https://", reply)
        code, (line,) = compare({NAME: PINNED}, partial(published, session))
    assert (code, line.startswith(f"{NAME}: not compared. {PINNED['address']} {reason}")) == (5, True)
