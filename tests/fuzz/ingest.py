"""Targets of POST /v1/events: credentials and events, and the reading of API Gateway's events."""

import base64
import contextlib
import hashlib
import hmac
import json
import math
from collections.abc import Mapping
from typing import Any

from audience_sync.access.credentials import Keyring
from audience_sync.amazon_ads.destination import amc_connection
from audience_sync.errors import InvalidRequest, Unauthorized
from audience_sync.ingest.intake import changes_from, compiled
from audience_sync.ingest.record_rules import Policy
from audience_sync.members.envelope import MAX_MESSAGE_BYTES
from audience_sync.members.membership import Audience, MembershipChange
from audience_sync.members.messages import ChangeMessage, DeliveryHistory, change_as_json, pack
from audience_sync.runtime.api_gateway import Request
from tests.fuzz.inputs import Message, json_or_none
from tests.fuzz.invariants import assert_amazon_takes, assert_is_safe_id, assert_repeats_nothing
from tests.support.doubles.audiences import Listed

EVENT_KEY, SIGNING_SECRET = "event-key-for-the-tests-1", "signing-secret-for-the-tests-2"
NOW = 1_774_000_000_000  # epoch milliseconds; after all examples
SECRET = {"eventKey": EVENT_KEY, "signingSecret": SIGNING_SECRET}
AUDIENCES = (
    Audience("418273650912345678", country="US", computation_key="lapsed_premium_buyers"),
    Audience("418273650912349999", country="DE", destination=amc_connection("c1"), settings={"dsp": True}),
    Audience("2", computation_key="winback_flow__send_to_amazon_4q8zt"),
    Audience("3", country="DE", computation_key="lapsed_premium_buyers", also=True),
)
_TEXT = {"@template": "{{ properties.first_name }}{{{ traits.last_name }}}"}
RICH = [  # every directive, and every field
    {
        "name": "Rich",
        "trigger": 'type = "track" or contains(properties.email, "@") or context.personas.n > 5',
        "fields": {
            "external_user_id": {"@sha256": {"@path": "$.userId"}},
            "audience_id": {"@path": "$.context.personas.external_audience_id"},
            "country": {"@case": {"operator": "upper", "value": {"@path": "$.countryCode"}}},
            "email": {"@arrayPath": ["$.properties.emails", {"@path": "$.id"}]},
            "phone": {"@replace": {"pattern": "(", "pattern2": ")", "value": {"@path": "$.properties.phone"}}},
            "first_name": {"@path": {"@path": "$.properties.path"}},
            "last_name": _TEXT,
            "address": {"@json": {"mode": "encode", "value": {"@path": "$.properties"}}},
            "city": {"@json": {"mode": "decode", "value": {"@path": "$.properties.city"}}},
            "state": {"@flatten": {"separator": "_", "value": {"@path": "$.traits"}}},
            "postal": {"@excludeWhenNull": {"@path": "$.properties"}},
            "amzn_user_data": {"@if": {"exists": {"@path": "$.properties.a"}, "then": "GRANTED", "else": "GRANTED"}},
            "amzn_ad_storage": {"@path": "$.properties.amznAdStorage"},
            "tcf": {"@merge": {"direction": "left", "objects": [{"@path": "$.traits"}, {"@path": "$.properties"}]}},
            "gpp": {"@transform": {"apply": {"t": {"@path": "$.traits"}}, "mapping": {"@path": "$.t.gpp"}}},
            "ip": {"@path": "$.context.ip"},
        },
    },
    {
        "name": "Rows",
        "trigger": 'event != "Audience Entered"',
        "membership": {"value": {"@path": "$.properties.state"}, "enter": ["in", True], "exit": ["out", 0]},
        "fields": {"external_user_id": {"@path": "$.userId"}, "audience_id": "2"},
    },
    {"name": "Off", "trigger": 'type = "track"', "enabled": False, "fields": {"external_user_id": {"@path": "$.id"}}},
]


def accept_events(data: bytes) -> None:
    """Input: an HTTP message; `x-signature: valid` and `first` stand for one over all of the body, or its first event.

    Only a request that carries a key or the former is let in. Its body becomes changes, or InvalidRequest (also
    TooLarge); a change is one that Amazon takes and that a message carries unharmed; a rejection repeats nothing.
    """
    message, is_signed = _signed(data)
    keyring = Keyring.from_json(SECRET)
    try:
        keyring.authenticate_events(message.headers, message.body, now=0.0)
    except Unauthorized:
        assert not is_signed, "a right signature is refused"
    else:
        assert is_signed or _carries_key(message.headers), "a request without a credential is let in"
    for mappings, policy in (
        (None, Policy()),
        (json.dumps(RICH), Policy(consent="pass")),
    ):
        try:
            result = changes_from(
                message.body, mappings=compiled(mappings), audiences=Listed(*AUDIENCES), now=NOW, policy=policy
            )
        except InvalidRequest as error:
            assert_repeats_nothing(str(error))
            continue
        parsed = json.loads(message.body)
        events = len(parsed) if isinstance(parsed, list) else 1
        assert result.accepted + result.ignored + len(result.rejections) == events
        for rejection in (*result.rejections, *result.partial_rejections, *result.denials):
            assert_is_safe_id(rejection.message_id)
            assert_repeats_nothing(f"{rejection.reason} {rejection.detail}")
        assert_amazon_takes(result.changes)
        bodies = pack(result.changes, DeliveryHistory(first_at=NOW))
        assert all(len(body) <= MAX_MESSAGE_BYTES and body.isascii() for body in bodies)
        carried = [change for body in bodies for change in ChangeMessage.from_body(body).changes]
        assert sorted(carried, key=written) == sorted(result.changes, key=written)
        for change in result.changes:
            assert_is_safe_id(change.message_id)


def written(change: MembershipChange) -> str:
    """Return a change in one string, to compare and to sort by."""
    return json.dumps([change.audience_id, change_as_json(change)], sort_keys=True)


def _signed(data: bytes) -> tuple[Message, bool]:
    """Read a message, with a signature in place of `valid` and `first`; and whether it is over the whole body."""
    message = Message.of(data)
    wanted = message.headers.get("x-signature")
    if wanted == "valid":
        text: bytes | None = message.body
    elif wanted == "first":
        text = _first_element(message.body)
    else:
        return message, False
    if text is None:
        return message, False
    signature = hmac.new(SIGNING_SECRET.encode(), text, hashlib.sha1).hexdigest()
    return message._replace(headers=message.headers | {"x-signature": signature}), wanted == "valid"


def _first_element(body: bytes) -> bytes | None:
    """Return the text of the first element as Segment wrote it; None where the array is not written that way."""
    parsed = json_or_none(body)
    if not isinstance(parsed, list) or not parsed:
        return None
    first = json.dumps(parsed[0], separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    is_wrapped = isinstance(parsed[0], dict) and list(parsed[0]) == ["json"]
    return first if body.startswith(b"[" + first) and not is_wrapped else None


def _carries_key(headers: Mapping[str, str]) -> bool:
    texts = [headers.get("authorization", ""), headers.get("x-api-key", "")]
    with contextlib.suppress(ValueError):
        texts.append(base64.b64decode(texts[0].strip().partition(" ")[2].strip()).decode("latin-1"))
    return any(EVENT_KEY in text for text in texts)


def read_lambda_event(data: bytes) -> None:
    """Input: JSON, made into an event as API Gateway makes them: header and query values are texts.

    Reading it never fails, and gives back the exact bytes of the body; the body is one JSON object, or InvalidRequest
    (also TooLarge and UnsupportedMediaType); an audience key that is not right is Unauthorized.
    """
    parsed = json_or_none(data)
    fields = parsed if isinstance(parsed, dict) else {}
    body = str(fields.get("body", "")).encode("utf-8", "replace")
    event: dict[str, Any] = {"version": "2.0", "routeKey": str(fields.get("routeKey", "")), "isBase64Encoded": False}
    for name in ("headers", "queryStringParameters"):
        if isinstance(fields.get(name), dict):
            event[name] = {str(key).lower(): str(value) for key, value in fields[name].items()}
    if fields.get("isBase64Encoded"):
        event |= {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    elif body:
        event["body"] = body.decode()
    request = Request.of(event)
    assert request.body == body
    try:
        read = request.json_object(max_bytes=1_000)
    except InvalidRequest as error:
        assert_repeats_nothing(str(error))
    else:
        assert isinstance(read, dict)
        assert not any(isinstance(value, float) and not math.isfinite(value) for value in read.values()) or (
            b"e" in body.lower()  # 1e400 is JSON
        )
    with contextlib.suppress(Unauthorized):
        Keyring.from_json({"audienceKey": EVENT_KEY}).authenticate_audiences(request.headers, request.query, now=0.0)
        given = [*request.headers.values(), *request.query.values()]
        assert any(EVENT_KEY in text for text in given) or _carries_key(request.headers)
