"""Fault rules: which request goes wrong, and how. `wire` carries them out.

A rule is `{"match": {...}, "do": {...}, "times": n}`. Rules are asked in their order and the first that fires wins; the
later ones do not count that request. Rules with `close_before_read` come before all others, since they act on the head.

match, all of which must hold:
  path         the request's path, `*` for anything: /amc/audiences/records is an upload, .../records/* a poll
  method       GET, POST, ...
  audience     the audience id in the path or the body
  contains     text that the body must contain, such as one member's id
  over         bytes that the body must exceed
  nth          counts the requests for which all of the above hold, from 1; the rule starts at the n-th
  probability  0 to 1, drawn from the seed
times: how often the rule fires at most. Without it: once if the rule has an nth, else without limit.

do:
  delay               seconds until the answer leaves; the request has taken effect before
  status, headers, body   answer this; with a status from 300 the request has no effect. A body is text or JSON
  apply               true or false: whether the request takes effect, whatever the status says
  close_before_read   reset the connection; nothing was read, nothing takes effect
  close_after_apply   the request takes effect; the connection is reset instead of an answer
  close_mid_response  the request takes effect; half an answer, then the end
  trickle             seconds between the bytes of the answer
  apply_late          seconds until an upload takes effect; without a status the connection is reset, not answered
  redirect            answer 307 (or `status`) to this address, without effect
  job                 {"state", "failed", "delay", "order"}: see `jobs.JobFault`
  token               {"lifetime", "expires_in", "refuse_after"}: see `lwa.TokenFault`
"""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from math import inf
from types import UnionType
from typing import Any, get_origin

from local.amazon.jobs import NO_JOB_FAULT, JobFault
from local.amazon.lwa import NO_TOKEN_FAULT, TokenFault
from local.amazon.refusals import Refusal

_AUDIENCE_IN_PATH = re.compile(r"/amc/audiences/metadata/(\d+)")
_RANGES = {"status": (200, 599), "probability": (0, 1), "nth": (1, inf)} | dict.fromkeys(
    ("over", "delay", "trickle", "apply_late"), (0, inf)
)
_AUDIENCE_IN_BODY = re.compile(rb'"audienceId"\s*:\s*(\d+)')


@dataclass(frozen=True, slots=True)
class Call:
    """What a rule can look at. `raw` is None while the body has not been read."""

    method: str
    path: str
    raw: bytes | None = None

    @property
    def audience(self) -> str:
        """The audience id as digits; empty without one."""
        in_path = _AUDIENCE_IN_PATH.match(self.path)
        in_body = _AUDIENCE_IN_BODY.search(self.raw or b"")
        return in_path[1] if in_path else in_body[1].decode() if in_body else ""


@dataclass(frozen=True, slots=True)
class Match:
    """Which requests a rule is about."""

    path: str = "*"
    method: str | None = None
    audience: str | None = None
    contains: str | None = None
    over: int | None = None
    nth: int | None = None
    probability: float = 1.0

    def covers(self, call: Call) -> bool:
        """Tell whether everything but nth and probability holds."""
        return (
            fnmatchcase(call.path, self.path)
            and self.method in (None, call.method)
            and self.audience in (None, call.audience)
            and (self.contains is None or self.contains.encode() in (call.raw or b""))
            and (self.over is None or len(call.raw or b"") > self.over)
        )

    @property
    def needs_body(self) -> bool:
        """Whether the head of a request is not enough to decide."""
        return (self.audience, self.contains, self.over) != (None, None, None)


@dataclass(frozen=True, slots=True)
class Effect:
    """What a rule does to a request; by default nothing."""

    delay: float = 0.0
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    apply: bool | None = None
    close_before_read: bool = False
    close_after_apply: bool = False
    close_mid_response: bool = False
    trickle: float | None = None
    apply_late: float | None = None
    redirect: str | None = None
    job: JobFault = NO_JOB_FAULT
    token: TokenFault = NO_TOKEN_FAULT

    @property
    def applies(self) -> bool:
        """Whether the request takes effect."""
        if self.apply is not None:
            return self.apply
        if self.close_before_read or self.redirect is not None:
            return False
        return self.close_after_apply or self.apply_late is not None or self.status is None or self.status < 300

    @property
    def resets(self) -> bool:
        """Whether the connection ends without an answer."""
        return self.close_before_read or self.close_after_apply or (self.apply_late is not None and self.status is None)


NO_EFFECT = Effect()


class Rule:
    """One rule and how often it was asked and fired."""

    def __init__(self, written: Any) -> None:
        if not isinstance(written, dict) or not written.keys() <= {"match", "do", "times"}:
            raise Refusal("a rule is an object with match, do and times")
        self.written = written
        self.match = _read(Match, written.get("match", {}), "match")
        self.effect = _read(Effect, written.get("do", {}), "do")
        self.names = sorted(written.get("do", {}))
        default = None if self.match.nth is None else 1
        self.times: int | None = written.get("times", default)
        if isinstance(self.times, bool) or not isinstance(self.times, int | None) or (self.times or 0) < 0:
            raise Refusal("times must be a number, 0 at least")
        self.matched = self.fired = 0

    def fires(self, call: Call, chance: random.Random) -> bool:
        """Count the request and decide."""
        if (self.times is not None and self.fired >= self.times) or not self.match.covers(call):
            return False
        self.matched += 1
        if self.matched < (self.match.nth or 1) or chance.random() >= self.match.probability:
            return False
        self.fired += 1
        return True


class Faults:
    """The rules in force."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(f"faults {seed}")
        self._rules: list[Rule] = []

    def replace(self, written: Any) -> None:
        """Put other rules in force. Raises Refusal, and then leaves the old ones."""
        if not isinstance(written, list):
            raise Refusal("fault rules are a list")
        self._rules = [Rule(rule) for rule in written]

    def as_json(self) -> list[dict[str, Any]]:
        """Show the rules as written, with how often each matched and fired."""
        return [rule.written | {"matched": rule.matched, "fired": rule.fired} for rule in self._rules]

    def pick(self, call: Call) -> tuple[Effect, list[str]]:
        """Find what goes wrong with a request, and the names of it. Called with the head alone, then with the body."""
        for rule in self._rules:
            on_head = rule.effect.close_before_read and not rule.match.needs_body
            if on_head == (call.raw is None) and rule.fires(call, self._random):
                return rule.effect, rule.names
        return NO_EFFECT, []


def _read[T](kind: type[T], written: Any, name: str) -> T:
    names = {known.name for known in fields(kind)}  # type: ignore[arg-type]
    if not isinstance(written, dict) or not written.keys() <= names:
        raise Refusal(f"{name} may hold {', '.join(sorted(names))} and nothing else")
    values = dict(written)
    if "audience" in values:
        values["audience"] = str(values["audience"])
    for nested, inner in (("job", JobFault), ("token", TokenFault)):
        if nested in values:
            values[nested] = _read(inner, values[nested], nested)
    if isinstance(headers := values.get("headers"), dict):
        values["headers"] = {key: _header(value) for key, value in headers.items()}
    if isinstance(values.get("failed"), list):
        values["failed"] = tuple(values["failed"])
    for known in fields(kind):  # type: ignore[arg-type]
        if known.name in values and not _fits(values[known.name], known.type):
            raise Refusal(f"{name}: {known.name} has the wrong type")
        least, most = _RANGES.get(known.name, (-inf, inf))
        value = values.get(known.name)
        if isinstance(value, int | float) and not least <= value <= most:
            raise Refusal(f"{name}: {known.name} must be in {least} .. {most}")
    return kind(**values)


def _header(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Refusal("do: headers are texts or numbers")
    return str(value)


def _fits(value: Any, declared: Any) -> bool:
    """Check a JSON value against a field's type, as far as a slip of the pen needs it."""
    if declared is Any:
        return True
    if isinstance(value, bool) and declared is not bool:  # Python takes it for a number, JSON does not
        return bool in getattr(declared, "__args__", ())
    kinds = [
        get_origin(kind) or kind for kind in (declared.__args__ if isinstance(declared, UnionType) else [declared])
    ]
    return isinstance(value, (*kinds, int) if float in kinds else tuple(kinds))
