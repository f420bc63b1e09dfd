"""Each target on a bounded number of new inputs, always the same ones; and that a target does find what is wrong."""

from collections.abc import Callable
from typing import Any

import pytest

from audience_sync import credentials
from audience_sync.amazon_ads import exchange, normalize
from audience_sync.aws import membership_rows
from audience_sync.errors import Unavailable
from audience_sync.ingest.translation import Rejected, Translator
from audience_sync.segment import event, signature
from tests.fuzz import strategies
from tests.fuzz.targets import TARGETS

FEWER = {"amazon": 200, "worker": 300}  # each is ten requests, or two invocations


@pytest.mark.parametrize("target", TARGETS)
def test_new_inputs_break_nothing(target: str) -> None:
    strategies.run(target, 1, FEWER.get(target, strategies.EXAMPLES))


def _let_everyone_in(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(credentials, "_matching", lambda *_: "eventKey")


def _repeat_the_member_id(patch: pytest.MonkeyPatch) -> None:
    original = Translator._outcomes

    def outcomes(self: Translator, events: Any, calls: Any, found: Any, has_time: Any) -> Any:
        return [
            Rejected(each.reason, f"{each.detail}: {event.get('userId')}") if isinstance(each, Rejected) else each
            for event, each in zip(events, original(self, events, calls, found, has_time), strict=True)
        ]

    patch.setattr(Translator, "_outcomes", outcomes)


def _store_any_message_id(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(event, "safe_id", lambda message_id, _: str(message_id))


class _Anything(frozenset[str]):
    def __contains__(self, _: object) -> bool:
        return True


def _take_any_member_for_an_extra(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(signature, "EXTRA_NAMES", _Anything())


def _strip_more_each_time(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(normalize._RULES, "city", lambda text, _: text[:-1])


def _trust_rows(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(membership_rows, "_is_sound", lambda _: True)


def _quote_all_of_amazon(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(exchange, "redact", lambda message: message)


@pytest.mark.parametrize(
    ("target", "break_it"),
    [
        pytest.param("events", _let_everyone_in, id="a request without a credential is let in"),
        pytest.param("events", _repeat_the_member_id, id="a rejection repeats a member id"),
        pytest.param("events", _store_any_message_id, id="any message id is stored"),
        pytest.param("signature", _take_any_member_for_an_extra, id="any member may follow the signed ones"),
        pytest.param("identifiers", _strip_more_each_time, id="a rule takes away more each time"),
        pytest.param("handler", _repeat_the_member_id, id="an answer repeats a member id"),
        pytest.param("row", _trust_rows, id="a row is read without a check"),
        pytest.param("amazon", _quote_all_of_amazon, id="Amazon's message is quoted as it is"),
    ],
)
def test_a_target_finds_a_fault_that_was_made_on_purpose(
    target: str, break_it: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    break_it(monkeypatch)
    with pytest.raises((AssertionError, TypeError, AttributeError, ExceptionGroup, Unavailable)):
        strategies.run(target, 1, 1_000)
