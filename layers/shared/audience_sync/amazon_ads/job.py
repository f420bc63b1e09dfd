"""Reads Amazon's report on a job, the asynchronous processing of one upload."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from audience_sync.amazon_ads.redaction import redact

_FINAL = ("SUCCEEDED", "PARTIALLYSUCCEEDED", "COMPLETED", "FAILED")


@dataclass(frozen=True, slots=True)
class Sizes:
    """The size of an audience at Amazon. None if Amazon does not know it yet and reports a negative number."""

    received: int | None = None  # records received
    matched: int | None = None  # records matched to an identity at Amazon
    dsp: int | None = None  # members in the DSP audience

    @property
    def match_rate(self) -> float | None:
        """Share of the received records that Amazon matched, in percent."""
        if not self.received or self.matched is None:
            return None
        return 100.0 * self.matched / self.received


@dataclass(frozen=True, slots=True)
class JobReport:
    """The state of a job at one moment."""

    state: str
    processed: float | None = None  # percent of records processed without an error
    sizes: Sizes = field(default_factory=Sizes)
    rejected: dict[str, str] = field(default_factory=dict, repr=False)  # external user id: Amazon's reason

    @property
    def is_final(self) -> bool:
        """Whether the state is final. An unknown state is not."""
        return self.state in _FINAL

    @property
    def has_failed(self) -> bool:
        """Whether no target was updated, so no record of the upload took effect."""
        return self.state == "FAILED"


def job_report(answer: Mapping[str, Any]) -> JobReport:
    """Read Amazon's answer, in which every field is optional. Never raises."""
    successful = answer.get("successful")
    processed = successful.get("recordsProcessedRate") if isinstance(successful, dict) else None
    invalid = answer.get("invalidRecords")
    return JobReport(
        state=_state(answer.get("jobState")),
        processed=float(processed) if _is_number(processed) else None,
        sizes=sizes(answer.get("audienceSize")),
        rejected={
            record["externalId"]: redact(error) if isinstance(error := record.get("error"), str) else ""
            for record in (invalid if isinstance(invalid, list) else ())
            if isinstance(record, dict) and isinstance(record.get("externalId"), str)
        },
    )


def _state(value: Any) -> str:
    """Read the state; empty unless it consists of known words, since it is logged."""
    return value.upper() if isinstance(value, str) and len(value) <= 40 and redact(value) == value else ""


def sizes(value: Any) -> Sizes:
    """Read an `audienceSize` object."""
    if not isinstance(value, dict):
        return Sizes()
    return Sizes(*(_count(value.get(name)) for name in ("receivedRecordSize", "idResolutionCount", "dspAudienceSize")))


def _count(value: Any) -> int | None:
    return int(value) if _is_number(value) and value >= 0 else None


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**63
