"""Use case of `events`: takes in messages of the event queue, whose changes share messages of the change queue."""

from collections.abc import Iterator, Mapping, Sequence

from audience_sync.errors import AudienceSyncError
from audience_sync.ingest.intake import Intake, IntakeResult
from audience_sync.members.messages import ChangeMessage, DeliveryHistory, pack

# Changes sent at once, about 1 MB: a function that is stopped before it has counted them sends and counts them again.
SENT_TOGETHER = 1_000
SENDING = 5.0  # seconds kept for sending what was read

type Taken = tuple[list[IntakeResult], dict[int, AudienceSyncError]]


class MessageIntake(Intake):
    """Accepts many bodies at a time: an unusable one leaves the others alone."""

    def accept_all(self, messages: Sequence[tuple[bytes, int]], *, deadline: float) -> Iterator[Taken]:
        """Accept bodies, each exactly as received and with its SentTimestamp, until monotonic `deadline`.

        Yields what is in the change queue before it goes on, so that it can be counted; and the errors of bodies, by
        place: those with InvalidRequest are unusable, the others come back, even if some of their changes are queued.
        """
        now = self._clock.now_ms()
        found: dict[int, IntakeResult] = {}
        failures: dict[int, AudienceSyncError] = {}
        try:
            read = self._reader(now, deadline - SENDING)
        except AudienceSyncError as error:
            failures, messages = dict.fromkeys(range(len(messages)), error), ()
        for place, (body, sent) in enumerate(messages):
            try:
                found[place] = read(body, sent=sent)
            except AudienceSyncError as error:
                failures[place] = error
            if sum(len(each.changes) for each in found.values()) >= SENT_TOGETHER:
                yield self._sent(now, found, failures, deadline)
                found, failures = {}, {}
        yield self._sent(now, found, failures, deadline)

    def _sent(
        self, now: int, found: Mapping[int, IntakeResult], failures: dict[int, AudienceSyncError], deadline: float
    ) -> Taken:
        """Queue the changes of all bodies. Those of which some are not confirmed come back."""
        bodies = pack((change for each in found.values() for change in each.changes), DeliveryHistory(first_at=now))
        unsent = self._queue.send_each(bodies, deadline=deadline)
        lost = {(each.member, each.version) for body in unsent for each in ChangeMessage.from_body(body).changes}
        results: list[IntakeResult] = []
        for place, result in found.items():
            queued = [each for each in result.changes if not lost or (each.member, each.version) not in lost]
            if len(queued) < len(result.changes):
                failures[place] = next(iter(unsent.values()))
            results.append(IntakeResult(now, changes=queued) if place in failures else result)
        return results, failures
