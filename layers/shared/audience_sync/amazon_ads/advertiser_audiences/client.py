"""The Amazon Ads calls we make. Knows the endpoints, but neither Segment nor queues.

All raise the errors of exchange.py: RequestRejected and its subclasses if Amazon refuses, TransientError and its
subclasses if the same call can succeed later. Ids are decimal digits here, integers only in a body.
"""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

import requests

from audience_sync.amazon_ads.advertiser_audiences.audience import AudienceReport
from audience_sync.amazon_ads.answer_fields import objects, require_object
from audience_sync.amazon_ads.exchange import READ_TIMEOUT, Exchange
from audience_sync.amazon_ads.ids import amazon_id, job_id
from audience_sync.amazon_ads.job import JobReport, job_report
from audience_sync.amazon_ads.login import AccessTokens
from audience_sync.amazon_ads.terms import Terms
from audience_sync.amazon_ads.upload import Submission, Upload
from audience_sync.errors import InvalidRequest, OutcomeUnknown
from audience_sync.quick_json import utf8_json

AUDIENCES = "application/vnd.amcaudiences.v1+json"
CONNECTIONS = "application/vnd.amcaudiencesconnections.v1+json"
ACCOUNTS = "application/json"
_METADATA = "/amc/audiences/metadata"
_CONNECTIONS = "/amc/audiences/connections"
_TERMS = "/amc/audiences/connections/terms"


class AmazonAds:
    """One region's API, with one operator's authorization."""

    def __init__(
        self,
        session: requests.Session,
        base_url: str,
        tokens: AccessTokens,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._exchange = Exchange(session, base_url, tokens, monotonic, now)

    def send_records(self, upload: Upload, *, timeout: float = READ_TIMEOUT) -> Submission:
        """Submit one upload. Its job runs later.

        Args:
            upload: the records of one audience.
            timeout: seconds for the whole answer.
        """
        path = "/amc/audiences/records"
        answer = require_object(self._exchange.call("POST", path, AUDIENCES, body=upload.body(), timeout=timeout))
        known = job_id(answer.get("jobRequestId"))
        if known is None:
            raise OutcomeUnknown("Amazon accepted the upload but gave no usable job id")
        return Submission(known)

    def job(self, job_id: str) -> JobReport:
        """Return Amazon's report on the processing of an upload."""
        path = f"/amc/audiences/records/{quote(job_id, safe='')}"
        return job_report(require_object(self._exchange.call("GET", path, AUDIENCES)))

    def create_audience(self, body: dict[str, Any], *, timeout: float = READ_TIMEOUT) -> str:
        """Create one audience and return its id. Not repeatable: a second call creates a second audience."""
        answer = require_object(
            self._exchange.call("POST", _METADATA, AUDIENCES, body=utf8_json(body), timeout=timeout, repeatable=False)
        )
        audience_id = answer.get("audienceId")
        if not isinstance(audience_id, int) or isinstance(audience_id, bool):
            raise OutcomeUnknown("Amazon created an audience but returned no usable id")
        return str(audience_id)

    def read_audience(self, audience_id: str, *, timeout: float = READ_TIMEOUT) -> AudienceReport:
        """Read one audience with its sizes. Raises NotFound if Amazon does not know it."""
        answer = self._exchange.call("GET", _path_of(audience_id), AUDIENCES, timeout=timeout)
        return AudienceReport.from_answer(audience_id, require_object(answer))

    def update_audience(self, audience_id: str, body: dict[str, Any], *, timeout: float = READ_TIMEOUT) -> None:
        """Change the settings that `audience.audience_update` allows; settings missing from the body stay."""
        self._exchange.call("PUT", _path_of(audience_id), AUDIENCES, body=utf8_json(body), timeout=timeout)

    def create_connection(self, body: dict[str, Any]) -> str:
        """Connect an AMC instance, a DSP advertiser, or both, and return the connection's id."""
        answer = require_object(
            self._exchange.call("POST", _CONNECTIONS, CONNECTIONS, body=utf8_json(body), repeatable=False)
        )
        connection_id = answer.get("connectionId")
        if not isinstance(connection_id, str) or not connection_id:
            raise OutcomeUnknown("Amazon created a connection but returned no usable id")
        return connection_id

    def connections(self) -> list[dict[str, Any]]:
        """List the connections as Amazon returns them; at most 100. Their ids are already strings."""
        return objects(require_object(self._exchange.call("GET", _CONNECTIONS, CONNECTIONS)).get("connections"))

    def delete_connection(self, connection_id: str) -> None:
        """Remove one connection.

        Raises:
            InvalidRequest: the id is blank. Amazon would remove all connections of the advertiser.
        """
        if not connection_id.strip():
            raise InvalidRequest("connectionId is blank; name the one connection to remove")
        query = urlencode({"connectionId": connection_id})
        self._exchange.call("DELETE", f"{_CONNECTIONS}?{query}", CONNECTIONS)

    def terms(self) -> Terms:
        """Read the AMC terms. Until a person has accepted them, Amazon refuses uploads to AMC."""
        return Terms.from_answer(require_object(self._exchange.call("GET", _TERMS, CONNECTIONS)))

    def accept_terms(self, terms: Terms) -> None:
        """Accept the terms as read. Only for a person who has seen them; never as part of another operation."""
        self._exchange.call("PATCH", _TERMS, CONNECTIONS, body=utf8_json(terms.acceptance()))

    def profiles(self) -> list[dict[str, Any]]:
        """List the profiles of the authorization; empty if the account has none in this region.

        The usual check of an authorization. Keeps Amazon's fields, with `profileId` as digits.
        """
        answer = self._exchange.call("GET", "/v2/profiles", ACCOUNTS)
        if not isinstance(answer, list):
            raise OutcomeUnknown("Amazon's answer is not a list of profiles")
        return [each | {"profileId": amazon_id(each.get("profileId"))} for each in answer if isinstance(each, dict)]


def _path_of(audience_id: str) -> str:
    return f"{_METADATA}/{int(audience_id)}"  # digits only, since it becomes part of a path
