"""Targets of what Amazon answers, and of what is sent to it: answers of its APIs and login; audience settings."""

import contextlib
import math
import re
from typing import Any

import requests

from audience_sync.amazon_ads.advertiser_audiences.audience import audience_update, new_audience
from audience_sync.amazon_ads.advertiser_audiences.audience_diff import mismatches
from audience_sync.amazon_ads.advertiser_audiences.client import AmazonAds
from audience_sync.amazon_ads.data_manager.accounts import Account
from audience_sync.amazon_ads.data_manager.client import DataManager
from audience_sync.amazon_ads.data_manager.dataset_settings import new_dataset
from audience_sync.amazon_ads.exchange import MAX_RETRY_AFTER, retry_after
from audience_sync.amazon_ads.login import AccessTokens, Login, Token
from audience_sync.amazon_ads.upload import Target
from audience_sync.aws.audience_table import row_of
from audience_sync.errors import AudienceSyncError, InvalidAudience, RequestRejected, TokenUnavailable, TransientError
from local.amazon.data_manager.datasets import check_new_dataset
from local.amazon.data_manager.sharing_rules import check_new_rule
from local.amazon.refusals import Refusal
from local.amazon.validation import check_audience_update, check_new_audience
from tests.fuzz.inputs import Message, json_or_none
from tests.fuzz.invariants import assert_repeats_nothing
from tests.support.aws_fixtures import CREDENTIALS
from tests.support.builders import upload_of
from tests.support.doubles.secrets import StoredSecret
from tests.support.doubles.wire import Reply

NOW = 1_774_000_000.0  # epoch seconds
UPLOAD = upload_of(Target("2"), b"{}")
MANY = upload_of(Target("2"), *[b"{}"] * 5)
SHARE = {"dataSetId": "ds", "application": "DSP_AUDIENCES", "destinationAccountId": "ENTITY1"}
MAX_CPM = 500  # hundredths
_ADDRESS = re.compile(r"\S@\S")


def _session(message: Message) -> requests.Session:
    digits = message.first_line[:3]
    status = int(digits) if digits.isascii() and digits.isdigit() else 200
    session = requests.Session()
    adapter = Reply(status, message.body, None, **message.headers)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def read_answer(data: bytes) -> None:
    """Input: an answer as an HTTP message, its status first; given to every call of Amazon's APIs.

    A call returns, or raises RequestRejected or TransientError. Waits are 0 to 900 seconds. A message is one line: our
    words, and at most 200 characters of Amazon's. Sizes are numbers of at least 0.
    """
    message = Message.of(data)
    with _session(message) as session:
        login = Login(session, "https://login.example/auth/o2/token", StoredSecret(CREDENTIALS), lambda: NOW)
        tokens = AccessTokens(StoredSecret(Token("Atza|x", NOW + 3600).as_json()), login, lambda: NOW)
        amazon = AmazonAds(session, "https://amazon.example", tokens, lambda: 0.0, lambda: NOW)
        calls: tuple[Any, ...] = (
            *(lambda: amazon.send_records(UPLOAD), lambda: amazon.job("job-1"), lambda: amazon.create_audience({})),
            *(lambda: amazon.read_audience("2"), lambda: amazon.update_audience("2", {}), amazon.connections),
            *(lambda: amazon.create_connection({}), lambda: amazon.delete_connection("c"), amazon.terms),
            amazon.profiles,
        )
        account = Account("amzn1.ads1.ma1.x")
        manager = DataManager(session, "https://amazon.example", tokens, account, lambda: 0.0, lambda: NOW)
        calls += (
            *(manager.terms, manager.data_room, manager.make_data_room, lambda: manager.create_dataset({})),
            *(lambda: list(manager.datasets()), lambda: manager.dataset("ds"), lambda: manager.metrics("ds")),
            *(
                lambda: list(manager.shares("ds")),
                lambda: manager.create_share(SHARE),
                lambda: manager.revoke_share("s"),
            ),
            *(lambda: manager.aggregates("ds", "", ""), lambda: manager.send_members(UPLOAD)),
            *(lambda: manager.send_members(MANY), lambda: manager.delete_people(["m1"])),
        )
        for call in calls:
            _check_call(call)


def _check_call(call: Any) -> None:
    try:
        result = call()
    except (RequestRejected, TransientError) as error:
        _check_error(error)
        return
    sizes = getattr(result, "sizes", None)
    if sizes is not None:
        assert all(size is None or size >= 0 for size in (sizes.received, sizes.matched, sizes.dsp))
        assert sizes.match_rate is None or math.isfinite(sizes.match_rate)
    for place, reason in getattr(result, "rejected", {}).items():
        if isinstance(reason, RequestRejected):
            assert place in range(len(MANY.encoded)), "a place of no member"
            _check_error(reason)
            continue
        assert len(reason) <= 200
        assert "\n" not in reason
        assert not _ADDRESS.search(reason), "Amazon's reason is quoted with an e-mail address"


def _check_error(error: AudienceSyncError) -> None:
    wait = getattr(error, "retry_after", None)
    assert wait is None or 0 <= wait <= MAX_RETRY_AFTER
    text, _, quoted = str(error).partition(": ")
    assert_repeats_nothing(text)
    assert len(quoted) <= 200
    assert "\n" not in quoted
    assert not _ADDRESS.search(quoted), "Amazon's message is quoted with an e-mail address"
    assert len(getattr(error, "request_id", "")) <= 64


def read_token(data: bytes) -> None:
    """Input: an answer of Login with Amazon as an HTTP message; its body stands for the token secret, too.

    There is a token that a header can carry, or TokenUnavailable; a message repeats nothing.
    """
    message = Message.of(data)
    stored = json_or_none(message.body)
    with _session(message) as session:
        login = Login(session, "https://login.example/auth/o2/token", StoredSecret(CREDENTIALS), lambda: NOW)
        tokens = AccessTokens(StoredSecret(stored if isinstance(stored, dict) else {}), login, lambda: NOW)
        for read in (login.fetch, tokens.current, lambda: tokens.renewed(tokens.current())[0]):
            try:
                token = read()
            except TokenUnavailable as error:
                assert_repeats_nothing(str(error))
                assert error.retry_after is None or 0 <= error.retry_after <= 300
            else:
                assert token.value.isascii()
                assert token.value.isprintable()
                assert math.isfinite(token.expires_at), "a token that never expires"


def read_retry_after(data: bytes) -> None:
    """Input: a Retry-After header. It is 0 to 900 seconds, or nothing."""
    wait = retry_after(data.decode("latin-1"), NOW)
    assert wait is None or 0.0 <= wait <= MAX_RETRY_AFTER


def read_settings(data: bytes) -> None:
    """Input: the body of POST /v1/audiences, as JSON.

    What Amazon would refuse is InvalidAudience, whose faults repeat nothing; the rest it takes, our table keeps, and
    it does not differ from itself.
    """
    fields = json_or_none(data)
    if not isinstance(fields, dict):
        return
    _read_dataset_settings(fields)
    try:
        wanted = new_audience(fields, max_cpm_cents=MAX_CPM)
    except InvalidAudience as error:
        for fault in error.faults:
            assert_repeats_nothing(" ".join(fault))
        return
    body = wanted.body()
    _check_settings(lambda: check_new_audience(body))
    listed = wanted.listed_as("418273650912345678")
    row_of(listed, 0)
    assert not mismatches(wanted, listed)
    try:
        update = audience_update(listed, fields, max_cpm_cents=MAX_CPM)
    except InvalidAudience:
        changes = {name: value for name, value in fields.items() if name in ("description", "ttl", "cpmCents")}
        with contextlib.suppress(InvalidAudience):
            update = audience_update(listed, changes, max_cpm_cents=MAX_CPM)
            if update.body:
                _check_settings(lambda: check_audience_update(update.body))


def _read_dataset_settings(fields: dict[str, Any]) -> None:
    try:
        dataset = new_dataset(fields)
    except InvalidAudience as error:
        for fault in error.faults:
            assert_repeats_nothing(" ".join(fault))
        return
    _check_settings(lambda: check_new_dataset(dataset.as_body()))
    for body in dataset.share_bodies("ds"):
        _check_settings(lambda body=body: check_new_rule(body))


def _check_settings(check: Any) -> None:
    try:
        check()
    except Refusal as refusal:
        # Amazon declares ids as unsigned 64-bit and reads them as signed: only Amazon knows how large they get.
        assert "out of range for a Long" in refusal.message, f"Amazon would refuse it: {refusal.message}"
