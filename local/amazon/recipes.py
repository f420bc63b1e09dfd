"""Named faults for rehearsing the runbook. docs/sandbox.md describes them to operators."""

from typing import Any, NamedTuple

_JOBS, _MEMBERS, _TOKENS = "/amc/audiences/records", "/adm/audiences/*/members", "/auth/o2/token"


class Recipe(NamedTuple):
    """One fault that has occurred at Amazon, its reason code, and its heading in the runbook."""

    name: str
    does: str  # at Amazon
    reason: str  # in `status` or `tail` for changes that wait, in `parked list` for dead letters; empty without one
    runbook: str  # a heading
    rules: tuple[dict[str, Any], ...] = ()  # as `faults` describes them
    revokes: bool = False  # existing authorizations and tokens
    withholds: str = ""  # from every account of Ads Data Manager: terms or room


def _uploads(do: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    return tuple({"match": {"path": path, "method": "POST"}, "do": do} for path in (_JOBS, _MEMBERS))


_NO_TERMS = {"message": "AMC terms have not been accepted by the authorizing user"}

RECIPES = (
    Recipe("revoked", "The consent is revoked", "authorization_refused", "TokenRefreshFailed", revokes=True),
    Recipe(
        "login-down",
        "Login with Amazon answers 503",
        "token_unavailable",
        "TokenRefreshFailed",
        (
            {"match": {"path": _TOKENS}, "do": {"status": 503}},
            {"match": {}, "do": {"status": 401}},  # as with a token that has expired
        ),
    ),
    Recipe(
        "throttled",
        "Uploads get 429 and Retry-After: 30",
        "throttled",
        "OldestMessageAge",
        _uploads({"status": 429, "headers": {"Retry-After": "30"}}),
    ),
    Recipe(
        "outage",
        "Every request gets 503",
        "service_unavailable",
        "An outage at Amazon",
        tuple({"match": {"path": path}, "do": {"status": 503}} for path in ("/amc/*", "/adm/*", "/v2/*")),
    ),
    Recipe(
        "no-answer",
        "Uploads take effect, but the connection is reset",
        "outcome_unknown",
        "DeliveryStalled",
        _uploads({"close_after_apply": True}),
    ),
    Recipe("slow", "Uploads are answered after ten seconds", "", "OldestMessageAge", _uploads({"delay": 10})),
    Recipe("denied", "Uploads get 403", "access_denied", "DeadLetters", _uploads({"status": 403})),
    Recipe(
        "terms",
        "Uploads get 403: the AMC terms are not accepted",
        "access_denied",
        "DeadLetters",
        _uploads({"status": 403, "body": _NO_TERMS}),
    ),
    Recipe(
        "data-terms",
        "Ads Data Manager: the terms are not accepted, so datasets get 403",
        "access_denied",
        "DeadLetters",
        withholds="terms",
    ),
    Recipe(
        "data-room",
        "Ads Data Manager: the account has no data room, so datasets get 404",
        "not_found",
        "DeadLetters",
        withholds="room",
    ),
    Recipe("job-failed", "Every job fails", "FAILED", "Findings", _uploads({"job": {"state": "FAILED"}})),
    Recipe(
        "bad-records",
        "Jobs reject the first record of each upload",
        "job_rejected",
        "DeadLetters",
        _uploads({"job": {"failed": 1}}),
    ),
    Recipe("job-late", "Jobs take two minutes", "", "Findings", _uploads({"job": {"delay": 120}})),
    Recipe(
        "job-unknown",
        "Amazon does not know the jobs",
        "unknown",
        "Findings",
        ({"match": {"path": f"{_JOBS}/*", "method": "GET"}, "do": {"status": 404}},),
    ),
)
