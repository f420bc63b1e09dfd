"""Use cases that serve the operator: job tracking, the audit of accepted changes, renewal before the TTL ends."""
