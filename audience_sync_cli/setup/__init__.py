"""One-time set-up: the connection to Amazon Ads, Segment's keys, and the terms of Amazon Marketing Cloud."""
