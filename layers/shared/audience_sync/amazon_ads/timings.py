"""The time that Amazon's APIs may take with an upload. Pure."""

from dataclasses import dataclass

from audience_sync.amazon_ads.destination import is_of_audience_api
from audience_sync.members.member_state import LONGEST_JOB, Timing
from audience_sync.members.membership import Destination


@dataclass(frozen=True, slots=True)
class Timings:
    """The time that the APIs may take, as the stack is configured. In seconds."""

    job: float = 900.0  # until Amazon's job has usually ended; until then, two jobs may run in any order
    dataset: float = 7_200.0  # until an upload to a dataset has taken effect
    late: float = 120.0  # for an invocation and the late arrival of its upload
    longest_job: float = LONGEST_JOB

    @property
    def audiences(self) -> Timing:
        """The time until an upload to the audience API, prepared now, has taken effect."""
        return Timing(self.job + self.late, self.longest_job)

    @property
    def datasets(self) -> Timing:
        """The same for Ads Data Manager."""
        return Timing.of_dataset(self.dataset + self.late, self.longest_job, self.late)

    def of(self, destination: Destination) -> Timing:
        """Return the time for an audience. An API that this version does not know counts as one without jobs."""
        return self.audiences if is_of_audience_api(destination) else self.datasets
