"""Use case of `ingest`: turns Segment's requests into changes."""
