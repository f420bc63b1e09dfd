"""Use cases of the scheduled functions and `jobs`: job tracking, deletions, audit, renewal, dataset reports, tokens."""
