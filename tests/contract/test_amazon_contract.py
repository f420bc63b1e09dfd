"""What our clients send to Amazon and read from it, as the contract says with which `make watch` compares."""

import json
import re
from collections import defaultdict
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

import pytest
import requests

from audience_sync.amazon_ads import countries, exchange
from audience_sync.amazon_ads.advertiser_audiences import audience, audience_settings, records
from audience_sync.amazon_ads.advertiser_audiences.client import AmazonAds
from audience_sync.amazon_ads.consent import user_consent
from audience_sync.amazon_ads.data_manager import members
from audience_sync.amazon_ads.data_manager.accounts import Account
from audience_sync.amazon_ads.data_manager.client import DataManager
from audience_sync.amazon_ads.data_manager.dataset_settings import new_dataset
from audience_sync.amazon_ads.destination import amc_connection
from audience_sync.amazon_ads.upload import Target, Upload
from audience_sync.fields import IDENTIFIERS
from audience_sync.members.membership import Audience, Identity
from audience_sync_cli.frame.screen import Screen
from audience_sync_cli.setup import connections
from scripts.api_changes import Parts, parent
from tests.contract.amazon_contract import CONTRACTS, leaves, problems
from tests.support.builders import change

NO_TOKENS: Any = None
CHANGES = {"description": "d", "ttl": 7, "cpmCents": 1, "currency": "EUR"}
SETTINGS = {"audienceName": "Lapsed buyers", "countryCode": "DE", "externalAudienceId": "1", "description": "d"}
SHARES = [
    {"advertiserId": "1", "marketplace": "US", "accountEntityId": "1"},
    {"amcInstanceId": "1", "marketplace": "US"},
]
ENTER = change(
    identities=(Identity(1, {field.amazon_name: "0" * 64 for field in IDENTIFIERS}),),
    country="DE",
    consent=user_consent(["GRANTED", "GRANTED", "C", "D", "192.0.2.1"], "DE", "require"),
)


class Noted(dict[str, Any]):
    """An object in an answer, which notes the fields that are read. Reading one that is not declared fails."""

    parts: dict[str, str]
    used: set[str]

    def get(self, name: str, default: Any = None) -> Any:
        self.used.add(self.parts.get(f".{name}") or self.parts["{}"])
        return super().get(name, default)


class Api:
    """Takes the place of the exchange with Amazon, and answers with all that the contract declares."""

    def __init__(self, operations: dict[str, Parts]) -> None:
        self.operations = {re.sub(r"{\w+}", "1", each): (each, parts) for each, parts in operations.items()}
        self.used: dict[str, set[str]] = defaultdict(set)
        self.text = "1"  # of all strings in answers

    def call(self, client: Any, method: str, path: str, media: Any, *, body: bytes = b"", **options: Any) -> Any:
        path, _, query = path.partition("?")
        operation, parts = self.operations[f"{method} {path}"]
        sent = {f"query.{name}" for name, _ in parse_qsl(query)}
        if body:
            assert problems(parts, json.loads(body)) == []
            sent |= leaves("request", json.loads(body))
        headers = {f"header.{name}" for name in ("Amazon-Advertising-API-ClientId", *client._headers)}
        errors = {f"error.{name}" for name in (options.get("answer_field"), *exchange._MESSAGE_KEYS)}
        self.used[operation] |= sent | (headers | errors) & parts.keys()
        for place, name in zip(("request", "answer"), [media] * 2 if isinstance(media, str) else media, strict=True):
            assert name in parts.get(f"{place} media type", {}).get("enum", [name])
        answer: Any = self.example("answer", parts, self.used[operation]) if "answer" in parts else None
        if {"request.nextToken", "query.nextToken"} & sent:
            del answer["nextToken"]
        return answer

    def example(self, name: str, parts: Parts, used: set[str]) -> Any:
        inner = {part.removeprefix(name): part for part in parts if part != name and parent(part) == name}
        if "[]" in inner:
            return [self.example(f"{name}[]", parts, used)]
        if parts[name].get("type", "object") == "object":
            made = Noted({field.strip(".{}"): self.example(part, parts, used) for field, part in inner.items()})
            made.parts, made.used = inner, used
            return made
        return parts[name].get("enum", [{"number": 1, "boolean": True}.get(parts[name]["type"], self.text)])[0]


def upload(module: Any, encoded: bytes) -> Upload:
    target = Target("1", amc_connection("1", dsp=True))
    return Upload(target, module.frame_of(target), (encoded,))


def call_audience_api(api: Api) -> None:
    amazon = AmazonAds(requests.Session(), "", NO_TOKENS)
    log = SimpleNamespace(line=lambda _: nullcontext({}))
    session: Any = SimpleNamespace(amazon=amazon, screen=Screen(), log=log)
    for place in ("advertiserId", "connectionId"):
        amazon.create_audience(audience.new_audience(SETTINGS | CHANGES | {place: "1"}, max_cpm_cents=1).body())
    amazon.update_audience("1", audience.audience_update(Audience("1"), CHANGES, max_cpm_cents=1).body)
    amazon.read_audience("1")
    amazon.send_records(upload(records, records.encode_record(ENTER)))
    amazon.job("1")
    connections.create(session, "1", "1", "1", "1", "1", default=True)
    amazon.delete_connection("1")
    amazon.accept_terms(amazon.terms())
    for api.text in ("1", ""):  # an empty name makes way for the id
        connections.list_(session)


def call_data_manager(_: Api) -> None:
    dataset = new_dataset(SETTINGS | {"idRetention": False, "shares": SHARES})
    for account_id in ("amzn1.ads1.ma1.x", "ENTITY1"):
        amazon = DataManager(requests.Session(), "", NO_TOKENS, Account(account_id))
        amazon.accept_terms(amazon.terms())
        amazon.data_room()
        amazon.make_data_room()
        amazon.create_dataset(dataset.as_body())
        assert list(amazon.datasets()) == [amazon.dataset("1")] * 2
        amazon.send_members(upload(members, members.encode_member(ENTER)))
        for body in dataset.share_bodies("2"):
            amazon.create_share(body)
        amazon.records("1")
        amazon.metrics("1")
        amazon.aggregates("1", "2026-11-28T00:00:00Z", "2026-11-29T00:00:00Z")
        if amazon.can_erase:
            amazon.delete_people(["1"])
            amazon.revoke_share("1")


@pytest.mark.parametrize("name", CONTRACTS)
def test_the_contract_lists_all_that_is_sent_and_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api(CONTRACTS[name]["operations"])
    calls = {"Advertiser audiences": call_audience_api, "Ads Data Manager": call_data_manager}[name]

    def call(client: Any, *words: Any, **options: Any) -> Any:
        return api.call(client, *words, **options)

    monkeypatch.setattr(exchange.Exchange, "call", call)
    calls(api)
    assert {operation: sorted(used) for operation, used in api.used.items()} == CONTRACTS[name]["used"]


def test_country_codes_and_currencies_match_the_contract() -> None:
    create = CONTRACTS["Advertiser audiences"]["operations"]["POST /amc/audiences/metadata"]
    assert set(create["request.countryCode"]["enum"]) == countries.ACCEPTED
    assert tuple(create["request.metadata.audienceFees[].currency"]["enum"]) == audience_settings.CURRENCIES
