"""Keeps Amazon Ads audiences in step with Segment."""
