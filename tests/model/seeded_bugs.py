"""Bugs on purpose: what each changes in the product, and the test that must go red for it.

The judge `MODEL` is the state machine of test_protocol.py; any other is the id of a test.
"""

from typing import NamedTuple

MODEL = "the state machine"
DELIVERY, MEMBERS_TEST = "tests/unit/delivery/test_batch.py::", "tests/contract/test_member_protocol.py::"
COUNTEREXAMPLES, WORKER = "tests/model/test_counterexamples.py::", "tests/functions/test_worker.py::"


class Bug(NamedTuple):
    """One line of the product, gone wrong."""

    name: str
    module: str
    good: str  # stands once in the module's source
    bad: str
    judge: str


_OUTBOX, _VERDICTS = "audience_sync.delivery.uploads", "audience_sync.delivery.members"
_MEMBERS, _ROWS, _DELIVERY = (
    "audience_sync.aws.membership_table",
    "audience_sync.aws.membership_rows",
    "audience_sync.delivery.batch",
)
_WORKER, _RENEWAL = "functions.worker.handler", "audience_sync.operations.renewal"

_ALL = [
    # Loss
    Bug("acknowledge early", _DELIVERY, "if change.member in deferred]", "if not deferred]", MODEL),
    Bug(
        "acknowledge what could not be put back",
        _DELIVERY,
        "report.deferred.append(DeferredMessage(message, delay, causes[0].error.reason))\n        return False",
        "return False",
        MODEL,
    ),
    Bug(
        "swallow a dead letter that was not taken",
        _VERDICTS,
        "self._defer((change for change, _ in refused), Deferred.after(failure))",
        "del failure",
        DELIVERY + "test_what_cannot_be_parked_stays_in_the_queue",
    ),
    Bug(
        "drop the last chunk",
        "audience_sync.amazon_ads.record",
        "if start < len(encoded):",
        "if start == 0 and encoded:",
        DELIVERY + "test_uploads_keep_to_both_limits_and_lose_nobody",
    ),
    Bug(
        "let the queue give up on what waits",
        _DELIVERY,
        " or message.receive_count >= REQUEUE_AFTER_RECEIVES",
        "",
        "tests/model/test_outage.py::test_twelve_hours_of_outage_lose_nothing_and_need_nobody",
    ),
    Bug(
        "date what ended by its latest message",
        _DELIVERY,
        "history = replace(each.message.history, attempts=each.attempts, first_at=each.first_at)",
        "history = replace(each.message.history, attempts=each.attempts, first_at=None)",
        DELIVERY + "test_what_is_left_of_a_message_goes_back_and_remembers_its_attempts",
    ),
    Bug(
        "close the books on what may be waiting",
        "audience_sync.operations.audit",
        "completed_by = max([end, *waited]) + MARGIN",
        "completed_by = end + MARGIN",
        "tests/functions/test_audit.py::test_what_may_still_be_waiting_is_no_gap",
    ),
    Bug(
        "let a change that counted twice hide one that is lost",
        "audience_sync.operations.audit",
        "if missing > 0:",
        "if missing:",
        "tests/unit/operations/test_audit.py::test_a_change_that_counted_twice_hides_none_that_was_accepted_at_another_time",
    ),
    Bug(
        "repeat lost uploads without end",
        "audience_sync.delivery.retry_budget",
        "self._accounts[audience_id].left -= 1",
        "del audience_id",
        "tests/unit/delivery/test_retry_budget.py::test_with_the_budget_used_up_nobody_asks_until_it_has_renewed",
    ),
    # Order
    Bug(
        "order by arrival in a batch",
        "audience_sync.membership",
        "same[0] if len(same) == 1 else _merged(same)",
        "same[-1]",
        MODEL,
    ),
    Bug(
        "order by arrival in the table",
        _MEMBERS,
        '"attribute_not_exists(version) OR version < :version"',
        '"attribute_not_exists(version) OR version > :version"',
        MODEL,
    ),
    Bug(
        "let an enter win a tie",
        "audience_sync.membership",
        "return Version(self.at, self.exits, self.message_id)",
        "return Version(self.at, not self.exits, self.message_id)",
        MODEL,
    ),
    Bug(
        "check only before sending",
        _VERDICTS,
        "if self._context.members is None or not accepted:",
        "if True:",
        MEMBERS_TEST + "test_who_moves_on_during_an_upload_is_sent_once_more",
    ),
    Bug("read back what may be old", _MEMBERS, '"ConsistentRead": True', '"ConsistentRead": False', MODEL),
    Bug("say nothing twice", _VERDICTS, "        if repeating:\n", "        if repeating and not repeat:\n", MODEL),
    Bug("say it again before the jobs have ended", _VERDICTS, "self._context.limits.job\n", "0.0\n", MODEL),
    Bug("see no contradiction", _MEMBERS, 'self._now() - int(opposite["N"]) < self._effective_after', "False", MODEL),
    Bug(
        "date a change by its first attempt",
        _MEMBERS,
        "self._touch(held)",
        "pass",
        COUNTEREXAMPLES + "test_an_entry_that_was_sent_long_after_it_was_recorded_is_young_all_the_same",
    ),
    Bug(
        "forget the contradiction when identities merge",
        _MEMBERS,
        "repeat=self._contradicts(before, change)",
        "repeat=whole is change and self._contradicts(before, change)",
        COUNTEREXAMPLES + "test_the_second_identity_of_an_entry_is_repeated_as_the_first_one_is",
    ),
    Bug(
        "drop a superseded change that was attempted_before before",
        _VERDICTS,
        "attempts > 1}",
        "attempts > 99}",
        MEMBERS_TEST + "test_an_entry_that_amazon_applies_late_is_followed_by_the_exit_again",
    ),
    Bug(
        "forget the settle time",
        _OUTBOX,
        "return self._limits.settle if isinstance(error, OutcomeUnknown) else None",
        "return None",
        DELIVERY + "test_passing_trouble_leaves_messages_in_the_queue",
    ),
    # Members
    Bug(
        "exit without the stored identifiers",
        _ROWS,
        "return merged(change, _identities(before))",
        "return change",
        MEMBERS_TEST + "test_an_exit_takes_along_every_identifier_that_was_ever_sent",
    ),
    Bug(
        "merge ids that differ in case",
        "audience_sync.membership",
        'return self.audience_id, self.record["externalUserId"]',
        'return self.audience_id, self.record["externalUserId"].lower()',
        MODEL,
    ),
    Bug(
        "forget a person before the exit is repeated",
        _VERDICTS,
        "change.erase and change.exits and change.member not in repeat and",
        "change.erase and change.exits and",
        MODEL,
    ),
    Bug(
        "let a later exit overtake a deletion notice",
        _MEMBERS,
        "erasure_pending = change.erase and held.exits and",
        "erasure_pending = False and",
        MODEL,
    ),
    Bug(
        "keep what an exit says after a deletion notice",
        _MEMBERS,
        "if change.exits and not change.erase and change_from_row(before).erase:",
        "if False:",
        MEMBERS_TEST + "test_whoever_asked_to_be_forgotten_is_whatever_exit_comes_later",
    ),
    Bug(
        "lose a deletion notice among exits",
        "audience_sync.membership",
        "erase = any(change.erase for change in same)",
        "erase = newest.erase",
        "tests/unit/test_membership.py::test_a_later_exit_does_not_undo_that_a_person_asked_to_be_forgotten",
    ),
    # Counting
    Bug(
        "count what comes back",
        _DELIVERY,
        "continue  # all of it",
        "pass  # all of it",
        DELIVERY + "test_changes_of_a_message_that_comes_back_whole_are_not_counted_before",
    ),
    Bug("count repetitions", _VERDICTS, " and not each.message.history.is_replay", "", MODEL),
    # Renewal
    Bug(
        "renew as something new",
        _RENEWAL,
        "return pack(current, DeliveryHistory(is_replay=True))",
        "return pack(current)",
        MODEL,
    ),
    Bug(
        "renew under a new version",
        _RENEWAL,
        "replace(change, connection_id=",
        "replace(change, at=change.at + 9, connection_id=",
        MODEL,
    ),
    Bug(
        "renew who has left",
        "audience_sync.aws.membership_scan",
        "[change for change in newest if not change.exits]",
        "newest",
        "tests/unit/aws/test_membership_scan.py::test_who_has_left_is_not_found_though_they_entered_long_ago",
    ),
    Bug(
        "read the first page only",
        _RENEWAL,
        "cursor = page.next",
        "cursor = None",
        "tests/unit/operations/test_renewal.py::test_every_page_of_every_renewed_audience_is_read",
    ),
    Bug(
        "let the row go before the member does",
        _ROWS,
        '"SET #last_sent = :now, expiresAt = :expires"',
        '"SET #last_sent = :now, expiresAt = if_not_exists(expiresAt, :expires)"',
        MEMBERS_TEST + "test_the_row_of_a_member_who_is_told_again_outlives_the_member",
    ),
    # Budget
    Bug(
        "ask about every record where all are refused",
        _OUTBOX,
        "elif refused == 2 * SAMPLE_SIZE and not accepted:",
        "elif refused < 0:",
        DELIVERY + "test_where_every_record_is_refused_not_every_record_is_asked_about",
    ),
    Bug(
        "condemn the others for the first few",
        _OUTBOX,
        "chunks = sample_first(chunks)",
        "refused = 2 * SAMPLE_SIZE - 1",
        DELIVERY + "test_a_run_of_bad_records_at_the_beginning_does_not_condemn_the_others",
    ),
    Bug(
        "begin an upload that must be cut off",
        _OUTBOX,
        "return self._time_left() >= self._limits.timeout\n",
        "return self._time_left() > 1\n",
        DELIVERY + "test_an_upload_is_not_begun_that_might_have_to_be_cut_off",
    ),
    Bug(
        "record what there is no time left to send",
        _VERDICTS,
        "attempted_before, lambda: self._uploads.has_time_to_record)",
        "attempted_before, lambda: self._uploads.has_time)",
        MEMBERS_TEST + "test_what_a_slow_table_has_recorded_is_sent_before_time_runs_out",
    ),
    Bug(
        "let one audience open the connection's circuit",
        "audience_sync.delivery.circuit_breaker",
        'return f"audience:{target.audience_id}" if is_alone else',
        'return f"connection:{connection}" if is_alone else',
        "tests/contract/test_circuit_breaker.py::test_an_audience_that_fails_alone_stops_no_other",
    ),
    Bug(
        "try a 400 for ever",
        _OUTBOX,
        "            self._count_failure(error.reason)\n            return error",
        "            self._count_failure(error.reason)\n            return Deferred(OutOfTime(''), None)",
        DELIVERY + "test_bad_records_are_isolated_and_cost_their_neighbours_nothing",
    ),
    Bug(
        "ignore Retry-After",
        _OUTBOX,
        "return error.retry_after",
        "return None",
        DELIVERY + "test_passing_trouble_leaves_messages_in_the_queue",
    ),
    Bug(
        "leave visibility as it is",
        _WORKER,
        "queue.postpone([(deferred.message.receipt_handle, deferred.delay) for deferred in report.deferred])",
        "queue.postpone([])",
        "tests/faults/test_amazon_faults.py::test_a_throttled_audience_waits_as_long_as_amazon_says",
    ),
    # Privacy
    Bug(
        "log the event",
        _WORKER,
        "    _log(report)\n",
        '    logger.info("received", event=event)\n    _log(report)\n',
        WORKER + "test_logs_hold_ids_and_counts_but_no_identifier_and_no_secret",
    ),
    Bug(
        "compare keys with ==",
        "audience_sync.credentials",
        "hmac.compare_digest(key, secret)",
        "key == secret",
        "tests/model/test_seeded_bugs.py::test_keys_are_compared_without_telling_where_they_differ",
    ),
]
BUGS = {bug.name: bug for bug in _ALL}
