"""Bugs made on purpose: what each changes in the product, and the test that must fail because of it.

`MODEL` is the state machine of test_protocol.py; anything else is the id of a test.
"""

from typing import NamedTuple

MODEL = "the state machine"
DELIVERY, MEMBERS_TEST = "tests/unit/delivery/test_batch.py::", "tests/contract/test_member_protocol.py::"
NOTICES = "tests/contract/test_deletion_notices.py::"
COUNTEREXAMPLES, WORKER = "tests/model/test_counterexamples.py::", "tests/functions/test_worker.py::"


class Bug(NamedTuple):
    """One changed line of the product."""

    name: str
    module: str
    good: str  # occurs exactly once in the module's source
    bad: str
    detected_by: str


_OUTCOMES = "audience_sync.delivery.outcomes"
_NOTICES = "audience_sync.delivery.deletion_notices"
_UPLOADS, _MEMBERS = "audience_sync.delivery.uploads", "audience_sync.delivery.members"
_TABLE, _ROWS, _BATCH = (
    "audience_sync.aws.membership_table",
    "audience_sync.aws.membership_rows",
    "audience_sync.delivery.batch",
)
_STATE, _STEP = "audience_sync.member_state", "audience_sync.member_step"
_TRACKING, _JOB_END = "audience_sync.operations.job_tracking", "audience_sync.operations.job_end"
_WORKER, _RENEWAL = "functions.worker.handler", "audience_sync.operations.renewal"

_ALL = [
    # Loss
    Bug(
        "acknowledge early",
        _BATCH,
        "left = list(outcomes.left_of(each))",
        "left = list(outcomes.left_of(each))[:0]",
        MODEL,
    ),
    Bug(
        "acknowledge a message that could not be sent anew",
        _BATCH,
        "            report.deferred.append(DeferredMessage(message, delay, left[0][1].error.reason))\n"
        "            return False\n        self._note_left(",
        "            return False\n        self._note_left(",
        "tests/contract/test_waiting_changes.py::test_where_the_queue_fails_an_enter_that_waits_comes_back_with_its_message",
    ),
    Bug(
        "drop a change whose dead letter could not be stored",
        _OUTCOMES,
        "self.defer(members, Deferred.after(failure))",
        "del failure",
        DELIVERY + "test_changes_that_cannot_be_parked_stay_in_the_queue",
    ),
    Bug(
        "drop the last chunk",
        "audience_sync.amazon_ads.record",
        "if filled > frame:",
        "if start == 0 and filled > frame:",
        DELIVERY + "test_uploads_keep_to_both_limits_and_hold_every_member",
    ),
    Bug(
        "let SQS move waiting messages to the dead letters",
        _BATCH,
        " and message.receive_count < REQUEUE_AFTER_RECEIVES",
        "",
        "tests/model/test_outage.py::test_twelve_hours_of_outage_lose_nothing_and_need_no_operator",
    ),
    Bug(
        "count completed changes under the time of their latest message",
        _BATCH,
        "history = replace(each.message.history, first_at=each.first_at, untracked=None)",
        "history = replace(each.message.history, first_at=None, untracked=None)",
        DELIVERY + "test_what_is_left_of_a_message_is_sent_anew_with_its_attempts",
    ),
    Bug(
        "reconcile a window whose changes may still be waiting",
        "audience_sync.operations.audit",
        "completed_by = max([end, *waited]) + MARGIN",
        "completed_by = end + MARGIN",
        "tests/functions/test_audit.py::test_a_change_that_may_still_be_waiting_is_no_gap",
    ),
    Bug(
        "let a change that was counted twice hide a lost one",
        "audience_sync.operations.audit",
        "if missing > 0:",
        "if missing:",
        "tests/unit/operations/test_audit.py::test_a_change_that_was_counted_twice_hides_no_gap_at_another_time",
    ),
    Bug(
        "repeat unanswered uploads without limit",
        "audience_sync.delivery.retry_budget",
        "self._accounts[audience_id].left -= 1",
        "del audience_id",
        "tests/unit/delivery/test_retry_budget.py::test_with_the_budget_used_up_no_request_is_made_until_it_has_renewed",
    ),
    # Order
    Bug(
        "order by arrival in a batch",
        "audience_sync.membership",
        "(same if len(same) == 1 else _lives(same))",
        "same[-1:]",
        MODEL,
    ),
    Bug(
        "order by arrival in the table",
        _STEP,
        "    if change.version > state.version:\n",
        "    if True:\n",
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
        "overlook an attempt that may be on its way",
        _MEMBERS,
        ", attempted=self._outcomes.attempted(member))",
        ")",
        MEMBERS_TEST + "test_an_exit_is_sent_again_where_a_repeated_attempt_at_the_enter_had_no_answer",
    ),
    Bug("read versions back without consistency", _TABLE, '"ConsistentRead": True', '"ConsistentRead": False', MODEL),
    Bug(
        "queue no repetition",
        _MEMBERS,
        "in repetition_messages(states, now, limits.timing):",
        "in ():",
        MODEL,
    ),
    Bug(
        "repeat a removal before the enter's job has ended",
        _STATE,
        "return Due(ended, removes=True)",
        "return Due(0.0, removes=True)",
        MODEL,
    ),
    Bug(
        "overlook that an enter was sent recently",
        _STATE,
        "return bool(self.to_remove) and self.exited < self.enters_ended(timing)",
        "return False",
        MODEL,
    ),
    Bug(
        "send an enter while a removal may still take effect",
        _STEP,
        "    if until > now:\n",
        "    if False:\n",
        "tests/contract/test_waiting_changes.py::test_an_enter_after_an_exit_waits_and_is_delivered_and_counted_once",
    ),
    Bug(
        "let a repetition go that is not due yet",
        _MEMBERS,
        "left = None if member in self._outcomes.repetitions else each.state.left",
        "left = each.state.left",
        MODEL,
    ),
    Bug(
        "have changes wait that a later exit has ended",
        _MEMBERS,
        "Deferred(waits, each.waits_until - now, newer_than=left)",
        "Deferred(waits, each.waits_until - now)",
        MODEL,
    ),
    Bug(
        "take an accepted upload for the end of its job",
        _TRACKING,
        "concerned = [each for each in message.members if is_concerned(message, report, each)]",
        "concerned = []",
        MODEL,
    ),
    Bug(
        "repeat nothing after a late job",
        _TRACKING,
        " if message.is_late else 0",
        " if False else 0",
        "tests/unit/operations/test_job_tracking.py::test_a_job_that_was_first_checked_too_late_may_have_been_late",
    ),
    Bug(
        "erase while a removal is due",
        _JOB_END,
        " and state.removal_due(timing) is None:",
        ":",
        MODEL,
    ),
    Bug(
        "overlook what a late job has undone",
        _JOB_END,
        "        state = without_late_job(state, job, now, timing)",
        "        pass",
        "tests/unit/operations/test_job_tracking.py::test_a_job_that_was_first_checked_too_late_may_have_been_late",
    ),
    Bug(
        "let identities travel into a newer life",
        "audience_sync.membership",
        "return [_merged(before), entered]",
        "return [_merged(same)]",
        MODEL,
    ),
    Bug(
        "deliver an upload whose job is not tracked",
        _UPLOADS,
        "            self._track(job, track)\n",
        "            del track\n",
        MEMBERS_TEST + "test_where_the_job_queue_stays_down_the_jobs_id_travels_and_is_stored_before_the_next_upload",
    ),
    Bug(
        "date a change by its first attempt",
        _MEMBERS,
        "for each in accepted if not each.step.writes}",
        "for each in accepted if each is None}",
        COUNTEREXAMPLES + "test_an_enter_that_was_sent_long_after_it_was_recorded_counts_as_recent",
    ),
    Bug(
        "skip the settle time",
        _UPLOADS,
        "return self._limits.settle if isinstance(error, OutcomeUnknown) else None",
        "return None",
        DELIVERY + "test_a_transient_error_leaves_messages_in_the_queue",
    ),
    # Members
    Bug(
        "exit without the stored identifiers",
        _STEP,
        "        grown = _named(grown, change.identities)\n",
        "        grown = _named(replace(grown, identities=()), change.identities)\n",
        MEMBERS_TEST + "test_an_exit_carries_every_identifier_that_was_sent_since_the_enter",
    ),
    Bug(
        "merge ids that differ in case",
        "audience_sync.membership",
        'return self.audience_id, self.record["externalUserId"]',
        'return self.audience_id, self.record["externalUserId"].lower()',
        MODEL,
    ),
    Bug(
        "let a later exit overtake a deletion notice",
        _STEP,
        "max(erase_until, left.at if known.newest.exits else change.at)",
        "max(erase_until, change.at)",
        MODEL,
    ),
    Bug(
        "keep the identifiers of an exit after a deletion notice",
        _STEP,
        "if is_newest and (change.erase or follows_notice):",
        "if is_newest and change.erase:",
        MEMBERS_TEST + "test_a_deletion_notice_erases_the_identifiers_of_every_later_exit",
    ),
    Bug(
        "lose a deletion notice among exits",
        "audience_sync.membership",
        "erase = any(change.erase and change.exits for change in same) and newest.exits",
        "erase = newest.erase",
        "tests/unit/test_membership.py::test_a_later_exit_does_not_undo_a_deletion_notice",
    ),
    Bug(
        "insert a row without a look at the deletion notices",
        _MEMBERS,
        "counting = with_notices(table, new, self._uploads.half_of_time_to_record())",
        "counting = new",
        NOTICES + "test_an_older_enter_that_arrives_later_loses_although_nothing_was_known_of_the_person",
    ),
    Bug(
        "look only once who knows the person of a deletion notice",
        _NOTICES,
        "if each.member in new or was_tried(each)]",
        "if not each]",
        NOTICES + "test_a_row_that_another_worker_inserts_meanwhile_is_found_by_the_second_look",
    ),
    Bug(
        "forget the second look where the first was cut off",
        _NOTICES,
        "each.member in new or was_tried(each)",
        "each.member in new",
        NOTICES + "test_a_notice_that_was_recorded_before_the_worker_was_stopped_is_looked_at_twice_all_the_same",
    ),
    Bug(
        "spread a deletion notice as a replay",
        _NOTICES,
        "pack(exits, DeliveryHistory(first_at=at))",
        "pack(exits, DeliveryHistory(first_at=at, is_replay=True))",
        NOTICES + "test_a_notice_reaches_the_audiences_that_know_the_person_and_no_other",
    ),
    # Counting
    Bug(
        "count changes that stay in the queue",
        _BATCH,
        "continue  # all of it",
        "pass  # all of it",
        DELIVERY + "test_changes_of_a_deferred_message_are_not_counted_yet",
    ),
    Bug(
        "count replays",
        _OUTCOMES,
        "        if each.message.history.is_replay:\n            return\n",
        "",
        MODEL,
    ),
    # Renewal
    Bug(
        "renew with new changes instead of replays",
        _RENEWAL,
        "return pack(current, DeliveryHistory(is_replay=True))",
        "return pack(current)",
        MODEL,
    ),
    Bug(
        "renew under a new version",
        _RENEWAL,
        "replace(change, destination=",
        "replace(change, at=change.at + 9, destination=",
        MODEL,
    ),
    Bug(
        "renew members who have left",
        "audience_sync.aws.membership_scan",
        "[state.change() for state in states if not state.newest.exits]",
        "[state.change() for state in states]",
        "tests/unit/aws/test_membership_scan.py::test_a_member_who_has_left_is_not_found",
    ),
    Bug(
        "read the first page only",
        _RENEWAL,
        "cursor = page.next",
        "cursor = None",
        "tests/unit/operations/test_renewal.py::test_every_page_of_every_renewed_audience_is_read",
    ),
    Bug(
        "let the row expire before the member",
        "audience_sync.aws.membership_rows",
        "(KEEP_EXIT if state.newest.exits else KEEP_ACTIVE)",
        "KEEP_EXIT",
        MEMBERS_TEST + "test_the_row_of_a_member_who_is_sent_again_outlives_the_member",
    ),
    # Limits
    Bug(
        "send every record alone where all are refused",
        _UPLOADS,
        "elif refused == 2 * SAMPLE_SIZE and not accepted:",
        "elif refused < 0:",
        DELIVERY + "test_where_every_record_is_refused_few_requests_are_made",
    ),
    Bug(
        "reject all records because of the first few",
        _UPLOADS,
        "chunks = sample_first(chunks)",
        "refused = 2 * SAMPLE_SIZE - 1",
        DELIVERY + "test_bad_records_at_the_beginning_do_not_make_the_others_rejected",
    ),
    Bug(
        "begin an upload that must be cut off",
        _UPLOADS,
        "return self._time_left() >= self._limits.timeout\n",
        "return self._time_left() > 1\n",
        DELIVERY + "test_no_upload_is_begun_that_might_have_to_be_cut_off",
    ),
    Bug(
        "record a change without time left to send it",
        _MEMBERS,
        "has_time = lambda: self._uploads.has_time_to_record",
        "has_time = lambda: True",
        MEMBERS_TEST + "test_changes_that_a_slow_table_has_recorded_are_sent_in_time",
    ),
    Bug(
        "let one audience open the connection's circuit breaker",
        "audience_sync.delivery.circuit_breaker",
        "is_shared = is_connection_at_fault(failures, target.audience_id, FAILURES if is_closed else 1)",
        "is_shared = True",
        "tests/contract/test_circuit_breaker.py::test_an_audience_that_fails_alone_stops_no_other",
    ),
    Bug(
        "hold against an audience what failed before the recovery time passed",
        "audience_sync.delivery.circuit_breaker",
        " and each.at >= free_since",
        "",
        "tests/contract/test_circuit_breaker.py::"
        "test_what_failed_in_another_worker_before_the_recovery_time_had_passed_is_not_held_against_an_audience",
    ),
    Bug(
        "retry a 400 without end",
        _UPLOADS,
        "            self._count_failure(error.reason)\n            return error",
        "            self._count_failure(error.reason)\n            return Deferred(OutOfTime(''), None)",
        DELIVERY + "test_bad_records_are_isolated_and_their_neighbours_delivered",
    ),
    Bug(
        "ignore Retry-After",
        _UPLOADS,
        "return error.retry_after",
        "return None",
        DELIVERY + "test_a_transient_error_leaves_messages_in_the_queue",
    ),
    Bug(
        "leave visibility as it is",
        _WORKER,
        "receipts = [(deferred.message.receipt_handle, deferred.delay) for deferred in report.deferred]",
        "receipts = []",
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
        "tests/model/test_seeded_bugs.py::test_keys_are_compared_in_constant_time",
    ),
]
BUGS = {bug.name: bug for bug in _ALL}
