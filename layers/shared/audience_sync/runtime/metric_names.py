"""The names of our metrics, in one namespace. Dashboard, alarms, audit, command line and status page use them."""

NAMESPACE = "AudienceSync"

EVENTS_ACCEPTED = "EventsAccepted"
EVENTS_IGNORED = "EventsIgnored"
EVENTS_REJECTED = "EventsRejected"  # also one for each body that cannot be used, whatever it held
# The same, rejections of accepted events by one of their audiences, and accepted denials of consent, by reason code.
EVENTS_REJECTED_BY_REASON = "EventsRejectedByReason"
ARRIVALS = (EVENTS_ACCEPTED, EVENTS_IGNORED, EVENTS_REJECTED)
REQUESTS_UNAUTHORIZED = "RequestsUnauthorized"  # with a credential that does not match, or Segment's without any
REQUESTS_WITHOUT_CREDENTIAL = "RequestsWithoutCredential"  # such as internet scanners'
REQUESTS_FROM_OTHER_SOURCES = "RequestsFromOtherSources"  # not in AllowedSources; also in the metric above
REQUESTS_UNAVAILABLE = "RequestsUnavailable"
SIGNATURES_INVALID = "SignaturesInvalid"  # beside a valid event key: counted, not refused
# Requests that a previous credential let in; while there are any, it must not be retired.
PREVIOUS_EVENT_KEY_USED = "PreviousEventKeyUsed"
PREVIOUS_AUDIENCE_KEY_USED = "PreviousAudienceKeyUsed"
PREVIOUS_SIGNING_SECRET_USED = "PreviousSigningSecretUsed"  # noqa: S105 - the name of a metric
SOURCE_KEY_EXPIRING = "SourceKeyExpiring"  # requests let in by a key close to its last day; not every one counts
CHANGES_ACCEPTED = "ChangesAccepted"  # = delivered + superseded + parked + waiting
CHANGES_DELIVERED = "ChangesDelivered"
CHANGES_SUPERSEDED = "ChangesSuperseded"
CHANGES_PARKED = "ChangesParked"
CHANGES_COMPLETED = "ChangesCompleted"  # delivered, superseded or parked; dated by when they were accepted
OLDEST_DEFERRED_CHANGE_AGE = "OldestDeferredChangeAge"  # seconds since the oldest deferred change was accepted
OLDEST_WAITING_CHANGE_AGE = (
    "OldestWaitingChangeAge"  # the same, for changes that wait for a job, or the first connection
)
OLDEST_FAILED_EVENT_AGE = "OldestFailedEventAge"  # seconds since the oldest event message that failed was sent
ACCOUNTING_GAP = "AccountingGap"  # changes accepted and never completed
COUNTED_TWICE = "ChangesCountedTwice"  # completions beyond those that were accepted, as the audit finds them
REJECTION_REASONS_NEW = "RejectionReasonsNew"  # reasons that are new, or take many events (operations/rejections.py)
AUDIT_LAG = "AuditLagSeconds"  # since the time up to which changes are reconciled
# People whose erasure has been open for more than four days, or whose deletion Ads Data Manager refuses.
ERASURES_OVERDUE = "ErasuresOverdue"
ERASURES_UNCHECKED_AGE = "ErasuresUncheckedAge"  # seconds; all erasures have been checked within this time
ERASURES_RECORDED = "ErasuresRecorded"  # people with a new deletion notice or denial of consent
ROWS_UNREADABLE = "RowsUnreadable"  # of the membership table, as one run of a function finds them
UPLOADS_SENT = "UploadsSent"
RECORDS_REPEATED = "RecordsRepeated"  # sent again, since another upload may have taken effect later
UPLOADS_FAILED = "UploadsFailed"
JOBS_UNRESOLVED = "JobsUnresolved"  # failed, given up, or unknown to Amazon
AUDIENCES_CREATED = "AudiencesCreated"  # with the audience key
AUDIENCE_MATCH_RATE = "AudienceMatchRate"  # percent; by audience
AUDIENCE_RECEIVED = "AudienceReceived"  # records, of a dataset those in it; by audience
AUDIENCE_PROCESSED = "AudienceProcessed"  # percent of an upload's records that were processed; by audience
AUDIENCE_SIZE_DSP = "AudienceSizeDsp"  # members; by audience
# Published by nothing: the audit sets the state of its alarm, with what to tell as the reason.
FINDINGS = "Findings"
SHARES_REVOKED = "SharesRevoked"  # of datasets; ended in the last days, and not shared again
TOKEN_REFRESH_FAILED = "TokenRefreshFailed"  # noqa: S105 - the name of a metric
CONSENT_ENDING = "ConsentEnding"  # runs of the token refresh in the last days of Amazon's consent, and after it
