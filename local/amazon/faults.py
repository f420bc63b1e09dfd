"""Fault rules: conditions on a request, and effects on it. `wire` carries them out.

A rule is `{"match": {...}, "do": {...}, "times": n}`. Rules are tried in order, and the first that fires wins; later
ones do not count that request. Rules with `close_before_read` come before all others, since they act on the head.

match, all of which must hold:
  path         the request's path, `*` for anything: /amc/audiences/records is an upload, .../records/* a poll
  method       GET, POST, ...
  audience     the audience or dataset id in the path or the body
  contains     text that the body must contain, such as one member's id
  over         bytes that the body must exceed
  nth          counts the requests that match all of the above, from 1; the rule starts at the n-th
  probability  0 to 1, drawn from the seed
times: maximum number of firings. Without it: once if the rule has an nth, else without limit.

do:
  delay               seconds until the answer is sent; the request takes effect before
  status, headers, body   answer this; with a status from 300 the request has no effect. A body is a string or JSON
  apply               true or false: whether the request takes effect, whatever the status is
  close_before_read   reset the connection; nothing was read, nothing takes effect
  close_after_apply   the request takes effect; the connection is reset instead of an answer
  close_mid_response  the request takes effect; half an answer, then the end
  trickle             seconds between the bytes of the answer
  apply_late          seconds until an upload takes effect; without a status the connection is reset, not answered
  redirect            answer 307 (or `status`) to this address, without effect
  job                 {"state", "failed", "delay", "order"}: see `jobs.JobFault`. Data Manager has no order; there
                      `failed` rejects members in the answer, and a state other than SUCCEEDED means no effect
  token               {"lifetime", "expires_in", "refuse_after"}: see `lwa.TokenFault`
"""

import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any

import pydantic
from pydantic import BeforeValidator, Field

from local.amazon.jobs import NO_JOB_FAULT, JobFault
from local.amazon.lwa import NO_TOKEN_FAULT, TokenFault
from local.amazon.refusals import STRICT, Refusal

_AUDIENCE_IN_PATH = re.compile(r"/(?:amc/audiences/metadata/(?=\d+)|adm/(?:audiences|datasets)/)([^/]+)")
_AUDIENCE_IN_BODY = re.compile(rb'"(?:audienceId"\s*:\s*(?=\d)|dataSetId"\s*:\s*")([\w-]+)')


def _number_as_text(value: Any) -> Any:
    return str(value) if type(value) in (int, float) else value


type Text = Annotated[str, BeforeValidator(_number_as_text)]
type Seconds = Annotated[float, Field(ge=0)]


@dataclass(frozen=True, slots=True)
class MatchedCall:
    """The parts of a request that a rule can test. `raw` is None until the body has been read."""

    method: str
    path: str
    raw: bytes | None = None

    @property
    def audience(self) -> str:
        """The id of the audience or dataset; empty without one."""
        in_path = _AUDIENCE_IN_PATH.match(self.path)
        in_body = _AUDIENCE_IN_BODY.search(self.raw or b"")
        return in_path[1] if in_path else in_body[1].decode() if in_body else ""


@pydantic.dataclasses.dataclass(frozen=True, slots=True, config=STRICT)
class Match:
    """Conditions of a rule."""

    path: str = "*"
    method: str | None = None
    audience: Text | None = None
    contains: str | None = None
    over: Annotated[int, Field(ge=0)] | None = None
    nth: Annotated[int, Field(ge=1)] | None = None
    probability: Annotated[float, Field(ge=0, le=1)] = 1.0

    def covers(self, call: MatchedCall) -> bool:
        """Return whether every condition except nth and probability matches."""
        return (
            fnmatchcase(call.path, self.path)
            and self.method in (None, call.method)
            and self.audience in (None, call.audience)
            and (self.contains is None or self.contains.encode() in (call.raw or b""))
            and (self.over is None or len(call.raw or b"") > self.over)
        )

    @property
    def needs_body(self) -> bool:
        """Whether deciding needs the body."""
        return (self.audience, self.contains, self.over) != (None, None, None)


@pydantic.dataclasses.dataclass(frozen=True, slots=True, config=STRICT)
class Effect:
    """Effects of a rule; by default none."""

    delay: Seconds = 0.0
    status: Annotated[int, Field(ge=200, le=599)] | None = None
    headers: Mapping[str, Text] = Field(default_factory=dict)
    body: Any = None
    apply: bool | None = None
    close_before_read: bool = False
    close_after_apply: bool = False
    close_mid_response: bool = False
    trickle: Seconds | None = None
    apply_late: Seconds | None = None
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


@pydantic.dataclasses.dataclass(config=STRICT)
class FaultRule:
    """One rule, and how often it matched and fired."""

    match: Match = Field(default_factory=Match)
    do: Effect = NO_EFFECT
    times: Annotated[int, Field(ge=0)] | None = None

    def __post_init__(self) -> None:
        self.matched = self.fired = 0
        if self.times is None and self.match.nth is not None:
            self.times = 1

    def fires(self, call: MatchedCall, chance: random.Random) -> bool:
        """Count the request and decide."""
        if (self.times is not None and self.fired >= self.times) or not self.match.covers(call):
            return False
        self.matched += 1
        if self.matched < (self.match.nth or 1) or chance.random() >= self.match.probability:
            return False
        self.fired += 1
        return True


class Faults:
    """The active rules."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(f"faults {seed}")
        self._rules: list[tuple[FaultRule, dict[str, Any]]] = []  # each with its source

    def replace(self, written: list[dict[str, Any]]) -> None:
        """Replace the rules. Raises Refusal, and then keeps the old ones."""
        try:
            rules = _RULES.validate_json(json.dumps(written))
        except pydantic.ValidationError as error:
            faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
            raise Refusal(f"fault rules: {'; '.join(faults)}") from None
        self._rules = list(zip(rules, written, strict=True))

    def as_json(self) -> list[dict[str, Any]]:
        """Show the rules as written, with counts of matches and firings."""
        return [written | {"matched": rule.matched, "fired": rule.fired} for rule, written in self._rules]

    @property
    def written(self) -> list[dict[str, Any]]:
        """The rules as written."""
        return [written for _, written in self._rules]

    def pick(self, call: MatchedCall) -> tuple[Effect, list[str]]:
        """Return the effect on a request, and its rules' names. Called with the head alone, then with the body."""
        for rule, written in self._rules:
            on_head = rule.do.close_before_read and not rule.match.needs_body
            if on_head == (call.raw is None) and rule.fires(call, self._random):
                return rule.do, sorted(written.get("do", {}))
        return NO_EFFECT, []


_RULES = pydantic.TypeAdapter(list[FaultRule])
