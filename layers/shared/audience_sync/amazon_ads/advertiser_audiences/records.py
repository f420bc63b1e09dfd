"""Encodes records of the audience API, and builds the frame around them in an upload. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from audience_sync.amazon_ads.destination import resource_of_upload
from audience_sync.amazon_ads.upload import Frame, Target, UploadKind
from audience_sync.quick_json import utf8_json


def encode_record(record: Mapping[str, Any]) -> bytes:
    """Encode one record as compact JSON. An empty `userConsent` is left out, and so is a removal's: it needs none."""
    if record.get("userConsent") and record["action"] != "DELETE":
        return utf8_json(record)
    return utf8_json({name: value for name, value in record.items() if name != "userConsent"})


def frame_of(target: Target) -> Frame:
    """Return the frame around the records. The audience id becomes a JSON integer only here."""
    resource = resource_of_upload(target.destination)
    after = f'],"targetResource":{json.dumps(resource, separators=(",", ":"))}}}' if resource else "]}"
    return Frame(UploadKind.RECORDS, f'{{"audienceId":{int(target.audience_id)},"records":['.encode(), after.encode())
